"""Which recordings there are, what is said in each, and by whom: every layout becomes Examples."""

import codecs
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from speechcls.audio.decode import SUFFIXES
from speechcls.data.examples import _SPEAKER_END, NOISE_FOLDER, Dataset, Example
from speechcls.data.manifest import MANIFEST_SUFFIXES, _read_manifest
from speechcls.errors import DatasetError
from speechcls.labels import SCRAMBLED, UNCERTAIN

_SPLIT_LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
_FIELDS = ("label", "speaker", "take", "_")


def find_examples(source: Path, pattern: str | None = None, noise: Path | None = None) -> Dataset:
    """Return every clip of a data set, in a stable order, without opening the recordings.

    Parameters
    ----------
    source : a folder (a sub-folder a label, Speech Commands, or flat with ``pattern``) or a
        manifest (.csv, .tsv or .jsonl)
    pattern : what file names mean, as ``{label}_{speaker}_{take}``; ``{_}`` matches anything, and
        each ``/`` in it takes in one more parent folder
    noise : a folder of background recordings beside those in ``_background_noise_``

    Raises
    ------
    DatasetError
        When nothing is found, or a manifest cannot be understood.
    """
    if source.is_dir():
        dataset = _find_in_folder(source, pattern)
    elif source.suffix.lower() in MANIFEST_SUFFIXES and source.is_file():
        dataset = _read_manifest(source)
    elif source.exists():
        raise DatasetError(
            f"{source}: neither a folder nor a manifest; name one that ends in .csv, .tsv or .jsonl"
        )
    else:
        raise DatasetError(f"{source}: no such folder or manifest; check the path")
    if not dataset.examples:
        help_ = "" if dataset.problems else _LAYOUT_HELP
        raise DatasetError(f"{source}: no clip found{help_}", dataset.problems[:5])
    if reserved := [e for e in dataset.examples if e.label in (SCRAMBLED, UNCERTAIN)]:
        first = reserved[0]
        raise DatasetError(f"{first.path}: the label {first.label} is reserved; rename it")
    if noise is not None:
        if not noise.is_dir():
            raise DatasetError(f"{noise}: no such folder of background noise")
        if not (found := list(find_recordings(noise))):
            raise DatasetError(f"{noise}: no recording of background noise in it")
        dataset.noise += found
    return dataset


_LAYOUT_HELP = (
    "; put the clips into one sub-folder a word (data/yes/1.wav), or say what flat file names mean"
    " with --pattern '{label}_{speaker}_{take}', or name a manifest with columns path,label"
)


def _refuse(problem: DatasetError) -> None:
    raise problem


def find_recordings(
    folder: Path, on_problem: Callable[[DatasetError], None] = _refuse
) -> Iterator[Path]:
    """Yield the audio files under ``folder`` in sorted order, leaving out hidden ones.

    ``on_problem`` is told of a folder that cannot be listed; by default that ends the search.
    """

    def report(error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        on_problem(
            DatasetError(f"{error.filename}: {reason}; change its permissions or leave it out")
        )

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=report):
        inside = os.path.join(os.path.realpath(parent), "")  # noqa: PTH118
        folders[:] = sorted(
            name
            for name in folders
            # A link to a folder above would never end.
            if _is_wanted(name)
            and not inside.startswith(f"{os.path.realpath(Path(parent, name))}/")
        )
        for name in sorted(files):
            if _is_wanted(name) and Path(name).suffix.lower() in SUFFIXES:
                path = Path(parent, name)
                if path.is_fifo():  # who opens it may wait for ever
                    on_problem(DatasetError(f"{path}: a pipe, not a recording; remove it"))
                else:
                    yield path


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in (NOISE_FOLDER, "__MACOSX")


def _find_in_folder(root: Path, pattern: str | None) -> Dataset:
    dataset = Dataset(root)
    if (root / NOISE_FOLDER).is_dir():
        dataset.noise = list(find_recordings(root / NOISE_FOLDER))
    official = _read_split_lists(root)
    match_name = _NameMatcher(pattern) if pattern else None
    for path in find_recordings(root, lambda problem: dataset.problems.append(str(problem))):
        parts = path.relative_to(root).with_suffix("").parts
        label = parts[0] if len(parts) > 1 else None
        before, separator, _ = path.name.partition(_SPEAKER_END)
        speaker = before if separator and before else None
        if match_name:
            if not (match := match_name(parts)):
                dataset.problems.append(f"{path}: does not match the pattern {pattern}")
                continue
            label, speaker = match.get("label", label), match.get("speaker", speaker)
        if label is None:
            dataset.problems.append(f"{path}: not in a label folder{_LAYOUT_HELP}")
            continue
        split = official.get("/".join(parts), "train") if official else None
        dataset.examples.append(Example(path, label, speaker, split))
    labels = {example.label for example in dataset.examples}
    if not pattern:
        folders = {path.name for path in root.iterdir() if path.is_dir() and _is_wanted(path.name)}
        dataset.empty_labels = sorted(folders - labels)
    return dataset


def _read_split_lists(root: Path) -> dict[str, str]:
    """Return the split by name without ending (lists name .wav even where files are .flac)."""
    splits = {}
    for name, split in _SPLIT_LISTS.items():
        if (root / name).is_file():
            text = (root / name).read_bytes().removeprefix(codecs.BOM_UTF8)
            for line in os.fsdecode(text).splitlines():
                if line.strip():
                    splits[str(PurePosixPath(line.strip()).with_suffix(""))] = split
    return splits


class _NameMatcher:
    """Reads label and speaker out of a path by a pattern."""

    def __init__(self, pattern: str) -> None:
        pieces = re.split(r"\{(\w+)\}", pattern)
        names = pieces[1::2]
        wrong = [name for name in names if name not in _FIELDS]
        twice = sorted({n for n in names if n != "_" and names.count(n) > 1})
        if wrong or twice or not {"label", "speaker"} & set(names):
            fault = f"unknown {{{wrong[0]}}}" if wrong else "names nothing it can use"
            fault = f"{{{twice[0]}}} stands twice" if twice else fault
            raise DatasetError(
                f"--pattern {pattern!r}: {fault}; fields are"
                f" {', '.join(f'{{{name}}}' for name in _FIELDS)}, with {{label}} or {{speaker}}"
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
