/* Return the row after one, or the last itself: rows are taken in pairs. */
static const weight_value *row_after(const matrix *m, int row) {
  return m->weights + (size_t)(row + 1 < m->n_rows ? row + 1 : row) * m->n_columns;
}

/* out[row] = bias[row] + sum of weights[row][i] * in[i] */
static void linear(speechcls_model *state, const matrix *m, const float *in, float *out) {
  float unit;
  const input_value *values = round_input(state, in, m->n_columns, &unit);
  for (int row = 0; row < m->n_rows; row += 2) {
    sum_value sums[2] = {0, 0};
    const weight_value *weights = m->weights + (size_t)row * m->n_columns;
    add_products(weights, row_after(m, row), values, m->n_columns, sums);
    for (int i = row; i < row + 2 && i < m->n_rows; i++) {
      out[i] = m->bias[i] + SCALE(m, i) * unit * (float)sums[i - row];
    }
  }
}
