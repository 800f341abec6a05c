"""Recordings in blocks, and where in a clip the word is."""

import numpy as np
import pytest
import torch

from speechcls.audio import duration_of, find_speech, read_blocks, read_clip
from speechcls.errors import AudioError
from speechcls.running import find_speech as find_speech_by_torch

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


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_blocks_make_up_the_recording(tmp_path, write_wav, tone, rate):
    path = write_wav(tmp_path / "long.wav", np.stack([tone(300, 3.2, rate)] * 2, axis=1), rate)
    blocks = list(read_blocks(path, RATE))
    assert all(0 < len(block) <= 1.1 * RATE for block in blocks)
    whole = read_clip(path, RATE)
    joined = np.concatenate(blocks)
    assert abs(len(joined) - len(whole)) <= 1
    np.testing.assert_allclose(joined[: len(whole)], whole[: len(joined)], atol=2e-4)
    assert duration_of(path) == pytest.approx(3.2)


def test_what_cannot_be_read_is_refused(tmp_path, write_wav):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav: not readable audio"):
        list(read_blocks(tmp_path / "text.wav", RATE))
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        list(read_blocks(tmp_path / "none.wav", RATE))
    empty = write_wav(tmp_path / "empty.wav", np.zeros(0, dtype=np.float32))
    with pytest.raises(AudioError, match=r"empty\.wav: no audio data"):
        list(read_blocks(empty, RATE))
