"""Bad recordings and bad data sets: named, explained, and nothing else is lost."""

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


def write_text(path):
    path.write_text("Dear Ann, this is no recording.\n" * 50)


def write_nothing(path):
    path.touch()


def write_no_frames(path):
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def write_truncated(path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(path, noise, 16_000)
    path.write_bytes(path.read_bytes()[:9_000])


def write_nan(path):
    soundfile.write(path, np.array([0.1, np.nan] * 4_000, np.float32), 16_000, "FLOAT")


def write_infinite(path):
    soundfile.write(path, np.array([0.1, -np.inf] * 4_000, np.float32), 16_000, "FLOAT")


# file name, how it comes about, what is said after the name: a fact; a next step
BAD_FILES = {
    "not audio": (
        "letter.wav",
        write_text,
        r"not readable audio \(Format not recognised\); convert it to WAV or delete it",
    ),
    "0 bytes": (
        "nothing.wav",
        write_nothing,
        r"is empty \(0 bytes\); record it again or delete it",
    ),
    "0 frames": (
        "noframes.wav",
        write_no_frames,
        r"no audio data \(0 frames\); record it again or delete it",
    ),
    "truncated WAV": (
        "cut.wav",
        write_truncated,
        r"truncated \(8956 of 32000 bytes\); copy it again",
    ),
    "truncated AIFF": (
        "cut.aiff",
        write_truncated,
        r"truncated \(\d+ of \d+ bytes\); copy it again",
    ),
    "truncated FLAC": (
        "cut.flac",
        write_truncated,
        r"(truncated \(\d+ of 16000 frames\); copy it again|not readable audio .*; .*)",
    ),
    "NaN": ("nan.wav", write_nan, r"NaN or infinite samples; export it again"),
    "infinite": ("inf.wav", write_infinite, r"NaN or infinite samples; export it again"),
}


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
    assert result.errors == [
        "-: not readable audio (Format not recognised); convert it to WAV or delete it"
    ]


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
    assert (path, label) == (f"{tmp_path}/{shown or name}", "low")
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
    assert error.startswith(f"{tmp_path}/{shown or name}: not readable audio")


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
        f"{tmp_path}/caf\\udce8.wav: is empty (0 bytes); record it again or delete it"
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
        options = ("--out", tmp_path / "models" / "new", "--epochs", "1", "--hidden-size", "8")
        refused = run("train", data, *options, preexec_fn=unprivileged, env={"TMPDIR": "/nowhere"})
        assert (refused.code, refused.stdout) == (1, "")
        assert str(tmp_path / "models") in refused.errors[0]
        assert "permission denied" in refused.errors[0].lower()
        assert "epoch 1/" not in refused.stderr  # hours of training would be lost
        (tmp_path / "models").chmod(0o700)

        locked(data / "low" / "s00_nohash_0.wav")
        options = ("--out", tmp_path / "model", "--epochs", "1", "--hidden-size", "8")
        options = (*options, "--num-layers", "1", "--max-bad", "0.05")
        trained = run("train", data, *options, preexec_fn=unprivileged)
        assert (trained.code, trained.stdout) == (0, f"{tmp_path / 'model'}\n"), trained.stderr
        assert [e.split(";")[0] for e in trained.errors] == [
            f"{data / 'low' / 's00_nohash_0.wav'}: permission denied"
        ]


class TestTraining:
    """Bad clips are skipped; bad data is refused before anything is trained or written."""

    @pytest.fixture
    def data(self, home, tmp_path):
        return shutil.copytree(home.data, tmp_path / "data")

    def refuse(self, result, place):
        """Return the error of a training that left nothing."""
        assert (result.code, result.stdout) == (1, "")
        assert "epoch" not in result.stderr
        assert not place.exists()
        error = result.stderr.removeprefix("speechcls: error: ")
        assert error != result.stderr
        return error.rstrip("\n")

    def test_skips_and_names_a_few_bad_clips(self, data, tmp_path, train):
        write_nan(data / "low" / "s03_nohash_9.wav")  # 1 of 145
        trained = train(data, tmp_path / "model", "--arch", "rnn", "--epochs", "1")
        assert trained.code == 0
        assert trained.errors == [
            f"{data / 'low' / 's03_nohash_9.wav'}: NaN or infinite samples; export it again"
        ]
        split = (tmp_path / "model" / "split.csv").read_text()
        assert "low/s03_nohash_1.wav" in split
        assert "low/s03_nohash_9.wav" not in split
        metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
        assert metrics["data"]["n_bad"] == 1
        assert sum(metrics["data"]["n_clips"].values()) == 144

    def test_ends_when_more_are_bad_than_allowed(self, data, tmp_path, train):
        for n, (_, write, _) in enumerate(BAD_FILES.values()):
            write(data / "low" / f"s03_nohash_9{n}.wav")
        error = self.refuse(train(data, tmp_path / "model"), tmp_path / "model")
        head, *listed = error.splitlines()
        assert head.startswith("8 of 152 clips are bad, more than --max-bad 0.01 allows;")
        assert "allow 0.053" in head
        assert len(listed) == 8
        for n, line in enumerate(listed):
            assert line.startswith(f"  {data / 'low' / f's03_nohash_9{n}.wav'}: ")
        options = ("--max-bad", "0.053", "--arch", "rnn", "--epochs", "1")
        trained = train(data, tmp_path / "model", *options)
        assert trained.code == 0
        assert len(trained.errors) == 8

    def test_with_a_label_without_a_readable_clip(self, data, tmp_path, train):
        (data / "broken").mkdir()
        write_text(data / "broken" / "1.wav")
        result = train(data, tmp_path / "model", "--max-bad", "1")
        error = self.refuse(result, tmp_path / "model")
        head, *reasons = error.splitlines()
        assert head == (
            f"{data / 'broken'}: no readable clip of this label;"
            " add recordings or remove the folder"
        )
        assert [reason.split(": ")[0] for reason in reasons] == [f"  {data / 'broken' / '1.wav'}"]

    def test_with_a_label_folder_without_a_recording(self, data, tmp_path, train):
        (data / "hollow").mkdir()
        error = self.refuse(train(data, tmp_path / "model"), tmp_path / "model")
        assert error.startswith(f"{data / 'hollow'}: no readable clip of this label; ")

    def test_with_one_label(self, tmp_path, make_tones, train):
        data = make_tones(tmp_path / "data", ("low",), n_speakers=5)
        error = self.refuse(train(data, tmp_path / "model"), tmp_path / "model")
        assert error == (
            "only one label (low); a recogniser needs two or more: add a folder with another word,"
            " or one named _unknown_ with other sounds"
        )

    @pytest.mark.parametrize("names", ["of speakers", "of clips"])
    def test_with_one_clip_a_label(self, names, tmp_path, make_tones, train):
        data = make_tones(tmp_path / "data", n_speakers=1, n_takes=1)
        if names == "of clips":
            for clip in list(data.rglob("*.wav")):
                clip.rename(clip.with_name(clip.name.replace("_nohash_", "-")))
        result = train(data, tmp_path / "model")
        assert (result.code, result.stdout) == (1, "")
        [error] = result.errors
        assert re.search(r"(label|clips).* too few .*record more", error)
        assert "epoch 1/" not in result.stderr
        assert not (tmp_path / "model").exists()

    def test_with_two_clips_a_label(self, tmp_path, make_tones, train):
        """Fewer than there are splits: one of them must do without, which is said."""
        data = make_tones(tmp_path / "data", n_speakers=2, n_takes=1)
        for clip in list(data.rglob("*.wav")):
            clip.rename(clip.with_name(clip.name.replace("_nohash_", "-")))
        result = train(data, tmp_path / "model", "--arch", "rnn", "--epochs", "1")
        assert re.search(r"(error|warning): .*(no|few).*record more", result.stderr)
        assert result.code == (0 if (tmp_path / "model").exists() else 1)

    @pytest.mark.parametrize("commands", ["zebra,lion", "low,zebra"])
    def test_with_commands_that_do_not_occur(self, commands, home, tmp_path, train):
        result = train(home.data, tmp_path / "model", "--commands", commands)
        error = self.refuse(result, tmp_path / "model")
        missing = ",".join(word for word in commands.split(",") if word != "low")
        assert error == f"--commands {missing}: no such label in the data; it has high, low, rise"

    @pytest.mark.parametrize("commands", ["", ",", " , "])
    def test_with_commands_that_name_nothing(self, commands, home, tmp_path, train):
        """As from an unset variable of a shell script: not to be taken for no option at all."""
        options = ("--commands", commands, "--arch", "rnn", "--epochs", "1")
        result = train(home.data, tmp_path / "model", *options)
        assert result.code in (1, 2)
        assert "--commands" in result.stderr
        assert not (tmp_path / "model").exists()

    def test_with_an_empty_folder(self, tmp_path, train):
        (tmp_path / "data").mkdir()
        error = self.refuse(train(tmp_path / "data", tmp_path / "model"), tmp_path / "model")
        assert error.startswith(f"{tmp_path / 'data'}: no clip found; put the clips into ")

    def test_with_data_that_is_not_there(self, tmp_path, train):
        error = self.refuse(train(tmp_path / "data", tmp_path / "model"), tmp_path / "model")
        assert error.startswith(f"{tmp_path / 'data'}: no such folder or manifest")

    def test_with_a_file_in_place_of_data(self, home, tmp_path, train):
        error = self.refuse(train(home.clip("low"), tmp_path / "model"), tmp_path / "model")
        assert error.startswith(f"{home.clip('low')}: neither a folder nor a manifest")

    def test_with_flat_files_without_a_pattern(self, home, tmp_path, train):
        (tmp_path / "data").mkdir()
        shutil.copy(home.clip("low"), tmp_path / "data" / "low_ann_1.wav")
        error = self.refuse(train(tmp_path / "data", tmp_path / "model"), tmp_path / "model")
        assert "low_ann_1.wav: not in a label folder" in error
        assert "--pattern '{label}_{speaker}_{take}'" in error


class TestManifest:
    """Each fault is told with the line it is in."""

    @pytest.fixture
    def write(self, home, tmp_path):
        def manifest(text, name="clips.csv"):
            rows = [
                f"{clip},{clip.parent.name},{clip.name[:3]}"
                for clip in sorted(home.data.rglob("*.wav"))
            ]
            text = text.replace("CLIPS", "\n".join(rows))
            (tmp_path / name).write_text(text, encoding="utf-8")
            return tmp_path / name

        return manifest

    @pytest.mark.parametrize(
        ("head", "missing"),
        [("path,word", "label"), ("file,label", "path"), ("file,word", "path and label")],
    )
    def test_with_a_missing_column(self, head, missing, write, tmp_path, train):
        manifest = write(f"{head}\nyes/1.wav,yes\n")
        result = train(manifest, tmp_path / "model")
        assert (result.code, result.stdout) == (1, "")
        assert result.errors == [
            f"{manifest}:1: no column {missing}; the first line names the columns:"
            " path,label,speaker,split,start_s,end_s (the last four may be left out)"
        ]

    def test_with_an_unknown_path(self, write, tmp_path, train):
        # the quoted line break makes the fault stand in line 147, not in row 146
        manifest = write('path,label,speaker\nCLIPS\n"no\nwhere.wav",low,s00\n')
        options = ("--arch", "rnn", "--epochs", "1")
        trained = train(manifest, tmp_path / "model", *options)
        assert trained.code == 0
        [error] = trained.errors
        assert error.startswith(f"{manifest}:147: no such file: {tmp_path}/no\\nwhere.wav")
        assert (tmp_path / "model" / "split.csv").read_text().count("\n") == 145

    def test_with_too_many_unknown_paths(self, write, tmp_path, train):
        manifest = write("path,label,speaker\na.wav,low,x\nCLIPS\nb.wav,low,x\n")
        result = train(manifest, tmp_path / "model")
        assert (result.code, result.stdout) == (1, "")
        assert "2 of 146 clips are bad, more than --max-bad 0.01 allows" in result.stderr
        assert f"  {manifest}:2: no such file: {tmp_path / 'a.wav'}" in result.stderr
        assert f"  {manifest}:147: no such file: {tmp_path / 'b.wav'}" in result.stderr
        assert not (tmp_path / "model").exists()

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("clips.csv", "path,label\na.wav,\n", ":2: no label"),
            ("clips.csv", "path,label\na.wav\n", ":2: no label"),
            ("clips.csv", "path,label,split\na.wav,yes,dev\n", ":2: split 'dev' is not one of"),
            ("clips.csv", "path,label,start_s\na.wav,yes,soon\n", ":2: start_s 'soon' is not a"),
            ("clips.csv", "path,label,start_s,end_s\na.wav,y,2,1\n", ":2: end_s 1 is not after"),
            ("clips.csv", "path,label\n", ": no clip found"),
            ("clips.csv", "", ":1: no column path and label; the first line names"),
            ("clips.jsonl", '{"path": "a.wav", "label": "yes"\n', ":1: not JSON"),
            ("clips.jsonl", '\n["a.wav", "yes"]\n', ":2: not a JSON object"),
            ("clips.jsonl", '{"path": "a.wav", "label": null}\n', ":1: no label"),
        ],
    )
    def test_with_another_fault(self, name, text, said, write, tmp_path, train):
        manifest = write(text, name)
        result = train(manifest, tmp_path / "model")
        assert (result.code, result.stdout) == (1, "")
        [error] = result.errors
        assert error.startswith(f"{manifest}{said}")
        assert not (tmp_path / "model").exists()

    def test_that_is_not_text(self, tmp_path, train):
        (tmp_path / "clips.csv").write_bytes(b"path,label\n\xff\xfe.wav,yes\n")
        result = train(tmp_path / "clips.csv", tmp_path / "model")
        assert result.code == 1
        assert result.errors == [f"{tmp_path / 'clips.csv'}: not UTF-8 text; save it as UTF-8"]


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
