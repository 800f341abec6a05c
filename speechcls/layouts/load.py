"""The layouts of a data set on disk, each of which becomes the same list of examples.

A new layout is a function that recognises it, a function that reads it, and a line in ``LAYOUTS``
before "a folder per label", which accepts every folder.
"""

import codecs
import dataclasses
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from speechcls.errors import DatasetError
from speechcls.labels import NOISE_FOLDER, SCRAMBLED, UNCERTAIN, speaker_of
from speechcls.layouts.examples import Dataset, Example, find_recordings, may_hold_clips
from speechcls.layouts.manifest import MANIFEST_SUFFIXES, read_manifests

_SPLIT_LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
_FIELDS = ("label", "speaker", "take", "_")
_LAYOUT_HELP = (
    "; put the clips into one sub-folder per word (data/yes/1.wav), or say what flat file names"
    " mean with a pattern as {label}_{speaker}_{take}, or name a manifest with columns path,label"
)
_NOT_IN_A_FOLDER = f"not in a label folder{_LAYOUT_HELP}"

Describe = Callable[[Path, tuple[str, ...]], Example | str]
"""From a recording and the parts of its name below the root, without ending: what is known of it,
or why it is no clip."""


@dataclass(frozen=True)
class DatasetRequest:
    """The arguments of ``load_dataset`` that decide how it reads."""

    path: Path
    pattern: str | None = None
    """What file names mean."""


@dataclass(frozen=True)
class Layout:
    """One supported layout of a data set on disk."""

    name: str
    recognises: Callable[[DatasetRequest], bool]
    read: Callable[[DatasetRequest], Dataset]


def as_dataset(data: Dataset | str | os.PathLike[str]) -> Dataset:
    """Return a data set as it is, or the one in a folder or manifest.

    Raises
    ------
    DatasetError
        When nothing is found, or a manifest cannot be understood.
    """
    return data if isinstance(data, Dataset) else load_dataset(data)


def load_dataset(
    path: str | os.PathLike[str],
    pattern: str | None = None,
    noise: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Return every clip of a data set, in a stable order, without opening the recordings.

    Parameters
    ----------
    path : a folder (a sub-folder per label, Speech Commands, or flat with ``pattern``) or a
        manifest (.csv, .tsv or .jsonl); see ``LAYOUTS``
    pattern : what file names mean, as ``{label}_{speaker}_{take}``; ``{_}`` matches anything, and
        each ``/`` in it takes in one more parent folder
    noise : a folder of background recordings beside those in ``_background_noise_``

    Raises
    ------
    DatasetError
        When nothing is found, or a manifest cannot be understood.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> for label in ("yes", "no"):
    ...     pathlib.Path(folder.name, label).mkdir()
    ...     pathlib.Path(folder.name, label, "ann_nohash_0.wav").touch()
    >>> for example in load_dataset(folder.name).examples:
    ...     print(example.label, example.speaker)
    no ann
    yes ann
    >>> folder.cleanup()
    """
    source = Path(path)
    request = DatasetRequest(source, pattern)
    layout = next((layout for layout in LAYOUTS if layout.recognises(request)), None)
    if layout is None:
        raise DatasetError(
            f"{source}: neither a folder nor a manifest; name one that ends in .csv, .tsv or .jsonl"
            if source.exists()
            else f"{source}: no such folder or manifest; check the path"
        )
    dataset = layout.read(request)
    if not dataset.examples:
        help_ = "" if dataset.problems else _LAYOUT_HELP
        raise DatasetError(f"{source}: no clip found{help_}", dataset.problems[:5])
    if reserved := [e for e in dataset.examples if e.label in (SCRAMBLED, UNCERTAIN)]:
        first = reserved[0]
        raise DatasetError(f"{first.path}: the label {first.label} is reserved; rename it")
    if noise is not None:
        dataset.noise += find_noise(Path(noise))
    return dataset


def find_noise(folder: Path) -> list[Path]:
    """Return the recordings of background noise in a folder of its own.

    Raises
    ------
    DatasetError
        When there are none.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder of background noise; check the path", field="noise"
        )
    if not (found := list(find_recordings(folder))):
        raise DatasetError(
            f"{folder}: no recording of background noise in it; name another", field="noise"
        )
    return found


def _is_manifest(request: DatasetRequest) -> bool:
    return request.path.suffix.lower() in MANIFEST_SUFFIXES and request.path.is_file()


def _is_patterned(request: DatasetRequest) -> bool:
    return bool(request.pattern) and request.path.is_dir()


def _is_speech_commands(request: DatasetRequest) -> bool:
    return any((request.path / name).is_file() for name in _SPLIT_LISTS)


