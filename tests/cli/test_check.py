"""``speechcls check``: what it prints and writes, and its exit code."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import soundfile

from speechcls.runtime.classifier import Classifier

RATE = 16_000


def sweep(rng, duration_s=0.5):
    """(n,) a swelling sweep that is like no other."""
    n = round(duration_s * RATE)
    pitch = np.interp(np.linspace(0, 7, n), range(8), rng.uniform(300, 3_000, 8))
    return 0.4 * np.hanning(n) * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)


@pytest.fixture
def data(tmp_path):
    """A data set of which a copy, a silent and an unreadable clip are the faults."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for label in ("high", "low"):
        (folder / label).mkdir(parents=True)
        for n in range(24):
            name = f"s{n // 2:02d}_nohash_{n % 2}.wav"
            soundfile.write(folder / label / name, sweep(rng), RATE)
    clip, _ = soundfile.read(folder / "high" / "s03_nohash_0.wav", dtype="float32")
    soundfile.write(folder / "high" / "s03_nohash_7.flac", 0.25 * clip, RATE)
    soundfile.write(folder / "high" / "s03_nohash_8.wav", np.zeros(8_000), RATE)
    (folder / "low" / "s03_nohash_<b>.wav").write_text("not a recording")
    return folder


def test_the_table_counts_what_was_found(data, call):
    result = call("check", data, "--max-bad", "0.1")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:2] == ["clips", "51"]
    assert ["unreadable", "1", "1.96", "bad"] in [line[:4] for line in lines]
    assert ["silent", "1", "1.96", "bad"] in [line[:4] for line in lines]
    assert ["copy", "1", "1.96", "warning"] in [line[:4] for line in lines]
    assert ["high", "26", "0.2", "12", "2"] in lines
    assert ["low", "25", "0.2", "12", "1"] in lines
    assert ["s03", "7", "0.1", "2", "3"] in lines
    # 1 of 51 is more than the 1 % that train bears
    assert result.code == 1
    named, error = result.errors
    assert "s00_nohash_" in named or "s03_nohash_" in named
    assert error.startswith("1 of 51 clips cannot be read")


def test_the_exit_code_is_0_where_a_training_bears_it(data, call):
    (data / "low" / "s03_nohash_<b>.wav").unlink()
    assert call("check", data).code == 0
    result = call("check", data, "--max-bad", "0.01")
    assert result.code == 1
    assert "1 of 50 clips are bad, more than the 0.01 allowed" in result.stderr


def test_json_is_one_object_with_all_of_it(data, call):
    result = call("check", data, "--json")
    found = json.loads(result.stdout)
    assert (found["n_clips"], len(found["labels"]), len(found["speakers"])) == (51, 2, 12)
    assert found["duration_s"] == pytest.approx(25.0)
    assert found["formats"] == {"16000 Hz, 1 ch": 50}
    assert {kind: n for kind, n in found["counts"].items() if n} == {
        "unreadable": 1,
        "silent": 1,
        "copy": 1,
    }
    copy = found["findings"][-1]
    assert (copy["path"], copy["copy_of"]) == (
        "high/s03_nohash_7.flac",
        "high/s03_nohash_0.wav",
    )
    assert [row["is_left_out"] for row in found["findings"]] == [True] * 3
    assert len(found["spoiled_by"]) == 1


def test_the_csv_has_a_row_a_finding(data, tmp_path, call):
    call("check", data, "--findings", tmp_path / "found.csv")
    with (tmp_path / "found.csv").open() as file:
        rows = [(row["kind"], row["path"]) for row in csv.DictReader(file)]
    assert rows == [
        ("unreadable", "low/s03_nohash_<b>.wav"),
        ("silent", "high/s03_nohash_8.wav"),
        ("copy", "high/s03_nohash_7.flac"),
    ]


