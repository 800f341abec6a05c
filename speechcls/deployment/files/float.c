/* Weights and inputs are float. */
typedef float input_value;
typedef float sum_value;

static const input_value *round_input(speechcls_model *state, const float *in, int n, float *unit) {
  (void)state;
  (void)n;
  *unit = 1.0f;
  return in;
}

/* Add to sums the products of n values with two rows of weights. */
#if defined(__SSE__) || defined(__ARM_NEON) || defined(__ARM_FEATURE_MVE)
static float dot(const float *weights, const float *values, int n) {
  float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f; /* which compilers make one vector of */
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

static void add_products(const float *a, const float *b, const float *values, int n, float *sums) {
  sums[0] += dot(a, values, n);
  sums[1] += dot(b, values, n);
}
#else /* Without vectors: each value is read once for both rows. */
static void add_products(const float *a, const float *b, const float *values, int n, float *sums) {
  float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f, b0 = 0.0f, b1 = 0.0f, b2 = 0.0f, b3 = 0.0f;
  int i = 0;
  for (; i + 3 < n; i += 4) {
    a0 += a[i] * values[i];
    a1 += a[i + 1] * values[i + 1];
    a2 += a[i + 2] * values[i + 2];
    a3 += a[i + 3] * values[i + 3];
    b0 += b[i] * values[i];
    b1 += b[i + 1] * values[i + 1];
    b2 += b[i + 2] * values[i + 2];
    b3 += b[i + 3] * values[i + 3];
  }
  for (; i < n; i++) {
    a0 += a[i] * values[i];
    b0 += b[i] * values[i];
  }
  sums[0] += (a0 + a1) + (a2 + a3);
  sums[1] += (b0 + b1) + (b2 + b3);
}
#endif

