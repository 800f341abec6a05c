/* Layers. WEIGHT is float, or int8_t with a scale for each row of a matrix. */

static float dot(const WEIGHT *weights, const float *values, int n) {
  float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f; /* four sums, which processors compute at once */
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
static void linear(const matrix *m, const float *in, float *out) {
  for (int row = 0; row < m->n_rows; row++) {
    out[row] = m->bias[row] + SCALE(m, row) * dot(m->weights + (size_t)row * m->n_columns, in, m->n_columns);
  }
}
