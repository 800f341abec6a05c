"""Names that were chosen to break outputs, a data set of them, and what an output may not be."""

import csv
import html
import io
import json
import os
import re
import unicodedata
import xml.etree.ElementTree as ElementTree

import numpy as np
import soundfile

from speechcls.text import from_csv_cell

HIGH = "=1+1\x1b[31m\u202e\x9b<script>alert(1)<b>$'"
LOW = "@a\tb\nspeechcls: error: forged\r\x07[red]\u2028," + "l" * 200
LONG = "+" + "x" * 10_000
PITCH_HZ = {HIGH: 1_600, LOW: 400, LONG: 800}
N_CLIPS = {HIGH: 48, LOW: 48, LONG: 8}
SPEAKER = "-2+3\x1b]0;title\x07\u200f"
NOT_UTF_8 = os.fsdecode(b"=1 caf\xe9\x1b[2J\n")
RECORDING = f"{NOT_UTF_8}.wav"
MODEL = "=model\x1b[0m"
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def make_beep(label, seed):
    """(4_000,) of a quarter of a second at 16 kHz, whose pitch wavers."""
    rng = np.random.default_rng([seed, PITCH_HZ[label]])
    frequency = PITCH_HZ[label] * rng.uniform(0.95, 1.05) * np.ones(4_000)
    frequency *= np.interp(np.linspace(0, 4, 4_000), np.arange(5), rng.uniform(0.98, 1.02, 5))
    return rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * np.cumsum(frequency) / 16_000)


def write_sound(path, said, duration_s, seed):
    """Write noise in which a word begins at each of some seconds."""
    samples = np.random.default_rng(seed).normal(0.0, 0.005, round(duration_s * 16_000))
    for n, (start_s, label) in enumerate(said):
        start = round(start_s * 16_000)
        samples[start : start + 4_000] += make_beep(label, seed + n)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # soundfile takes no name that is not UTF-8
        soundfile.write(file, samples, 16_000, format="WAV")


def write_data(path):
    """Write ``data.jsonl`` and its recordings, a long recording, and noise."""
    lines = []
    for label in PITCH_HZ:
        for n in range(N_CLIPS[label]):
            clip = path / "=data" / label[:30].replace("/", "_") / f"{NOT_UTF_8}{n}.wav"
            write_sound(clip, [(0.175, label)], 0.6, n)
            speaker = LONG if n < 4 else f"{SPEAKER}{n % 12}"
            lines.append({"path": str(clip.relative_to(path)), "label": label, "speaker": speaker})
    (path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = [(1.0, HIGH), (2.0, LOW), (3.0, HIGH), (4.0, LOW)]
    write_sound(path / RECORDING, said, 5.5, 1_000)
    write_sound(path / "=noise" / RECORDING, [], 20.0, 2_000)


def is_control(character):
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in BIDI


def check_plain(text, allowed="\n"):
    """Nothing in it is obeyed by a terminal."""
    assert not {ascii(c) for c in text if is_control(c)} - {ascii(c) for c in allowed}


def check_people(text):
    check_plain(text)
    assert all(line.startswith(("speechcls: ", "  ")) for line in text.splitlines())
    assert "speechcls: error: forged" not in re.sub(r"\\nspeechcls: error: forged", "", text)
    assert max(map(len, text.splitlines()), default=0) < 2_100


def read_csv(text, is_raw=False):
    """Return the rows of CSV, as they were before they were escaped."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if is_raw:
        return rows
    check_plain(text, "\n\t\r")
    cells = [cell or "" for row in rows for item in row.items() for cell in item]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not is_number(cell)]
    return [{k: from_csv_cell(v) for k, v in row.items()} for row in rows]


def is_number(text):
    return text == "" or re.fullmatch(r"-?\d+(\.\d+)?(e-\d+)?", text)


def read_json(text):
    def refuse(name):
        raise AssertionError(name)

    text.encode("ascii")
    return json.loads(text, parse_constant=refuse)


def check_page(path):
    page = path.read_bytes().decode("utf-8")
    check_plain(page)
    assert "<script>alert" not in page and "<b>" not in page
    assert HIGH not in html.unescape(page)
    assert "&lt;script&gt;alert" in page or "\\u003cscript\\u003ealert" in page


def check_picture(path):
    check_plain(path.read_bytes().decode("utf-8"))
    text = "".join(ElementTree.parse(path).getroot().itertext())
    assert max(map(len, text.splitlines())) < 200


def clips_of(place, label):
    [folder] = [f for f in (place / "=data").iterdir() if f.name == label[:30]]
    return sorted(str(path.relative_to(place)) for path in folder.iterdir())
