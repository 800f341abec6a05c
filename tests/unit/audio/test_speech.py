"""How loud sound is, and where in it somebody speaks."""

import numpy as np
import pytest

from speechcls.audio.level import FLOOR_DB, level_db
from speechcls.audio.speech import UtteranceFinder

RATE = 16_000


def speak(spans, duration_s, rng, noise=0.001, amplitude=0.3):
    """Noise with tones at ``spans``, pairs of start and end in seconds."""
    sound = rng.normal(0, noise, round(duration_s * RATE))
    for start_s, end_s in spans:
        first, last = round(start_s * RATE), round(end_s * RATE)
        sound[first:last] += amplitude * np.sin(np.arange(last - first) * 0.3)
    return sound.astype(np.float32)


def find(sound, duration_s=1.0, piece=592):
    finder = UtteranceFinder(RATE, duration_s)
    found = []
    for start in range(0, len(sound), piece):
        found += finder.push(sound[start : start + piece])
    return [*found, *finder.finish()]


def test_levels_are_of_the_mean_power(tone):
    assert level_db(tone(1_000, 1.0, amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert level_db(np.full(10, 0.1, dtype=np.float32)) == pytest.approx(-20)
    assert level_db(np.zeros(10, dtype=np.float32)) == FLOOR_DB
    assert level_db(np.empty(0, dtype=np.float32)) == FLOOR_DB


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
@pytest.mark.parametrize("piece", [1, 592, 100_000])
def test_utterances_are_found_where_they_are(noise, piece, rng):
    if piece == 1 and noise:
        pytest.skip("slow, and shown without noise")
    spans = [(1.0, 1.4), (2.5, 3.1)] if piece == 1 else [(1.0, 1.4), (2.5, 3.1), (5.0, 5.25)]
    sound = speak(spans, spans[-1][1] + 1.0, rng, noise)
    found = find(sound, piece=piece)
    assert [u.start_s for u in found] == pytest.approx([a for a, _ in spans], abs=0.011)
    assert [u.speech_s for u in found] == pytest.approx([b - a for a, b in spans], abs=0.021)


def test_a_take_is_the_sound_around_the_speech_and_nothing_of_the_next(rng):
    sound = speak([(1.0, 1.4), (1.8, 2.2)], 4.0, rng)
    first, second = find(sound, 1.0)
    assert len(first.samples) == len(second.samples) == RATE
    # the middle of the first is at 1.2 s: from 0.7 s to the end of the pause that ended it, 1.7 s
    np.testing.assert_array_equal(first.samples, sound[11_200:27_200])
    # what is nearer than half the pause to the one before is not the second's
    np.testing.assert_array_equal(second.samples[800:], sound[24_800:40_000])
    assert np.abs(second.samples[:800]).max() == 0


def test_speech_at_the_very_ends_is_found(rng):
    found = find(speak([(0.0, 0.4), (2.0, 2.3)], 2.3, rng), 0.8)
    assert [u.start_s for u in found] == pytest.approx([0.0, 2.0], abs=0.011)
    assert [len(u.samples) for u in found] == [12_800] * 2
    assert np.abs(found[0].samples[:3_200]).max() == 0  # there was no sound before


def test_clicks_are_no_speech(rng):
    assert find(speak([(1.0, 1.03)], 3.0, rng)) == []


def test_memory_does_not_grow(rng):
    finder = UtteranceFinder(RATE, 1.0)
    for _ in range(40):
        list(finder.push(speak([(0.2, 0.9)], 1.0, rng)))
    assert len(finder.kept) < 9 * RATE


def test_endless_sound_is_cut(rng):
    spans = [(1.0 + 0.4 * k, 1.2 + 0.4 * k) for k in range(30)]  # no pause is long enough
    found = find(speak(spans, 14.0, rng))
    assert len(found) == 3
    assert max(u.speech_s for u in found) <= 5.0
