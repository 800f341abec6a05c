/* Weights are int8_t with a scale for each row of a matrix. Inputs are rounded too, to integers of 12
   bits, whose sums fit into 32 bits for up to 8,000 weights. */
typedef int16_t input_value;
typedef int32_t sum_value;

/* Return n values as integers, and what one of them is worth. */
static const input_value *round_input(speechcls_model *state, const float *in, int n, float *unit) {
  float largest = 1e-20f;
  for (int i = 0; i < n; i++) {
    const float size = fabsf(in[i]);
    if (size > largest) largest = size; /* fmaxf is a call, and slow, on a Cortex-M4 */
  }
  const float factor = 2047.0f / largest;
  for (int i = 0; i < n; i++) {
    state->rounded[i] = (int16_t)(in[i] * factor + (in[i] < 0.0f ? -0.5f : 0.5f));
  }
  *unit = largest / 2047.0f;
  return state->rounded;
}

/* Add to sums the products of n values with two rows of weights; each value is read once for both. */
#if defined(__ARM_FEATURE_MVE) /* Cortex-M55, M85: eight at once */
#include <arm_mve.h>

static void add_products(const int8_t *a, const int8_t *b, const int16_t *values, int n,
                         int32_t *sums) {
  int32_t sum_a = sums[0], sum_b = sums[1];
  for (; n > 7; n -= 8, a += 8, b += 8, values += 8) {
    const int16x8_t x = vldrhq_s16(values);
    sum_a = vmladavaq_s16(sum_a, vldrbq_s16(a), x);
    sum_b = vmladavaq_s16(sum_b, vldrbq_s16(b), x);
  }
  if (n > 0) {
    const mve_pred16_t some = vctp16q((uint32_t)n); /* the rest, the others are 0 */
    const int16x8_t x = vldrhq_z_s16(values, some);
    sum_a = vmladavaq_s16(sum_a, vldrbq_z_s16(a, some), x);
    sum_b = vmladavaq_s16(sum_b, vldrbq_z_s16(b, some), x);
  }
  sums[0] = sum_a;
  sums[1] = sum_b;
}
#else
#if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__) /* Cortex-M4, M7, M33: two at once */
/* Return sum with the products of four weights and values added; these are in the order 0, 2, 1, 3. */
static int32_t add_four(int32_t sum, const int8_t *weights, uint32_t even, uint32_t odd) {
  uint32_t four, part;
  memcpy(&four, weights, sizeof four);
  __asm__("sxtb16 %0, %1" : "=r"(part) : "r"(four));
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(part), "r"(even));
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(part) : "r"(four));
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(part), "r"(odd));
  return sum;
}
#endif

static void add_products(const int8_t *a, const int8_t *b, const int16_t *values, int n,
                         int32_t *sums) {
  int32_t sum_a = sums[0], sum_b = sums[1];
  for (; n > 3; n -= 4, a += 4, b += 4, values += 4) {
#if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)
    uint32_t first, second, even, odd;
    memcpy(&first, values, sizeof first);
    memcpy(&second, values + 2, sizeof second);
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(even) : "r"(first), "r"(second));
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(odd) : "r"(second), "r"(first));
    sum_a = add_four(sum_a, a, even, odd);
    sum_b = add_four(sum_b, b, even, odd);
#else
    sum_a += a[0] * values[0] + a[1] * values[1] + a[2] * values[2] + a[3] * values[3];
    sum_b += b[0] * values[0] + b[1] * values[1] + b[2] * values[2] + b[3] * values[3];
#endif
  }
  for (; n > 0; n--, values++) {
    sum_a += *a++ * *values;
    sum_b += *b++ * *values;
  }
  sums[0] = sum_a;
  sums[1] = sum_b;
}
#endif

