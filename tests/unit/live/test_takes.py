"""Takes: which are good, and where they are written: over nothing, whole or not at all."""

import os

import numpy as np
import pytest
import soundfile

from speechcls.audio.samples import to_float, to_pcm
from speechcls.data_quality.signal import faults_of, measure
from speechcls.errors import ConfigError, DatasetError
from speechcls.layouts.load import load_dataset
from speechcls.live.takes import Takes, reject_reason


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
    with pytest.raises(DatasetError, match="choose another path"):
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


def test_why_a_take_is_rejected(tone):
    good = tone(440, 0.5, amplitude=0.5)
    assert reject_reason(good, 0.5, 1.0) is None
    assert "clipped" in reject_reason(np.clip(4 * good, -1, 1), 0.5, 1.0)
    assert "too faint" in reject_reason(0.01 * good, 0.5, 1.0)
    assert "1.2 s long" in reject_reason(good, 1.2, 1.0)


@pytest.mark.parametrize(
    ("amplitude", "limit", "is_clipped"),
    [
        (0.99, 1.0, False),  # loud and clean
        (1.5, 0.9, True),  # clipped before its level was turned down
        (1.5, 1.0, True),
        (0.5, 1.0, False),
    ],
)
def test_record_and_check_agree_on_what_is_clipped(amplitude, limit, is_clipped, tone):
    take = np.clip(tone(440, amplitude=amplitude), -limit, limit)
    rejected = reject_reason(take, 0.5, 1.0) or ""
    assert rejected.startswith("clipped") == is_clipped
    written = to_float(to_pcm(take))[:, None]
    found = {
        fault.kind
        for fault in faults_of(measure(written, written.mean(axis=1), 16_000), 1.0, 16_000)
    }
    assert ("clipped" in found) == is_clipped
