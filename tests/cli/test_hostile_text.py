"""Every output of a data set and a model whose names were chosen to break outputs.

What is written has one record a record, no character that a terminal obeys, no formula that a
spreadsheet runs and no markup; and it gives the names back to a program that reads it.
"""

import csv
import html
import io
import json
import os
import re
import subprocess
import unicodedata
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import soundfile

from speechcls.layouts.load import load_dataset
from speechcls.text import from_csv_cell, unescape

SMALL = ("--hidden-size", "16", "--num-layers", "1", "--batch-size", "16", "--lr", "0.01")
SMALL += ("--epoch-clips", "1", "--ema-decay", "0", "--closed", "--streaming", "--epochs", "24")
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


@pytest.fixture(scope="module")
def place(tmp_path_factory, run):
    """A folder with ``data.jsonl`` and its recordings, a model, a long recording, and noise."""
    path = tmp_path_factory.mktemp("hostile")
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
    options = (*SMALL, "--noise", "=noise", "--out", MODEL)
    trained = run("train", "data.jsonl", *options, cwd=path)
    assert trained.code == 0, trained.stderr
    check_people(trained.stderr)
    assert trained.stdout == "$'=model\\x1b[0m'\n"
    return path


@pytest.fixture
def ask(place, run):
    """Run a command there; return what it printed, once stdout and stderr are checked."""

    def ask(*arguments, code=0):
        result = run(*arguments, cwd=place)
        assert result.code in ((0, 1) if arguments[0] == "check" else (code,)), result.stderr
        check_plain(result.stdout, "\n\t")
        check_people(result.stderr)
        return result.stdout

    return ask


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


def test_predict_in_lines_of_tabs(place, ask):
    clips = clips_of(place, LOW)
    lines = ask("predict", *clips, "-m", MODEL, "--top-k", "9").splitlines()
    rows = [[unescape(cell) for cell in line.split("\t")] for line in lines]
    assert [row[0] for row in rows] == clips
    assert {row[1] for row in rows} == {LOW}
    assert all({HIGH, LOW, LONG} <= set(row[1::2]) for row in rows)


def test_predict_as_csv(place, ask):
    clips = clips_of(place, HIGH)
    rows = read_csv(ask("predict", *clips, "-m", MODEL, "--csv", "--top-k", "4", "--out", "=a.csv")
                    or (place / "=a.csv").read_text(errors="surrogateescape"))  # fmt: skip
    assert [row["path"] for row in rows] == clips
    assert {row["label"] for row in rows} == {HIGH}
    ask("predict", *clips, "-m", MODEL, "--csv", "--raw", "--out", "raw.csv")
    raw = (place / "raw.csv").read_bytes().decode("utf-8", "surrogateescape")
    assert [row["path"] for row in read_csv(raw, is_raw=True)] == clips


def test_predict_as_json(place, ask):
    clips = clips_of(place, HIGH)[:5]
    rows = [read_json(line) for line in ask("predict", *clips, "-m", MODEL, "--json").splitlines()]
    assert [row["path"] for row in rows] == clips
    assert all({HIGH, LOW, LONG} <= set(row["probabilities"]) for row in rows)


def test_raw_without_csv_is_refused(place, run):
    result = run("predict", "a.wav", "--raw", cwd=place)
    assert (result.code, result.errors) == (2, ["--raw: has no effect on tsv; it is for csv"])
    result = run("detect", "a.wav", "--raw", "--json", cwd=place)
    assert (result.code, result.errors) == (2, ["--raw: has no effect on jsonl; it is for csv"])
    result = run("check", "data.jsonl", "--raw", cwd=place)
    assert result.code == 2
    assert result.errors == ["--raw: has no effect without --findings or --fix-list"]


