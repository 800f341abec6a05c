/* Features: the spectrum of a frame by a fast Fourier transform, mel bands, decibels. */

/* The real transform of N_FFT samples is a complex one of half as many, then a last butterfly. */
static void power_spectrum(const float *frame, float *work, float *power) {
  enum { N = N_FFT / 2 };
  for (int i = 0; i < N; i++) {
    const int j = FFT_ORDER[i];
    work[2 * i] = frame[2 * j] * WINDOW[2 * j];
    work[2 * i + 1] = frame[2 * j + 1] * WINDOW[2 * j + 1];
  }
  for (int half = 1; half < N; half *= 2) {
    const int stride = N / half; /* of the factors, which are those of N_FFT */
    for (int start = 0; start < N; start += 2 * half) {
      for (int k = 0; k < half; k++) {
        const float c = COSINE[k * stride], s = SINE[k * stride];
        float *a = work + 2 * (start + k), *b = a + 2 * half;
        const float re = c * b[0] + s * b[1], im = c * b[1] - s * b[0];
        b[0] = a[0] - re;
        b[1] = a[1] - im;
        a[0] += re;
        a[1] += im;
      }
    }
  }
  for (int k = 0; k <= N / 2; k++) {
    const float *a = work + 2 * k, *b = work + 2 * ((N - k) % N);
    const float even_re = 0.5f * (a[0] + b[0]), even_im = 0.5f * (a[1] - b[1]);
    const float odd_re = 0.5f * (a[1] + b[1]), odd_im = 0.5f * (b[0] - a[0]);
    const float re = COSINE[k] * odd_re + SINE[k] * odd_im;
    const float im = COSINE[k] * odd_im - SINE[k] * odd_re;
    power[k] = (even_re + re) * (even_re + re) + (even_im + im) * (even_im + im);
    power[N - k] = (even_re - re) * (even_re - re) + (even_im - im) * (even_im - im);
  }
}

/* Standardised features (N_FEATURES) of the frame that ends with the newest samples. */
static void frame_features(speechcls_model *state, float *features) {
  float *work = state->work, *power = state->work + N_FFT, *energy = power + N_FFT / 2 + 1;
  power_spectrum(state->samples, work, power);
  float mean = 0.0f;
  for (int band = 0, at = 0; band < N_MELS; band++) {
    float sum = 0.0f;
    for (int bin = MEL_FIRST[band]; bin < MEL_END[band]; bin++) sum += MEL_WEIGHT[at++] * power[bin];
    energy[band] = sum > POWER_FLOOR ? sum : POWER_FLOOR;
    mean += energy[band];
  }
  float level = 1.0f;
#if IS_RELATIVE
  state->level[0] = state->level[0] * LEVEL_KEEP + mean / N_MELS;
  state->level[1] = state->level[1] * LEVEL_KEEP + 1.0f;
  level = state->level[0] / state->level[1];
#else
  (void)mean;
#endif
  for (int band = 0; band < N_MELS; band++) {
    float decibels = DECIBELS * logf(energy[band] / level);
#if IS_RELATIVE
    if (decibels < -RANGE_DB) decibels = -RANGE_DB;
#endif
    energy[band] = decibels;
  }
#if IS_MFCC
  for (int i = 0; i < N_FEATURES; i++) {
    float sum = 0.0f;
    for (int band = 0; band < N_MELS; band++) sum += DCT[i * N_MELS + band] * energy[band];
    features[i] = sum;
  }
#else
  memcpy(features, energy, sizeof(float) * N_FEATURES);
#endif
  for (int i = 0; i < N_FEATURES; i++) {
    features[i] = (features[i] - FEATURE_MEAN[i]) / FEATURE_STD[i];
  }
}
