"""Manifests that name clips: read as other tools write them, found in folders, and written."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from speechcls.audio.sniff import SUFFIXES
from speechcls.errors import ConfigError, DatasetError
from speechcls.files import csv_text, write_atomic
from speechcls.labels import NOISE_FOLDER
from speechcls.layouts.annotations import check_unit, read_kaldi_table
from speechcls.layouts.columns import (
    Column,
    Columns,
    channel_of,
    check_fields,
    describe_columns,
    fold_of,
    is_missing,
    label_of,
    match_columns,
    splits_of,
    text_of,
    times_of,
)
from speechcls.layouts.examples import Dataset, Example, local_names
from speechcls.layouts.names import split_of_name
from speechcls.layouts.places import (
    Located,
    describe_missing,
    find_tables,
    locate,
    split_folders,
    split_in_name,
    splits_of_names,
    with_parents,
)
from speechcls.layouts.tables import Table, read_first_rows, read_table
from speechcls.storage.places import is_address, is_mirrored, name_of

COLUMNS = ("path", "label", "speaker", "split", "start_s", "end_s")
"""Of a manifest that is written; a seventh, ``channel``, where a clip has one."""
MANIFEST_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".tar")
"""Endings of the names of manifests that are read."""

_N_DETAILS = 5
"""Reasons that are told why none of the recordings of a list could be fetched."""

Row = dict[str, Any]


def read_manifests(
    paths: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    root: Path | None = None,
    is_named: bool = True,
    unpacks: bool = True,
) -> Dataset:
    """Return the clips and the background noise that manifests name.

    Parameters
    ----------
    paths : one or several, in any form of ``MANIFEST_SUFFIXES``; with several, the name of one may
        be the split of its clips, as of ``train.csv``
    columns : what the manifests call ``path``, ``label``, ``speaker``, ``split``, ``start``,
        ``end``, ``duration`` and ``channel``, where they do not have common names
    root : the folder that names of recordings are relative to (default: found by looking)
    is_named : whether a user named them; of lists that were found no address is fetched
    unpacks : whether recordings in them are unpacked

    Raises
    ------
    DatasetError
        Naming the line that cannot be understood, or the columns that are there.
    """
    chosen = check_fields(columns or {})
    if twice := [path for place, path in enumerate(paths) if path in paths[:place]]:
        raise DatasetError(f"{twice[0]}: named twice; name it once")
    if root is not None and not root.is_dir():
        raise DatasetError(f"{root}: no such folder; check the path", field="root")
    dataset = Dataset(root or _common_folder(paths), manifest=paths[0] if len(paths) == 1 else None)
    for path, split in zip(paths, _splits_by_name(paths), strict=True):
        anchors = [root] if root else with_parents(path.parent, 1)
        _add(dataset, read_table(path, None, unpacks), anchors, split, chosen, is_named)
    return dataset


def _common_folder(paths: Sequence[Path]) -> Path:
    folders = {path.parent for path in paths}
    if len(folders) == 1:
        return folders.pop()
    return Path(os.path.commonpath([folder.absolute() for folder in folders]))


def _splits_by_name(paths: Sequence[Path]) -> list[str | None]:
    """Return the split that the name of each manifest, or of its folder, stands for.

    A single one has none, nor have several of the same split: their clips are all there are.
    """
    are_apart = len({path.parent for path in paths}) > 1
    stems = splits_of_names(path.stem for path in paths)
    folders = splits_of_names(path.parent.name for path in paths)
    splits = [
        stems[path.stem] or (folders[path.parent.name] if are_apart else None) for path in paths
    ]
    return splits if len({*splits}) > 1 else [None] * len(paths)


def _add(
    dataset: Dataset,
    table: Table,
    anchors: Sequence[Path],
    split: str | None = None,
    chosen: Mapping[str, str] | None = None,
    is_named: bool = False,
) -> None:
    """Add the clips of a table to a data set; ``split`` is that of rows which name none."""
    columns = match_columns(table, chosen or {})
    splits, split_note = splits_of(table, columns.get("split"))
    if not (split or "split" in columns or "split" in (chosen or {})):
        splits, split_note = _splits_of_folders(table, columns)
    located = _locate(table, columns, anchors, split, is_named)
    check_unit(table, columns, located.paths)
    notes = (
        describe_columns(table, columns),
        split_note,
        _describe_place(table, columns, located, anchors),
    )
    dataset.notes += [*table.notes, *filter(None, notes)]
    dataset.problems += table.problems
    dataset.warnings += _warn_of(table, columns["label"])
    if located.base.is_absolute() == dataset.root.is_absolute():
        dataset.root = Path(os.path.commonpath([dataset.root, located.base]))
    for i, row in enumerate(table.rows):
        where, path = table.where(i), located.paths[i]
        label = label_of(row, columns["label"], where)
        start_s, end_s = times_of(row, columns, where)
        if path is None:
            name = text_of(row, columns["path"])
            name = name if is_address(name) else str(Path(located.base, name))
            dataset.problems.append(f"{where}: no such file: {name}")
        elif is_missing(label):
            fault = f"{columns['label'].name} is {label}, which stands for no value"
            dataset.problems.append(f"{where}: {fault}; name the word")
        elif label == NOISE_FOLDER:
            if splits[i] or start_s or end_s is not None:
                raise DatasetError(
                    f"{where}: background noise is taken whole; leave split, start_s and end_s out"
                )
            dataset.noise.append(path)
        else:
            speaker = text_of(row, columns.get("speaker")).strip() or None
            speaker = None if speaker and is_missing(speaker) else speaker
            channel = channel_of(row, columns.get("channel"), where)
            dataset.examples.append(
                Example(path, label, speaker, splits[i] or split, start_s, end_s, channel=channel)
            )
    if table.rows and not located.n_found:
        raise _nothing_found(table, text_of(table.rows[0], columns["path"]), located)


def _nothing_found(table: Table, first: str, located: Located) -> DatasetError:
    """Return what to say where none of the rows has a recording, of which ``first`` is one."""
    n_rows = len(table.rows)
    if is_address(first):
        fact = f"{table.path}: none of its {n_rows} recordings could be fetched, as {first}"
        return DatasetError(fact, table.problems[:_N_DETAILS])
    places = ", ".join(map(str, located.looked_in[:6]))
    return DatasetError(
        f"{table.path}: none of its {n_rows} recordings is there, as {first!r} (looked for below"
        f" {places}); {describe_missing(first, located.looked_in)}",
        field="root",
    )


def _warn_of(table: Table, label: Column) -> list[str]:
    """Return a line for a table without rows, or whose labels are numbers of unknown names."""
    if not table.rows:
        return [f"{table.path}: has no row; write a line for each clip"]
    are_numbers = all(isinstance(row[label.index], int) for row in table.rows)
    if are_numbers and table.path.suffix.lower() == ".parquet":
        return [f"{table.path}: {label.name} is numbers without names, taken for labels"]
    return []


def _splits_of_folders(table: Table, columns: Columns) -> tuple[list[str | None], str | None]:
    """Return the split that a folder in each row's path stands for, and a line that says so."""
    splits: list[str | None] = [None] * len(table.rows)
    labels = [text_of(row, columns["label"]) for row in table.rows]
    rows = [i for i, label in enumerate(labels) if label != NOISE_FOLDER]
    folders = split_folders([text_of(table.rows[i], columns["path"]) for i in rows])
    if not folders or folders == [labels[i] for i in rows]:
        return splits, None
    split_of = splits_of_names(folders, split_of_name)
    for i, folder in zip(rows, folders, strict=True):
        splits[i] = split_of[folder]
    told = ", ".join(
        folder if folder == split else f"{folder} is {split}"
        for folder, split in sorted(split_of.items())
    )
    return splits, f"{table.path}: the folders in its paths name the splits: {told}"


