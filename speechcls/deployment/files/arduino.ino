// Recognises words on a board with a PDM microphone, as the Nano 33 BLE Sense, and prints them.
// Copy speechcls_model.h, speechcls_model.c and speechcls_tables.h into this folder.
#include <PDM.h>

#include "speechcls_model.h"

// A power of two, of four steps or more, so that the counts may overflow: 32 bits hold 74 hours.
enum { RING = ${ring} };

static speechcls_model state;
static int16_t ring[RING];
static volatile uint32_t n_heard = 0;  // samples since the start
static uint32_t n_taken = 0;

static void on_sound() {
  int16_t piece[256];
  int n = PDM.available() / 2;
  if (n > 256) n = 256;
  PDM.read(piece, 2 * n);
  for (int i = 0; i < n; i++) ring[(n_heard + i) % RING] = piece[i];
  n_heard = n_heard + n;
}

void setup() {
  Serial.begin(115200);
  speechcls_init(&state);
  PDM.onReceive(on_sound);
  if (!PDM.begin(1, SPEECHCLS_SAMPLE_RATE)) Serial.println("no microphone");
}

void loop() {
  static int16_t samples[SPEECHCLS_STEP];
  static float now[SPEECHCLS_N_LABELS], before[SPEECHCLS_N_LABELS];
  static uint32_t n_quiet = 0;  // samples in which no second word is told
  uint32_t n_waiting = n_heard - n_taken;
  if (n_waiting < SPEECHCLS_STEP) return;
  if (n_waiting > RING) {
    Serial.println("sound was lost: this board is too slow for the model");
    n_taken = n_heard - SPEECHCLS_STEP;
  }
  for (int i = 0; i < SPEECHCLS_STEP; i++) samples[i] = ring[(n_taken + i) % RING];
  n_taken += SPEECHCLS_STEP;
  n_quiet -= n_quiet < SPEECHCLS_STEP ? n_quiet : SPEECHCLS_STEP;
  speechcls_push(&state, samples, now);
  for (int i = 0; i < SPEECHCLS_N_LABELS; i++) {
    // The mean of two steps, and no second word within ${word_seconds} s.
    if ((now[i] + before[i]) / 2 >= speechcls_thresholds[i] && n_quiet == 0) {
      Serial.println(speechcls_labels[i]);
      n_quiet = (uint32_t)(${word_seconds}f * SPEECHCLS_SAMPLE_RATE);
    }
    before[i] = now[i];
  }
}