def test_detect_in_every_format(place, ask):
    command = ("detect", RECORDING, "-m", MODEL, "--threshold", "0.5", "--format")
    events = [read_json(line) for line in ask(*command, "jsonl").splitlines()]
    found = [event["label"] for event in events]
    assert {HIGH, LOW} <= set(found)
    assert {event["path"] for event in events} == {RECORDING}
    rows = [line.split("\t") for line in ask(*command, "tsv").splitlines()]
    assert [unescape(row[3]) for row in rows] == found
    assert {unescape(row[0]) for row in rows} == {RECORDING}
    rows = [line.split("\t") for line in ask(*command, "audacity").splitlines()]
    assert [unescape(row[2]) for row in rows] == found
    ask(*command, "csv", "--out", "events.csv")
    rows = read_csv((place / "events.csv").read_text(errors="surrogateescape"))
    assert [(row["path"], row["label"]) for row in rows] == [(RECORDING, each) for each in found]
    blocks = [block.split("\n") for block in ask(*command, "srt").strip().split("\n\n")]
    assert [unescape(html.unescape(block[2])) for block in blocks] == found
    assert all(len(block) == 3 and "<" not in block[2] for block in blocks)


def test_listen(place, ask):
    command = (
        "listen",
        "--from",
        RECORDING,
        "--speed",
        "0",
        "-m",
        MODEL,
        "--exec",
        "false {label}",
    )
    rows = [line.split("\t") for line in ask(*command).splitlines()]
    assert {HIGH, LOW} <= {unescape(row[1]) for row in rows}
    rows = [read_json(line) for line in ask(*command, "--json").splitlines()]
    assert {HIGH, LOW} <= {row["label"] for row in rows}


def test_kept_events_and_their_review(place, ask):
    command = ("detect", RECORDING, "-m", MODEL, "--threshold", "0.5", "--save-events", "=kept")
    found = [unescape(line.split("\t")[3]) for line in ask(*command).splitlines()]
    kept = place / "=kept"
    names = {path.name for path in kept.iterdir()} - {"events.jsonl"}
    assert all(re.fullmatch(r"\d{6}\.wav", name) for name in names)
    events = [read_json(line) for line in (kept / "events.jsonl").read_text().splitlines()]
    assert [event["label"] for event in events] == found
    assert {event["source"] for event in events} == {str(place / RECORDING)}
    rows = [
        [unescape(cell) for cell in row.split("\t")] for row in ask("review", "=kept").splitlines()
    ]
    assert [(row[1], row[5]) for row in rows] == [(each, str(place / RECORDING)) for each in found]
    ask("review", "=kept", "--page")
    check_page(kept / "review.html")
    ask("review", "=kept", "--missed", SPEAKER, RECORDING, "1", code=2)
    ask("review", "=kept", "--import", NOT_UTF_8, code=1)


def test_check(place, ask):
    ask("check", "data.jsonl", "--html", "check.html", "--findings", "=f.csv")
    result = read_json(ask("check", "data.jsonl", "--json"))
    assert set(result["labels"]) == {HIGH, LOW, LONG}
    check_page(place / "check.html")
    findings = read_csv((place / "=f.csv").read_text(errors="surrogateescape"))
    assert {row["label"] for row in findings} <= {HIGH, LOW, LONG}
    assert {row["path"] for row in findings} == {row["path"] for row in result["findings"]}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("raw", [(), ("--raw",)])
def test_a_fix_list_is_read_back(ending, raw, place, call, tmp_path):
    """Its names are UTF-8: CSV cannot hold others, which is an error of its own."""
    lines = [json.loads(line) for line in (place / "data.jsonl").read_text().splitlines()]
    for n, row in enumerate(lines):
        clip = tmp_path / "=data\x1b" / f"@{n}\t.wav"
        clip.parent.mkdir(exist_ok=True)
        clip.symlink_to(place / row["path"])
        row["path"] = str(clip)
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    good = tmp_path / f"=good.{ending}"
    assert call("check", tmp_path / "data.jsonl", "--fix-list", good, "-q", *raw).code in (0, 1)
    if not raw:
        check_plain(good.read_text(), "\n\t\r")
    read, written = load_dataset(good), load_dataset(tmp_path / "data.jsonl")
    known = {(each.path, each.label, each.speaker) for each in written.examples}
    found = {(each.path, each.label, each.speaker) for each in read.examples}
    assert read.problems == []
    assert found <= known and len(found) > 90


