"""Ways to spoil a recording, and what is said of each."""

import numpy as np
import soundfile


def write_text(path):
    path.write_text("Dear Ann, this is no recording.\n" * 50)


def write_nothing(path):
    path.touch()


def write_no_frames(path):
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def write_truncated(path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(path, noise, 16_000)
    path.write_bytes(path.read_bytes()[:9_000])


def write_nan(path):
    soundfile.write(path, np.array([0.1, np.nan] * 4_000, np.float32), 16_000, "FLOAT")


def write_infinite(path):
    soundfile.write(path, np.array([0.1, -np.inf] * 4_000, np.float32), 16_000, "FLOAT")


# file name, how it comes about, what is said after the name: a fact; a next step
BAD_FILES = {
    "not audio": (
        "letter.wav",
        write_text,
        r"text, not a recording; name a recording, or leave it out",
    ),
    "0 bytes": (
        "nothing.wav",
        write_nothing,
        r"is empty \(0 bytes\); record it again or leave it out",
    ),
    "0 frames": (
        "noframes.wav",
        write_no_frames,
        r"no audio data \(0 frames\); record it again or leave it out",
    ),
    "truncated WAV": (
        "cut.wav",
        write_truncated,
        r"truncated \(8956 of 32000 bytes\); copy it again",
    ),
    "truncated AIFF": (
        "cut.aiff",
        write_truncated,
        r"truncated \(\d+ of \d+ bytes\); copy it again",
    ),
    "truncated FLAC": (
        "cut.flac",
        write_truncated,
        r"truncated \(\d+ of 16000 frames\); copy it again",
    ),
    "NaN": ("nan.wav", write_nan, r"NaN or infinite samples; export it again"),
    "infinite": ("inf.wav", write_infinite, r"NaN or infinite samples; export it again"),
}
