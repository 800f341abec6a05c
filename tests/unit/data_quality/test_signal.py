"""Each fault that levels tell, on sounds made to have it and on ones that just do not."""

import dataclasses

import numpy as np
import pytest

from speechcls.audio.level import clipped_ratio
from speechcls.data_quality.signal import faults_of, measure

RATE = 16_000


def word(peak=0.5, seconds=1.0, noise=1e-4):
    """(n, 1): a tone that swells in the middle of silence, with a little noise."""
    n = round(seconds * RATE)
    times = np.arange(n) / RATE
    swell = np.exp(-(((times - seconds / 2) / (seconds / 8)) ** 2))
    hiss = noise * np.random.default_rng(0).standard_normal(n)
    return (peak * swell * np.sin(2 * np.pi * 440 * times) + hiss).astype(np.float32)[:, None]


def kinds(frames, usual_s=1.0, usual_rate=RATE, rate=RATE):
    return [
        fault.kind
        for fault in faults_of(measure(frames, frames.mean(axis=1), rate), usual_s, usual_rate)
    ]


def test_nothing_is_wrong_with_a_good_clip():
    assert kinds(word()) == []
    assert kinds(np.repeat(word(), 2, axis=1)) == []
    assert kinds(word(peak=0.01, noise=1e-5)) == []  # faint, not silent


def test_levels_of_a_tone_are_those_of_the_formula():
    tone = (0.5 * np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE)).astype(np.float32)[:, None]
    levels = measure(tone + np.float32(0.1), (tone + np.float32(0.1)).mean(axis=1), RATE)
    assert levels.duration_s == 1.0
    assert levels.peak == pytest.approx(0.6, abs=1e-3)
    assert levels.offset == pytest.approx(0.1, abs=1e-4)
    # An amplitude of 0.5 is a power of 0.125; the offset does not count.
    for level_db in (levels.loudest_db, levels.background_db, levels.end_db):
        assert level_db == pytest.approx(10 * np.log10(0.125), abs=0.01)


def test_too_short():
    assert kinds(word(seconds=0.09), usual_s=0.1) == ["short"]
    assert kinds(word(seconds=0.2), usual_s=1.0) == ["short"]
    assert kinds(word(seconds=0.2), usual_s=0.7) == []


def test_silent():
    rng = np.random.default_rng(1)
    hiss = rng.standard_normal((RATE, 1)).astype(np.float32)
    assert kinds(np.zeros((RATE, 1), np.float32)) == ["silent"]
    assert kinds(0.002 * hiss) == ["silent"]  # -54 dB
    assert kinds(0.01 * hiss) == ["silent"]  # -40 dB, but nothing stands out of it
    assert kinds(0.1 * hiss) == []  # a loud hiss is a sound
    # A faint word that fills its clip has no quiet around it, but begins and ends: -41 dB.
    times = np.linspace(0, 1, RATE // 3, endpoint=False)
    edges = np.minimum(1, 4 * np.minimum(times, 1 - times))
    trimmed = 0.012 * edges * np.sin(2 * np.pi * 60 * times) + 1e-4 * hiss[: len(times), 0]
    assert kinds(trimmed[:, None].astype(np.float32), usual_s=0.3) == []
    [fault] = faults_of(
        measure(np.zeros((RATE, 1), np.float32), np.zeros(RATE, np.float32), RATE), 1.0, RATE
    )
    assert fault.detail == "digital silence"


@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_clipped_even_if_made_fainter_afterwards(gain):
    clipped = gain * np.clip(4 * word(0.9), -1, 1)
    assert kinds(clipped) == ["clipped"]
    as_pcm = np.rint(clipped * 32_767) / 32_768
    assert kinds(as_pcm.astype(np.float32)) == ["clipped"]


def test_one_clipped_channel_is_enough():
    both = np.concatenate([word(0.2), np.clip(4 * word(0.9), -1, 1)], axis=1)
    assert kinds(both) == ["clipped"]


def test_a_full_scale_peak_is_not_clipping():
    assert kinds(word(peak=1.0, noise=0)) == []
    faint = np.rint(word(peak=0.02) * 32_768) / 32_768  # few steps, many equal neighbours
    assert clipped_ratio(faint[:, 0].astype(np.float32)) == 0


def test_share_of_flat_tops_by_hand():
    samples = np.array([0, 1, 1, 0, -1, 0, 0.5, 0.5, 0.5, 0], np.float32)
    # Two neighbours at full scale; the lone one below and those far from the peak do not count.
    assert clipped_ratio(samples) == pytest.approx(0.2)
    assert clipped_ratio(samples[5:]) == pytest.approx(0.6)  # now 0.5 is the peak, three times


@pytest.mark.parametrize("part", [slice(8_000, None), slice(None, 8_000)], ids=["start", "end"])
def test_cut_off_in_the_middle_of_the_word(part):
    frames = word()[part]
    assert kinds(frames) == ["cut"]
    [fault] = faults_of(measure(frames, frames.mean(axis=1), RATE), 1.0, RATE)
    assert fault.detail.startswith("start" if part.start else "end")


def test_a_steady_sound_is_not_cut_off():
    tone = (0.5 * np.sin(np.arange(RATE))).astype(np.float32)[:, None]
    assert kinds(tone) == []


def test_offset_and_odd_rate():
    assert kinds(word() + np.float32(0.02)) == ["offset"]
    assert kinds(word() - np.float32(0.02)) == ["offset"]
    assert kinds(word() + np.float32(0.005)) == []
    assert kinds(word(), usual_rate=44_100) == ["rate"]


def test_levels_are_plain_numbers():
    values = dataclasses.asdict(measure(word(), word()[:, 0], RATE)).values()
    assert {type(value) for value in values} <= {int, float}
