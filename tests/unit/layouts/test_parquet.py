"""Parquet as Hugging Face's datasets write it: recordings in it, numbers that stand for labels."""

import json
from functools import partial
from pathlib import Path

import pytest
from common import refusal, touch, wav_bytes

from speechcls.errors import DatasetError
from speechcls.layouts.manifest import find_manifests, read_manifests

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
message_of = partial(refusal, DatasetError, read_manifests)
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sound(n):
    """A WAV that is another for each number."""
    return wav_bytes(bytes([n, 0]) * 100)


def write(path, columns, names=None):
    """A Parquet file; ``names`` are the labels that numbers stand for."""
    table = pa.table(columns)
    if names:
        features = {
            "audio": {"sampling_rate": 16_000, "_type": "Audio"},
            "label": {"names": names, "_type": "ClassLabel"},
        }
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def clips(*numbers, labels=(1, 0, 1), **others):
    audio = [{"bytes": sound(n), "path": f"{n}.wav"} for n in numbers]
    return {"audio": pa.array(audio, AUDIO), "label": list(labels)[: len(numbers)]} | others


def test_embedded_recordings_are_unpacked(root, cache):
    path = write(root / "data.parquet", clips(7, 8, 9, speaker_id=["a", "b", ""]), ["no", "yes"])
    dataset = read_manifests([path])
    assert [(e.label, e.speaker) for e in dataset.examples] == [
        ("yes", "a"),
        ("no", "b"),
        ("yes", None),
    ]
    assert [e.path.read_bytes() for e in dataset.examples] == [sound(n) for n in (7, 8, 9)]
    assert [e.path.name for e in dataset.examples] == [
        f"00000{i}-{n}.wav" for i, n in enumerate((7, 8, 9))
    ]
    folder = dataset.examples[0].path.parent
    assert folder.parent == cache / "unpacked"
    assert dataset.notes == [
        f"{path}: 3 recordings in it, unpacked to {folder}",
        f"{path}: path is audio, speaker is speaker_id",
    ]
    assert (dataset.root, dataset.manifest) == (root, path)


def test_recordings_are_unpacked_once_and_again_when_they_change(root, cache):
    path = write(root / "data.parquet", clips(7, 8), ["no", "yes"])
    first = read_manifests([path]).examples
    times = [e.path.stat().st_mtime_ns for e in first]
    assert read_manifests([path]).examples == first
    assert [e.path.stat().st_mtime_ns for e in first] == times
    write(root / "data.parquet", clips(1, 2, 3), ["no", "yes"])
    changed = read_manifests([path]).examples
    assert [e.path.read_bytes() for e in changed] == [sound(n) for n in (1, 2, 3)]
    assert not list((cache / "unpacked").glob(".*"))


def test_nothing_is_left_of_recordings_that_could_not_all_be_unpacked(root, cache, monkeypatch):
    path = write(root / "data.parquet", clips(7, 8), ["no", "yes"])
    monkeypatch.setattr(
        "speechcls.storage.unpacked.is_file_name", lambda name: Path("/gone").stat() and name
    )
    message = message_of([path])
    assert "no such file or directory; free disk space, or set $SPEECHCLS_CACHE" in message
    assert not list((cache / "unpacked").iterdir())


def test_shards_and_splits_by_their_names(root):
    for split, n in (("train", 1), ("validation", 2), ("test", 3)):
        write(root / f"data/{split}-00000-of-00001.parquet", clips(n), ["no", "yes"])
    manifests = find_manifests(root)
    assert [path.name.split("-")[0] for path in manifests] == ["test", "train", "validation"]
    dataset = read_manifests(manifests)
    assert [(e.path.read_bytes(), e.split) for e in dataset.examples] == [
        (sound(3), "test"),
        (sound(1), "train"),
        (sound(2), "validation"),
    ]


