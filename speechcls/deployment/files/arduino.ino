// Recognises words on a board with a PDM microphone, as the Nano 33 BLE Sense, and prints them.
// Copy speechcls_model.h, speechcls_model.c and speechcls_tables.h into this folder.
#include <PDM.h>

#include "speechcls_model.h"

static speechcls_model state;
static int16_t ring[4 * SPEECHCLS_STEP];
static volatile unsigned long n_heard = 0;  // samples since the start
static unsigned long n_taken = 0;

static void on_sound() {
  int16_t piece[256];
  int n = PDM.available() / 2;
  if (n > 256) n = 256;
  PDM.read(piece, 2 * n);
  for (int i = 0; i < n; i++) ring[(n_heard + i) % (4 * SPEECHCLS_STEP)] = piece[i];
  n_heard += n;
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
  static unsigned long wait_until = 0;
  if (n_heard - n_taken < SPEECHCLS_STEP) return;
  for (int i = 0; i < SPEECHCLS_STEP; i++) samples[i] = ring[(n_taken + i) % (4 * SPEECHCLS_STEP)];
  n_taken += SPEECHCLS_STEP;
  speechcls_push(&state, samples, now);
  for (int i = 0; i < SPEECHCLS_N_LABELS; i++) {
    // The mean of two steps, and no second word within ${word_seconds} s.
    if ((now[i] + before[i]) / 2 >= speechcls_thresholds[i] && n_taken >= wait_until) {
      Serial.println(speechcls_labels[i]);
      wait_until = n_taken + (unsigned long)(${word_seconds} * SPEECHCLS_SAMPLE_RATE);
    }
    before[i] = now[i];
  }
}
