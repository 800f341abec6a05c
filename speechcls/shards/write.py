"""Write a data set as shards: Parquet as the Hugging Face Hub has it, or tars of WebDataset."""

import io
import json
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from speechcls.config import ShardSettings
from speechcls.errors import AudioError, ConfigError, DatasetError, not_installed
from speechcls.files import with_path
from speechcls.labels import NOISE_FOLDER
from speechcls.layouts.examples import SPLITS, Dataset, Example
from speechcls.parallel import default_jobs, map_batches
from speechcls.scratch import REPLACED, WHOLE, open_scratch, replace_folder
from speechcls.shards.encode import Encoded, encode_clip

_MIXED = "data"
"""Name of the shards of clips with and without a split."""
_ROW_GROUP = 100
"""Rows that are read at once, as the Hub has them for sound."""
_ORDER_SEED = 0
_FACTS = ("label", "speaker", "split")


@dataclass
class Written:
    """What was written."""

    n_clips: int = 0
    n_bytes: int = 0
    shards: list[str] = field(default_factory=list)
    """Names of the files."""
    bad: list[str] = field(default_factory=list)
    """One line for each clip that cannot be read."""


@dataclass(frozen=True)
class _Sample:
    example: Example
    name: str
    """Of the recording in its data set, with the ending of what is written."""
    content: bytes
    suffix: str

    @property
    def facts(self) -> dict[str, str | None]:
        return {name: getattr(self.example, name) for name in _FACTS}


class _Shard(Protocol):
    def add(self, sample: _Sample) -> None: ...

    def close(self) -> None: ...


def write_shards(
    dataset: Dataset,
    out: Path,
    settings: ShardSettings | None = None,
    jobs: int | None = None,
    on_clip: Callable[[], None] = lambda: None,
) -> Written:
    """Write the clips and the background noise of a data set as shards into a new folder.

    Whole recordings are written as they are, parts of recordings without loss, so that the samples
    that are read from the shards are those of the data set. The clips of a split are in random
    order, always the same, so that neighbours are of many labels, for whoever reads them in
    sequence. The files are named for their split, as ``train-00000-of-00002.parquet``, and the
    folder appears when all of them are written.

    Raises
    ------
    ConfigError
        When ``out`` is there and holds something.
    DatasetError
        When no clip can be read, or a package is missing.
    OSError
        When it cannot be written.
    """
    settings = settings or ShardSettings()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; name a new folder", field="out")
    noise = [Example(path, NOISE_FOLDER) for path in dataset.noise]
    examples, written = [*dataset.examples, *noise], Written()
    names = {e.label for e in examples}
    groups = _groups(examples)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open_scratch(out.parent, out.name) as scratch:
        whole = scratch / WHOLE
        whole.mkdir()
        for split, members in groups.items():
            clips = _encoded(members, dataset, jobs or default_jobs(), written, on_clip)
            try:
                _write_split(clips, split, sorted(names), whole, settings, written)
            except OSError as error:
                raise with_path(error, out) from error
        if not written.n_clips:
            raise DatasetError(f"{dataset.source}: no clip could be read", written.bad[:5])
        replace_folder(whole, out, scratch / REPLACED)
    return written


def _groups(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Return the clips of each split by its name; without splits, all are for training.

    Background noise has no split, and goes with the first. Where other clips have none beside some
    that have, one file for all is named for none: the split is with each clip.
    """
    splits = {example.split for example in examples if example.label != NOISE_FOLDER}
    if None in splits and len(splits) > 1:
        groups: dict[str, list[Example]] = {_MIXED: [*examples]}
    else:
        names = [name for name in SPLITS if name in splits] or [SPLITS[0]]
        groups = {name: [] for name in names}
        for example in examples:
            groups[example.split or names[0]].append(example)
    for members in groups.values():
        random.Random(_ORDER_SEED).shuffle(members)
    return groups


def _encoded(
    examples: Sequence[Example],
    dataset: Dataset,
    jobs: int,
    written: Written,
    on_clip: Callable[[], None],
) -> Iterator[_Sample]:
    """Yield each clip as a file of its own, in order; take note of those that cannot be read."""

    def work(batch: list[Example]) -> tuple[Example, Encoded | AudioError]:
        [example] = batch
        try:
            return example, encode_clip(example)
        except AudioError as error:
            return example, error

    for example, encoded in map_batches(examples, work, jobs, 1):
        on_clip()
        if isinstance(encoded, AudioError):
            written.bad.append(str(encoded))
            continue
        name = Path(dataset.relative_name(example.path)).with_suffix(encoded.suffix).as_posix()
        yield _Sample(example, name, encoded.content, encoded.suffix)


def _write_split(
    samples: Iterable[_Sample],
    split: str,
    labels: Sequence[str],
    folder: Path,
    settings: ShardSettings,
    written: Written,
) -> None:
    """Write the shards of a split, and name them when it is known how many there are."""
    paths = list[Path]()
    pending = iter(samples)
    sample = next(pending, None)
    while sample is not None:
        paths.append(folder / f"{split}-{len(paths)}.{settings.form}")
        shard: _Shard = (
            _TarShard(paths[-1]) if settings.form == "tar" else _ParquetShard(paths[-1], labels)
        )
        with closing(shard):
            n_bytes = 0
            while sample is not None and (n_bytes == 0 or n_bytes < 1e6 * settings.shard_mb):
                shard.add(sample)
                n_bytes += len(sample.content)
                written.n_clips += 1
                sample = next(pending, None)
        written.n_bytes += n_bytes
    for number, path in enumerate(paths):
        name = f"{split}-{number:05d}-of-{len(paths):05d}.{settings.form}"
        path.rename(folder / name)
        written.shards.append(name)


class _TarShard:
    """Files of one name a clip: the recording, and ``.json`` with what is known about it."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._n_clips = 0

    def add(self, sample: _Sample) -> None:
        about = {name: value for name, value in sample.facts.items() if value is not None}
        key = f"{self._n_clips:08d}"
        self._add(f"{key}{sample.suffix}", sample.content)
        self._add(f"{key}.json", json.dumps(about | {"file": sample.name}).encode())
        self._n_clips += 1

    def _add(self, name: str, content: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size = len(content)
        self._tar.addfile(about, io.BytesIO(content))

    def close(self) -> None:
        self._tar.close()


class _ParquetShard:
    """A row a clip, whose metadata say what the Hub needs to play it."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            fact = not_installed("pyarrow, which writes Parquet,", "parquet")
            raise DatasetError(fact) from error
        self._arrow, self._rows = pa, list[dict[str, Any]]()
        self._numbers = {label: number for number, label in enumerate(labels)}
        audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns = [("audio", audio), ("label", pa.int64()), ("speaker", pa.string())]
        schema = pa.schema([*columns, ("split", pa.string())])
        features = {
            "audio": {"_type": "Audio"},
            "label": {"names": list(labels), "_type": "ClassLabel"},
            **{name: {"dtype": "string", "_type": "Value"} for name in ("speaker", "split")},
        }
        about = json.dumps({"info": {"features": features}})
        self._schema = schema.with_metadata({"huggingface": about})
        self._file = pq.ParquetWriter(path, self._schema)

    def add(self, sample: _Sample) -> None:
        facts: dict[str, Any] = dict(sample.facts)
        facts["label"] = self._numbers[sample.example.label]
        audio = {"bytes": sample.content, "path": sample.name}
        self._rows.append({"audio": audio} | facts)
        if len(self._rows) == _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        table = self._arrow.Table.from_pylist(self._rows, schema=self._schema)
        self._file.write_table(table, row_group_size=_ROW_GROUP)
        self._rows.clear()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()