def _locate(
    table: Table,
    columns: Columns,
    anchors: Sequence[Path],
    split: str | None,
    may_fetch: bool = False,
) -> Located:
    """Return the recordings that the rows name."""
    names = [text_of(row, columns["path"]) for row in table.rows]
    if (i := next((i for i, name in enumerate(names) if not name.strip()), None)) is not None:
        raise DatasetError(f"{table.where(i)}: no {columns['path'].name}")
    if table.are_members:
        return Located([*map(Path, names)], table.path.parent)
    names, problems = local_names(names, anchors[0], may_fetch)
    table.problems += problems
    folds = [fold_of(row, columns.get("split")) for row in table.rows]
    is_common_voice = {"client_id", "sentence"} <= {name.casefold() for name in table.columns}
    prefer = "clips" if is_common_voice else ""
    return locate(names, anchors, folds if any(folds) else None, split, prefer)


def _describe_place(
    table: Table, columns: Columns, located: Located, anchors: Sequence[Path]
) -> str | None:
    """Return where recordings are, in a line; None where that is the folder of the manifest."""
    names = [PurePosixPath(text_of(row, columns["path"]).strip()) for row in table.rows]
    others = (
        f", with other endings ({name.name} is {path.name})"
        for name, path in zip(names, located.paths, strict=True)
        if path and name.suffix.lower() in SUFFIXES and path.suffix.lower() != name.suffix.lower()
    )
    ending = next(others, "")
    if not table.rows or (located.base == anchors[0] and not (located.stripped or ending)):
        return None
    without = f", without {located.stripped} before their names" if located.stripped else ""
    return f"{table.path}: its recordings are below {located.base}{without}{ending}"


