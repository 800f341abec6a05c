"""``evaluate --report`` and ``report``."""

import csv
import json
import math
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import soundfile

from speechcls.text import from_csv_cell


def test_evaluate_draws_a_report_and_report_draws_it_again(at_home, call, tmp_path):
    out = tmp_path / "out"
    result = call("evaluate", "tones", "--split", "train", "--json", "--report", out)
    assert result.code == 0, result.stderr
    assert f"report {out}/report.html" in result.stderr
    scores = json.loads(result.stdout)
    with (out / "tables" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == scores["n_clips"]
    right = sum(row["predicted"] == row["label"] for row in rows)
    assert right / len(rows) == scores["accuracy"]
    assert all(row["path"].startswith(f"{row['word']}/s") for row in rows)
    assert {row["duration_s"] for row in rows} == {"0.5"}
    samples, rate = soundfile.read(at_home.data / rows[0]["path"])
    assert rate == 16_000
    level = 10 * math.log10((samples**2).mean())
    assert abs(float(rows[0]["level_db"]) - level) < 0.01
    n_wrong = min(20, len(rows) - right)
    assert len(list((out / "clips").iterdir())) == n_wrong
    page = (out / "report.html").read_bytes()
    moved = shutil.copytree(out, tmp_path / "moved")
    (moved / "report.html").unlink()
    again = call("report", moved)
    assert (again.code, again.stdout) == (0, f"{moved}/report.html\n")
    assert (moved / "report.html").read_bytes() == page


def test_a_place_that_is_taken_is_refused_before_the_work(at_home, call, tmp_path):
    (tmp_path / "mine.txt").write_text("notes")
    result = call("evaluate", "tones", "--report", tmp_path)
    assert (result.code, result.stdout) == (2, "")
    assert result.errors[0].startswith(f"{tmp_path}: contains files that are not part")


def test_without_predictions_there_is_nothing_to_draw(call, tmp_path):
    result = call("report", tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [
        f"{tmp_path}/predictions.json: no such file;"
        f" evaluate a model with a report in {tmp_path} first"
    ]


def test_the_page_instead_of_its_folder_is_told_apart(call, tmp_path):
    (tmp_path / "report.html").touch()
    result = call("report", tmp_path / "report.html")
    assert (result.code, result.stdout) == (2, "")
    assert result.errors == [
        f"{tmp_path}/report.html: a file; name the folder that it is in, {tmp_path}"
    ]


def test_labels_in_other_scripts_with_odd_characters_are_drawn(tmp_path, train, call, monkeypatch):
    """Not UTF-8, an escape, what looks like a formula or an emoji, a space and an underscore."""
    labels = {"n\udcf6": 300, "\x1b[2Jup": 500, "$x$ :smile:": 800, "a b": 1_200, "a_b": 1_800}
    for label, pitch_hz in labels.items():
        (tmp_path / "data" / label).mkdir(parents=True)
        for n in range(6):
            for take in range(2):
                phase = 2 * np.pi * (pitch_hz + 10 * n + take) * np.arange(8_000) / 16_000
                samples = 0.3 * np.hanning(8_000) * np.sin(phase)
                with (tmp_path / "data" / label / f"s{n}_nohash_{take}.wav").open("wb") as file:
                    soundfile.write(file, samples, 16_000, format="WAV")
    monkeypatch.chdir(tmp_path)
    trained = train("data", "model", "--arch", "gru", "--epochs", "1", "--test-speakers", "s0,s1")
    assert trained.code == 0, trained.stderr
    result = call("evaluate", "data", "--model", "model", "--report", "out")
    assert result.code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["n\\udcf6", "4"] in [[row[0], row[-1]] for row in rows if row]
    assert "\x1b" not in result.stdout
    assert any(row[:2] == ["$x$", ":smile:"] for row in rows)
    for figure in (tmp_path / "out" / "figures").glob("*.svg"):
        ElementTree.parse(figure)
    text = (tmp_path / "out" / "figures" / "confusion.svg").read_text()
    assert "$x$ :smile:" in text and "\\x1b[2Jup" in text
    with (tmp_path / "out" / "tables" / "confusion_counts.csv").open(
        newline="", errors="surrogateescape"
    ) as file:
        [header, *_] = csv.reader(file)
    assert set(map(from_csv_cell, header)) == {"truth", *labels}
    assert "\x1b" not in "".join(header)


@pytest.fixture(scope="module")
def predictions(home, call, tmp_path_factory):
    """What predictions.json of a report holds."""
    out = tmp_path_factory.mktemp("report")
    assert call("evaluate", home.data, "--model", home.model, "--report", out).code == 0
    return (out / "predictions.json").read_text()


@pytest.mark.parametrize(
    ("field", "value"), [("level_db", None), ("snr_db", "loud"), ("duration_s", float("nan")),
                         ("path", 3), ("probabilities", [2.0, -1.0, 0.0])]
)  # fmt: skip
def test_damaged_predictions_are_told(field, value, predictions, call, tmp_path):
    content = json.loads(predictions)
    content["clips"][3][field] = value
    (tmp_path / "predictions.json").write_text(json.dumps(content))
    result = call("report", tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert "predictions.json: damaged or not of speechcls" in result.errors[0]


@pytest.mark.parametrize("command", ["evaluate", "check"])
def test_files_are_written_though_nobody_reads_the_table(command, home, start, tmp_path):
    out = tmp_path / "page"
    option = ("--report", out, "-m", home.model) if command == "evaluate" else ("--html", out)
    process = start(command, home.data, *option)
    process.stdout.close()  # as head does
    assert process.wait(120) == 1
    assert b"Traceback" not in process.stderr.read()
    assert (out / "report.html" if command == "evaluate" else out).stat().st_size > 1_000


def test_the_table_is_printed_though_a_file_cannot_be_written(home, call, tmp_path, monkeypatch):
    def refuse(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("speechcls.files.write_atomic", refuse)
    result = call("check", home.data, "--findings", tmp_path / "a.csv")
    assert result.code == 1
    assert result.stdout.startswith("clips     144 of 3 labels")
    told = (
        f"{tmp_path}/a.csv: no space left on device; free some space there, or name another place"
    )
    assert told in result.errors