def test_looking_for_lists_unpacks_nothing(root, cache):
    write(root / "train/0000.parquet", clips(1), ["no", "yes"])
    assert find_manifests(root) == [root / "train/0000.parquet"]
    assert not cache.exists()


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (None, ["yes", "no"], ["yes", "no"]),
        (None, [4, 2], ["4", "2"]),
        (["a", "b"], [1, 0], ["b", "a"]),
        (None, pa.array(["yes", "no"]).dictionary_encode(), ["yes", "no"]),
    ],
)
def test_labels_are_names_or_numbers(names, labels, expected, root):
    audio = clips(1, 2)["audio"]
    path = write(root / "m.parquet", {"audio": audio, "label": labels}, names)
    assert [e.label for e in read_manifests([path]).examples] == expected


def test_a_label_that_is_not_known_names_its_row(root):
    path = write(root / "m.parquet", clips(1, 2, labels=(1, -1)), ["no", "yes"])
    assert message_of([path]) == f"{path}: row 2: no label"


def test_rows_without_a_recording_in_them_name_one(root):
    touch(root, "b.wav")
    audio = [{"bytes": sound(1), "path": None}, {"bytes": None, "path": "b.wav"}]
    audio += [{"bytes": None, "path": "gone.wav"}]
    columns = {"audio": pa.array(audio, AUDIO), "label": ["x", "y", "z"]}
    path = write(root / "m.parquet", columns)
    dataset = read_manifests([path])
    assert [e.path.name for e in dataset.examples] == ["000000-clip.wav", "b.wav"]
    assert dataset.problems == [f"{path}: row 3: no such file: {root / 'gone.wav'}"]


def test_a_name_in_a_recording_cannot_leave_the_folder(root, cache):
    audio = [{"bytes": sound(1), "path": "../../../evil.wav"}, {"bytes": sound(2), "path": ".."}]
    columns = {"audio": pa.array(audio, AUDIO), "label": ["x", "y"]}
    dataset = read_manifests([write(root / "m.parquet", columns)])
    names = [e.path.name for e in dataset.examples]
    assert names == ["000000-evil.wav", "000001-clip.wav"]
    assert {e.path.parent.parent for e in dataset.examples} == {cache / "unpacked"}


def test_recordings_may_be_bare_bytes(root):
    columns = {"wav": [sound(1)], "label": ["x"], "vector": [[0.5, 0.25]]}
    [example] = read_manifests([write(root / "m.parquet", columns)]).examples
    assert example.path.read_bytes() == sound(1)


def test_parquet_may_name_files_like_any_list(root):
    touch(root, "audio/a.wav")
    columns = {"file_name": ["a.wav"], "label": ["yes"], "start": [0.5], "duration": [0.25]}
    [example] = read_manifests([write(root / "metadata.parquet", columns)]).examples
    assert (example.path, example.start_s, example.end_s) == (root / "audio/a.wav", 0.5, 0.75)
    assert find_manifests(root) == [root / "metadata.parquet"]


def test_the_recordings_come_before_a_column_of_names(root):
    path = write(root / "m.parquet", clips(5, file=["up/0.wav"]), ["no", "yes"])
    assert read_manifests([path]).examples[0].path.read_bytes() == sound(5)


def test_what_is_no_parquet(root):
    touch(root, "m.parquet")
    (root / "m.parquet").write_bytes(b"PAR1 but no more")
    assert message_of([root / "m.parquet"]).startswith(
        f"{root / 'm.parquet'}: not readable Parquet ("
    )
    assert message_of([root / "gone.parquet"]) == (
        f"{root / 'gone.parquet'}: no such file or directory; check the path"
    )


def test_without_pyarrow_the_install_line_is_told(root, monkeypatch):
    touch(root, "m.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert message_of([root / "m.parquet"]) == (
        f"{root / 'm.parquet'}: pyarrow, which reads Parquet, is not installed; run"
        " pip install 'speechcls[parquet]'"
    )


@pytest.mark.parametrize(("names", "n_told"), [(["no", "yes"], 0), (None, 1)])
def test_numbers_without_names_are_told(names, n_told, root):
    path = write(root / "data.parquet", clips(7, 8), names)
    told = f"{path}: label is numbers without names, taken for labels"
    assert read_manifests([path]).warnings == [told] * n_told
