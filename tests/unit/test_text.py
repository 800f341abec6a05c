"""Text of strangers: what is written of it, and that it comes back."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechcls.text import (
    counted,
    csv_cell,
    escape,
    from_csv_cell,
    json_text,
    printable,
    shorten,
    unescape,
)

ODD = st.text(st.sampled_from("a'$\\=-+@1.tnx \t\n\r\0\x1b\x07\x7f\x85\x9b\u2028\u202e\udcff＝é"))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_control(character):
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in BIDI


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a b/c.wav", "a b/c.wav"),
        (r"C:\new\take.wav", r"C:\new\take.wav"),  # unchanged: scripts open what they read
        ("it's $HOME", "it's $HOME"),
        ("caf\udce9", "caf\udce9"),
        ("שלום 👩\u200d👧", "שלום 👩\u200d👧"),
        ("a\tb", r"$'a\tb'"),
        ("it's\n\\", r"$'it\'s\n\\'"),
        ("\r\0\x1b[31m\x07\x7f", r"$'\r\x00\x1b[31m\x07\x7f'"),
        ("\x85\u009b\u2028", r"$'\u0085\u009b\u2028'"),
        ("txt\u202egpj", r"$'txt\u202egpj'"),
        ("$'a\\tb'", r"$'$\'a\\tb\''"),
        ("", ""),
    ],
)
def test_a_cell_of_a_line(text, cell):
    assert escape(text) == cell
    assert unescape(cell) == text


@given(st.text() | ODD)
def test_a_cell_of_a_line_holds_no_control_and_comes_back(text):
    cell = escape(text)
    assert not any(map(is_control, cell))
    assert unescape(cell) == text
    if not any(map(is_control, text)) and not text.startswith("$'"):
        assert cell == text


@given(ODD)
@example("$'a")
@example(r"$'\q'")
def test_what_was_not_escaped_is_itself(text):
    if not re.fullmatch(r"\$'.*'", text, re.DOTALL):
        assert unescape(text) == text
    assert unescape(r"$'\q'") == r"$'\q'"


def test_a_shell_reads_it_too():
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here, whose quoting this is")
    name = "it's\ta\n\\n\x1b[0m\u202e\x85 $HOME `id`.wav"
    done = subprocess.run(
        [bash, "-c", f"printf %s {escape(name)}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.decode() == name


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("=\x1b", r"$'=\x1b'"),
        ("-3.5", "-3.5"),
        ("+1e-05", "+1e-05"),
        ("-", "-"),  # stdin
        ("'tis", "'tis"),
        ("a=b", "a=b"),
        ("two\nlines", "two\nlines"),  # CSV quotes them
        ("\x1b[2J", r"$'\x1b[2J'"),
        (-3.5, -3.5),
        (None, None),
    ],
)
def test_a_cell_of_csv(value, cell):
    assert csv_cell(value) == cell
    if isinstance(value, str):
        assert from_csv_cell(cell) == value


@given(st.text() | ODD)
def test_a_cell_of_csv_is_no_formula_and_comes_back(text):
    cell = csv_cell(text)
    assert from_csv_cell(cell) == text
    assert not any(is_control(c) for c in cell if c not in "\t\n\r")
    line = cell.lstrip()
    assert not (line[:1] and line[0] in "=+-@＝＋－＠" and line[1:]) or is_number(line)


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return len(text) == 1


@given(ODD)
def test_csv_comes_back_through_a_reader(text):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow(["x", csv_cell(text)])
    [[_, cell]] = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert from_csv_cell(cell) == text


@given(st.text() | ODD, st.booleans())
def test_json_is_text_without_controls_and_comes_back(text, ensure_ascii):
    written = json_text({text: [text]}, ensure_ascii=ensure_ascii)
    assert not any(map(is_control, written))
    assert json.loads(written.encode()) == {text: [text]}


def test_json_has_no_number_that_is_none():
    content = {"a": [math.nan, (1.0, -math.inf)], "b": {"c": math.inf}, "d": 2}
    assert json_text(content) == '{"a": [null, [1.0, null]], "b": {"c": null}, "d": 2}'
    assert json_text("é\x9b", ensure_ascii=False) == '"é\\u009b"'


def test_what_people_read_is_spelled_out_and_short():
    assert printable("a\x1b[31m\u202e\udcff\n\u00a0b") == "a\\x1b[31m\\u202e\\udcff\\n\u00a0b"
    assert shorten("0123456789" * 2, 20) == "0123456789" * 2
    assert shorten("0123456789" * 3, 20) == "0123456 [...] 456789"


def test_a_number_has_its_noun():
    assert [counted(n, "clip") for n in (0, 1, 2_000)] == ["0 clips", "1 clip", "2,000 clips"]
    assert [counted(n, "box", "boxes") for n in (1, 2)] == ["1 box", "2 boxes"]
