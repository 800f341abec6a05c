/* ${model} (${arch}), a recogniser of spoken words. Made by speechcls ${version}.

   Plain C99: no allocation, no global state, no library but <math.h>. Give it the sound in steps of
   SPEECHCLS_STEP samples, one state for each stream; see README.md. */
#ifndef SPEECHCLS_MODEL_H
#define SPEECHCLS_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPEECHCLS_SAMPLE_RATE ${sample_rate} /* Hz, one channel */
#define SPEECHCLS_STEP ${step}               /* samples in each call of speechcls_push */
#define SPEECHCLS_N_LABELS ${n_labels}

/* What the model remembers of a stream, and room to compute in. */
typedef struct {
  float samples[${n_fft}];
  float level[2];
${maps}
  float hidden[${n_layers}][${n_states}];
  float work[${n_work}];${rounded}
} speechcls_model;

/* Labels in the order of the probabilities. */
extern const char *const speechcls_labels[SPEECHCLS_N_LABELS];

/* Detection threshold of each label; above 1 for one that is no word. */
extern const float speechcls_thresholds[SPEECHCLS_N_LABELS];

/* Begin a stream. */
void speechcls_init(speechcls_model *state);

/* Take SPEECHCLS_STEP samples; write SPEECHCLS_N_LABELS probabilities, whose sum is 1. */
void speechcls_push(speechcls_model *state, const int16_t *samples, float *probabilities);

#ifdef SPEECHCLS_IMPLEMENTATION
const char *const speechcls_labels[SPEECHCLS_N_LABELS] = {${labels}};
const float speechcls_thresholds[SPEECHCLS_N_LABELS] = {${thresholds}};
#endif

#ifdef __cplusplus
}
#endif
#endif
