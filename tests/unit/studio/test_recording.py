"""Takes are cut from what a browser sends, as ``record`` cuts them."""

import numpy as np
import pytest
from common_studio import RATE, say

from speechcls.audio.samples import to_pcm
from speechcls.audio.wav import wav_bytes
from speechcls.errors import AudioError
from speechcls.studio.recording import cut_imported, cut_prompted


def wav(samples, rate=RATE):
    return wav_bytes(to_pcm(samples), rate)


def loud_s(samples):
    """Where a take is loud, seconds from its start."""
    at = np.flatnonzero(np.abs(samples) > 0.1) / RATE
    return at[0], at[-1]


def test_the_first_word_after_the_prompt_is_the_take():
    samples = say(1.0, 0.3, 0.5)  # words at 1.0 and 2.0 s
    [take] = cut_prompted(wav(samples), "take", 1.5).takes
    assert len(take) == RATE
    assert loud_s(take) == pytest.approx((0.25, 0.75), abs=0.02)  # in the middle
    [early] = cut_prompted(wav(samples), "take", 1.1).takes
    assert loud_s(early) == pytest.approx((0.35, 0.65), abs=0.02)


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        (say(3.0), "no word was found"),
        (say(1.0, 0.4, level=0.005), "too faint; come nearer"),
        (np.clip(say(1.0, 0.4, level=5.0), -1, 1), "clipped; speak softer"),
        (say(1.0, 1.6), "1.6 s long; speak faster"),
    ],
)
def test_what_is_no_good_is_said_and_not_kept(samples, fault):
    cut = cut_prompted(wav(samples), "take", 0.9)
    assert cut.takes == []
    assert fault in cut.rejected[0]


def test_a_short_file_is_a_take_as_it_is_and_a_long_one_is_cut():
    short = say(0.3, 0.4)
    [whole] = cut_imported(wav(short), "a.wav", 60).takes
    assert np.abs(whole - short).max() < 1e-4
    long = cut_imported(wav(say(1.0, 0.3, 0.4, 1.6)), "b.wav", 60)
    assert [loud_s(take)[1] - loud_s(take)[0] for take in long.takes] == pytest.approx(
        [0.3, 0.4], abs=0.02
    )
    assert ["s long" in fault for fault in long.rejected] == [True]


def test_files_that_cannot_be_read_are_named():
    with pytest.raises(AudioError, match=r"^notes\.txt: text"):
        cut_imported(b"not a recording at all", "notes.txt", 60)
    with pytest.raises(AudioError, match=r"^b\.wav: lasts more than 2 s"):
        cut_imported(wav(say(3.0)), "b.wav", 2)
