
/* A convolution over time and bands with ReLU, maps are [time][band][channel]. Bands are padded by
   zeros on both sides; `in` begins with the frames that came before. */
static void convolve(speechcls_model *state, const convolution *c, const float *in, float *out) {
  const int pad = c->width / 2;
  const int n_in = c->n_bands * c->n_inputs, n_out = c->n_bands_out * c->n_outputs;
  float unit;
  const input_value *rounded = round_input(state, in, n_in * (c->width - 1 + c->n_times), &unit);
  for (int time = 0; time < c->n_times_out; time++) {
    const input_value *frames = rounded + (size_t)time * c->time_stride * n_in;
    /* The newest of the frames, to which a residual adds. */
    const float *newest = in + (size_t)(time * c->time_stride + c->width - 1) * n_in;
    for (int band = 0; band < c->n_bands_out; band++) {
      const int begin = band * c->band_stride - pad;
      const int first = begin < 0 ? 0 : begin;
      const int end = begin + c->width > c->n_bands ? c->n_bands : begin + c->width;
      const int n = (end - first) * c->n_inputs;
      float *values = out + (size_t)time * n_out + (size_t)band * c->n_outputs;
      for (int channel = 0; channel < c->n_outputs; channel += 2) {
        const weight_value *weights = c->kernel.weights + (size_t)channel * c->kernel.n_columns;
        const weight_value *after = row_after(&c->kernel, channel);
        sum_value sums[2] = {0, 0};
        for (int row = 0; row < c->width; row++) {
          const int at = (row * c->width + first - begin) * c->n_inputs;
          const input_value *frame = frames + (size_t)row * n_in + (size_t)first * c->n_inputs;
          add_products(weights + at, after + at, frame, n, sums);
        }
        for (int i = channel; i < channel + 2 && i < c->n_outputs; i++) {
          float sum = c->kernel.bias[i] + SCALE(&c->kernel, i) * unit * (float)sums[i - channel];
          if (c->is_residual) sum += newest[(size_t)band * c->n_inputs + i];
          values[i] = sum > 0.0f ? sum : 0.0f;
        }
      }
    }
  }
}

/* Move the frames that the next step begins with to the front. */
static void keep_frames(const convolution *c, float *maps) {
  const size_t n_in = (size_t)c->n_bands * c->n_inputs;
  memmove(maps, maps + n_in * c->n_times, sizeof(float) * n_in * (c->width - 1));
}
