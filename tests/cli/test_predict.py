"""``speechcls predict`` and the Python class behind it."""

import csv
import io
import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import soundfile
from common_cli import LONG_NAME

from speechcls import Classifier


@pytest.fixture
def mixed(home, tmp_path):
    """A folder with a sub-folder: b.wav, inner/a.wav, inner/c.flac, and what is no recording."""
    folder = tmp_path / "mixed"
    (folder / "inner").mkdir(parents=True)
    shutil.copy(home.clip("low"), folder / "b.wav")
    shutil.copy(home.clip("high"), folder / "inner" / "a.wav")
    samples, rate = soundfile.read(home.clip("rise"), dtype="int16")
    soundfile.write(folder / "inner" / "c.flac", samples, rate)
    (folder / "notes.txt").write_text("no recording")
    shutil.copy(home.clip("low"), folder / ".hidden.wav")
    return folder


def test_answers_come_in_the_order_given(at_home, mixed, call):
    clips = [at_home.clip("rise"), mixed, at_home.clip("high"), at_home.clip("low")]
    result = call("predict", *clips)
    assert result.code == 0
    assert result.stderr == "speechcls: model models/tones-gru (newest in ./models/)\n"
    assert [row[:2] for row in result.rows] == [
        [str(at_home.clip("rise")), "rise"],
        [str(mixed / "b.wav"), "low"],
        [str(mixed / "inner" / "a.wav"), "high"],
        [str(mixed / "inner" / "c.flac"), "rise"],
        [str(at_home.clip("high")), "high"],
        [str(at_home.clip("low")), "low"],
    ]
    assert all(0.5 < float(row[2]) <= 1 for row in result.rows)


def test_many_clips_keep_their_order_whatever_the_jobs(at_home, call):
    clips = sorted(at_home.data.rglob("*.wav"), key=lambda path: path.name)
    one, many = (call("predict", *clips, "--jobs", jobs) for jobs in ("1", "5"))
    assert [path for path, *_ in one.rows] == list(map(str, clips))
    assert [row[:2] for row in one.rows] == [row[:2] for row in many.rows]
    difference = [float(a[2]) - float(b[2]) for a, b in zip(one.rows, many.rows, strict=True)]
    assert np.abs(difference).max() < 2e-4  # batches differ, and so does rounding


def test_top_k_gives_the_likeliest_labels_first(at_home, call):
    clip = at_home.clip("low")
    one, two, all_of_them = (call("predict", clip, "--top-k", k).rows[0] for k in ("1", "2", "99"))
    assert len(one) == 3
    assert all_of_them[1] == "low"
    assert sorted(all_of_them[1::2]) == ["high", "low", "rise"]
    shares = [float(share) for share in all_of_them[2::2]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=2e-4)
    assert two == all_of_them[:5]


def test_json_lines(at_home, tmp_path, call):
    shutil.copy(at_home.clip("low"), tmp_path / LONG_NAME)
    result = call("predict", tmp_path / LONG_NAME, at_home.clip("rise"), "--json")
    assert result.stdout.count("\n") == 2
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert set(first) == {"path", "label", "probability", "probabilities"}
    assert (first["path"], first["label"]) == (str(tmp_path / LONG_NAME), "low")
    assert second["label"] == "rise"
    assert sorted(first["probabilities"]) == ["high", "low", "rise"]
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert first["probability"] == first["probabilities"]["low"]
    short = json.loads(call("predict", at_home.clip("low"), "--json", "--top-k", "2").stdout)
    assert list(short["probabilities"]) == list(first["probabilities"])[:2]


def test_csv(at_home, tmp_path, call):
    shutil.copy(at_home.clip("low"), tmp_path / LONG_NAME)
    result = call("predict", tmp_path / LONG_NAME, at_home.clip("rise"), "--csv", "--top-k", "2")
    head, first, second = csv.reader(io.StringIO(result.stdout, newline=""))
    assert head == ["path", "label", "probability", "label_2", "probability_2"]
    assert first[:2] == [str(tmp_path / LONG_NAME), "low"]
    assert second[1] == "rise"
    assert float(second[2]) > float(second[4])


def test_below_the_threshold_the_answer_is_uncertain(at_home, call):
    clip = at_home.clip("low")
    [[_, _, probability]] = call("predict", clip).rows
    below, above = f"{float(probability) - 0.001}", f"{float(probability) + 0.001}"
    assert call("predict", clip, "--threshold", below).rows == [[str(clip), "low", probability]]
    assert call("predict", clip, "--threshold", above).rows == [
        [str(clip), "_uncertain_", probability]
    ]
    [row] = call("predict", clip, "--threshold", above, "--top-k", "3").rows
    assert len(set(row[1::2])) == 3
    assert "low" not in row  # its probability stands beside _uncertain_


