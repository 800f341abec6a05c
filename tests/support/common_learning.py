"""Clips that a small network learns in seconds, options that make it small, and pages read back."""

import json
import re

import numpy as np
import soundfile

RATE = 16_000
PITCHES_HZ = {"high": 1_600, "low": 400}
SMALL = ("--hidden-size", "16", "--num-layers", "1", "--batch-size", "16", "--lr", "0.01")
SMALL += ("--epoch-clips", "1", "--ema-decay", "0", "--closed", "--quiet")


def write_pitches(folder, n_speakers=24, n_takes=2, noise_s=0.0):
    """Write tones of half a second, whose pitch is the label, below ``folder``; return it."""
    rng = np.random.default_rng(0)
    times_s = np.arange(RATE // 2) / RATE
    for label, pitch_hz in PITCHES_HZ.items():
        (folder / label).mkdir(parents=True)
        for n in range(n_speakers * n_takes):
            tone = np.sin(2 * np.pi * pitch_hz * rng.uniform(0.9, 1.1) * times_s)
            clip = rng.uniform(0.1, 0.6) * tone + rng.normal(0.0, 0.01, len(tone))
            name = f"s{n // n_takes:02d}_nohash_{n % n_takes}.wav"
            soundfile.write(folder / label / name, clip, RATE)
    if noise_s:
        (folder / "_background_noise_").mkdir()
        noise = rng.normal(0.0, 0.02, round(noise_s * RATE))
        soundfile.write(folder / "_background_noise_" / "noise.wav", noise, RATE)
    return folder


def read_page(path):
    """The content of a page that ``explain`` wrote."""
    return json.loads(re.search(r'id="content">(.*?)</script>', path.read_text(), re.S)[1])
