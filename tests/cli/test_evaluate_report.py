"""``evaluate --report`` and ``report``."""

import csv
import json
import math
import shutil

import soundfile


def test_evaluate_draws_a_report_and_report_draws_it_again(at_home, call, tmp_path):
    out = tmp_path / "out"
    result = call("evaluate", "tones", "--split", "train", "--json", "--report", out)
    assert result.code == 0, result.stderr
    assert f"report {out}/report.html" in result.stderr
    scores = json.loads(result.stdout)
    with (out / "tables" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == scores["n_clips"]
    right = sum(row["answer"] == row["label"] for row in rows)
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
    assert result.errors[0].startswith(f"{tmp_path}: holds other things")


def test_without_predictions_there_is_nothing_to_draw(call, tmp_path):
    result = call("report", tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [
        f"{tmp_path}/predictions.json: no such file;"
        f" make it with: speechcls evaluate DATA --report {tmp_path}"
    ]
