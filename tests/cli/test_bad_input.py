"""Bad recordings: named, explained, and nothing else is lost."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from bad_files import BAD_FILES, write_nan, write_text


@pytest.mark.parametrize(("name", "write", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_named_and_the_others_are_predicted(name, write, said, at_home, tmp_path, call):
    write(tmp_path / name)
    result = call("predict", at_home.clip("low"), tmp_path / name, at_home.clip("rise"), "-q")
    assert result.code == 1
    assert [row[:2] for row in result.rows] == [
        [str(at_home.clip("low")), "low"],
        [str(at_home.clip("rise")), "rise"],
    ]
    [error] = result.errors
    assert re.fullmatch(re.escape(f"{tmp_path / name}: ") + said, error)


@pytest.mark.parametrize(("name", "write", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_in_data_is_skipped_by_evaluate(
    name, write, said, at_home, tmp_path, make_tones, call
):
    data = make_tones(tmp_path / "data", n_speakers=2, n_takes=1, seed=3)
    write(data / "low" / name)
    result = call("evaluate", data, "--json", "-q")
    assert result.code == 1
    [error] = result.errors
    assert re.fullmatch(re.escape(f"{data / 'low' / name}: ") + said, error)
    scores = json.loads(result.stdout)
    assert scores["n_clips"] == 6
    assert scores["bad"] == [error]


def test_a_missing_file_and_a_folder_in_place_of_a_file(at_home, tmp_path, call):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty").mkdir()
    listed = [at_home.clip("low"), tmp_path / "folder.wav", "missing.wav", at_home.clip("rise")]
    (tmp_path / "list").write_text("".join(f"{path}\n" for path in listed))
    result = call("predict", tmp_path / "empty", "--files-from", tmp_path / "list", "-q")
    assert result.code == 1
    assert [row[1] for row in result.rows] == ["low", "rise"]
    assert [error.split(";")[0] for error in result.errors] == [
        f"{tmp_path / 'empty'}: no recording in this folder",
        f"{tmp_path / 'folder.wav'}: is a folder, not a recording",
        "missing.wav: no such file",
    ]


def test_a_missing_list_does_not_lose_the_clips_before_it(at_home, call):
    result = call("predict", at_home.clip("low"), "--files-from", "missing.txt", "-q")
    assert result.code == 1
    assert [row[1] for row in result.rows] == ["low"]
    [error] = result.errors
    assert error.startswith("missing.txt: no such file")


def test_bad_audio_on_stdin(home, run):
    clips = ["-", home.clip("low")]
    result = run("predict", *clips, "-q", cwd=home.path, stdin=b"no recording " * 99)
    assert result.code == 1
    assert [row[1] for row in result.rows] == ["low"]
    assert result.errors == ["-: text, not a recording; name a recording, or leave it out"]


def test_a_name_too_long_for_the_system_does_not_stop_the_others(at_home, call):
    too_long = "x" * 300 + ".wav"
    result = call("predict", at_home.clip("low"), too_long, at_home.clip("rise"), "-q")
    assert result.code == 1
    assert [row[1] for row in result.rows] == ["low", "rise"]
    assert [error.split(";")[0] for error in result.errors] == [f"{too_long}: file name too long"]


STRANGE = {
    "spaces": (" two  words .wav", None),
    "quotes": ('it\'s "so" `said` $HOME.wav', None),
    "newline": ("two\nlines.wav", r"two\nlines.wav"),
    "newline and indent": (
        "two\n  speechcls: error: forged.wav",
        r"two\n  speechcls: error: forged.wav",
    ),
    "tab": ("a\ttab.wav", r"a\ttab.wav"),
    "non-ASCII": ("für Ελλάδα おはよう 🎤.wav", None),
}


@pytest.mark.parametrize(("name", "shown"), STRANGE.values(), ids=STRANGE)
def test_a_strange_name_of_a_good_clip(name, shown, at_home, tmp_path, call):
    shutil.copy(at_home.clip("low"), tmp_path / name)
    result = call("predict", tmp_path / name, "-q")
    assert (result.code, result.stderr) == (0, "")
    [[path, label, _]] = result.rows  # one line, three columns
    assert (path, label) == (f"$'{tmp_path}/{shown}'" if shown else f"{tmp_path}/{name}", "low")
    answer = json.loads(call("predict", tmp_path, "--json").stdout)
    assert answer["path"] == str(tmp_path / name)


@pytest.mark.parametrize(("name", "shown"), STRANGE.values(), ids=STRANGE)
def test_a_strange_name_of_a_bad_clip(name, shown, at_home, tmp_path, call):
    write_text(tmp_path / name)
    result = call("predict", tmp_path / name, at_home.clip("rise"), "-q")
    assert result.code == 1
    assert [row[1] for row in result.rows] == ["rise"]
    assert result.stderr.count("\n") == 1  # a name can forge no line
    [error] = result.errors
    assert error.startswith(f"{tmp_path}/{shown or name}: text, not a recording")


def test_a_name_that_is_not_utf_8_comes_out_as_it_went_in(home, tmp_path, run):
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        shutil.copy(home.clip("low"), tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / os.fsdecode(b"caf\xe8.wav")).touch()
    result = run("predict", tmp_path, "-q", cwd=home.path)
    assert result.code == 1
    assert [row[:2] for row in result.rows] == [[str(tmp_path / name), "low"]]
    assert result.errors == [
        f"{tmp_path}/caf\\udce8.wav: is empty (0 bytes); record it again or leave it out"
    ]


def test_strange_names_train_and_evaluate(tmp_path, make_tones, train, call):
    labels = {"high": "it's", "low": "two words", "rise": 'おはよう, "Ελλάδα"'}
    data = make_tones(tmp_path / "my data's", n_speakers=8, n_takes=1)
    for label, name in labels.items():
        (data / label).rename(data / name)
        (data / name / "s03_nohash_0.wav").rename(data / name / "s03 'x'\n\"ü\"_nohash_0.wav")
    model = tmp_path / "my model"
    trained = train(data, model, "--arch", "gru", "--epochs", "6")
    assert (trained.code, trained.stdout) == (0, f"{model}\n")
    assert f"evaluate '{tmp_path}/my data'\"'\"'s' --model '{model}'" in trained.stderr
    with (model / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {path.relative_to(data).as_posix() for path in data.rglob("*.wav")}
    assert {row["label"] for row in rows.values()} == set(labels.values())

    evaluated = call("evaluate", data, "--model", model, "--json", "--split", "all")
    scores = json.loads(evaluated.stdout)
    assert (evaluated.code, scores["n_clips"]) == (0, 24)
    assert sorted(scores["labels"]) == sorted(labels.values())
    table = call("evaluate", data, "--model", model).stdout
    assert re.search(r"^おはよう, \"Ελλάδα\"  +\d", table, re.MULTILINE)


@pytest.fixture
def locked():
    """Take all rights on a path away until the test ends."""
    paths = []

    def lock(path):
        paths.append(path)
        path.chmod(0)
        return path

    yield lock
    for path in paths:
        path.chmod(0o700)


class TestPermissionDenied:
    """As everybody but root meets it."""

    def test_for_a_file(self, home, tmp_path, run, unprivileged, locked):
        shutil.copy(home.clip("low"), tmp_path / "private.wav")
        private = locked(tmp_path / "private.wav")
        clips = [home.clip("low"), private, home.clip("rise")]
        result = run("predict", *clips, "-q", cwd=home.path, preexec_fn=unprivileged)
        assert result.code == 1
        assert [row[1] for row in result.rows] == ["low", "rise"]
        assert [e.split(";")[0] for e in result.errors] == [f"{private}: permission denied"]

    @pytest.mark.parametrize("named", ["as an argument", "in a list"])
    def test_for_a_file_in_a_locked_folder(self, named, home, tmp_path, run, unprivileged, locked):
        (tmp_path / "private").mkdir()
        shutil.copy(home.clip("low"), tmp_path / "private" / "a.wav")
        clips = [home.clip("low"), tmp_path / "private" / "a.wav", home.clip("rise")]
        (tmp_path / "list").write_text("".join(f"{clip}\n" for clip in clips))
        locked(tmp_path / "private")
        clips = clips if named == "as an argument" else ["--files-from", tmp_path / "list"]
        result = run("predict", *clips, "-q", cwd=home.path, preexec_fn=unprivileged)
        assert result.code == 1
        assert [row[1] for row in result.rows] == ["low", "rise"]
        assert [e.split(";")[0] for e in result.errors] == [
            f"{tmp_path / 'private' / 'a.wav'}: permission denied"
        ]

    def test_for_a_folder(self, home, tmp_path, run, unprivileged, locked):
        (tmp_path / "private").mkdir()
        private = locked(tmp_path / "private")
        clips = [private, home.clip("rise")]
        result = run("predict", *clips, "-q", cwd=home.path, preexec_fn=unprivileged)
        assert result.code == 1
        assert [row[1] for row in result.rows] == ["rise"]
        assert [e.split(";")[0] for e in result.errors] == [f"{private}: permission denied"]

    def test_for_a_folder_within_a_folder(self, home, tmp_path, run, unprivileged, locked):
        for name in ("a", "private", "z"):
            (tmp_path / "clips" / name).mkdir(parents=True)
            shutil.copy(home.clip("low"), tmp_path / "clips" / name / "1.wav")
        private = locked(tmp_path / "clips" / "private")
        clips = [tmp_path / "clips", home.clip("rise")]
        result = run("predict", *clips, "-q", cwd=home.path, preexec_fn=unprivileged)
        assert result.code == 1
        assert [row[0] for row in result.rows] == [
            str(tmp_path / "clips" / "a" / "1.wav"),
            str(tmp_path / "clips" / "z" / "1.wav"),
            str(home.clip("rise")),
        ]
        assert [e.split(";")[0] for e in result.errors] == [f"{private}: permission denied"]

    def test_for_a_model(self, home, tmp_path, run, unprivileged, locked):
        shutil.copytree(home.model, tmp_path / "model")
        for name in ("config.json", "model.onnx"):
            locked(tmp_path / "model" / name)
            clip = home.clip("low")
            result = run("predict", clip, "-m", tmp_path / "model", preexec_fn=unprivileged)
            (tmp_path / "model" / name).chmod(0o700)
            assert (result.code, result.stdout) == (1, "")
            [error] = result.errors
            assert "Traceback" not in result.stderr
            assert str(tmp_path / "model" / name) in error
            assert "permission denied" in error.lower()

    def test_for_data_and_for_the_place_of_the_model(
        self, tmp_path, make_tones, run, unprivileged, locked
    ):
        data = make_tones(tmp_path / "data", n_speakers=4)
        (tmp_path / "models").mkdir()
        (tmp_path / "models").chmod(0o500)
        options = (
            "--out",
            tmp_path / "models" / "new",
            "--epochs",
            "1",
            "--hidden-size",
            "8",
            "--closed",
        )
        refused = run("train", data, *options, preexec_fn=unprivileged, env={"TMPDIR": "/nowhere"})
        assert (refused.code, refused.stdout) == (1, "")
        assert str(tmp_path / "models") in refused.errors[0]
        assert "permission denied" in refused.errors[0].lower()
        assert "epoch 1/" not in refused.stderr  # hours of training would be lost
        (tmp_path / "models").chmod(0o700)

        locked(data / "low" / "s00_nohash_0.wav")
        options = ("--out", tmp_path / "model", "--epochs", "1", "--hidden-size", "8", "--closed")
        options = (*options, "--num-layers", "1", "--max-bad", "0.05", "--epoch-clips", "1")
        trained = run("train", data, *options, preexec_fn=unprivileged)
        assert (trained.code, trained.stdout) == (0, f"{tmp_path / 'model'}\n"), trained.stderr
        assert [e.split(";")[0] for e in trained.errors] == [
            f"{data / 'low' / 's00_nohash_0.wav'}: permission denied"
        ]


def test_evaluate_of_labels_that_the_model_does_not_know(at_home, tmp_path, make_tones, call):
    data = make_tones(tmp_path / "data", ("low", "fall"), n_speakers=2, n_takes=1)
    (data / "fall").rename(data / "zebra")
    result = call("evaluate", data, "-q")
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    assert "no label zebra and has no _unknown_" in error
    assert "the data has low, zebra" in error
    assert "the model has high, low, rise" in error


def test_evaluate_of_unknown_labels_names_the_data(at_home, tmp_path, make_tones, call):
    data = make_tones(tmp_path / "data", ("low", "fall"), n_speakers=2, n_takes=1)
    [error] = call("evaluate", data, "-q").errors
    assert error.startswith(f"{data}: ")


NOT_THERE = {
    "missing clip": (["predict", "missing.wav"], "missing.wav: no such file"),
    "folder for a clip": (
        ["predict", "--files-from", "list"],
        "models: is a folder, not a recording",
    ),
    "folder without recordings": (["predict", "models"], "models: no recording in this folder"),
    "missing data": (["evaluate", "nowhere/"], "nowhere: no such folder or manifest"),
}


@pytest.mark.parametrize(("arguments", "said"), NOT_THERE.values(), ids=NOT_THERE)
def test_an_error_says_what_to_do(arguments, said, home, tmp_path, call, monkeypatch):
    """Subject, fact, next step: STYLE.md, section 5."""
    shutil.copytree(home.model, tmp_path / "models" / "model")
    (tmp_path / "list").write_text("models\n")
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, "-q")
    assert result.code == 1
    [error] = result.errors
    assert error.startswith(f"{said}; ")


def test_warnings_of_python_are_not_for_people(home, tmp_path):
    """Bad input must not show through as a warning of a library."""
    soundfile.write(tmp_path / "silent.wav", np.zeros(8_000), 16_000)
    soundfile.write(tmp_path / "one.wav", np.ones(1), 16_000)
    write_nan(tmp_path / "nan.wav")
    clips = [tmp_path / name for name in ("silent.wav", "one.wav", "nan.wav")]
    done = subprocess.run(
        [sys.executable, "-W", "always", "-m", "speechcls", "predict", "-q", *clips],
        cwd=home.path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == (
        f"speechcls: error: {clips[2]}: NaN or infinite samples; export it again\n"
    )
    assert done.stdout.count("\n") == 2


def test_voices_that_fail_are_counted_by_word(call, tmp_path, monkeypatch):
    from speechcls.synthesis import espeak

    def fail(*args, **rest):
        return espeak.SynthResult(6, ["yes: ann: silent", "yes: bob: silent", "no: ann: silent"])

    monkeypatch.setattr(espeak, "synthesise", fail)
    result = call("synth", "yes", "no", "--out", tmp_path / "data", "--per-word", "3")
    assert result.code == 0
    assert "warning: 3 voices failed and were left out: yes 2, no 1" in result.stderr
