"""Answers and messages of a data set and a model whose names were chosen to break outputs.

What is written, here and in ``test_hostile_reports``, has one record a record, no character that a
terminal obeys, no formula that a spreadsheet runs and no markup; and it gives the names back to a
program that reads it.
"""

import html
import re
import subprocess

from hostile_names import (
    HIGH,
    LONG,
    LOW,
    MODEL,
    NOT_UTF_8,
    RECORDING,
    check_people,
    check_plain,
    clips_of,
    read_csv,
    read_json,
)

from speechcls.text import unescape


def test_predict_in_lines_of_tabs(hostile, ask):
    clips = clips_of(hostile, LOW)
    lines = ask("predict", *clips, "-m", MODEL, "--top-k", "9").splitlines()
    rows = [[unescape(cell) for cell in line.split("\t")] for line in lines]
    assert [row[0] for row in rows] == clips
    assert {row[1] for row in rows} == {LOW}
    assert all({HIGH, LOW, LONG} <= set(row[1::2]) for row in rows)


def test_predict_as_csv(hostile, ask):
    clips = clips_of(hostile, HIGH)
    rows = read_csv(ask("predict", *clips, "-m", MODEL, "--csv", "--top-k", "4", "--out", "=a.csv")
                    or (hostile / "=a.csv").read_text(errors="surrogateescape"))  # fmt: skip
    assert [row["path"] for row in rows] == clips
    assert {row["label"] for row in rows} == {HIGH}
    ask("predict", *clips, "-m", MODEL, "--csv", "--raw", "--out", "raw.csv")
    raw = (hostile / "raw.csv").read_bytes().decode("utf-8", "surrogateescape")
    assert [row["path"] for row in read_csv(raw, is_raw=True)] == clips


def test_predict_as_json(hostile, ask):
    clips = clips_of(hostile, HIGH)[:5]
    rows = [read_json(line) for line in ask("predict", *clips, "-m", MODEL, "--json").splitlines()]
    assert [row["path"] for row in rows] == clips
    assert all({HIGH, LOW, LONG} <= set(row["probabilities"]) for row in rows)


def test_raw_without_csv_is_refused(hostile, run):
    result = run("predict", "a.wav", "--raw", cwd=hostile)
    assert (result.code, result.errors) == (2, ["--raw: has no effect on tsv; it is for csv"])
    result = run("detect", "a.wav", "--raw", "--json", cwd=hostile)
    assert (result.code, result.errors) == (2, ["--raw: has no effect on jsonl; it is for csv"])
    result = run("check", "data.jsonl", "--raw", cwd=hostile)
    assert result.code == 2
    assert result.errors == ["--raw: has no effect without --findings or --fix-list"]


def test_detect_in_every_format(hostile, ask):
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
    rows = read_csv((hostile / "events.csv").read_text(errors="surrogateescape"))
    assert [(row["path"], row["label"]) for row in rows] == [(RECORDING, each) for each in found]
    blocks = [block.split("\n") for block in ask(*command, "srt").strip().split("\n\n")]
    assert [unescape(html.unescape(block[2])) for block in blocks] == found
    assert all(len(block) == 3 and "<" not in block[2] for block in blocks)


def test_listen(hostile, ask):
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


def test_bench_and_cache(hostile, ask):
    assert read_json(ask("bench", MODEL, "--json"))["model"]
    ask("cache", "list")
    for line in ask("cache", "list", "--json").splitlines():
        read_json(line)


def test_errors(hostile, ask, call):
    names = [f"{HIGH[:30]}.wav", f"{LOW[:30]}.wav", f"{LONG}.wav", NOT_UTF_8]
    ask("predict", *names, "-m", MODEL, code=1)
    ask("detect", *names, "-m", MODEL, code=1)
    for command, name in zip(("explain", "features", "listen --from", "bench"), names, strict=True):
        ask(*command.split(), name, code=1)
    ask("check", names[0])
    check_plain(call("train", names[0], "-v", cwd=hostile).stderr)  # and the traceback
    ask("predict", "a.wav", f"--{HIGH}", code=2)
    ask("train", "data.jsonl", "--commands", f"{LONG},x", code=1)


def test_settings_of_a_stranger(hostile, ask, tmp_path):
    (tmp_path / "a.toml").write_text('[data]\npattern = "{label}\\u001b\\u009b\\u202e"\n')
    assert '"{label}\\u001b\\u009b\\u202e"' in ask("train", "--config", tmp_path / "a.toml",
                                                  "--show-config")  # fmt: skip
    (tmp_path / "a.toml").write_text('[data]\n"\\u001b[2J\\u202e" = 1\n')
    ask("train", "--config", tmp_path / "a.toml", "data.jsonl", code=2)


def test_progress_in_a_terminal(hostile, run_in_terminal):
    result = run_in_terminal(
        "detect", hostile / RECORDING, "-m", hostile / MODEL, "--out", hostile / "=progress.tsv"
    )
    assert result.code == 0
    assert "0:05" in result.stderr  # the bar was shown
    assert "\x1b[2J" not in result.stderr and "caf\\udce9\\x1b[2J" in result.stderr


def test_synth_and_record(hostile, ask, run):
    out, recorded = "=\x1bsyn", "=\x1brec"
    ask("synth", "=no", "--out", out, "--per-word", "3")
    assert len(list((hostile / out / "=no").iterdir())) == 3
    command = ("--from", RECORDING, "--takes", "2", "--duration", "0.6", "--out", recorded)
    printed = ask("record", "=no", "--speaker", "=ann", *command)
    paths = [unescape(line) for line in printed.splitlines()]
    assert [(hostile / path).is_file() for path in paths] == [True, True]
    # What could not name a folder everywhere is refused, and spelled out.
    for words in (("synth", HIGH, "--out", out), ("record", HIGH, *command)):
        refused = run(*words, cwd=hostile)
        assert (refused.code, refused.stdout) == (2, "")
        check_people(refused.stderr)
        assert "\\x1b[31m" in refused.stderr


def test_the_next_command_is_one_that_a_shell_takes(hostile, run, tmp_path):
    for out in ("=\x1bsyn", "my data"):
        made = run("synth", "no", "--out", out, "--per-word", "3", cwd=tmp_path)
        steps = made.stderr.partition("next: ")[2].replace("speechcls:", "").splitlines()
        assert [step.split()[1] for step in steps] == ["synth", "check", "train"]
        for step in steps:
            command = re.sub("speechcls (check|train|synth _unknown_ --out)", "printf %s", step)
            command = command.removesuffix(" --per-word 3")
            printed = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
            assert printed.stdout.decode() == out


def test_verify(hostile, ask, run):
    foreign = hostile / MODEL / HIGH.replace("/", "_")
    foreign.write_text("x")
    rows = [line.split("\t") for line in ask("verify", MODEL).splitlines()]
    assert {row[0] for row in rows} == {"ok"}
    [note] = [
        line for line in run("verify", MODEL, cwd=hostile).stderr.splitlines() if "not a" in line
    ]
    foreign.unlink()
    assert note.startswith("speechcls: =1+1\\x1b[31m\\u202e\\x9b<script>")
