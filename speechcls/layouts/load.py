"""The layouts of a data set on disk, each of which becomes the same list of examples.

A new layout is a function that recognises it, a function that reads it, and a line in ``LAYOUTS``
before "label folders", which accepts every folder.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from speechcls.audio.sniff import SUFFIXES
from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import NOISE_FOLDER, SCRAMBLED, UNCERTAIN, speaker_of
from speechcls.layouts.annotations import examples_of_track, find_track
from speechcls.layouts.examples import (
    Dataset,
    Example,
    bring_sources,
    describe_no_data,
    describe_others,
    find_noise,
    find_recordings,
)
from speechcls.layouts.folders import (
    NOT_IN_A_FOLDER,
    Clip,
    describe_folders,
    is_in_no_folder,
    name_empty_folders,
)
from speechcls.layouts.lists import (
    apply_split_lists,
    complete_by_list,
    describe_unlisted,
    find_split_lists,
    find_unread_lists,
    prefers_folders,
)
from speechcls.layouts.manifest import (
    MANIFEST_SUFFIXES,
    find_manifests,
    is_kaldi,
    read_kaldi,
    read_manifests,
)
from speechcls.layouts.names import NameMatcher, clean_label, parse_columns, split_of_name
from speechcls.storage.mirror import Watch, unwatched
from speechcls.storage.places import local_path
from speechcls.storage.unpacked import expand_braces

_LAYOUT_HELP = NOT_IN_A_FOLDER.partition(";")[2]
_Recordings = list[tuple[Path, tuple[str, ...]]]
"""Each recording, and the folders between the root and it."""


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
    unpacks: bool = True
    """Whether recordings in shards are unpacked."""


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
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    pattern: str | None = None,
    noise: str | os.PathLike[str] | None = None,
    columns: Sequence[str] = (),
    root: str | os.PathLike[str] | None = None,
    channel: int | None = None,
    watch: Watch = unwatched,
    unpacks: bool = True,
) -> Dataset:
    """Return every clip of a data set, in a stable order, without opening the recordings.

    What lies elsewhere, as at ``s3://bucket/clips``, is fetched into the cache folder first.

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
    watch, unpacks : follows what is fetched; whether recordings in shards are unpacked

    Raises
    ------
    DatasetError
        When nothing is found, or a manifest cannot be understood, or fetched.

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
    names = [path] if isinstance(path, str | os.PathLike) else path
    sources = [each for name in names for each in expand_braces(local_path(name))]
    base = None if root is None else local_path(root)
    brought = bring_sources(sources, base, watch)
    source, *more = sources
    request = DatasetRequest(source, pattern, tuple(more), parse_columns(columns), base, unpacks)
    dataset = _choose_layout(request).read(request)
    _check_clips(dataset)
    dataset.warnings += _warn_of_twins(dataset)
    dataset.examples = [_completed(example, channel) for example in dataset.examples]
    if noise is not None:
        dataset.noise += find_noise(local_path(noise))
    dataset.problems += brought.problems
    if counts := ", ".join(f"{n} {ending}" for ending, n in brought.left_out.items()):
        dataset.notes.append(f"{source}: files that are no recordings are not fetched: {counts}")
    return dataset


def _choose_layout(request: DatasetRequest) -> "Layout":
    """Return the layout of a data set."""
    layout = next((layout for layout in LAYOUTS if layout.recognises(request)), None)
    if layout is None:
        raise DatasetError(describe_no_data(request.path))
    return layout


def _check_clips(dataset: Dataset) -> None:
    """Refuse a data set without clips, or with a label that is reserved."""
    if not dataset.examples:
        help_ = "" if dataset.problems or dataset.warnings else f";{_LAYOUT_HELP}"
        details = [*dataset.problems[:5], *dataset.warnings[:5]]
        if len(dataset.problems) > 1 and all(map(is_in_no_folder, dataset.problems)):
            help_ = f"; if it has one word alone, name the folder that it is in; or{_LAYOUT_HELP}"
            places = [text.partition(";")[0] for text in dataset.problems[:5]]
            details = [*places, *dataset.warnings[:5]]
        raise DatasetError(f"{dataset.source}: no clip found{help_}", details)
    if reserved := [e for e in dataset.examples if e.label in (SCRAMBLED, UNCERTAIN)]:
        first = reserved[0]
        raise DatasetError(f"{first.path}: the label {first.label} is reserved; rename it")


