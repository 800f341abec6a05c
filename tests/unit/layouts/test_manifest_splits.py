"""Splits that a manifest's names and paths stand for, and times in other units than seconds."""

import json

import pytest
from common import touch, wav_bytes

from speechcls.errors import DatasetError
from speechcls.layouts.examples import Example
from speechcls.layouts.manifest import read_manifests


def splits_of(dataset):
    return [(dataset.relative_name(e.path), e.split) for e in dataset.examples]


def write(root, name, header, *rows):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root / name


def test_names_of_manifests_are_splits(root):
    touch(root, "a.wav", "b.wav", "c.wav")
    names = {"cv-valid-train.csv": "a", "my_dev.csv": "b", "test_manifest.jsonl": "c"}
    for name, clip_name in names.items():
        row = {"path": f"{clip_name}.wav", "label": "yes"}
        is_json = name.endswith("l")
        text = json.dumps(row) if is_json else f"path,label\n{row['path']},yes\n"
        (root / name).write_text(text)
    dataset = read_manifests([root / name for name in names])
    assert dataset.examples == [
        Example(root / "a.wav", "yes", split="train"),
        Example(root / "b.wav", "yes", split="validation"),
        Example(root / "c.wav", "yes", split="test"),
    ]
    assert (dataset.source, dataset.manifest) == (root, None)


def test_a_column_comes_before_the_name_of_the_manifest(root):
    touch(root, "a.wav", "b.wav")
    (root / "train.csv").write_text("path,label,split\na.wav,yes,val\nb.wav,yes,\n")
    (root / "test.csv").write_text("path,label\nb.wav,no\n")
    dataset = read_manifests([root / "train.csv", root / "test.csv"])
    assert [e.split for e in dataset.examples] == ["validation", "train", "test"]


def test_a_single_name_or_one_split_alone_is_none(root):
    touch(root, "a.wav")
    for name in ("train.csv", "train-00001-of-00002.csv"):
        (root / name).write_text("path,label\na.wav,yes\n")
    assert read_manifests([root / "train.csv"]).examples[0].split is None
    both = read_manifests([root / "train.csv", root / "train-00001-of-00002.csv"])
    assert [e.split for e in both.examples] == [None, None]


def test_folders_of_manifests_are_splits(root):
    for split in ("train", "test"):
        touch(root, f"{split}/a.wav")
        (root / split / "metadata.csv").write_text("file_name,label\na.wav,yes\n")
    dataset = read_manifests([root / "train/metadata.csv", root / "test/metadata.csv"])
    assert [(dataset.relative_name(e.path), e.split) for e in dataset.examples] == [
        ("train/a.wav", "train"),
        ("test/a.wav", "test"),
    ]


def test_eval_tests_beside_dev(root):
    touch(root, "a.wav", "b.wav")
    names = [write(root, f"{n}.csv", "path,label", f"{n[0]}.wav,yes") for n in ("a_dev", "b_eval")]
    assert splits_of(read_manifests(names)) == [("a.wav", "validation"), ("b.wav", "test")]
    manifest = write(root, "m.csv", "path,label,split", "a.wav,yes,val", "b.wav,yes,Eval")
    assert splits_of(read_manifests([manifest])) == [("a.wav", "validation"), ("b.wav", "test")]
    manifest = write(root, "m.csv", "path,label,split", "a.wav,yes,train", "b.wav,yes,eval")
    assert splits_of(read_manifests([manifest])) == [("a.wav", "train"), ("b.wav", "validation")]


@pytest.mark.parametrize("base", ["", "speech/"])
def test_folders_in_paths_are_splits(base, root):
    names = [f"{base}train/yes/0.wav", f"{base}test/yes/0.wav"]
    touch(root, *names)
    touch(root, "_background_noise_/hum.wav")
    rows = [f"{name},yes" for name in names]
    noise = "_background_noise_/hum.wav,_background_noise_"
    dataset = read_manifests([write(root, "m.csv", "path,label", *rows, noise)])
    assert splits_of(dataset) == [(names[0], "train"), (names[1], "test")]
    assert dataset.notes == [
        f"{root / 'm.csv'}: the folders in its paths name the splits: test, train"
    ]


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("path,label", ["train/0.wav,train", "test/0.wav,test"], None),  # words
        ("path,label", ["train/0.wav,yes", "0.wav,no"], None),
        ("path,label", ["train/0.wav,yes", "train/1.wav,no"], None),
        ("path,label,split", ["train/0.wav,yes,", "test/0.wav,no,"], None),
        ("path,label", ["train/0.wav,yes", "test/0.wav,no"], {"split": ""}),
    ],
)
def test_folders_in_paths_that_are_no_splits(header, rows, columns, root):
    touch(root, *(row.split(",")[0] for row in rows))
    dataset = read_manifests([write(root, "m.csv", header, *rows)], columns)
    assert [e.split for e in dataset.examples] == [None, None]
    assert dataset.notes == []


@pytest.mark.parametrize("header", ["start,stop", "start,duration"])
@pytest.mark.parametrize("end", ["12800", "800.0"])
def test_times_that_no_recording_lasts_are_no_seconds(header, end, root):
    root.mkdir(exist_ok=True)
    (root / "a.wav").write_bytes(wav_bytes(bytes(2 * 16_000)))
    manifest = write(root, "m.csv", f"path,label,{header}", f"a.wav,yes,0,{end}")
    with pytest.raises(DatasetError) as raised:
        read_manifests([manifest])
    assert str(raised.value) == (
        f"columns: {manifest}:2: {header[6:]} {float(end):g} is after the end of the recording, as"
        " if it counted samples or milliseconds; divide it to give seconds, or call columns of"
        " milliseconds start_ms and end_ms or duration_ms"
    )


def test_times_in_a_long_recording_may_be_whole_seconds(root):
    root.mkdir(exist_ok=True)
    (root / "a.wav").write_bytes(wav_bytes(bytes(2 * 300 * 1000), rate=1000))
    manifest = write(root, "m.csv", "path,label,start,end", "a.wav,yes,200,300")
    (example,) = read_manifests([manifest]).examples
    assert (example.start_s, example.end_s) == (200, 300)


def test_a_manifest_that_is_named_twice_is_refused(root):
    touch(root, "a.wav")
    manifest = write(root, "m.csv", "path,label", "a.wav,yes")
    with pytest.raises(DatasetError, match="named twice; name it once"):
        read_manifests([manifest, manifest])


def test_a_manifest_without_rows_is_told(root):
    touch(root, "a.wav")
    manifests = [
        write(root, "m.csv", "path,label", "a.wav,yes"),
        write(root, "n.csv", "path,label"),
    ]
    assert read_manifests(manifests).warnings == [
        f"{root / 'n.csv'}: has no row; write a line for each clip"
    ]