def test_evaluate_and_its_report(place, ask):
    command = ("evaluate", "data.jsonl", "--noise", "=noise", "-m", MODEL, "--split", "train")
    ask(*command)
    scores = read_json(ask(*command, "--json", "--report", "=out"))
    assert {HIGH, LOW, LONG} <= set(scores["per_label"])
    ask("report", "=out")
    check_page(place / "=out" / "report.html")
    read_json((place / "=out" / "predictions.json").read_text())
    tables = sorted((place / "=out" / "tables").glob("*.csv"))
    assert len(tables) >= 10
    for table in tables:
        read_csv(table.read_text(errors="surrogateescape"))
    for picture in (place / "=out" / "figures").glob("*.svg"):
        check_picture(picture)
    rows = read_csv((place / "=out" / "tables" / "by_label.csv").read_text())
    assert {HIGH, LOW, LONG} <= {row["label"] for row in rows}


def test_the_files_of_the_model(place):
    for name in ("config.json", "metrics.json"):
        check_plain((place / MODEL / name).read_text())
    labels = json.loads((place / MODEL / "config.json").read_text())["labels"]
    assert {HIGH, LOW, LONG} <= set(labels)
    rows = read_csv((place / MODEL / "split.csv").read_text(errors="surrogateescape"))
    assert {HIGH, LOW, LONG} <= {row["label"] for row in rows}
    assert LONG in {row["speaker"] for row in rows}


def test_compare(place, ask):
    if not (place / "+m").exists():
        (place / "+m").symlink_to(place / MODEL)
    command = ("compare", MODEL, "+m", "--data", "data.jsonl")
    ask(*command, "--differences", "=d.csv", "--out", "=pictures")
    read_csv((place / "=d.csv").read_text(errors="surrogateescape"))
    for picture in (place / "=pictures").glob("*.svg"):
        check_picture(picture)
    result = read_json(ask(*command, "--no-speed", "--json"))
    assert [each["name"] for each in result["models"]] == [MODEL, "+m"]


def test_mix_and_a_long_recording(place, ask):
    ask("mix", "data.jsonl", "--noise", "=noise", "--minutes", "0.5", "--out", "=mix", "-m", MODEL)
    rows = read_csv((place / "=mix" / "truth.csv").read_text(errors="surrogateescape"))
    assert {row["label"] for row in rows} & {HIGH, LOW}
    check_plain((place / "=mix" / "truth.txt").read_text(errors="surrogateescape"), "\n\t")
    command = ("evaluate", "--stream", "=mix/recording.wav", "-m", MODEL, "--truth")
    ask(*command, "=mix/truth.txt")
    result = read_json(ask(*command, "=mix/truth.txt", "--json"))
    assert {row["label"] for row in rows} <= {HIGH, LOW, LONG} == set(result["per_label"])


def test_calibrate(place, ask):
    command = ("calibrate", "--noise", "=noise", "-m", MODEL)
    rows = [line.split("\t") for line in ask(*command).splitlines()]
    assert {unescape(row[0]) for row in rows} == {HIGH, LOW, LONG}
    assert set(read_json(ask(*command, "--json"))["thresholds"]) == {HIGH, LOW, LONG}
    check_plain((place / MODEL / "calibration.json").read_text())


def test_explain_and_features(place, ask):
    printed = ask("explain", clips_of(place, HIGH)[0], "-m", MODEL, "--html", "=e.html", "--out",
                  "=\x1be.svg")  # fmt: skip
    assert [unescape(line) for line in printed.splitlines()] == ["=\x1be.svg", "=e.html"]
    check_page(place / "=e.html")
    check_picture(place / "=\x1be.svg")
    ask("features", RECORDING, "--out", "=features.svg")
    check_picture(place / "=features.svg")