def _refuse_unused(request: DatasetRequest, what: str, *names: str) -> None:
    """Refuse the arguments ``names``, which have no effect on ``what`` the request names."""
    for name in names:
        if getattr(request, name):
            raise ConfigError(f"has no effect on {what} ({request.path})", field=name)
    if request.manifests and not request.path.is_file():
        raise DatasetError(
            f"{request.path}: a folder, beside {request.manifests[0]}; name one folder, or"
            " manifests only"
        )


def _is_manifest(request: DatasetRequest) -> bool:
    return request.path.suffix.lower() in MANIFEST_SUFFIXES and request.path.is_file()


def _is_patterned(request: DatasetRequest) -> bool:
    return bool(request.pattern) and request.path.is_dir()


def _is_folder(request: DatasetRequest) -> bool:
    return request.path.is_dir()


def _is_kaldi(request: DatasetRequest) -> bool:
    return is_kaldi(request.path)


def _is_labelled_recording(request: DatasetRequest) -> bool:
    return request.path.suffix.lower() in SUFFIXES and find_track(request.path) is not None


def _read_manifest(request: DatasetRequest) -> Dataset:
    """Return the clips that manifests name."""
    _refuse_unused(request, "a manifest", "pattern")
    return _read_lists(request, [request.path, *request.manifests])


def _read_lists(request: DatasetRequest, paths: Sequence[Path], is_named: bool = True) -> Dataset:
    return read_manifests(paths, request.columns, request.root, is_named, request.unpacks)


def _read_kaldi(request: DatasetRequest) -> Dataset:
    """Return the clips of a folder with Kaldi's lists."""
    _refuse_unused(request, "a Kaldi folder", "columns", "root")
    return read_kaldi(request.path)


def _read_labelled_recording(request: DatasetRequest) -> Dataset:
    """Return the labels of one recording's label track as clips."""
    _refuse_unused(request, "a recording", "pattern", "columns", "root")
    dataset = Dataset(request.path.parent, manifest=find_track(request.path))
    _take_tracks(dataset, [(request.path, ())], [*request.path.parent.glob("*.[tT][xX][tT]")])
    return dataset


def _read_patterned(request: DatasetRequest) -> Dataset:
    """Return the clips whose names match the pattern; a label folder serves where it has none."""
    _refuse_unused(request, "a folder that is read by a pattern", "columns", "root")
    match_name = NameMatcher(str(request.pattern))

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

    dataset, recordings, others = _find(request.path)
    ambiguous = list[str]()
    for path, folders in recordings:
        described = describe(path, folders)
        if isinstance(described, Example):
            dataset.examples.append(described)
            otherwise = match_name.label_otherwise((*folders, path.stem))
            if otherwise not in (None, described.label):
                ambiguous.append(f"{path.name} is {described.label} and could be {otherwise}")
        else:
            dataset.problems.append(f"{path}: {described}")
    if ambiguous:
        dataset.warnings.append(
            f"{len(ambiguous)} names fit the pattern {request.pattern} in several ways, and the"
            f" shortest first fields count: {ambiguous[0]}; name more of it"
        )
    return apply_split_lists(dataset, find_split_lists(others))


def _read_folder(request: DatasetRequest) -> Dataset:
    """Return the clips of a folder: as a list in it names them, else as its folders do."""
    manifests = find_manifests(request.path, request.columns)
    if not manifests:
        _refuse_unused(request, "a folder that no manifest describes", "columns", "root")
        dataset = _read_label_folders(request.path)
        return replace(dataset, warnings=dataset.warnings + find_unread_lists(request.path))
    listed = _read_lists(request, manifests, is_named=False)
    names = ", ".join(str(path.relative_to(request.path)) for path in manifests[:3])
    by_folders = None if request.columns or request.root else _try_label_folders(request.path)
    if by_folders and prefers_folders(request.path, by_folders, listed, names):
        return complete_by_list(request.path, by_folders, listed, names)
    notes = [f"{request.path}: read as {names} says", *listed.notes]
    return replace(
        listed, notes=notes, warnings=listed.warnings + describe_unlisted(request.path, listed)
    )


