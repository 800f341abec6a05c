
/* h = (1 - z) n + z h, with the gates r, z, n one after the other. work: 6 n values. */
static void cell(speechcls_model *state, const matrix *from_input, const matrix *from_state,
                 const float *in, float *hidden, float *work) {
  enum { n = N_HIDDEN };
  float *a = work, *b = work + 3 * n;
  linear(state, from_input, in, a);
  linear(state, from_state, hidden, b);
  for (int i = 0; i < n; i++) {
    const float r = sigmoid(a[i] + b[i]), z = sigmoid(a[n + i] + b[n + i]);
    const float candidate = tanhf(a[2 * n + i] + r * b[2 * n + i]);
    hidden[i] = (1.0f - z) * candidate + z * hidden[i];
  }
}
