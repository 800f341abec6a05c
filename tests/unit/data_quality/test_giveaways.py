"""What tells labels apart besides the word: the rate, the format, the device, the level."""

import numpy as np
import pytest
import soundfile

from speechcls.data_quality.check import check
from speechcls.data_quality.giveaways import FileTraits, file_traits, find_giveaways

LABELS = ["no"] * 10 + ["yes"] * 10
LEVEL = [-20.0] * 20


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["8000 Hz"] * 10 + ["48000 Hz"] * 10, "no 8000 Hz, yes 48000 Hz"),
        (["8000 Hz"] * 20, None),
        (["8000 Hz", "48000 Hz"] * 10, None),  # as many of each in both
        (["8000 Hz"] * 15 + ["48000 Hz"] * 5, None),  # half of the clips of yes, but too few
        (["8000 Hz"] * 12 + ["48000 Hz"] * 8, "yes 48000 Hz"),
        (["8000 Hz"] * 8 + ["48000 Hz"] * 12, "no 8000 Hz"),
        ([""] * 10 + ["Audacity"] * 10, "no none, yes Audacity"),
    ],
)
def test_a_trait_that_stands_for_a_label(values, found):
    expected = [f"the rate gives labels away: {found}; record all labels alike"] if found else []
    assert find_giveaways(LABELS, {"the rate": values}, LEVEL) == expected


def test_labels_of_few_clips_say_nothing():
    assert find_giveaways(["no"] * 7 + ["yes"] * 7, {"it": [1] * 7 + [2] * 7}, [0.0] * 14) == []


@pytest.mark.parametrize(
    ("difference", "spread", "is_found"), [(20.0, 1.0, True), (5.0, 0.1, False), (8.0, 20.0, False)]
)
def test_a_level_of_its_own(difference, spread, is_found, rng):
    levels = rng.normal(-30, spread, 20) + np.repeat([0.0, difference], 10)
    notes = find_giveaways(LABELS, {}, levels.tolist())
    assert bool(notes) == is_found
    if notes:
        assert notes[0].startswith("the level gives labels away: no -")


def test_the_traits_of_a_file(tmp_path):
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1) as sound:
        sound.software = "recorder 3"
        sound.write(np.zeros(10))
    codec, device = file_traits(path)
    assert codec == "FLAC PCM_16"
    assert device.startswith("recorder 3")
    assert file_traits(tmp_path / "absent.m4a") == FileTraits("m4a", "")


def test_check_says_that_the_rate_gives_the_label_away(tmp_path, rng):
    for label, rate in (("no", 8_000), ("yes", 48_000)):
        (tmp_path / label).mkdir()
        for i in range(10):
            samples = 0.1 * rng.standard_normal(rate // 2)
            soundfile.write(tmp_path / label / f"{i}.wav", samples, rate)
    expected = "the sample rate gives labels away: no 8000 Hz, yes 48000 Hz"
    assert any(note.startswith(expected) for note in check(tmp_path).notes)