def test_the_page_stands_alone_and_plays_the_clips(data, tmp_path, call):
    call("check", data, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"https?://|@import|url\(|<script|<link[^>]*stylesheet", page)
    # both clips that can be read have a player
    assert len([source for source in sources if source.startswith("data:audio/wav;base64,")]) == 2
    assert "s03_nohash_&lt;b&gt;.wav" in page  # a name is no markup
    assert "<b>" not in page
    assert "Not suitable for training" in page
    ids = set(re.findall(r'id="([^"]*)"', page))
    assert {source[1:] for source in sources if source.startswith("#")} <= ids


def test_train_reads_the_fix_list(data, tmp_path, call, train):
    fixed = tmp_path / "lists" / "good.jsonl"
    result = call("check", data, "--fix-list", fixed)
    assert f"{fixed}: 48 of 51 clips" in result.stderr
    assert call("check", fixed).code == 0
    trained = train(fixed, tmp_path / "model", "--arch", "gru", "--epochs", "1")
    assert trained.code == 0, trained.stderr
    assert "48 clips by 12 speakers" in trained.stderr


def test_with_a_model_wrong_labels_come_with_the_likely_one(home, tmp_path, call):
    data = shutil.copytree(home.data, tmp_path / "data")
    classifier = Classifier.load(home.model, 1)
    clips = [data / "low" / f"s0{n}_nohash_0.wav" for n in (3, 4)]
    assert {classifier.predict(clip).label for clip in clips} == {"low"}
    for clip in clips:
        clip.rename(data / "high" / f"x{clip.name}")
    result = call("check", data, "--model", home.model, "--json")
    found = json.loads(result.stdout)
    errors = [row for row in found["findings"] if row["kind"] == "doubtful"]
    likely = {row["path"]: row["likely_label"] for row in errors}
    assert {f"high/x{clip.name}" for clip in clips} <= set(likely)
    assert {likely[f"high/x{clip.name}"] for clip in clips} == {"low"}
    assert len(likely) <= 4
    assert any("the model was trained on" in note for note in found["notes"])
    table = call("check", data, "--model", home.model).stdout
    assert re.search(rf"high/x{clips[0].name} +[\d.]+ +high +low", table)


def test_a_label_that_the_model_does_not_know_is_not_judged(home, tmp_path, call, make_tones):
    data = make_tones(tmp_path / "data", labels=("high", "fall"), n_speakers=12)
    result = call("check", data, "--model", home.model)
    assert "the model knows no label fall and has no _unknown_" in result.stderr
    assert "fall/" not in result.stdout


def test_recordings_are_never_touched(data, tmp_path, call):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*.*")}
    call("check", data, "--fix-list", tmp_path / "good.csv", "--html", tmp_path / "page.html")
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*.*")}
    assert after == before


def test_a_fix_list_of_no_known_format_is_wrong_usage(data, tmp_path, call):
    result = call("check", data, "--fix-list", tmp_path / "good.txt")
    assert (result.code, result.stdout) == (2, "")
    assert "good.txt: must end in one of .csv, .tsv, .jsonl" in result.stderr


def test_a_model_of_other_words_says_that_it_judges_none(tmp_path, call, make_tones):
    data = make_tones(tmp_path / "data", ("fall",), n_speakers=12)
    (data / "fall").rename(data / "sink")
    shutil.copytree(data / "sink", data / "drop")
    result = call("check", data, "--model", "commands", "--max-bad", "1")
    assert "the model knows none of these labels (it has yes, no," in result.stderr
    assert "doubtful" not in result.stdout


@pytest.mark.parametrize("option", ["--findings", "--html", "--fix-list"])
def test_a_place_that_is_a_folder_is_refused_before_the_work(option, data, tmp_path, call):
    (tmp_path / "there.csv").mkdir()
    result = call("check", data, option, tmp_path / "there.csv")
    assert (result.code, result.stdout) == (2, "")
    assert result.errors == [f"{tmp_path}/there.csv: is a folder; name a file"]
