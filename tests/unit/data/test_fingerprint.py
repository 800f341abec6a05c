"""A copy keeps its fingerprint through gain and format; another take has another one."""

import numpy as np
import pytest
from common_takes import RATE, take, through

from speechcls.data.fingerprint import (
    SAME_SOUND,
    SIMILAR,
    correlation,
    fingerprint,
    similar_pairs,
)


def likeness(a, b):
    return float(fingerprint(a, RATE).astype(np.float64) @ fingerprint(b, RATE))


def is_copy(a, b):
    return likeness(a, b) >= SIMILAR and correlation(a, b, RATE)[0] >= SAME_SOUND


@pytest.mark.parametrize("gain_db", [-30, -12, -3, 3, 9])
@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_gain_keeps_the_match(seed, gain_db):
    original = take(seed)
    copy = through(original * np.float32(10 ** (gain_db / 20)), "WAV", "PCM_16")
    assert is_copy(original, copy)
    assert correlation(original, copy, RATE)[1] == pytest.approx(gain_db, abs=0.1)


FORMATS = {
    "FLAC": ("FLAC", "PCM_16"),
    "float": ("WAV", "FLOAT"),
    "Vorbis": ("OGG", "VORBIS"),
    "Opus": ("OGG", "OPUS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
    "telephone": ("WAV", "ULAW", 8_000),
    "CD": ("WAV", "PCM_16", 44_100),
}


@pytest.mark.parametrize("how", FORMATS.values(), ids=FORMATS)
def test_a_change_of_format_keeps_the_match(how):
    for seed in range(3):
        original = take(seed)
        assert is_copy(original, through(np.float32(0.5) * original, *how))


def test_a_shift_and_the_other_polarity_keep_the_match():
    original = take(0)
    assert is_copy(original, -np.pad(original, (1_234, 321)))


def test_an_offset_keeps_the_match():
    for seed in range(3):
        assert is_copy(take(seed), take(seed) + np.float32(0.2))


def test_other_takes_of_the_word_do_not_match():
    takes = [take(seed) for seed in range(12)]
    matches = [(i, j) for i in range(12) for j in range(i) if is_copy(takes[i], takes[j])]
    assert matches == []


def test_two_words_around_one_vowel_do_not_match():
    """As a synthetic voice says "yes" and "left": the vowel is most of the energy of both."""
    vowel, first, second = (take(seed)[5_000:7_000] for seed in range(3))
    quiet = np.float32(0.25)  # 12 dB below, as a fricative is
    words = [np.concatenate([quiet * edge, vowel, vowel, quiet * edge]) for edge in (first, second)]
    a, b = (word / np.linalg.norm(word) for word in words)
    assert a @ b > 0.9
    assert correlation(np.pad(a, 4_000), np.pad(b, 4_000), RATE)[0] < SAME_SOUND
    assert is_copy(np.pad(a, 4_000), np.pad(a, 4_000))


def test_the_gain_and_the_correlation_of_a_part_by_hand():
    """Half of the loud moments are alike, so that it is half the sound."""
    same, other = take(0)[5_000:9_000], take(1)[5_000:9_000]
    other = other * np.float32(np.linalg.norm(same) / np.linalg.norm(other))
    whole = np.concatenate([same, np.zeros(800, np.float32), other])
    part = np.concatenate([same, np.zeros(800 + 4_000, np.float32)])
    likeness, gain_db = correlation(whole, part, RATE)
    assert likeness == pytest.approx(0.5, abs=0.08)
    assert gain_db == pytest.approx(-3.0, abs=0.3)


def test_takes_are_found_alike_before_the_waveforms_are_compared():
    # Else the test above would not need the second of the two measures.
    assert likeness(take(0), take(1)) > 0.5 > abs(likeness(take(0), take(0)[::-1]))


def test_steady_tones_are_not_copies_of_each_other():
    times = np.arange(RATE) / RATE
    tones = [np.sin(2 * np.pi * pitch * times).astype(np.float32) for pitch in (500.0, 500.1)]
    assert not is_copy(*tones)


def test_silence_is_like_nothing():
    silence = np.zeros(RATE, np.float32)
    assert not fingerprint(silence, RATE).any()
    assert correlation(silence, take(0), RATE) == (0.0, 0.0)


def test_a_fingerprint_of_a_very_short_clip_is_finite():
    for n in (1, 2, 50):
        assert np.isfinite(fingerprint(take(0)[4_000 : 4_000 + n], RATE)).all()


def test_pairs_are_found_across_blocks_once_each(monkeypatch):
    monkeypatch.setattr("speechcls.data.fingerprint._BLOCK", 3)
    rows = np.eye(8, dtype=np.float16)
    rows[6] = rows[1]
    rows[4] = 0.95 * rows[3] + np.sqrt(1 - 0.95**2) * rows[7]
    found = sorted(similar_pairs(rows))
    assert [(pair.first, pair.second) for pair in found] == [(1, 6), (3, 4)]
    assert [pair.similarity for pair in found] == pytest.approx([1.0, 0.95], abs=1e-3)


def test_no_clips_have_no_pairs():
    assert list(similar_pairs(np.zeros((0, 352), np.float16))) == []
