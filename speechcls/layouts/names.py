"""Names that people give to splits, labels and files, and what each of them is here."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import NOISE_FOLDER

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}
"""Names of folders, of files without ending and of values in a column, in lower case."""
_SPLIT_OF = {name: split for split, names in _SPLITS.items() for name in names}
_OF_DATA = frozenset(
    "audio clips data files recordings samples set sounds split wav wavs".split()  # noqa: SIM905
)
"""What may stand beside it, as in ``test_set`` or ``audio-train``."""


def split_of_name(name: str) -> str | None:
    """Return the split that a name in any case stands for; None where it is none."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word not in _OF_DATA]
    return _SPLIT_OF.get(" ".join(filter(None, words)))


def clean_label(name: str) -> str:
    """Return a label in Unicode form C, without blanks at its ends."""
    return unicodedata.normalize("NFC", name).strip()


class NameMatcher:
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
        """Return the fields of a path's parts, without ending; None where it does not match."""
        match = self._expression.fullmatch("/".join(parts[-self._n_parts :]))
        return match.groupdict() if match else None


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Return what a manifest calls its columns, by standard name, from texts as ``path=file``.

    Raises
    ------
    ConfigError
        When a text is not of this form.
    """
    columns = {}
    for text in texts:
        ours, _, theirs = map(str.strip, text.partition("="))
        if not (ours and theirs):
            raise ConfigError(f"{text!r} is not as path=file", field="columns")
        columns[ours] = theirs
    return columns


def is_noise_folder(name: str) -> bool:
    """Return whether a folder of this name holds background noise."""
    return "_".join(re.findall(r"[^\W_]+", name.casefold())) == NOISE_FOLDER.strip("_")


def find_path(folder: Path, name: str) -> Path | None:
    """Return the file called ``name`` below a folder; None where there is none.

    Names that differ only in Unicode form are one: a list typed on one system names files that were
    unpacked on another.

    Parameters
    ----------
    name : relative to ``folder`` or absolute, with either kind of slash
    """
    path = folder / name
    if _exists(path):
        return path
    path = folder / name.replace("\\", "/")
    if _exists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if not _exists(found / part):
            part = _names_in(found).get(unicodedata.normalize("NFC", part), "")
            if not part:
                return None
        found /= part
    return found if _exists(found) else None


def _names_in(folder: Path) -> dict[str, str]:
    """Return the names in a folder as they are, by their Unicode form C."""
    try:
        return {unicodedata.normalize("NFC", each.name): each.name for each in folder.iterdir()}
    except OSError:
        return {}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


_FIELDS = ("label", "speaker", "split", "take", "_")
"""Of a pattern."""
_WORDS = """
backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine
no off on one right seven sheila six stop three tree two up visual wow yes zero
"""
COMMON_WORDS = frozenset(_WORDS.split())
"""The words of Speech Commands: a folder of such a name is a label."""