def test_bench_and_cache(place, ask):
    assert read_json(ask("bench", MODEL, "--json"))["model"]
    ask("cache", "list")
    for line in ask("cache", "list", "--json").splitlines():
        read_json(line)


def test_errors(place, ask, run):
    names = [f"{HIGH[:30]}.wav", f"{LOW[:30]}.wav", f"{LONG}.wav", NOT_UTF_8]
    ask("predict", *names, "-m", MODEL, code=1)
    ask("detect", *names, "-m", MODEL, code=1)
    for command, name in zip(("explain", "features", "listen --from", "bench"), names, strict=True):
        ask(*command.split(), name, code=1)
    ask("check", names[0])
    check_plain(run("train", names[0], "-v", cwd=place).stderr)  # and the traceback
    ask("predict", "a.wav", f"--{HIGH}", code=2)
    ask("train", "data.jsonl", "--commands", f"{LONG},x", code=1)


def test_settings_of_a_stranger(place, ask, tmp_path):
    (tmp_path / "a.toml").write_text('[data]\npattern = "{label}\\u001b\\u009b\\u202e"\n')
    assert '"{label}\\u001b\\u009b\\u202e"' in ask("train", "--config", tmp_path / "a.toml",
                                                  "--show-config")  # fmt: skip
    (tmp_path / "a.toml").write_text('[data]\n"\\u001b[2J\\u202e" = 1\n')
    ask("train", "--config", tmp_path / "a.toml", "data.jsonl", code=2)


def test_progress_in_a_terminal(place, run_in_terminal):
    result = run_in_terminal(
        "detect", place / RECORDING, "-m", place / MODEL, "--out", place / "=progress.tsv"
    )
    assert result.code == 0
    assert "0:05" in result.stderr  # the bar was shown
    assert "\x1b[2J" not in result.stderr and "caf\\udce9\\x1b[2J" in result.stderr


def test_synth_and_record(place, ask, run):
    out, recorded = "=\x1bsyn", "=\x1brec"
    ask("synth", "=no", "--out", out, "--per-word", "3")
    assert len(list((place / out / "=no").iterdir())) == 3
    command = ("--from", RECORDING, "--takes", "2", "--duration", "0.6", "--out", recorded)
    printed = ask("record", "=no", "--speaker", "=ann", *command)
    paths = [unescape(line) for line in printed.splitlines()]
    assert [(place / path).is_file() for path in paths] == [True, True]
    # What could not name a folder everywhere is refused, and spelled out.
    for words in (("synth", HIGH, "--out", out), ("record", HIGH, *command)):
        refused = run(*words, cwd=place)
        assert (refused.code, refused.stdout) == (2, "")
        check_people(refused.stderr)
        assert "\\x1b[31m" in refused.stderr


def test_the_next_command_is_one_that_a_shell_takes(place, run, tmp_path):
    for out in ("=\x1bsyn", "my data"):
        made = run("synth", "no", "--out", out, "--per-word", "3", cwd=tmp_path)
        [line] = [line for line in made.stderr.splitlines() if "next: " in line]
        command = line.partition("next: ")[2].replace("speechcls train", "printf %s")
        printed = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
        assert printed.stdout.decode() == out


def test_verify(place, ask, run):
    foreign = place / MODEL / HIGH.replace("/", "_")
    foreign.write_text("x")
    rows = [line.split("\t") for line in ask("verify", MODEL).splitlines()]
    assert {row[0] for row in rows} == {"ok"}
    [note] = [
        line for line in run("verify", MODEL, cwd=place).stderr.splitlines() if "not a" in line
    ]
    foreign.unlink()
    assert note.startswith("speechcls: =1+1\\x1b[31m\\u202e\\x9b<script>")
