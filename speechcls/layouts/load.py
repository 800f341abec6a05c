"""The layouts of a data set on disk, each of which becomes the same list of examples.

A new layout is a function that recognises it, a function that reads it, and a line in ``LAYOUTS``
before "label folders", which accepts every folder.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import NOISE_FOLDER, SCRAMBLED, UNCERTAIN, speaker_of
from speechcls.layouts.examples import Dataset, Example, find_recordings, may_hold_clips
from speechcls.layouts.folders import NOT_IN_A_FOLDER, Clip, describe_folders
from speechcls.layouts.lists import apply_split_lists, find_split_lists
from speechcls.layouts.manifest import COLUMNS, MANIFEST_SUFFIXES, read_manifest
from speechcls.layouts.names import clean_label, split_of_name

_FIELDS = ("label", "speaker", "split", "take", "_")
_LAYOUT_HELP = NOT_IN_A_FOLDER.partition(";")[2]


@dataclass(frozen=True)
class DatasetRequest:
    """The arguments of ``load_dataset`` that decide how it reads."""

    path: Path
    pattern: str | None = None
    """What file names mean."""
    manifests: tuple[Path, ...] = ()
    """Further manifests of the same data set."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a manifest calls its columns, by their standard names."""
    root: Path | None = None
    """Folder that the paths in a manifest are relative to, where it is not the manifest's own."""


@dataclass(frozen=True)
class Layout:
    """One supported layout of a data set on disk."""

    name: str
    recognises: Callable[[DatasetRequest], bool]
    read: Callable[[DatasetRequest], Dataset]
    is_listed: bool = False
    """Whether a list names the clips: then names of columns have an effect, and a pattern none."""


def as_dataset(data: Dataset | str | os.PathLike[str]) -> Dataset:
    """Return a data set as it is, or the one in a folder or manifest.

    Raises
    ------
    DatasetError
        When nothing is found, or a manifest cannot be understood.
    """
    return data if isinstance(data, Dataset) else load_dataset(data)


def load_dataset(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    pattern: str | None = None,
    noise: str | os.PathLike[str] | None = None,
    columns: Sequence[str] = (),
    root: str | os.PathLike[str] | None = None,
    channel: int | None = None,
) -> Dataset:
    """Return every clip of a data set, in a stable order, without opening the recordings.

    Parameters
    ----------
    path : a folder (a sub-folder per label, Speech Commands, or flat with ``pattern``), a manifest
        (.csv, .tsv or .jsonl) or several of them; see ``LAYOUTS``
    pattern : what file names mean, as ``{label}_{speaker}_{take}``; ``{_}`` matches anything, and
        each ``/`` in it takes in one more parent folder
    noise : a folder of background recordings beside those in ``_background_noise_``
    columns : what a manifest calls its columns, as ``path=file``
    root : folder that the paths in a manifest are relative to (default: where they are found)
    channel : the one to read of each recording, from 1 on (default: the mean of all)

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
    source, *more = map(Path, [path] if isinstance(path, str | os.PathLike) else path)
    base = None if root is None else Path(root)
    request = DatasetRequest(source, pattern, tuple(more), parse_columns(columns), base)
    layout = _choose_layout(request)
    dataset = layout.read(request)
    _check_clips(dataset)
    dataset.warnings += _warn_of_twins(dataset)
    if channel is not None:
        dataset.examples = [
            e if e.channel else replace(e, channel=channel) for e in dataset.examples
        ]
    if noise is not None:
        dataset.noise += find_noise(Path(noise))
    return dataset


def _choose_layout(request: DatasetRequest) -> "Layout":
    """Return the layout of a data set."""
    layout = next((layout for layout in LAYOUTS if layout.recognises(request)), None)
    if layout is None:
        raise DatasetError(
            f"{request.path}: neither a folder nor a manifest; name one that ends in"
            f" {', '.join(MANIFEST_SUFFIXES)}"
            if request.path.exists()
            else f"{request.path}: no such folder or manifest; check the path"
        )
    _refuse_unused(request, layout)
    return layout


def _check_clips(dataset: Dataset) -> None:
    """Refuse a data set without clips, or with a label that is reserved."""
    if not dataset.examples:
        help_ = "" if dataset.problems else f";{_LAYOUT_HELP}"
        raise DatasetError(f"{dataset.source}: no clip found{help_}", dataset.problems[:5])
    if reserved := [e for e in dataset.examples if e.label in (SCRAMBLED, UNCERTAIN)]:
        first = reserved[0]
        raise DatasetError(f"{first.path}: the label {first.label} is reserved; rename it")


def _refuse_unused(request: DatasetRequest, layout: "Layout") -> None:
    """Refuse arguments without effect in this layout."""
    of_manifests = {"columns": request.columns, "root": request.root}
    unused = {"pattern": request.pattern} if layout.is_listed else of_manifests
    for name, value in unused.items():
        if value:
            what = "a manifest" if layout.is_listed else "a folder that no manifest describes"
            raise ConfigError(f"has no effect on {what} ({request.path})", field=name)
    if request.manifests and not layout.is_listed:
        raise DatasetError(
            f"{request.path}: a folder, beside {request.manifests[0]}; name one folder, or"
            " manifests only"
        )


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Return what a manifest calls its columns, by standard name, from texts as ``path=file``.

    Raises
    ------
    ConfigError
        When a text is not of this form, or there is no such column.
    """
    columns = {}
    for text in texts:
        ours, _, theirs = map(str.strip, text.partition("="))
        if not theirs or ours not in COLUMNS:
            raise ConfigError(
                f"{text!r} is not as path=file; columns are {', '.join(COLUMNS)}", field="columns"
            )
        columns[ours] = theirs
    return columns


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


