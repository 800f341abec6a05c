"""Lists that are compressed."""

import bz2
import gzip
import lzma

import pytest

from speechcls.errors import DatasetError
from speechcls.lists.clip_list import ClipList
from speechcls.lists.compression import split_ending

ROWS = "path,label\n" + "".join(f"{i}.wav,yes\n" for i in range(5_000))
COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def compress_zst(content):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.Codec("zstd").compress(content, asbytes=True)


def write(path, ending, content):
    compress = COMPRESS.get(ending, compress_zst)
    path = path.with_name(path.name + ending)
    path.write_bytes(compress(content.encode()))
    return path


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.txt"])
def test_a_compressed_list_is_what_it_holds(name, ending, tmp_path):
    names = [f"{i}.wav" for i in range(5_000)]
    text = {
        "list.csv": ROWS,
        "list.jsonl": "".join(f'{{"path": "{each}"}}\n' for each in names),
        "list.txt": "\n".join(names),
    }[name]
    clips = ClipList.at(str(write(tmp_path / name, ending, text)))
    assert clips.check() is None
    assert [*clips.paths()] == names


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_parts_behind_each_other_are_one_list(ending, tmp_path):
    first = write(tmp_path / "1.txt", ending, "a.wav\n" * 3).read_bytes()
    second = write(tmp_path / "2.txt", ending, "b.wav\n" * 2).read_bytes()
    (tmp_path / f"list.txt{ending}").write_bytes(first + second)
    paths = [*ClipList.at(str(tmp_path / f"list.txt{ending}")).paths()]
    assert paths == ["a.wav"] * 3 + ["b.wav"] * 2


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_what_is_cut_off_or_damaged_is_told(ending, tmp_path):
    path = write(tmp_path / "list.csv", ending, ROWS)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"path\na.wav\n"):
        path.write_bytes(content)
        with pytest.raises(DatasetError) as caught:
            [*ClipList.at(str(path)).paths()]
        told = str(caught.value)
        assert told.startswith(f"{path}: cut off, or not compressed as {ending} (")
        assert told.endswith("; copy it again")


def test_parquet_is_not_compressed_again(tmp_path):
    path = write(tmp_path / "list.parquet", ".gz", "no matter")
    with pytest.raises(DatasetError, match=r"list\.parquet\.gz: Parquet compressed as a whole"):
        ClipList.at(str(path)).check()


def test_endings_are_told_apart_in_any_case():
    assert split_ending("a/b.c/LIST.CSV.GZ") == (".csv", ".gz")
    assert split_ending("a/b.gz/list") == ("", "")
    assert split_ending("list.tar.lz4") == (".lz4", "")
