"""Pages, pictures, tables and lists of clips of names that were chosen to break outputs."""

import json
import re

import pytest
from hostile_names import (
    HIGH,
    LONG,
    LOW,
    MODEL,
    NOT_UTF_8,
    RECORDING,
    SPEAKER,
    check_page,
    check_picture,
    check_plain,
    clips_of,
    read_csv,
    read_json,
)

from speechcls.layouts.load import load_dataset
from speechcls.text import unescape


def test_kept_events_and_their_review(hostile, ask):
    command = ("detect", RECORDING, "-m", MODEL, "--threshold", "0.5", "--save-events", "=kept")
    found = [unescape(line.split("\t")[3]) for line in ask(*command).splitlines()]
    kept = hostile / "=kept"
    names = {path.name for path in kept.iterdir()} - {"events.jsonl"}
    assert all(re.fullmatch(r"\d{6}\.wav", name) for name in names)
    events = [read_json(line) for line in (kept / "events.jsonl").read_text().splitlines()]
    assert [event["label"] for event in events] == found
    assert {event["source"] for event in events} == {str(hostile / RECORDING)}
    rows = [
        [unescape(cell) for cell in row.split("\t")] for row in ask("review", "=kept").splitlines()
    ]
    assert [(row[1], row[5]) for row in rows] == [
        (each, str(hostile / RECORDING)) for each in found
    ]
    ask("review", "=kept", "--page")
    check_page(kept / "review.html")
    ask("review", "=kept", "--missed", SPEAKER, RECORDING, "1", code=2)
    ask("review", "=kept", "--import", NOT_UTF_8, code=1)


def test_check(hostile, ask):
    ask("check", "data.jsonl", "--html", "check.html", "--findings", "=f.csv")
    result = read_json(ask("check", "data.jsonl", "--json"))
    assert set(result["labels"]) == {HIGH, LOW, LONG}
    check_page(hostile / "check.html")
    findings = read_csv((hostile / "=f.csv").read_text(errors="surrogateescape"))
    assert {row["label"] for row in findings} <= {HIGH, LOW, LONG}
    assert {row["path"] for row in findings} == {row["path"] for row in result["findings"]}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("raw", [(), ("--raw",)])
def test_a_fix_list_is_read_back(ending, raw, hostile, call, tmp_path):
    """Its names are UTF-8: CSV cannot hold others, which is an error of its own."""
    lines = [json.loads(line) for line in (hostile / "data.jsonl").read_text().splitlines()]
    for n, row in enumerate(lines):
        clip = tmp_path / "=data\x1b" / f"@{n}\t.wav"
        clip.parent.mkdir(exist_ok=True)
        clip.symlink_to(hostile / row["path"])
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


def test_evaluate_and_its_report(hostile, ask):
    command = ("evaluate", "data.jsonl", "--noise", "=noise", "-m", MODEL, "--split", "train")
    ask(*command)
    scores = read_json(ask(*command, "--json", "--report", "=out"))
    assert {HIGH, LOW, LONG} <= set(scores["per_label"])
    ask("report", "=out")
    check_page(hostile / "=out" / "report.html")
    read_json((hostile / "=out" / "predictions.json").read_text())
    tables = sorted((hostile / "=out" / "tables").glob("*.csv"))
    assert len(tables) >= 10
    for table in tables:
        read_csv(table.read_text(errors="surrogateescape"))
    for picture in (hostile / "=out" / "figures").glob("*.svg"):
        check_picture(picture)
    rows = read_csv((hostile / "=out" / "tables" / "by_label.csv").read_text())
    assert {HIGH, LOW, LONG} <= {row["label"] for row in rows}


def test_the_files_of_the_model(hostile):
    for name in ("config.json", "metrics.json"):
        check_plain((hostile / MODEL / name).read_text())
    labels = json.loads((hostile / MODEL / "config.json").read_text())["labels"]
    assert {HIGH, LOW, LONG} <= set(labels)
    rows = read_csv((hostile / MODEL / "split.csv").read_text(errors="surrogateescape"))
    assert {HIGH, LOW, LONG} <= {row["label"] for row in rows}
    assert LONG in {row["speaker"] for row in rows}


def test_compare(hostile, ask):
    if not (hostile / "+m").exists():
        (hostile / "+m").symlink_to(hostile / MODEL)
    command = ("compare", MODEL, "+m", "--data", "data.jsonl")
    ask(*command, "--differences", "=d.csv", "--out", "=pictures", "--report", "=page")
    page = (hostile / "=page" / "compare.html").read_text()
    check_plain(page)
    assert "<script>" not in page and "<b>" not in page
    for table in (hostile / "=page" / "tables").glob("*.csv"):
        read_csv(table.read_text(errors="surrogateescape"))
    read_csv((hostile / "=d.csv").read_text(errors="surrogateescape"))
    for picture in (hostile / "=pictures").glob("*.svg"):
        check_picture(picture)
    result = read_json(ask(*command, "--no-speed", "--json"))
    assert [each["name"] for each in result["models"]] == [MODEL, "+m"]


def test_mix_and_a_long_recording(hostile, ask):
    ask("mix", "data.jsonl", "--noise", "=noise", "--minutes", "0.5", "--out", "=mix", "-m", MODEL)
    rows = read_csv((hostile / "=mix" / "truth.csv").read_text(errors="surrogateescape"))
    assert {row["label"] for row in rows} & {HIGH, LOW}
    check_plain((hostile / "=mix" / "truth.txt").read_text(errors="surrogateescape"), "\n\t")
    command = ("evaluate", "--stream", "=mix/recording.wav", "-m", MODEL, "--truth")
    ask(*command, "=mix/truth.txt")
    result = read_json(ask(*command, "=mix/truth.txt", "--json"))
    assert {row["label"] for row in rows} <= {HIGH, LOW, LONG} == set(result["per_label"])


def test_calibrate(hostile, ask):
    command = ("calibrate", "--noise", "=noise", "-m", MODEL)
    rows = [line.split("\t") for line in ask(*command).splitlines()]
    assert {unescape(row[0]) for row in rows} == {HIGH, LOW, LONG}
    assert set(read_json(ask(*command, "--json"))["thresholds"]) == {HIGH, LOW, LONG}
    check_plain((hostile / MODEL / "calibration.json").read_text())


def test_explain_and_features(hostile, ask):
    printed = ask("explain", clips_of(hostile, HIGH)[0], "-m", MODEL, "--html", "=e.html", "--out",
                  "=\x1be.svg")  # fmt: skip
    assert [unescape(line) for line in printed.splitlines()] == ["=\x1be.svg", "=e.html"]
    check_page(hostile / "=e.html")
    check_picture(hostile / "=\x1be.svg")
    ask("features", RECORDING, "--out", "=features.svg")
    check_picture(hostile / "=features.svg")