def _is_folder(request: DatasetRequest) -> bool:
    return request.path.is_dir()


def _read_manifest(request: DatasetRequest) -> Dataset:
    return read_manifest(request.path)


def _read_patterned(request: DatasetRequest) -> Dataset:
    """Return the clips whose names match the pattern; a label folder serves where it has none."""
    match_name = _NameMatcher(str(request.pattern))

    def describe(path: Path, folders: tuple[str, ...]) -> Example | str:
        if not (match := match_name((*folders, path.stem))):
            return f"does not match the pattern {request.pattern}"
        folder = folders[0] if folders else None
        label, speaker = match.get("label", folder), match.get("speaker", speaker_of(path.name))
        if label is None:
            return NOT_IN_A_FOLDER
        split = None
        if "split" in match and not (split := split_of_name(match["split"])):
            return f"{match['split']!r} is no split; name it train, validation or test"
        return Example(path, clean_label(label), speaker, split)

    dataset, recordings = _find(request.path)
    for path, folders in recordings:
        described = describe(path, folders)
        if isinstance(described, Example):
            dataset.examples.append(described)
        else:
            dataset.problems.append(f"{path}: {described}")
    return _finish(dataset, recordings)


def _read_label_folders(request: DatasetRequest) -> Dataset:
    """Return the clips below folders that name their labels, and perhaps splits and speakers."""
    root = request.path
    dataset, recordings = _find(root)
    described = describe_folders(root, [Clip(path, folders) for path, folders in recordings])
    dataset.examples += described.examples
    dataset.problems += described.problems
    dataset.notes += described.notes
    if not described.notes:
        folders = {p.name for p in root.iterdir() if p.is_dir() and may_hold_clips(p.name)}
        used = {clean_label(folders[0]) for _, folders in recordings if folders}
        dataset.empty_labels = sorted({clean_label(name) for name in folders} - used)
    return _finish(dataset, recordings)


_Recordings = list[tuple[Path, tuple[str, ...]]]
"""Each recording, and the folders between the root and it."""


def _find(root: Path) -> tuple[Dataset, _Recordings]:
    """Return a data set without clips yet, with its background noise, and the recordings."""
    dataset, others = Dataset(root), list[Path]()

    def add_noise(folder: Path) -> None:
        dataset.noise += find_recordings(folder)
        if folder.name != NOISE_FOLDER:
            dataset.notes.append(f"{folder}: taken for background noise, not for a label")

    paths = find_recordings(
        root,
        on_problem=lambda problem: dataset.problems.append(str(problem)),
        on_noise=add_noise,
        on_other=others.append,
    )
    recordings = [(path, path.relative_to(root).parts[:-1]) for path in paths]
    endings = Counter(path.suffix.lower() or "without ending" for path in others)
    counts = ", ".join(f"{n} {ending}" for ending, n in endings.items() if ending not in _TEXT)
    if counts:
        dataset.notes.append(f"{root}: files that are no recordings are left out: {counts}")
    return dataset, recordings


_TEXT = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".html")
"""Endings of what lies beside recordings to tell of them."""


def _finish(dataset: Dataset, recordings: _Recordings) -> Dataset:
    """Return a data set split as the lists say that lie in its folders."""
    root = dataset.root
    folders = {root, *(Path(root, *f[:n]) for _, f in recordings for n in range(1, len(f) + 1))}
    return apply_split_lists(dataset, find_split_lists(sorted(folders)))


def _warn_of_twins(dataset: Dataset) -> list[str]:
    """Return a line for labels that differ in capitals only: mostly one word, yet two labels."""
    spelt = defaultdict(set)
    for example in dataset.examples:
        spelt[example.label.casefold()].add(example.label)
    return [
        f"labels {' and '.join(sorted(ways))} differ in capitals only, but count as"
        f" {len(ways)}; rename one if they are the same word"
        for ways in spelt.values()
        if len(ways) > 1
    ]


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
    Layout("manifest", _is_manifest, _read_manifest, is_listed=True),
    Layout("names by a pattern", _is_patterned, _read_patterned),
    Layout("label folders", _is_folder, _read_label_folders),
)
"""Every layout; the first that recognises a request reads it."""
