"""Bad data sets: refused, or trained on without what is bad."""

import json
import re
import shutil

import pytest
from bad_files import BAD_FILES, write_nan, write_text


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
        before, _, error = result.stderr.partition("speechcls: error: ")
        assert error and not before.replace("speechcls: labels ", "", 1).count("speechcls: ")
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
        assert head.startswith("--max-bad: 8 of 152 clips are bad, more than the 0.01 allowed;")
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
            " add recordings or leave the label out"
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
        missing = ", ".join(word for word in commands.split(",") if word != "low")
        assert error == f"--commands: no label {missing} in the data; it has high, low, rise"

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
        assert "with a pattern as {label}_{speaker}_{take}" in error


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
        ("head", "missing", "names"),
        [
            ("path,x", "labels", "name it as label=NAME"),
            ("x,label", "file names", "name it as path=NAME"),
            ("x,y", "file names and none of labels", "name them as path=NAME,label=NAME"),
        ],
    )
    def test_with_a_missing_column(self, head, missing, names, write, tmp_path, train):
        manifest = write(f"{head}\nyes/1.wav,yes\n")
        result = train(manifest, tmp_path / "model")
        assert (result.code, result.stdout) == (1, "")
        there = head.replace(",", ", ")
        fault = f"{manifest}:1: no column of {missing}; it has {there}; {names}"
        assert [error.removeprefix("--") for error in result.errors] == [f"columns: {fault}"]

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
        manifest = write("path,label,speaker\nabsent-1.wav,low,x\nCLIPS\nabsent-2.wav,low,x\n")
        result = train(manifest, tmp_path / "model")
        assert (result.code, result.stdout) == (1, "")
        assert "--max-bad: 2 of 146 clips are bad, more than the 0.01 allowed" in result.stderr
        assert f"  {manifest}:2: no such file: {tmp_path / 'absent-1.wav'}" in result.stderr
        assert f"  {manifest}:147: no such file: {tmp_path / 'absent-2.wav'}" in result.stderr
        assert not (tmp_path / "model").exists()

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("clips.csv", "path,label\na.wav,\n", ":2: no label"),
            ("clips.csv", "path,label\na.wav\n", ":2: no label"),
            ("clips.csv", "path,label\na.wav,yes,go\n", ":2: 3 cells, and the first line names 2"),
            ("clips.csv", "path,label,start_s\na.wav,yes,soon\n", ":2: start_s 'soon' is not a"),
            ("clips.csv", "path,label,start_s,end_s\na.wav,y,2,1\n", ":2: end_s 1 is not after"),
            ("clips.csv", "path,label\n", ": no clip found"),
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