def test_out_gets_what_stdout_would(at_home, tmp_path, call):
    out, clips = tmp_path / "words.csv", [at_home.clip("low"), "missing.wav", at_home.clip("high")]
    expected = call("predict", *clips, "--csv", "-q")
    out.write_text("old")
    result = call("predict", *clips, "--csv", "-q", "-o", out)
    assert (result.code, result.stdout, result.stderr) == (1, "", expected.stderr)
    assert out.read_text() == expected.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["words.csv"]


def test_what_stood_in_out_stays_when_nothing_could_be_predicted(at_home, tmp_path, call):
    (tmp_path / "words.tsv").write_text("old")
    assert call("predict", "missing.wav", "--out", tmp_path / "words.tsv").code == 1
    assert (tmp_path / "words.tsv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["words.tsv"]


def test_out_is_no_recording_and_no_list(at_home, tmp_path, call):
    clip = tmp_path / "a.wav"
    shutil.copy(at_home.clip("low"), clip)
    before = clip.read_bytes()
    for arguments in ([clip], ["--files-from", clip]):
        result = call("predict", *arguments, "--out", clip)
        assert (result.code, result.stdout) == (2, "")
        assert result.errors == [f"--out: {clip} is one of the recordings; name another file"]
    assert clip.read_bytes() == before


def test_ctrl_c_keeps_in_out_what_was_done(home, tmp_path, start):
    process = start("predict", "--files-from", "-", "--out", tmp_path / "words.tsv", cwd=home.path)
    process.stdin.write(b"tones/low/s00_nohash_0.wav\n")
    process.stdin.flush()
    # answers reach the file as they come
    while process.poll() is None and not any(p.stat().st_size for p in tmp_path.glob(".*/whole")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    [line] = (tmp_path / "words.tsv").read_text().splitlines()
    assert line.split("\t")[:2] == ["tones/low/s00_nohash_0.wav", "low"]
    assert not list(tmp_path.glob(".*"))


class TestModel:
    """Where the model comes from: --model, $SPEECHCLS_MODEL, ./models/."""

    @pytest.fixture
    def place(self, home, tmp_path, monkeypatch):
        """A folder with the models old and new, elsewhere a third and a fourth."""
        for name in ("models/old", "models/new", "models/none", "third", "fourth"):
            shutil.copytree(home.model, tmp_path / name)
        (tmp_path / "models" / "none" / "config.json").unlink()
        (tmp_path / "models" / "a file").touch()
        for name, age_s in (("old", 200), ("new", 100)):
            config = tmp_path / "models" / name / "config.json"
            os.utime(config, (time.time() - age_s,) * 2)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_is_the_newest_in_models(self, place, home, call):
        result = call("predict", home.clip("low"))
        assert result.labels == ["low"]
        assert result.stderr == "speechcls: model models/new (newest in ./models/)\n"

    def test_is_the_one_in_the_environment(self, place, home, call, monkeypatch):
        monkeypatch.setenv("SPEECHCLS_MODEL", "third")
        result = call("predict", home.clip("low"))
        assert result.labels == ["low"]
        assert result.stderr == "speechcls: model third ($SPEECHCLS_MODEL)\n"

    def test_is_the_one_named(self, place, home, call, monkeypatch):
        monkeypatch.setenv("SPEECHCLS_MODEL", "third")
        result = call("predict", home.clip("low"), "--model", "fourth")
        assert result.labels == ["low"]
        assert result.stderr == "speechcls: model fourth (named)\n"

    def test_in_the_environment_may_not_be_wrong(self, place, home, call, monkeypatch):
        monkeypatch.setenv("SPEECHCLS_MODEL", "nowhere")
        result = call("predict", home.clip("low"))
        assert (result.code, result.stdout) == (1, "")
        assert result.errors == [
            "nowhere: no such model; name the folder of a trained model, or one that comes with"
            " speechcls (commands, commands-stream, commands-tiny)"
        ]


def test_where_none_is_a_word_of_a_model_that_nobody_named(tmp_path, write_wav, call):
    clip = write_wav(tmp_path / "quiet.wav", np.zeros(16_000, np.float32))
    result = call("predict", clip, cwd=tmp_path)
    assert result.rows[0][1] == "_silence_"
    said = "speechcls: none is a word of the model (down, go, left, no, right, stop, up, yes);"
    assert f"{said} name another one with --model" in result.stderr.splitlines()
    named = call("predict", clip, "--model", "commands", cwd=tmp_path)
    assert "none is a word" not in named.stderr


def test_a_terminal_shows_how_far_it_is_and_stdout_stays_clean(home, run, run_in_terminal):
    folder = home.data / "low"
    result = run_in_terminal("predict", folder, "--model", home.model)
    assert result.code == 0
    assert result.stdout == run("predict", folder, "--model", home.model).stdout
    n_clips = len(list(folder.iterdir()))
    assert "predicting" in result.stderr and f"/{n_clips}" in result.stderr
    quiet = run_in_terminal("predict", folder, "--model", home.model, "--quiet")
    assert (quiet.stdout, quiet.stderr) == (result.stdout, "")


def test_quiet_silences_all_but_errors(at_home, call):
    result = call("predict", at_home.clip("low"), "-q")
    assert (result.code, result.stderr) == (0, "")
    result = call("predict", "missing.wav", at_home.clip("low"), "-q")
    assert result.code == 1
    assert result.stderr.startswith("speechcls: error: missing.wav: no such file")
    assert result.stderr.count("\n") == 1
    assert result.labels == ["low"]


def test_of_a_long_clip_the_loudest_window_is_heard(at_home, tmp_path, make_tone, call):
    clip = np.concatenate([0.02 * make_tone("high", duration_s=2), make_tone("low", 3)])
    soundfile.write(tmp_path / "long.wav", clip, 16_000)
    result = call("predict", tmp_path / "long.wav", at_home.clip("high"), "-v")
    assert result.labels == ["low", "high"]
    _, detail = result.stderr.splitlines()  # nothing of the clip that fits
    assert detail.startswith(f"speechcls: {tmp_path / 'long.wav'}: lasts 2.50 s;")
    assert "loudest part" in detail
    start_s = float(detail.removesuffix(" s").split()[-1])
    assert start_s == pytest.approx(2.0, abs=0.01)
    assert "loudest" not in call("predict", tmp_path / "long.wav").stderr
    assert call("predict", tmp_path / "long.wav", "-v", "-q").stderr == ""


def test_what_is_too_long_for_a_word_is_said_once(at_home, tmp_path, make_tone, call):
    for seconds in (4, 6, 7):
        soundfile.write(tmp_path / f"{seconds}.wav", make_tone("low", duration_s=seconds), 16_000)
    result = call("predict", *(tmp_path / f"{seconds}.wav" for seconds in (4, 6, 7)))
    assert result.code == 0
    assert [line for line in result.stderr.splitlines() if "warning" in line] == [
        "speechcls: warning: 2 recordings last longer than 5 s: only the loudest part of each was"
        " classified; speechcls detect finds every word"
    ]


def test_what_a_terminal_cannot_show_is_no_traceback(home, tmp_path, run):
    shutil.copy(home.clip("low"), tmp_path / "é.wav")
    clips = (tmp_path / "é.wav", home.clip("rise"))
    result = run("predict", *clips, "-q", cwd=home.path, env={"PYTHONIOENCODING": "ascii"})
    assert result.stderr == ""
    assert result.labels == ["low", "rise"]


@pytest.fixture(scope="module")
def classifier(home):
    return Classifier.load(home.model)


@pytest.fixture(scope="module")
def clip(home):
    return home.clip("rise", "s01_nohash_1")


@pytest.fixture(scope="module")
def answer(classifier, clip):
    return classifier.predict(clip)


class TestClassifier:
    """The Python API gives the same answers as the command."""

    def test_file(self, answer, at_home, clip, call):
        told = json.loads(call("predict", clip, "--json").stdout)
        assert answer.label == told["label"] == "rise"
        assert answer.probability == pytest.approx(told["probability"], abs=1e-5)
        assert answer.probabilities == pytest.approx(told["probabilities"], abs=1e-5)
        assert list(answer.probabilities) == list(told["probabilities"])  # likeliest first

    def test_text_path_and_stream(self, classifier, clip, answer):
        assert classifier.predict(str(clip)) == answer
        with clip.open("rb") as stream:
            assert classifier.predict(stream) == answer

    @pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
    def test_array(self, dtype, classifier, clip, answer):
        samples, rate = soundfile.read(clip, dtype=dtype)
        assert classifier.predict(samples) == answer
        assert classifier.predict(samples, sample_rate=rate) == answer

    @pytest.mark.parametrize("dtype", ["int16", "float32"])
    def test_two_channels_of_a_file_are_averaged(self, dtype, classifier, clip, answer, tmp_path):
        samples, rate = soundfile.read(clip, dtype=dtype)
        left = samples // 2 if dtype == "int16" else samples / 2
        stereo = np.stack([left, samples - left], axis=1)
        soundfile.write(
            tmp_path / "stereo.wav", stereo, rate, "PCM_16" if dtype == "int16" else "FLOAT"
        )
        of_file = classifier.predict(tmp_path / "stereo.wav")
        of_array = classifier.predict(soundfile.read(tmp_path / "stereo.wav")[0].mean(axis=1))
        assert of_array.label == of_file.label == "rise"
        assert of_array.probabilities == pytest.approx(of_file.probabilities, abs=1e-5)

    @pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
    def test_another_sample_rate(self, rate, classifier, make_tone, tmp_path):
        time_s = np.arange(rate // 2) / rate
        tone = (0.4 * np.sin(2 * np.pi * 1_600 * time_s)).astype(np.float32)
        soundfile.write(tmp_path / "tone.wav", tone, rate, subtype="FLOAT")
        of_array = classifier.predict(tone, sample_rate=rate)
        assert of_array == classifier.predict(tmp_path / "tone.wav")
        assert of_array.label == "high"

    def test_threshold(self, classifier, clip, answer):
        above = classifier.predict(clip, threshold=answer.probability + 1e-4)
        assert (above.label, above.probability) == ("_uncertain_", answer.probability)

    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            (np.zeros(0, np.float32), "array: empty"),
            (np.full(9, np.nan, np.float32), "NaN"),
            (np.zeros(9, np.int32), "array of int32"),
            (np.zeros((2, 2, 2), np.float32), r"shape \(2, 2, 2\)"),
        ],
    )
    def test_impossible_array(self, samples, message, classifier):
        from speechcls.errors import AudioError

        with pytest.raises(AudioError, match=message):
            classifier.predict(samples)

    @pytest.mark.parametrize("rate", [0, -8_000])
    def test_impossible_sample_rate(self, rate, classifier):
        from speechcls.errors import ConfigError

        with pytest.raises(ConfigError, match=f"sample_rate: {rate}"):
            classifier.predict(np.zeros(9, np.float32), sample_rate=rate)


def test_what_was_mended_is_told_with_the_name(at_home, tmp_path, call):
    samples, rate = soundfile.read(at_home.clip("low"), dtype="float32")
    path, other = tmp_path / "opposite.wav", tmp_path / "loud.wav"
    soundfile.write(path, np.stack([samples, -samples], axis=1), rate)
    soundfile.write(other, samples * 32_768, rate, "FLOAT")
    result = call("predict", path, other)
    assert (result.code, result.labels) == (0, ["low", "low"])
    assert result.stderr.splitlines()[1:] == [
        f"speechcls: warning: {path}: channels cancel out; channel 1 is used: name another if it"
        " is the wrong one",
        f"speechcls: warning: {other}: floats at the scale of 16-bit integers; they were divided by"
        " 32768",
    ]
    assert call("predict", path, other, "-q").stderr == ""


def test_one_channel_of_a_recording(at_home, tmp_path, call):
    low, rate = soundfile.read(at_home.clip("low"), dtype="int16")
    high, _ = soundfile.read(at_home.clip("high"), dtype="int16")
    n = min(len(low), len(high))
    path = tmp_path / "two.wav"
    soundfile.write(path, np.stack([low[:n], high[:n]], axis=1), rate)
    for channel, label in (("1", "low"), ("2", "high")):
        result = call("predict", path, "--channel", channel)
        assert (result.code, result.labels) == (0, [label])
    result = call("predict", path, at_home.clip("low"), "--channel", "2")
    assert result.code == 1
    assert result.errors == [f"{at_home.clip('low')}: has no channel 2; name one of 1 to 1"]


def test_no_recording_ends_the_others(at_home, tmp_path, call):
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(at_home.clip("low"), folder / "a.wav")
    shutil.copy(at_home.clip("high"), folder / "z.wav")
    samples, rate = soundfile.read(at_home.clip("rise"), dtype="int16")
    soundfile.write(folder / "b.flac", samples, rate)
    content = bytearray((folder / "b.flac").read_bytes())
    field = int.from_bytes(content[18:26], "big")
    content[18:26] = (field >> 36 << 36 | 2**36 - 1).to_bytes(8, "big")
    (folder / "b.flac").write_bytes(content)
    slow = bytearray((folder / "a.wav").read_bytes())
    slow[24:28] = (1).to_bytes(4, "little")
    (folder / "c.wav").write_bytes(slow)
    (folder / "d.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + bytes(4_000))
    result = call("predict", folder)
    assert (result.code, result.labels) == (1, ["low", "high"])
    assert result.errors == [
        f"{folder}/b.flac: truncated ({len(samples)} of 68719476735 frames); copy it again",
        f"{folder}/c.wav: 1 Hz is not a sample rate (1000 to 768000); mend the header",
        f"{folder}/d.m4a: an MPEG-4 file without its index: never finished, or copied in part;"
        " copy it again",
    ]
