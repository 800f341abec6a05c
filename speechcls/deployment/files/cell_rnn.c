
/* h = tanh(W x + U h + b) */
static void cell(speechcls_model *state, const matrix *from_input, const matrix *from_state,
                 const float *in, float *hidden, float *work) {
  enum { n = N_HIDDEN };
  float *a = work, *b = work + n;
  linear(state, from_input, in, a);
  linear(state, from_state, hidden, b);
  for (int i = 0; i < n; i++) hidden[i] = tanhf(a[i] + b[i]);
}
