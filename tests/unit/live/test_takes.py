"""Where takes are written: after what is there, over nothing, whole or not at all."""

import os

import numpy as np
import pytest
import soundfile

from speechcls.data.layouts import load_dataset
from speechcls.errors import ConfigError, DatasetError
from speechcls.live.takes import Takes


def test_takes_are_numbered_after_the_highest_that_is_there(tmp_path, tone):
    folder = tmp_path / "yes"
    folder.mkdir()
    others = ("ann_nohash_7.flac", "ann_nohash_x.wav", "bob_nohash_9.wav", "ann_nohash_2.wav")
    for name in others:
        (folder / name).write_text(name)
    takes = Takes(tmp_path, "yes", "ann")
    written = [takes.write(tone(440, 0.1)) for _ in range(2)]
    assert [path.name for path in written] == ["ann_nohash_8.wav", "ann_nohash_9.wav"]
    assert {(folder / name).read_text() for name in others} == set(others)
    assert len(list(folder.iterdir())) == 6


def test_a_take_is_16_bit_at_16_khz_as_train_reads_it(tmp_path, tone):
    path = Takes(tmp_path, "yes", "ann").write(tone(440, 0.25))
    samples, rate = soundfile.read(path)
    info = soundfile.info(path)
    assert (rate, info.subtype, info.channels) == (16_000, "PCM_16", 1)
    np.testing.assert_allclose(samples, tone(440, 0.25), atol=1e-4)
    [example] = load_dataset(tmp_path).examples
    assert (example.label, example.speaker, example.path) == ("yes", "ann", path)


def test_a_take_that_another_wrote_meanwhile_stays(tmp_path, tone, monkeypatch):
    takes = Takes(tmp_path, "yes", "ann")
    first = takes.write(tone(440, 0.1))
    before = first.read_bytes()
    numbers = iter([0, 0, 5])
    monkeypatch.setattr(takes, "next_number", lambda: next(numbers))
    assert takes.write(tone(880, 0.1)).name == "ann_nohash_5.wav"
    assert first.read_bytes() == before


def test_what_fails_leaves_nothing(tmp_path, tone, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DatasetError, match="no space left"):
        Takes(tmp_path, "yes", "ann").write(tone(440, 0.1))
    assert list((tmp_path / "yes").iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path, tone):
    (tmp_path / "yes").write_text("")
    with pytest.raises(DatasetError, match="choose another --out"):
        Takes(tmp_path, "yes", "ann").write(tone(440, 0.1))


@pytest.mark.parametrize(
    "label", ["", "a/b", "..", ".x", "x ", "a\nb", "_background_noise_", "x" * 300]
)
def test_a_label_that_names_no_folder_is_refused(label, tmp_path):
    with pytest.raises(ConfigError, match="label"):
        Takes(tmp_path, label, "ann")


@pytest.mark.parametrize("speaker", ["", "a/b", "a_nohash_b"])
def test_a_speaker_that_is_no_name_is_refused(speaker, tmp_path):
    with pytest.raises(ConfigError, match="speaker"):
        Takes(tmp_path, "yes", speaker)


def test_labels_of_the_data_that_are_no_words_are_possible(tmp_path, tone):
    assert Takes(tmp_path, "_unknown_", "ann").write(tone(440, 0.1)).is_file()
