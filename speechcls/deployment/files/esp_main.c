/* Recognises words on an ESP32 with an I2S microphone, as the INMP441, and prints them.
   Set the three pins to yours; then: idf.py build flash monitor */
#include <stdint.h>
#include <stdio.h>

#include "driver/i2s_std.h"
#include "freertos/FreeRTOS.h"
#include "speechcls_model.h"

#define PIN_CLOCK GPIO_NUM_26
#define PIN_WORD_SELECT GPIO_NUM_25
#define PIN_DATA GPIO_NUM_33

static speechcls_model state;

static i2s_chan_handle_t open_microphone(void) {
  i2s_chan_handle_t microphone;
  i2s_chan_config_t channel = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_AUTO, I2S_ROLE_MASTER);
  i2s_std_config_t config = {
      .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(SPEECHCLS_SAMPLE_RATE),
      .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO),
      .gpio_cfg = {.mclk = I2S_GPIO_UNUSED,
                   .bclk = PIN_CLOCK,
                   .ws = PIN_WORD_SELECT,
                   .dout = I2S_GPIO_UNUSED,
                   .din = PIN_DATA},
  };
  ESP_ERROR_CHECK(i2s_new_channel(&channel, NULL, &microphone));
  ESP_ERROR_CHECK(i2s_channel_init_std_mode(microphone, &config));
  ESP_ERROR_CHECK(i2s_channel_enable(microphone));
  return microphone;
}

void app_main(void) {
  static int32_t raw[SPEECHCLS_STEP];
  static int16_t samples[SPEECHCLS_STEP];
  static float now[SPEECHCLS_N_LABELS], before[SPEECHCLS_N_LABELS];
  i2s_chan_handle_t microphone = open_microphone();
  float wait_s = 0.0f;
  speechcls_init(&state);
  for (;;) {
    size_t n_bytes;
    ESP_ERROR_CHECK(i2s_channel_read(microphone, raw, sizeof raw, &n_bytes, portMAX_DELAY));
    for (int i = 0; i < SPEECHCLS_STEP; i++) samples[i] = (int16_t)(raw[i] >> 16);
    speechcls_push(&state, samples, now);
    wait_s -= (float)SPEECHCLS_STEP / SPEECHCLS_SAMPLE_RATE;
    for (int i = 0; i < SPEECHCLS_N_LABELS; i++) {
      /* The mean of two steps, and no second word within ${word_seconds} s. */
      if ((now[i] + before[i]) / 2 >= speechcls_thresholds[i] && wait_s <= 0.0f) {
        printf("%s\n", speechcls_labels[i]);
        wait_s = ${word_seconds}f;
      }
      before[i] = now[i];
    }
  }
}
