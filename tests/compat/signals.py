"""Sounds made by arithmetic alone, the same on every machine: what models are compared on."""

import numpy as np

RATE = 8_000


def noise(n_samples, seed):
    """(n_samples,) float64 in [-1, 1), by a linear congruential generator."""
    values, state = [], seed
    for _ in range(n_samples):
        state = (1_103_515_245 * state + 12_345) % 2**31
        values.append(state / 2**30 - 1)
    return np.array(values)


def sound(tones, duration_s):
    """(n_samples,) int16 at 8 kHz: faint noise with ``tones``, each of a start in s and a pitch."""
    samples = 0.004 * noise(round(duration_s * RATE), 1)
    for start_s, hz in tones:
        start, times = round(start_s * RATE), np.arange(1_600) / RATE
        fade = np.minimum(1, np.minimum(times, 0.2 - times) / 0.02)
        samples[start : start + 1_600] += 0.3 * fade * np.sin(2 * np.pi * hz * times)
    return np.rint(32_768 * samples).astype(np.int16)


CLIPS = {
    "high": sound([(0.08, 1_600)], 0.4),
    "low": sound([(0.08, 400)], 0.4),
    "neither": sound([(0.08, 900)], 0.4),
    "silence": sound([], 0.4),
    "short": sound([(0.0, 1_500)], 0.25),
    "long": sound([(0.9, 420)], 1.7),
}
STREAM = sound([(0.5, 400), (1.6, 1_600), (2.8, 410), (3.9, 1_580), (4.9, 900)], 6.0)
