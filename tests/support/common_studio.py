"""What the tests of the page share: a server with one, and words for its microphone."""

from contextlib import contextmanager

import numpy as np
import soundfile
from common_serve import serving

RATE = 16_000
PAUSE_S = 0.7
"""Between two words: they are two utterances."""


@contextmanager
def studio(folder, **settings):
    """Yield a server with the page of ``folder``, and models beside it."""
    from speechcls.studio.routes import Studio

    def make(service):
        return Studio(service, folder, folder.with_name("models"))

    with serving(make_extra=make, **{"names": ("commands-tiny",), **settings}) as server:
        yield server


def say(seconds_quiet, *words_s, level=0.3, pitch_hz=440.0):
    """Return samples at ``RATE``: quiet, then a tone of each duration with a pause behind it."""
    rng = np.random.default_rng(0)
    parts = [np.zeros(round(seconds_quiet * RATE))]
    for word_s in words_s:
        times = np.arange(round(word_s * RATE)) / RATE
        parts += [level * np.sin(2 * np.pi * pitch_hz * times), np.zeros(round(PAUSE_S * RATE))]
    samples = np.concatenate(parts)
    return (samples + rng.normal(0.0, 0.0005, len(samples))).astype(np.float32)


def write_words(path, clips):
    """Write a WAV for a microphone that says clips, with pauses between them, again and again."""
    pause = np.zeros(round(PAUSE_S * RATE), np.float32)
    parts = [pause]
    for clip in clips:
        samples, rate = soundfile.read(clip, dtype="float32")
        assert rate == RATE
        parts += [samples, pause]
    samples = np.concatenate(parts)
    noise = np.random.default_rng(0).normal(0.0, 0.0005, len(samples))
    soundfile.write(path, samples + noise, RATE, subtype="PCM_16")
