/* Layers. Weights are float, or int8_t with a scale for each row of a matrix; then inputs are
   rounded too, to integers of 12 bits, whose sums fit into 32 bits for up to 8,000 weights. */

#if IS_INT8
typedef int16_t input_value;
typedef int32_t sum_value;

/* Return n values as integers, and what one of them is worth. */
static const input_value *round_input(speechcls_model *state, const float *in, int n, float *unit) {
  float largest = 1e-20f;
  for (int i = 0; i < n; i++) largest = fmaxf(largest, fabsf(in[i]));
  const float factor = 2047.0f / largest;
  for (int i = 0; i < n; i++) {
    state->rounded[i] = (int16_t)(in[i] * factor + (in[i] < 0.0f ? -0.5f : 0.5f));
  }
  *unit = largest / 2047.0f;
  return state->rounded;
}
#else
typedef float input_value;
typedef float sum_value;

static const input_value *round_input(speechcls_model *state, const float *in, int n, float *unit) {
  (void)state;
  (void)n;
  *unit = 1.0f;
  return in;
}
#endif

static sum_value dot(const weight_value *weights, const input_value *values, int n) {
  sum_value a = 0, b = 0, c = 0, d = 0; /* four sums, which processors compute at once */
  int i = 0;
  for (; i + 3 < n; i += 4) {
    a += weights[i] * values[i];
    b += weights[i + 1] * values[i + 1];
    c += weights[i + 2] * values[i + 2];
    d += weights[i + 3] * values[i + 3];
  }
  for (; i < n; i++) a += weights[i] * values[i];
  return (a + b) + (c + d);
}

/* out[row] = bias[row] + sum of weights[row][i] * in[i] */
static void linear(speechcls_model *state, const matrix *m, const float *in, float *out) {
  float unit;
  const input_value *values = round_input(state, in, m->n_columns, &unit);
  for (int row = 0; row < m->n_rows; row++) {
    const weight_value *weights = m->weights + (size_t)row * m->n_columns;
    out[row] = m->bias[row] + SCALE(m, row) * unit * (float)dot(weights, values, m->n_columns);
  }
}