def find_manifests(folder: Path, columns: Mapping[str, str] | None = None) -> list[Path]:
    """Return the manifests in a data set's folder that name its recordings.

    Where some are for splits, these are all; several others may name the same clips.

    Parameters
    ----------
    columns : as those of ``read_manifests``; tables without them are none

    Raises
    ------
    DatasetError
        When one of ``columns`` means something that no column means.
    """
    chosen = check_fields(columns or {})
    paths = [path for path in find_tables(folder) if _names_recordings(path, folder, chosen)]
    of_splits = [p for p in paths if split_in_name(p.stem) or split_in_name(_parent(p, folder))]
    accepted = [path for path in paths if path.stem.casefold() == "validated"]
    return of_splits or accepted or paths


def _parent(path: Path, folder: Path) -> str:
    """Return the name of the folder of ``path``; empty where that is ``folder`` itself."""
    return "" if path.parent == folder else path.parent.name


def _names_recordings(path: Path, folder: Path, chosen: Mapping[str, str]) -> bool:
    """Whether the first rows of a list name recordings in ``folder`` and their labels."""
    try:
        table = read_first_rows(path)
        columns = match_columns(table, chosen)
        if table.embedded:
            return True
        anchors, split = with_parents(path.parent, 1), split_in_name(path.stem)
        located = _locate(table, columns, anchors, split)
    except DatasetError:  # a file of another kind
        return False
    return located.is_any_in(folder)


# Kaldi


def is_kaldi(folder: Path) -> bool:
    """Whether a folder, or a folder in it, has recordings listed as Kaldi does."""
    return bool(_kaldi_folders(folder))


def _kaldi_folders(folder: Path) -> list[Path]:
    if (folder / "wav.scp").is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/wav.scp") if path.is_file())


def read_kaldi(folder: Path) -> Dataset:
    """Return the clips of a folder in Kaldi's form, or of those in it, one for each split.

    Raises
    ------
    DatasetError
        When a list is missing or cannot be understood, or the texts are sentences.
    """
    folders = _kaldi_folders(folder)
    dataset = Dataset(folder)
    splits = [split_in_name(each.name) for each in folders]
    for each, split in zip(folders, splits, strict=True):
        # Paths may be relative to the folder of the recipe, three levels up.
        is_known = len({*splits}) > 1
        _add(dataset, read_kaldi_table(each), with_parents(each, 3), split if is_known else None)
    return dataset


# Writing


def _write_json_lines(rows: Iterable[Row], raw: bool) -> str:
    kept = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return "".join(json.dumps(row) + "\n" for row in kept)


def _write_separated(rows: Sequence[Row], raw: bool, delimiter: str) -> str:
    has_channel = any(row["channel"] is not None for row in rows)
    columns = (*COLUMNS, "channel") if has_channel else COLUMNS
    return csv_text(columns, ([row[name] for name in columns] for row in rows), delimiter, raw)


_WRITERS: Mapping[str, Callable[[Sequence[Row], bool], str]] = {
    ".csv": partial(_write_separated, delimiter=","),
    ".tsv": partial(_write_separated, delimiter="\t"),
    ".jsonl": _write_json_lines,
}


def manifest_suffix(path: Path) -> str:
    """Return the ending of the name of a manifest that is written, in lower case.

    Raises
    ------
    ConfigError
        When it is none of .csv, .tsv and .jsonl.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise ConfigError(f"{path}: must end in one of {', '.join(_WRITERS)}; rename it")
    return suffix


def write_manifest(
    path: Path, examples: Sequence[Example], noise: Sequence[Path] = (), raw: bool = False
) -> None:
    """Write a manifest of clips and background noise, their paths relative to its folder.

    ``raw`` is that of ``files.open_csv``.

    Raises
    ------
    ConfigError
        When the name ends in none of .csv, .tsv and .jsonl.
    DatasetError
        When the name of a recording cannot be written in this format.
    """
    suffix = manifest_suffix(path)
    folder = path.parent.resolve()  # a way up from a linked folder leads elsewhere

    def row_of(example: Example) -> Row:
        place = name_of(example.path)
        if not is_mirrored(example.path):
            place = Path(os.path.relpath(example.path.absolute(), folder)).as_posix()
        times = (example.start_s or None, example.end_s)
        values = (place, example.label, example.speaker, example.split, *times)
        return dict(zip(COLUMNS, values, strict=True)) | {"channel": example.channel}

    backgrounds = [Example(each, NOISE_FOLDER) for each in noise]
    text = _WRITERS[suffix]([row_of(example) for example in (*examples, *backgrounds)], raw)
    try:
        write_atomic(path, text.encode())
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{path}: a file name is not UTF-8, which this format cannot hold; rename the file, or"
            " write a manifest that ends in .jsonl"
        ) from error
