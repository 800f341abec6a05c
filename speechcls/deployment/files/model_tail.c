
/* Put the newest HOP_LENGTH samples behind those of the frame. */
static void take_samples(speechcls_model *state, const int16_t *samples) {
  float *newest = state->samples + N_FFT - HOP_LENGTH;
  memmove(state->samples, state->samples + HOP_LENGTH, sizeof(float) * (N_FFT - HOP_LENGTH));
  for (int i = 0; i < HOP_LENGTH; i++) newest[i] = (float)samples[i] / 32768.0f;
}

/* Probabilities of the labels, from a logit for each word, which are overwritten. */
static void label_probabilities(float *logits, float *probabilities) {
  float largest = logits[0], sum = 0.0f;
  for (int i = 1; i < N_WORDS; i++) largest = logits[i] > largest ? logits[i] : largest;
  for (int i = 0; i < N_WORDS; i++) sum += logits[i] = expf(logits[i] - largest);
  memset(probabilities, 0, sizeof(float) * SPEECHCLS_N_LABELS);
  for (int i = 0; i < N_WORDS; i++) probabilities[LABEL_OF_WORD[i]] += logits[i] / sum;
  largest = 1e-30f;
  for (int i = 0; i < SPEECHCLS_N_LABELS; i++) {
    if (probabilities[i] < 1e-30f) probabilities[i] = 1e-30f;
    if (probabilities[i] > largest) largest = probabilities[i];
  }
  sum = 0.0f;
  for (int i = 0; i < SPEECHCLS_N_LABELS; i++) {
    sum += probabilities[i] = powf(probabilities[i] / largest, POWER); /* the temperature */
  }
  for (int i = 0; i < SPEECHCLS_N_LABELS; i++) probabilities[i] /= sum;
}

void speechcls_init(speechcls_model *state) { memset(state, 0, sizeof *state); }

void speechcls_push(speechcls_model *state, const int16_t *samples, float *probabilities) {
${step_body}
  label_probabilities(state->work, probabilities);
}
