"""Recordings read where they lie in a shard; ``storage.unpacked`` says what their paths are."""

import functools
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.audio.sniff import is_recording_name
from speechcls.errors import AudioError, DatasetError, reason_of
from speechcls.storage.unpacked import embedded_column, find_places, row_of

_N_GROUPS_KEPT = 4
"""Row groups of Parquet that are kept in memory: neighbours are read one after the other."""
_Stamp = tuple[int, int]
"""Size of a shard in bytes and when it was last written, ns."""


def read_member(path: Path) -> bytes:
    """Return the content of a recording in a shard.

    Raises
    ------
    AudioError
        When it cannot be read, or the shard has no recording there.
    """
    [(_, content)] = read_members([path])
    if isinstance(content, AudioError):
        raise content
    return content


def read_members(paths: Sequence[Path]) -> Iterator[tuple[int, bytes | AudioError]]:
    """Yield the position and the content, or the error, of each recording, shard by shard."""
    order = sorted(range(len(paths)), key=lambda i: (paths[i].parent, row_of(paths[i])))
    for shard, chosen in groupby(order, key=lambda i: paths[i].parent):
        positions = list(chosen)
        rows = [row_of(paths[i]) for i in positions]
        try:
            about = shard.stat()
            read = _read_parquet if shard.suffix.lower() == ".parquet" else _read_tar
            contents = list(read(shard, (about.st_size, about.st_mtime_ns), rows))
        except (OSError, DatasetError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            for i in positions:
                yield i, AudioError(f"{paths[i]}: {reason}; copy the shard again")
            continue
        for i, content in zip(positions, contents, strict=True):
            missing = AudioError(f"{paths[i]}: the shard has no recording there; make it anew")
            yield i, content or missing


def _read_tar(shard: Path, stamp: _Stamp, rows: Sequence[int]) -> Iterator[bytes]:
    places = _find_places(shard, stamp)
    with shard.open("rb", buffering=0) as file:
        for row in rows:
            offset, size = places[row].tolist() if row < len(places) else (0, 0)
            file.seek(offset)
            yield file.read(size)


@functools.cache
def _find_places(shard: Path, stamp: _Stamp) -> npt.NDArray[np.int64]:
    """Return (n_rows, 2) offset and size of each recording of a tar, bytes; kept for good."""
    return np.array(find_places(shard, is_recording_name), dtype=np.int64).reshape(-1, 2)


def _read_parquet(shard: Path, stamp: _Stamp, rows: Sequence[int]) -> Iterator[bytes]:
    ends = _find_groups(shard, stamp)
    for row in rows:
        group = int(np.searchsorted(ends, row, side="right"))
        first = int(ends[group - 1]) if group else 0
        yield _read_group(shard, stamp, group)[row - first] if group < len(ends) else b""


@functools.cache
def _find_groups(shard: Path, stamp: _Stamp) -> npt.NDArray[np.int64]:
    """Return (n_groups,) the row after the last one of each row group of a Parquet file."""
    about = _open_parquet(shard).metadata
    sizes = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
    return np.cumsum(np.array(sizes, dtype=np.int64))


@functools.lru_cache(_N_GROUPS_KEPT)
def _read_group(shard: Path, stamp: _Stamp, group: int) -> list[bytes]:
    """Return the recordings of a row group of a Parquet file; empty where a row has none."""
    import pyarrow

    try:
        file = _open_parquet(shard)
        column = embedded_column(file.schema_arrow)
        values = file.read_row_group(group, columns=[column]).column(0).to_pylist()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"not readable Parquet ({error})") from error
    contents = (value.get("bytes") if isinstance(value, dict) else value for value in values)
    return [content or b"" for content in contents]


def _open_parquet(shard: Path) -> Any:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(shard)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"not readable Parquet ({error})") from error
