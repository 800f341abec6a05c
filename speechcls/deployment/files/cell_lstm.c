
/* c = f c + i g, h = o tanh(c), with the gates i, f, g, o one after the other. The state is h, c. */
static void cell(speechcls_model *state, const matrix *from_input, const matrix *from_state,
                 const float *in, float *hidden, float *work) {
  enum { n = N_HIDDEN };
  float *a = work, *b = work + 4 * n, *memory = hidden + n;
  linear(state, from_input, in, a);
  linear(state, from_state, hidden, b);
  for (int i = 0; i < n; i++) {
    const float input = sigmoid(a[i] + b[i]), forget = sigmoid(a[n + i] + b[n + i]);
    const float candidate = tanhf(a[2 * n + i] + b[2 * n + i]);
    memory[i] = forget * memory[i] + input * candidate;
    hidden[i] = sigmoid(a[3 * n + i] + b[3 * n + i]) * tanhf(memory[i]);
  }
}
