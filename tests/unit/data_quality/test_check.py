"""What is found of a data set made with one fault of each kind."""

import csv
import json
import os
import shutil

import numpy as np
import pytest

from speechcls.data_quality.check import check
from speechcls.data_quality.findings import LEFT_OUT
from speechcls.data_quality.report import tally, write_fix_list
from speechcls.errors import ConfigError, DatasetError
from speechcls.layouts.load import load_dataset

RATE = 16_000


def chirp(seed, seconds=0.6):
    """(n,) a swelling sweep that no other seed makes."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    knots = rng.uniform(300, 3_000, 8)
    frequency = np.interp(np.linspace(0, 7, n), range(8), knots)
    samples = np.hanning(n) * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    return (0.4 * samples + 1e-3 * rng.standard_normal(n)).astype(np.float32)


@pytest.fixture
def data(tmp_path, write_wav):
    """Two words of twelve clips each, by six speakers."""
    for number, label in enumerate(("no", "yes")):
        for n in range(12):
            path = tmp_path / "data" / label / f"s{n % 6}_nohash_{n // 6}.wav"
            write_wav(path, chirp(100 * number + n))
    return tmp_path / "data"


def found(source, **options):
    """Kind and name of each finding, and the check-up."""
    checkup = check(load_dataset(source), jobs=1, **options)
    examples = checkup.dataset.examples
    rows = [
        (f.kind, checkup.dataset.relative_name(examples[f.clip].path)) for f in checkup.findings
    ]
    return rows, checkup


def test_nothing_is_found_of_good_data(data):
    rows, checkup = found(data)
    assert rows == []
    assert checkup.blocking_issues(0.0) == []
    assert checkup.good_clips() == list(range(24))


def test_one_fault_of_each_kind_is_found(data, write_wav):
    (data / "no" / "broken.wav").write_bytes(b"RIFF nonsense")
    (data / "no" / "empty.wav").touch()
    write_wav(data / "no" / "frames.wav", np.zeros(0, np.float32))
    write_wav(data / "no" / "short.wav", chirp(1_000, 0.12))
    write_wav(data / "no" / "silent.wav", np.zeros(RATE, np.float32))
    write_wav(data / "no" / "clipped.wav", np.clip(9 * chirp(1_001), -1, 1))
    write_wav(data / "no" / "cut.wav", chirp(1_002, 1.2)[:9_600])
    write_wav(data / "no" / "offset.wav", chirp(1_003) + np.float32(0.05))
    write_wav(data / "no" / "rate.wav", chirp(1_004), rate=8_000)
    shutil.copy(data / "no" / "s0_nohash_0.wav", data / "no" / "s0_nohash_9.wav")
    write_wav(data / "no" / "s1_nohash_9.ogg", 0.2 * chirp(1), subtype="VORBIS")
    write_wav(data / "yes" / "s2_nohash_9.flac", 0.5 * chirp(2))
    rows, checkup = found(data)
    assert rows == [
        ("unreadable", "no/broken.wav"),
        ("empty", "no/empty.wav"),
        ("empty", "no/frames.wav"),
        ("short", "no/short.wav"),
        ("silent", "no/silent.wav"),
        ("clipped", "no/clipped.wav"),
        ("two-labels", "no/s2_nohash_0.wav"),
        ("two-labels", "yes/s2_nohash_9.flac"),
        ("copy", "no/s0_nohash_9.wav"),
        ("copy", "no/s1_nohash_9.ogg"),
        ("cut", "no/cut.wav"),
        ("offset", "no/offset.wav"),
        ("rate", "no/rate.wav"),
    ]
    same, fainter = checkup.of_kind("copy")
    assert same.detail == "identical to no/s0_nohash_0.wav"
    assert fainter.detail.startswith("same sound as no/s1_nohash_0.wav, -13.9 dB, correlation")
    two = checkup.of_kind("two-labels")[1]
    assert two.detail == "same sound as no/s2_nohash_0.wav, -6.0 dB, correlation 1.000"


def manifest(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(data, splits):
    """Rows of all clips, ``splits`` by speaker."""
    return [
        {"path": str(p), "label": p.parent.name, "speaker": p.name[:2], "split": splits[p.name[:2]]}
        for p in sorted(data.rglob("s?_nohash_*"))
    ]


SPLITS = {"s0": "train", "s1": "train", "s2": "train", "s3": "train"}
SPLITS |= {"s4": "validation", "s5": "test"}


def test_the_same_sound_in_two_splits_leaks_and_the_held_out_one_stays(data, tmp_path, write_wav):
    copy = write_wav(tmp_path / "copy.wav", 0.3 * chirp(5))  # of s5, who tests
    rows = told(data, SPLITS)
    rows.append({"path": str(copy), "label": "no", "speaker": "s1", "split": "train"})
    checked, checkup = found(manifest(tmp_path / "all.jsonl", rows))
    assert checked == [("leak", "copy.wav")]
    [reason] = checkup.blocking_issues(1.0)
    assert reason.startswith("1 clips, copy.wav first: the same sound in another split")


def test_a_speaker_in_two_splits_is_told_where_he_is_least(data, tmp_path):
    rows = told(data, SPLITS)
    [stray] = [r for r in rows if r["path"].endswith("yes/s5_nohash_1.wav")]
    stray["split"] = "train"
    checked, checkup = found(manifest(tmp_path / "all.jsonl", rows))
    assert checked == [("speaker-splits", "data/yes/s5_nohash_1.wav")]
    assert checkup.findings[0].detail == "in train, 3 others of s5 in test"
    assert len(checkup.blocking_issues(1.0)) == 1


def test_a_clip_of_silence_may_be_silent(data, write_wav):
    for n in range(3):
        write_wav(data / "_silence_" / f"{n}.wav", np.zeros(RATE, np.float32))
    assert found(data)[0] == []


def test_too_many_bad_clips_spoil_a_training_and_few_do_not(data, write_wav):
    write_wav(data / "no" / "silent.wav", np.zeros(RATE, np.float32))
    checkup = found(data)[1]
    assert checkup.blocking_issues(0.05) == []  # 1 of 25 is 4 %
    assert checkup.blocking_issues(0.03) == [
        "1 of 25 clips are bad, more than the 0.03 allowed; leave them out, as a fix list does"
    ]
    (data / "no" / "empty.wav").touch()
    [reason] = found(data)[1].blocking_issues(0.5)
    assert reason.startswith("1 of 26 clips cannot be read, more than the 1 % allowed in training")


def test_imbalance_and_few_clips_and_one_voice_are_noted(tmp_path, write_wav):
    for n in range(31):
        write_wav(tmp_path / "data" / "no" / f"s0_nohash_{n}.wav", chirp(n))
    for n in range(3):
        write_wav(tmp_path / "data" / "yes" / f"s{n}_nohash_0.wav", chirp(50 + n))
    (tmp_path / "data" / "never").mkdir()
    notes = "\n".join(found(tmp_path / "data")[1].notes)
    assert "never: a label folder without a recording" in notes
    assert "fewer than 10 good clips of yes" in notes
    assert "unbalanced: 31 good clips of no, 3 of yes" in notes
    assert "speaker s0 has 32 of 34 clips" in notes


def test_many_exact_copies_do_not_hide_another_one(data, write_wav):
    for n in range(6):
        shutil.copy(data / "no" / "s0_nohash_0.wav", data / "no" / f"t{n}_nohash_0.wav")
    write_wav(data / "no" / "u_nohash_0.wav", 0.3 * chirp(0))
    rows, _ = found(data)
    assert len(rows) == 7
    assert "no/u_nohash_0.wav" in [name for _, name in rows]


def test_clips_are_tallied_by_label_and_speaker(data, write_wav):
    write_wav(data / "no" / "s0_nohash_9.wav", np.zeros(9_600, np.float32))
    checkup = found(data)[1]
    no, yes = (tally(checkup, "label")[label] for label in ("no", "yes"))
    assert (no.n_clips, no.n_others, no.n_left_out) == (13, 6, 1)
    assert (yes.n_clips, yes.n_others, yes.n_left_out) == (12, 6, 0)
    assert no.duration_s == pytest.approx(13 * 0.6)
    speakers = tally(checkup, "speaker")
    assert (speakers["s0"].n_clips, speakers["s0"].n_others) == (5, 2)
    assert next(iter(speakers)) == "s0"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_the_fix_list_is_the_data_without_the_bad_clips(data, tmp_path, write_wav, ending):
    write_wav(data / "no" / "silent, too.wav", np.zeros(RATE, np.float32))
    shutil.copy(data / "no" / "s0_nohash_0.wav", data / "no" / "s0_nohash_8.wav")
    before = {path: path.read_bytes() for path in data.rglob("*.wav")}
    checkup = found(data)[1]
    place = tmp_path / "elsewhere" / f"good.{ending}"
    assert write_fix_list(checkup, place) == 24
    again = load_dataset(place)
    kept = {example.path.resolve() for example in again.examples}
    assert len(kept) == 24
    assert not {path.name for path in kept} & {"silent, too.wav", "s0_nohash_8.wav"}
    assert {(e.label, e.speaker) for e in again.examples} == {
        (label, f"s{n}") for label in ("no", "yes") for n in range(6)
    }
    assert check(again, jobs=1).clips_with(LEFT_OUT) == set()
    assert {path: path.read_bytes() for path in data.rglob("*.wav")} == before
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_parts_of_a_recording_are_judged_and_written_as_such(tmp_path, write_wav):
    pieces = [chirp(n) for n in range(3)] + [np.zeros(9_600, np.float32)]
    write_wav(tmp_path / "long.wav", np.concatenate(pieces))
    rows = [
        {"path": "long.wav", "label": "ab"[n % 2], "start_s": 0.6 * n, "end_s": 0.6 * (n + 1)}
        for n in range(4)
    ]
    checked, checkup = found(manifest(tmp_path / "all.jsonl", rows))
    assert checked == [("silent", "long.wav")]
    assert checkup.findings[0].clip == 3
    write_fix_list(checkup, tmp_path / "good.csv")
    with (tmp_path / "good.csv").open() as file:
        assert [(row["start_s"], row["end_s"]) for row in csv.DictReader(file)] == [
            ("", "0.6"),
            ("0.6", "1.2"),
            ("1.2", "1.7999999999999998"),
        ]


def test_a_fix_list_with_a_strange_name_or_nothing_in_it_is_refused(tmp_path, data, write_wav):
    checkup = found(data)[1]
    with pytest.raises(ConfigError, match=r"good\.txt: must end in one of"):
        write_fix_list(checkup, tmp_path / "good.txt")
    write_wav(tmp_path / "bad" / "no" / "silent.wav", np.zeros(RATE, np.float32))
    with pytest.raises(DatasetError, match="no clip would be left"):
        write_fix_list(found(tmp_path / "bad")[1], tmp_path / "good.csv")
    assert not list(tmp_path.glob("good.*"))


def test_a_faint_clip_may_be_a_copy_too(data, write_wav):
    write_wav(data / "no" / "faint.wav", 10 ** (-48 / 20) * chirp(3))
    kinds = {name: kind for kind, name in found(data)[0] if kind != "silent"}
    assert ("silent", "no/faint.wav") in found(data)[0]
    # It is dealt to a split of its own, as it names no speaker.
    assert kinds["no/faint.wav"] in ("copy", "leak")


def test_equal_samples_in_two_told_splits_leak(data, tmp_path):
    """What train drops by itself is no leak, but where the data says so it is a mistake."""
    rows = [(path, path.parent.name, "train") for path in sorted(data.glob("*/*.wav"))]
    rows += [(data / "no" / "s0_nohash_0.wav", "no", "test")]
    lines = [f"{path},{label},{split}\n" for path, label, split in rows]
    (tmp_path / "m.csv").write_text("path,label,split\n" + "".join(lines))
    kinds, checkup = found(tmp_path / "m.csv")
    assert kinds == [("leak", "data/no/s0_nohash_0.wav")]
    assert any("in another split" in reason for reason in checkup.blocking_issues(1.0))
    examples = checkup.dataset.examples
    assert examples[checkup.of_kind("leak")[0].clip].split == "train"


def test_what_train_would_refuse_spoils(data):
    shutil.rmtree(data / "yes")
    for clip in sorted((data / "no").iterdir())[1:]:
        clip.unlink()
    [reason] = found(data)[1].blocking_issues(1.0)
    assert reason.startswith("cannot be trained on: 1 clip is too few to hold some back")


def test_a_share_that_is_no_number_bears_nothing(data):
    assert found(data)[1].blocking_issues(float("nan"))


def test_a_fix_list_in_a_linked_folder_leads_back(data, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    write_fix_list(found(data)[1], tmp_path / "link" / "good.csv")
    again = load_dataset(tmp_path / "link" / "good.csv")
    assert len(again.examples) == 24
    assert again.problems == []


def test_a_fix_list_names_the_background_noise(data, tmp_path, write_wav):
    write_wav(data / "_background_noise_" / "hum.wav", chirp(9, 3.0))
    write_fix_list(found(data)[1], tmp_path / "good.jsonl")
    again = load_dataset(tmp_path / "good.jsonl")
    assert [path.resolve() for path in again.noise] == [
        (data / "_background_noise_" / "hum.wav").resolve()
    ]
    assert len(again.examples) == 24


def test_a_pipe_among_the_recordings_is_told_and_not_waited_for(data):
    os.mkfifo(data / "no" / "pipe.wav")
    dataset = load_dataset(data)
    assert len(dataset.examples) == 24
    assert dataset.problems == [f"{data}/no/pipe.wav: a pipe, not a recording; move it elsewhere"]


def test_two_words_need_more_likeness_than_two_takes(data, write_wav, monkeypatch):
    """The same pair, once as takes of a word and once as two words."""
    monkeypatch.setattr("speechcls.data.fingerprint.correlation", lambda *_: (0.95, 0.0))
    write_wav(data / "no" / "s1_nohash_7.wav", np.float32(0.5) * chirp(3))
    assert ("copy", "no/s1_nohash_7.wav") in found(data)[0] or ("leak", "no/s1_nohash_7.wav") in (
        found(data)[0]
    )
    (data / "no" / "s1_nohash_7.wav").rename(data / "yes" / "s1_nohash_7.wav")
    assert "two-labels" not in {kind for kind, _ in found(data)[0]}
    monkeypatch.setattr("speechcls.data.fingerprint.correlation", lambda *_: (0.97, 0.0))
    assert ("two-labels", "yes/s1_nohash_7.wav") in found(data)[0]


def test_check_refuses_what_train_refuses(data, write_wav):
    hum = data / "_background_noise_" / "hum.wav"
    shutil.copytree(data / "yes", data.parent / "yes")
    for clip in (data / "yes").iterdir():
        clip.write_text("no sound")
    [reason, *_] = found(data)[1].blocking_issues(1.0)
    assert reason.startswith(
        f"cannot be trained on: {data / 'yes'}: no readable clip of this label"
    )
    shutil.rmtree(data / "yes")  # one word is enough: train makes what is to be rejected
    assert found(data)[1].blocking_issues(1.0) == []
    write_wav(hum, chirp(9, 3.0))
    assert found(data)[1].blocking_issues(1.0) == []
    hum.write_text("no sound")
    assert any(
        "1 of 12 clips cannot be read" in line for line in found(data)[1].blocking_issues(1.0)
    )
    hum.unlink()
    shutil.move(data.parent / "yes", data / "yes")
    (data / "maybe").mkdir()
    [reason] = found(data)[1].blocking_issues(1.0)
    assert "maybe: no readable clip of this label" in reason


def test_data_that_is_all_held_out_is_not_judged_as_a_training(data, tmp_path):
    lines = [f"{path},{path.parent.name},test\n" for path in sorted(data.glob("*/*.wav"))]
    (tmp_path / "m.csv").write_text("path,label,split\n" + "".join(lines))
    kinds, checkup = found(tmp_path / "m.csv")
    assert (kinds, checkup.blocking_issues(0.0)) == ([], [])
    assert any("no training split" in note for note in checkup.notes)


def test_a_checkup_prints_readably(data, write_wav):
    write_wav(data / "no" / "silent.wav", np.zeros(RATE, np.float32))
    shutil.copy(data / "no" / "s0_nohash_0.wav", data / "no" / "s0_nohash_8.wav")
    dataset = load_dataset(data)
    checkup = check(dataset)
    assert str(checkup).splitlines() == [
        f"{data}: clips 26, labels 2, speakers 6",
        "silent               1  no audible sound",
        "copy                 1  a copy of another clip",
        *checkup.notes,
    ]
    assert str(check(dataset)) == str(checkup)  # nothing is added to the data set