def _is_folder(request: DatasetRequest) -> bool:
    return request.path.is_dir()


def _read_manifest(request: DatasetRequest) -> Dataset:
    return read_manifests([request.path])


def _read_patterned(request: DatasetRequest) -> Dataset:
    """Return the clips whose names match the pattern; a label folder serves where it has none."""
    match_name = _NameMatcher(str(request.pattern))

    def describe(path: Path, parts: tuple[str, ...]) -> Example | str:
        if not (match := match_name(parts)):
            return f"does not match the pattern {request.pattern}"
        folder = parts[0] if len(parts) > 1 else None
        label, speaker = match.get("label", folder), match.get("speaker", speaker_of(path.name))
        if label is None:
            return _NOT_IN_A_FOLDER
        return Example(path, label, speaker)

    return _apply_split_lists(_read_folder(request.path, describe))


def _read_speech_commands(request: DatasetRequest) -> Dataset:
    """Return the clips of label folders, split as the official lists beside them say."""
    return _apply_split_lists(_read_label_folders(request))


def _read_label_folders(request: DatasetRequest) -> Dataset:
    """Return the clips below a folder for each label; a name may hold the speaker."""

    def describe(path: Path, parts: tuple[str, ...]) -> Example | str:
        if len(parts) == 1:
            return _NOT_IN_A_FOLDER
        return Example(path, parts[0], speaker_of(path.name))

    root, dataset = request.path, _read_folder(request.path, describe)
    folders = {p.name for p in root.iterdir() if p.is_dir() and may_hold_clips(p.name)}
    empty_labels = sorted(folders - {example.label for example in dataset.examples})
    return dataclasses.replace(dataset, empty_labels=empty_labels)


def _read_folder(root: Path, describe: Describe) -> Dataset:
    """Return what ``describe`` makes of each recording, and the background noise."""
    dataset = Dataset(root)
    if (root / NOISE_FOLDER).is_dir():
        dataset.noise = list(find_recordings(root / NOISE_FOLDER))
    for path in find_recordings(root, lambda problem: dataset.problems.append(str(problem))):
        described = describe(path, path.relative_to(root).with_suffix("").parts)
        if isinstance(described, Example):
            dataset.examples.append(described)
        else:
            dataset.problems.append(f"{path}: {described}")
    return dataset


def _apply_split_lists(dataset: Dataset) -> Dataset:
    """Return the data set split as its official lists say; as it is where there are none.

    Names count without their ending: lists name .wav even where files are .flac.
    """
    splits = {}
    for name, split in _SPLIT_LISTS.items():
        if (dataset.root / name).is_file():
            text = (dataset.root / name).read_bytes().removeprefix(codecs.BOM_UTF8)
            for line in os.fsdecode(text).splitlines():
                if line.strip():
                    splits[str(PurePosixPath(line.strip()).with_suffix(""))] = split
    if not splits:
        return dataset

    def split_of(example: Example) -> str:
        name = example.path.relative_to(dataset.root).with_suffix("").as_posix()
        return splits.get(name, "train")

    examples = [dataclasses.replace(e, split=split_of(e)) for e in dataset.examples]
    return dataclasses.replace(dataset, examples=examples)


class _NameMatcher:
    """Reads label and speaker out of a path by a pattern."""

    def __init__(self, pattern: str) -> None:
        pieces = re.split(r"\{(\w+)\}", pattern)
        names = pieces[1::2]
        wrong = [name for name in names if name not in _FIELDS]
        twice = sorted({n for n in names if n != "_" and names.count(n) > 1})
        if wrong or twice or not {"label", "speaker"} & set(names):
            fault = f"unknown {{{wrong[0]}}}" if wrong else "names neither label nor speaker"
            fault = f"{{{twice[0]}}} occurs twice" if twice else fault
            raise DatasetError(
                f"{pattern!r}: {fault}; fields are"
                f" {', '.join(f'{{{name}}}' for name in _FIELDS)}, with {{label}} or {{speaker}}",
                field="pattern",
            )
        expression = ""
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                expression += re.escape(piece)
            else:
                expression += "[^/]+?" if piece == "_" else f"(?P<{piece}>[^/]+?)"
        self._expression = re.compile(expression)
        self._n_parts = pattern.count("/") + 1

    def __call__(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        match = self._expression.fullmatch("/".join(parts[-self._n_parts :]))
        return match.groupdict() if match else None


LAYOUTS = (
    Layout("manifest", _is_manifest, _read_manifest),
    Layout("names by a pattern", _is_patterned, _read_patterned),
    Layout("Speech Commands", _is_speech_commands, _read_speech_commands),
    Layout("a folder per label", _is_folder, _read_label_folders),
)
"""Every layout; the first that recognises a request reads it."""
