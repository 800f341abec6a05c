/* Runs a model on a Cortex-M that QEMU emulates: no operating system, no stdio, no heap, and nothing
   of the C library but what the model itself calls. Samples are read from a file of the host, by
   semihosting; probabilities, and what they took, are written to another. */
#include <stdint.h>

#include "speechcls_model.h"

enum { OPEN = 0x01, CLOSE = 0x02, WRITE = 0x05, READ = 0x06, EXIT = 0x18 };
enum { READ_BYTES = 1, WRITE_BYTES = 5, EXIT_WELL = 0x20026, EXIT_ILL = 0x20023 };
enum { CALIBRATION = 1000000, PAINT = 0x5eec4c15 };
#define SYST_CSR (*(volatile uint32_t *)0xe000e010)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018)
#define CPACR (*(volatile uint32_t *)0xe000ed88)

extern uint32_t stack_end[], stack_top[];

/* What the host is told in the end. */
static struct {
  uint32_t calibration; /* ticks that 2 * CALIBRATION instructions took */
  uint32_t ticks_low, ticks_high, ticks_max; /* of all steps, and of the longest */
  uint32_t n_steps, state_bytes, stack_bytes;
} report;

static speechcls_model state;
static int16_t samples[SPEECHCLS_STEP];
static float probabilities[SPEECHCLS_N_LABELS];

static uintptr_t ask_host(uintptr_t what, uintptr_t with) {
  register uintptr_t r0 __asm__("r0") = what;
  register uintptr_t r1 __asm__("r1") = with;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void stop(uintptr_t why) {
  for (;;) ask_host(EXIT, why);
}

static void fault(void) { stop(EXIT_ILL); }

static uintptr_t open_file(const char *name, uintptr_t length, uintptr_t mode) {
  const uintptr_t block[] = {(uintptr_t)name, mode, length};
  const uintptr_t file = ask_host(OPEN, (uintptr_t)block);
  if (file == (uintptr_t)-1) stop(EXIT_ILL);
  return file;
}

/* Return how many bytes were not read or written. */
static uintptr_t transfer(uintptr_t what, uintptr_t file, const void *bytes, uintptr_t n) {
  const uintptr_t block[] = {file, (uintptr_t)bytes, n};
  return ask_host(what, (uintptr_t)block);
}

/* SysTick counts down, in 24 bits; by -icount QEMU has it follow instructions. */
static uint32_t ticks_since(uint32_t before) { return (before - SYST_CVR) & 0xffffff; }

static void calibrate(void) {
  uint32_t n = CALIBRATION;
  const uint32_t before = SYST_CVR;
  __asm__ volatile("1: subs %0, #1\n bne 1b" : "+l"(n) : : "cc");
  report.calibration = ticks_since(before);
}

static void run(void) {
  const uintptr_t sound = open_file("sound.s16", 9, READ_BYTES);
  const uintptr_t rows = open_file("rows.f32", 8, WRITE_BYTES);
  uint64_t ticks = 0;
  speechcls_init(&state);
  while (transfer(READ, sound, samples, sizeof samples) == 0) {
    const uint32_t before = SYST_CVR;
    speechcls_push(&state, samples, probabilities);
    const uint32_t taken = ticks_since(before);
    ticks += taken;
    if (taken > report.ticks_max) report.ticks_max = taken;
    report.n_steps++;
    if (transfer(WRITE, rows, probabilities, sizeof probabilities)) stop(EXIT_ILL);
  }
  report.ticks_low = (uint32_t)ticks;
  report.ticks_high = (uint32_t)(ticks >> 32);
  report.state_bytes = sizeof state;
  ask_host(CLOSE, (uintptr_t)&rows);
}

static void tell(void) {
  const uintptr_t file = open_file("report.u32", 10, WRITE_BYTES);
  if (transfer(WRITE, file, &report, sizeof report)) stop(EXIT_ILL);
  ask_host(CLOSE, (uintptr_t)&file);
  stop(EXIT_WELL);
}

void reset(void) {
  CPACR |= 0xfu << 20; /* the floating point unit */
  __asm__ volatile("dsb\n isb");
  uint32_t *const free_top = (uint32_t *)__builtin_frame_address(0) - 32;
  for (uint32_t *word = stack_end; word < free_top; word++) *(volatile uint32_t *)word = PAINT;
  SYST_RVR = 0xffffff;
  SYST_CVR = 0;
  SYST_CSR = 5; /* counts, by the processor's clock, without interrupts */
  calibrate();
  run();
  const uint32_t *lowest = stack_end;
  while (lowest < stack_top && *lowest == PAINT) lowest++;
  report.stack_bytes = (uint32_t)((uintptr_t)stack_top - (uintptr_t)lowest);
  tell();
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};
