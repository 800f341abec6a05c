
/* h = tanh(W x + U h + b) */
static void cell(const matrix *from_input, const matrix *from_state, const float *in, float *state,
                 float *work) {
  enum { n = N_HIDDEN };
  float *a = work, *b = work + n;
  linear(from_input, in, a);
  linear(from_state, state, b);
  for (int i = 0; i < n; i++) state[i] = tanhf(a[i] + b[i]);
}
