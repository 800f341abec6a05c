"""Names that people give to splits, labels and files, and what each of them is here."""

import os
import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import NamedTuple

from speechcls.audio.sniff import SUFFIXES
from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import NOISE_FOLDER

_SPLITS = {
    "train": (
        *("train", "training", "trainingsdaten", "entraînement", "apprentissage"),
        *("entrenamiento", "训练", "训练集"),
    ),
    "validation": (
        *("val", "valid", "validation", "dev", "development", "validierung", "validierungsdaten"),
        *("validación", "验证", "验证集"),
    ),
    "test": ("test", "testing", "testdaten", "prueba", "pruebas", "测试", "测试集"),
}
"""Names of folders, of files without ending and of values in a column, in lower case."""
_SPLIT_OF = {name: split for split, names in _SPLITS.items() for name in names}
_EVAL = ("eval", "evaluation")
"""The test where something else is called validation, else the validation."""
_BESIDE = """
audio augmented clean clips data files full list lists mini noisy original other raw recordings
samples set small sounds split wav wavs
"""
_OF_DATA = frozenset(_BESIDE.split())
"""What may stand beside it, as in ``test_set``, ``audio-train`` or ``dev-clean``."""
_WORD = re.compile(r"[^\W\d_]+")


class SplitName(NamedTuple):
    """What a name says that has a split in it."""

    split: str
    rest: str
    """What the name is without the split, where the names of one set differ in more than that."""


def read_split_names(names: Collection[str]) -> dict[str, SplitName] | None:
    """Return the split in each of several names; None unless all have one.

    Names as ``yes_train`` and ``no_test`` have a label besides.
    """
    words = {name: _WORD.findall(name.casefold()) for name in names}
    has_validation = any(
        _SPLIT_OF.get(word) == "validation" for own in words.values() for word in own
    )
    split_of = _SPLIT_OF | dict.fromkeys(_EVAL, "test" if has_validation else "validation")
    rests = {name: [w for w in own if w not in split_of] for name, own in words.items()}
    if any(len(words[name]) - len(rest) != 1 for name, rest in rests.items()):
        return None
    common = set.intersection(*map(set, rests.values())) if len(rests) > 1 else set()
    found = {}
    for name, own in words.items():
        [word] = [w for w in own if w in split_of]
        rest = re.sub(rf"(?i)[\W_]*{re.escape(word)}[\W_]*", " ", name).strip()
        is_pure = set(rests[name]) <= _OF_DATA | common
        found[name] = SplitName(split_of[word], "" if is_pure else rest)
    labels, splits = {each.rest for each in found.values()}, {each.split for each in found.values()}
    is_clear = labels == {""} or ("" not in labels and len(labels) > 1 and len(splits) > 1)
    return found if is_clear else None


def split_of_name(name: str) -> str | None:
    """Return the split that a name in any case stands for; None where it is none."""
    found = read_split_names([name])
    return found[name].split if found and not found[name].rest else None


def is_of_data(name: str) -> bool:
    """Return whether a name says how recordings were made or kept, as ``clean``; no speaker."""
    return set(_WORD.findall(name.casefold())) <= _OF_DATA


def clean_label(name: str) -> str:
    """Return a label in Unicode form C, without blanks at its ends."""
    return unicodedata.normalize("NFC", name).strip()


class NameMatcher:
    """Reads label and speaker out of a path by a pattern."""

    def __init__(self, pattern: str) -> None:
        stem, ending = os.path.splitext(pattern)  # noqa: PTH122 - it is no path
        pattern = (stem if ending.lower() in SUFFIXES else pattern).replace("\\", "/")
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
        self._expression, self._longest = (
            re.compile(
                "".join(
                    re.escape(piece)
                    if i % 2 == 0
                    else f"[^/]+{lazy}"
                    if piece == "_"
                    else f"(?P<{piece}>[^/]+{lazy})"
                    for i, piece in enumerate(pieces)
                )
            )
            for lazy in ("?", "")
        )
        self._n_parts = pattern.count("/") + 1

    def __call__(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        """Return the fields of a path's parts, without ending; None where it does not match."""
        match = self._expression.fullmatch("/".join(parts[-self._n_parts :]))
        return match.groupdict() if match else None

    def label_otherwise(self, parts: tuple[str, ...]) -> str | None:
        """Return the label if the first fields were the longest, not the shortest; None without."""
        match = self._longest.fullmatch("/".join(parts[-self._n_parts :]))
        return match.groupdict().get("label") if match else None


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
        if not ours or "=" not in text or ours in columns:
            fault = "names a column twice" if ours in columns else "is not as path=file"
            raise ConfigError(f"{text!r} {fault}", field="columns")
        columns[ours] = theirs
    return columns


def is_noise_folder(name: str) -> bool:
    """Return whether a folder of this name holds background noise."""
    return "_".join(re.findall(r"[^\W_]+", name.casefold())) == NOISE_FOLDER.strip("_")


_FIELDS = ("label", "speaker", "split", "take", "_")
"""Of a pattern."""
_WORDS = """
backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine
no off on one right seven sheila six stop three tree two up visual wow yes zero
"""
COMMON_WORDS = frozenset(_WORDS.split())
"""The words of Speech Commands: a folder of such a name is a label."""
