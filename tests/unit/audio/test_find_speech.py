"""Where in a clip the word is."""

import numpy as np
import pytest

from speechcls.audio.speech import find_speech

RATE = 16_000


def clip_with_word(rng, tone, start, end, n_samples=RATE):
    clip = 1e-4 * rng.standard_normal(n_samples).astype(np.float32)
    clip[start:end] += tone(500, (end - start) / RATE)
    return clip


@pytest.mark.parametrize(("start", "end"), [(4_800, 9_600), (0, 6_400), (8_000, 16_000)])
def test_the_word_is_found_by_its_energy(start, end, tone, rng):
    first, last = find_speech(clip_with_word(rng, tone, start, end), RATE)
    assert (first, last) == pytest.approx((start, end), abs=320)


def test_the_definition_computed_by_hand():
    """Ten steps of 10 ms at 0, 0, 0, then 20 dB louder for four, then 0 dB again."""
    rate = 1_000  # steps of 10 samples, frames of 20
    amplitude = np.repeat([0.01, 0.01, 0.01, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01], 10)
    clip = (amplitude * np.resize([1, -1], 100)).astype(np.float32)
    # Frames overlap by half, those at an edge are in between (-23 dB); the level counts from 0.4
    # of the way between the quiet (-40 dB) and the loud (-20 dB): 9, 12, 12, 12, 9 of 54 in frames
    # 2 to 6. A tenth (5.4) is reached in frame 2, nine tenths (48.6) in frame 6: 4 frames, of
    # which 8 tenths are the middle, half a frame more on either side.
    first, last = find_speech(clip, rate)
    assert (first, last) == ((2 - 0.5) * 10, (6 + 0.5) * 10 + 20)


def test_a_batch_is_each_clip_alone(rng, tone):
    clips = [clip_with_word(rng, tone, n, n + 5_000) for n in (1_000, 4_000, 9_000, 10_500)]
    clips += [np.zeros(RATE, np.float32), rng.standard_normal(RATE).astype(np.float32)]
    first, last = find_speech(np.stack(clips).reshape(2, 3, RATE), RATE)
    assert first.shape == last.shape == (2, 3)
    alone = [find_speech(clip, RATE) for clip in clips]
    assert list(zip(first.flat, last.flat, strict=True)) == alone


def test_a_click_beside_the_word_moves_it_little(tone, rng):
    clip = clip_with_word(rng, tone, 4_800, 11_200)
    clip[15_200:15_360] = 0.5  # 10 ms at full level
    first, last = find_speech(clip, RATE)
    assert (first + last) / 2 == pytest.approx(8_000, abs=640)


@pytest.mark.parametrize("n_samples", [1, 100, 319, 320, 8_000])
def test_a_clip_of_one_level_is_word_as_a_whole(n_samples, tone):
    assert find_speech(np.zeros(n_samples, dtype=np.float32), RATE) == (0, n_samples)
    assert find_speech(tone(702, n_samples / RATE), RATE) == (0, n_samples)
