"""Where in a clip the word is."""

import numpy as np
import pytest
import torch

from speechcls.audio.speech import find_speech
from speechcls.training.stream_batches import find_speech as find_speech_by_torch

RATE = 16_000


def test_the_word_is_where_training_finds_it(rng):
    for n_samples in (RATE, 9_000, 4_000):
        envelope = np.exp(-np.square(np.linspace(-3, 3, n_samples) + rng.uniform(-1, 1)))
        clip = (0.01 + 0.5 * envelope) * rng.standard_normal(n_samples)
        clip = clip.astype(np.float32)
        first, last = find_speech_by_torch(torch.from_numpy(clip)[None], RATE)
        assert find_speech(clip, RATE) == (first.item(), last.item())


def test_the_word_is_found_by_its_energy(tone, rng):
    clip = 1e-4 * rng.standard_normal(RATE).astype(np.float32)
    clip[4_800:9_600] += tone(500, 0.3)
    assert find_speech(clip, RATE) == pytest.approx((4_800, 9_600), abs=320)


def test_a_clip_of_one_level_is_word_as_a_whole():
    assert find_speech(np.zeros(8_000, dtype=np.float32), RATE) == (0, 8_000)
