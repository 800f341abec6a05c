"""Text of strangers, made safe to write: names of files, labels, speakers, errors of libraries.

Whoever made a recording, a manifest or a model chose such text. The rules for it are here and
nowhere else: ``printable``, ``shorten`` and ``counted`` are for people, ``escape`` for a cell of a
line, ``csv_cell`` for a cell of CSV, ``json_text`` for JSON, ``markdown`` and ``yaml_text`` for
cards. ``unescape`` and ``from_csv_cell`` give back what the text was, whatever it was.
"""

import math
import re
from typing import Any

_HARMLESS = "\u00a0\u200c\u200d"
"""The no-break space, and the joiners of letters in some scripts: not printable, yet harmless."""
_IN_CELLS = "\t\n\r"
"""Controls that CSV can hold, in a cell that is quoted."""
_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks and overrides of the direction of writing, which show a name as another one."""
_UNSEEN = f"\x7f-\x9f\u2028\u2029{_DIRECTIONS}"
"""Controls above ASCII, as its own that a terminal obeys, and ends of lines."""
_CONTROL = re.compile(f"[\0-\x1f{_UNSEEN}]")
_CONTROL_IN_CSV = re.compile(f"[\0-\x08\x0b\x0c\x0e-\x1f{_UNSEEN}]")
_RAW_IN_JSON = re.compile(f"[{_UNSEEN}\ud800-\udfff]")
_SPECIAL = re.compile(rf"[\\'\0-\x1f{_UNSEEN}]")
_LETTERS = {"\t": "t", "\n": "n", "\r": "r", "\\": "\\", "'": "'"}
_CHARACTERS = {letter: character for character, letter in _LETTERS.items()}
_USER = re.compile(r"(?<=://)[^/?#\s'\"@]*@")
_QUERY = re.compile(r"(?<=\w)(://[^\s'\"?]*)\?([^\s'\"]*)")
SIGNED = re.compile(r"sign|token|secret|passw|cred|auth|polic|key|sig=", re.I)
"""What the names of parameters have in common that let whoever knows an address in."""
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|([tnr\\']))")
_ESCAPED = re.compile(rf"\$'(?:[^\\']|{_ESCAPE.pattern})*'")
_FORMULA = re.compile(r"'*(?:[\t\n\r]|\s*[=+\-@＝＋－＠])(?=.)", re.DOTALL)
"""What spreadsheets take for a formula, wide characters of Japanese ones too, or a guard of it."""
_MARKUP = re.compile(r"[!#$&()*<>@\[\\\]^_`{|}~]|:(?=/)|(?<=[wW]{3})\.")
"""What Markdown may take for markup within a line, and takes as it is behind a backslash."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def printable(text: str) -> str:
    """Return text with control characters, which move a cursor or break a page, spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _HARMLESS else ascii(c)[1:-1] for c in text)


def without_credentials(text: str) -> str:
    """Return text whose addresses have no user, password or signed query any more."""
    if "://" not in text:
        return text

    def hide(match: re.Match[str]) -> str:
        return f"{match[1]}?..." if SIGNED.search(match[2]) else match[0]

    return _QUERY.sub(hide, _USER.sub("", text))


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 clip``, ``2,000 clips``.

    Parameters
    ----------
    plural : where it is not the noun and an s
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def shorten(text: str, longest: int) -> str:
    """Return text without its middle if it is longer than ``longest`` characters."""
    if len(text) <= longest:
        return text
    gap = " [...] "
    n_start = (longest - len(gap) + 1) // 2
    return text[:n_start] + gap + text[len(text) - (longest - len(gap) - n_start) :]


def escape(text: str) -> str:
    r"""Return text as a cell of a line, in which nothing but its ends separates or controls.

    Text without control characters is itself. Any other, and what begins with ``$'``, is written as
    shells write it: ``$'a\tb'``, with ``\t \n \r \\ \'``, ``\xHH`` and ``\uHHHH``. No two texts
    are written alike. A name that is not UTF-8 stays the bytes that it is made of.
    """
    if not (_CONTROL.search(text) or text.startswith("$'")):
        return text

    def spell(match: re.Match[str]) -> str:
        character = match[0]
        if character in _LETTERS:
            return f"\\{_LETTERS[character]}"
        code = ord(character)  # from 0x80 on \x would be a byte, not a character
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"

    return f"$'{_SPECIAL.sub(spell, text)}'"


def unescape(cell: str) -> str:
    """Return the text that ``escape`` wrote; what it did not write is returned as it is."""
    if not (cell.startswith("$'") and _ESCAPED.fullmatch(cell)):
        return cell
    return _ESCAPE.sub(
        lambda match: _CHARACTERS[match[3]] if match[3] else chr(int(match[1] or match[2], 16)),
        cell[2:-1],
    )


def shell_line(*words: Any) -> str:
    """Return words, as texts or paths, as a line that a shell splits into them again."""
    import shlex  # late: few commands print one

    texts = [str(word) for word in words]
    return " ".join(escape(text) if _CONTROL.search(text) else shlex.quote(text) for text in texts)


def csv_cell(value: Any) -> Any:
    """Return a value as a cell of CSV that no spreadsheet runs and no terminal obeys.

    Text that a spreadsheet would take for a formula gets a ``'`` before it; a number is none. Text
    with control characters other than tab and line ends, which CSV quotes, is written as by
    ``escape``. All other values are themselves.
    """
    if not isinstance(value, str):
        return value
    if _CONTROL_IN_CSV.search(value) or value.startswith("$'"):
        return escape(value)
    is_formula = _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def from_csv_cell(cell: str) -> str:
    """Return the text that ``csv_cell`` wrote as ``cell``."""
    if cell.startswith("'") and _FORMULA.match(cell):
        return cell[1:]
    return unescape(cell)


def markdown(text: str) -> str:
    """Return text for within a line of Markdown, or a cell, in which none of it is markup."""
    spelled = printable(text).strip() or "blank"
    return _MARKUP.sub(r"\\\g<0>", spelled)


def yaml_text(text: str) -> str:
    """Return text as a quoted scalar of YAML, with control characters spelled out."""
    return json_text(printable(text), ensure_ascii=False)


def json_text(content: Any, indent: int | None = None, ensure_ascii: bool = True) -> str:
    r"""Return content as JSON, in which numbers that are not finite are null.

    Its text is valid in UTF-8, and no control character stands in it as it is: a byte of a name
    that is not UTF-8 is the escape of a surrogate, as Python reads it back.
    """
    import json  # late: every message needs this module, and few commands write JSON

    try:
        text = json.dumps(content, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    except ValueError:
        finite = _without_nan(content)
        text = json.dumps(finite, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    return text if ensure_ascii else _RAW_IN_JSON.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _without_nan(content: Any) -> Any:
    """Return JSON-ready content with None for each number that is not finite."""
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
