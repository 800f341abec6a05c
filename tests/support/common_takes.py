"""Takes of one word that are alike and not the same, and what a format leaves of them."""

import io

import numpy as np
import soundfile

from speechcls.audio.samples import resample

RATE = 16_000


def take(seed, pitch_hz=120.0):
    """(n,) one take of one word by one voice: the same vowels, never quite as before."""
    rng = np.random.default_rng(seed)
    n = 12_000
    times = np.linspace(0, 1, n)
    bend = rng.uniform(0.9, 1.1, 6)
    pitch = pitch_hz * np.interp(times, np.linspace(0, 1, 6), bend)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    first = np.interp(times, [0, rng.uniform(0.4, 0.6), 1], [300, 700, 400])
    second = np.interp(times, [0, rng.uniform(0.4, 0.6), 1], [2_200, 1_200, 900])
    samples = np.zeros(n)
    for k in range(1, 25):
        place = k * pitch
        formants = np.exp(-(((place - first) / 150) ** 2))
        formants += 0.5 * np.exp(-(((place - second) / 200) ** 2))
        samples += formants * np.sin(k * phase)
    envelope = np.interp(times, [0, 0.15, rng.uniform(0.6, 0.8), 1], [0, 1, 0.8, 0])
    samples = envelope * samples + 1e-3 * rng.standard_normal(n)
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


def through(samples, kind, subtype, rate=RATE):
    """What is left of samples after they were written in a format."""
    file = io.BytesIO()
    soundfile.write(file, resample(samples, RATE, rate), rate, subtype, format=kind)
    file.seek(0)
    return resample(soundfile.read(file, dtype="float32")[0], rate, RATE)