def _try_label_folders(root: Path) -> Dataset | None:
    """Return a data set as its folders name labels; None where they name fewer than two."""
    try:
        dataset = _read_label_folders(root)
    except DatasetError:  # the list tells what the folders do not
        return None
    return dataset if len({example.label for example in dataset.examples}) > 1 else None


def _read_label_folders(root: Path) -> Dataset:
    """Return the clips below folders that name their labels, and perhaps splits and speakers."""
    dataset, recordings, others = _find(root)
    recordings = _take_tracks(dataset, recordings, others)
    described = describe_folders(root, [Clip(path, folders) for path, folders in recordings])
    dataset.examples += described.examples
    dataset.problems += described.problems
    dataset.notes += described.notes
    name_empty_folders(dataset, [folders for _, folders in recordings], described.notes)
    return apply_split_lists(dataset, find_split_lists(others))


def _take_tracks(dataset: Dataset, recordings: _Recordings, others: Sequence[Path]) -> _Recordings:
    """Add the labels of label tracks as clips; return the recordings that have no track.

    Parameters
    ----------
    others : files that are no recordings, with the tracks among them
    """
    with_texts = {str(path.parent) for path in others if path.suffix.lower() == ".txt"}
    rest, n_clips = [], len(dataset.examples)
    for path, folders in recordings:
        has_texts = bool(with_texts) and str(path.parent) in with_texts
        examples = examples_of_track(path, dataset.warnings.append) if has_texts else None
        if examples is None:
            rest.append((path, folders))
        else:
            dataset.examples += [replace(e, speaker=e.speaker or path.stem) for e in examples]
    if n_tracks := len(recordings) - len(rest):
        n_clips = len(dataset.examples) - n_clips
        dataset.notes.append(
            f"{dataset.root}: {n_clips} clips by the label tracks beside {n_tracks} recordings,"
            " each of which counts as a speaker"
        )
    return rest


def _find(root: Path) -> tuple[Dataset, _Recordings, list[Path]]:
    """Return a data set without clips yet, the recordings, and the other files."""
    dataset, others = Dataset(root), list[Path]()

    def add_noise(folder: Path) -> None:
        dataset.noise += find_recordings(folder)
        if folder.name != NOISE_FOLDER:
            dataset.notes.append(f"{folder}: taken for background noise, not for a label")

    @cache
    def folders_of(parent: str) -> tuple[str, ...]:
        return Path(parent).relative_to(root).parts

    paths = find_recordings(
        root,
        on_problem=lambda problem: dataset.problems.append(str(problem)),
        on_noise=add_noise,
        on_other=others.append,
    )
    # Of a path as text: pathlib takes several times as long, of a hundred thousand.
    recordings = [(path, folders_of(os.path.dirname(path))) for path in paths]  # noqa: PTH120
    if others_said := describe_others(root, others):
        dataset.notes.append(others_said)
    return dataset, recordings, others


def _completed(example: Example, channel: int | None) -> Example:
    """Return a clip with the channel that is asked for, its speaker spelt as labels are."""
    speaker = example.speaker and clean_label(example.speaker)
    if speaker == example.speaker and channel in (None, example.channel):
        return example
    return replace(example, speaker=speaker, channel=example.channel or channel)


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


LAYOUTS = (
    Layout("manifest", _is_manifest, _read_manifest),
    Layout("names by a pattern", _is_patterned, _read_patterned),
    Layout("Kaldi", _is_kaldi, _read_kaldi),
    Layout("a recording with its label track", _is_labelled_recording, _read_labelled_recording),
    Layout("label folders", _is_folder, _read_folder),
)
"""Every layout; the first that recognises a request reads it."""
