/* Prints the probabilities of each step of 16-bit samples on stdin, separated by tabs, and the time
   in seconds before them. With a number N, the stream begins anew after every N samples; with
   "labels" or "state", prints the labels, or the bytes that a stream takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "speechcls_model.h"

static speechcls_model state;

int main(int argc, char **argv) {
  static int16_t samples[SPEECHCLS_STEP];
  float probabilities[SPEECHCLS_N_LABELS];
  long n_taken = 0, n_anew = 0;
  if (argc > 1 && !strcmp(argv[1], "state")) return printf("%lu\n", (unsigned long)sizeof state) < 0;
  if (argc > 1 && !strcmp(argv[1], "labels")) {
    for (int i = 0; i < SPEECHCLS_N_LABELS; i++) puts(speechcls_labels[i]);
    return 0;
  }
  if (argc > 1 && (n_anew = strtol(argv[1], NULL, 10)) <= 0) {
    fprintf(stderr, "usage: %s [SAMPLES|labels|state] <16-bit-samples\n", argv[0]);
    return 2;
  }
  speechcls_init(&state);
  for (;;) {
    size_t n = SPEECHCLS_STEP;
    if (n_anew && n_anew - n_taken < SPEECHCLS_STEP) { /* the rest is no whole step */
      if (fread(samples, sizeof *samples, (size_t)(n_anew - n_taken), stdin) == 0 && feof(stdin)) break;
      speechcls_init(&state);
      n_taken = 0;
    }
    if (fread(samples, sizeof *samples, n, stdin) < n) break;
    n_taken += SPEECHCLS_STEP;
    speechcls_push(&state, samples, probabilities);
    printf("%.3f", (double)n_taken / SPEECHCLS_SAMPLE_RATE);
    for (int i = 0; i < SPEECHCLS_N_LABELS; i++) printf("\t%.8g", probabilities[i]);
    putchar('\n');
  }
  return ferror(stdin) != 0;
}
