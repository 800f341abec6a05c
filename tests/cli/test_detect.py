"""``speechcls detect``: tones in long noise, from files and pipes, into every format."""

import csv
import json
import select
import signal
import struct
import time

import numpy as np
import pytest
import soundfile

RATE = 16_000
GAP_S = 1.5
WORDS = ["low", "high", "low", "high", "low"]
OPTIONS = ("--threshold", "0.5", "--labels", "low,high")
HISS = 0.01


def make_recording(make_tone, words=WORDS):
    """Each word half a second long, the first at 1.25 s and one every 1.5 s, in noise."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, HISS, round(RATE * GAP_S * (len(words) + 1))).astype(np.float32)
    for n, word in enumerate(words):
        tone = make_tone(word, 900 + n)
        start = round(RATE * GAP_S * (n + 1)) - len(tone) // 2
        samples[start : start + len(tone)] += tone
    return samples


@pytest.fixture(scope="module")
def ears(tmp_path_factory, make_tones, make_tone, train):
    """A folder with a model that tells tones from noise, and ``long.wav`` with ``WORDS``."""
    folder = tmp_path_factory.mktemp("ears")
    data = make_tones(folder / "tones")
    (data / "_background_noise_").mkdir()
    hiss = np.random.default_rng(1).normal(0, HISS, 20 * RATE)
    soundfile.write(data / "_background_noise_" / "hiss.wav", hiss, RATE)
    trained = train(data, folder / "models" / "tones", "--arch", "gru", "--epochs", "8")
    assert trained.code == 0, trained.stderr
    soundfile.write(folder / "long.wav", make_recording(make_tone), RATE)
    return folder


@pytest.fixture
def in_ears(ears, monkeypatch):
    monkeypatch.chdir(ears)
    return ears


def assert_hears_words(rows, words=WORDS, within_s=0.3):
    """Rows are path, start, end, label, probability of every word in its place."""
    assert [row[3] for row in rows] == words
    for n, (_, start, end, _, probability) in enumerate(rows):
        assert (float(start) + float(end)) / 2 == pytest.approx(GAP_S * (n + 1), abs=within_s)
        assert float(start) < float(end)
        assert 0.5 <= float(probability) <= 1


def test_the_words_of_a_long_recording_in_order(in_ears, call):
    result = call("detect", "long.wav", *OPTIONS)
    assert result.code == 0
    assert result.stderr.splitlines() == [
        "speechcls: model models/tones (newest in ./models/)",
        "speechcls: the model knows no other sounds and may take any for a word",
    ]
    assert {row[0] for row in result.rows} == {"long.wav"}
    assert_hears_words(result.rows)


def test_any_rate_and_channel(in_ears, tmp_path, call):
    samples, _ = soundfile.read("long.wav")
    two = np.repeat(np.stack([np.zeros_like(samples), samples], axis=1), 2, axis=0)
    soundfile.write(tmp_path / "two.flac", two, 2 * RATE)
    for channel, words in (("2", WORDS), ("1", [])):
        result = call("detect", tmp_path / "two.flac", "--channel", channel, *OPTIONS)
        assert (result.code, result.stdout.count("\n")) == (0, len(words))
        assert_hears_words(result.rows, words)
    result = call("detect", tmp_path / "two.flac", "--channel", "3", *OPTIONS)
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [f"{tmp_path / 'two.flac'}: has no channel 3; name one of 1 to 2"]


def test_labels_and_thresholds_choose(in_ears, call):
    low = call("detect", "long.wav", "--threshold", "0.5", "--labels", "low")
    assert [row[3] for row in low.rows] == ["low"] * 3
    assert call("detect", "long.wav", *OPTIONS, "--threshold", "1").stdout == ""
    silence = call("detect", "long.wav", "--threshold", "0.5", "--labels", "_silence_")
    assert {row[3] for row in silence.rows} == {"_silence_"}
    anything = call("detect", "long.wav", "--threshold", "0.5")
    assert "low" in {row[3] for row in anything.rows} <= {"low", "high", "rise"}


def test_settings_of_events_are_obeyed(in_ears, call):
    assert call("detect", "long.wav", *OPTIONS, "--min-duration", "5").stdout == ""
    few = call("detect", "long.wav", *OPTIONS, "--refractory", "2")
    assert 1 <= len(few.rows) < len(WORDS)
    assert len(call("detect", "long.wav", *OPTIONS, "--smoothing", "10").rows) < len(WORDS)
    often = call("detect", "long.wav", *OPTIONS, "--every", "0.05")
    assert_hears_words(often.rows)
    assert often.rows != call("detect", "long.wav", *OPTIONS).rows


def test_a_wav_and_bare_samples_on_stdin_are_heard_as_the_file_is(ears, run):
    content = (ears / "long.wav").read_bytes()
    expected = run("detect", "long.wav", *OPTIONS, cwd=ears).stdout.replace("long.wav", "-")
    endless = content[:40] + b"\xff\xff\xff\xff" + content[44:]  # as ffmpeg writes into a pipe
    assert expected.count("\n") == len(WORDS)
    for sound, options in [(content, ()), (endless, ()), (content[44:], ("--rate", RATE))]:
        result = run("detect", "-", *OPTIONS, *map(str, options), cwd=ears, stdin=sound)
        assert (result.code, result.stdout) == (0, expected), result.stderr


def test_formats(in_ears, tmp_path, call):
    rows = call("detect", "long.wav", *OPTIONS).rows
    table = list(csv.reader(call("detect", "long.wav", *OPTIONS, "--format", "csv").stdout.split()))
    assert table == [["path", "start_s", "end_s", "label", "probability"], *rows]
    for line, row in zip(
        call("detect", "long.wav", *OPTIONS, "--format", "jsonl").stdout.splitlines(),
        rows,
        strict=True,
    ):
        event = json.loads(line)
        assert list(event) == ["path", "start_s", "end_s", "label", "probability"]
        assert [event["path"], event["label"]] == [row[0], row[3]]
        assert [event["start_s"], event["end_s"]] == [float(row[1]), float(row[2])]
    track = call("detect", "long.wav", *OPTIONS, "--format", "audacity").rows
    assert track == [row[1:4] for row in rows]
    titles = call("detect", "long.wav", *OPTIONS, "--format", "srt").stdout.split("\n\n")
    assert titles.pop() == ""
    assert [title.splitlines()[::2] for title in titles] == [
        [str(n + 1), word] for n, word in enumerate(WORDS)
    ]


@pytest.mark.parametrize(("option", "name"), [("--json", "jsonl"), ("--csv", "csv")])
def test_formats_that_predict_has_are_spelled_as_there(option, name, in_ears, call):
    expected = call("detect", "long.wav", *OPTIONS, "--format", name).stdout
    assert expected.count("\n") >= len(WORDS)
    assert call("detect", "long.wav", *OPTIONS, option).stdout == expected


def test_out_gets_what_stdout_would(in_ears, tmp_path, call):
    expected = call("detect", "long.wav", *OPTIONS).stdout
    (tmp_path / "words.tsv").write_text("old")
    result = call("detect", "long.wav", *OPTIONS, "--out", tmp_path / "words.tsv")
    assert (result.code, result.stdout) == (0, "")
    assert (tmp_path / "words.tsv").read_text() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["words.tsv"]


def test_what_stood_in_out_stays_when_nothing_could_be_heard(in_ears, tmp_path, call):
    (tmp_path / "words.tsv").write_text("old")
    result = call("detect", "nowhere.wav", *OPTIONS, "--out", tmp_path / "words.tsv")
    assert result.code == 1
    assert (tmp_path / "words.tsv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["words.tsv"]


def test_a_bad_recording_among_good_ones(in_ears, tmp_path, call):
    (tmp_path / "bad.wav").write_text("no recording")
    names = ["long.wav", str(tmp_path / "bad.wav"), "nowhere.wav", "./long.wav"]
    result = call("detect", *names, *OPTIONS)
    assert result.code == 1
    assert [row[0] for row in result.rows] == [names[0]] * len(WORDS) + [names[3]] * len(WORDS)
    first, second = result.errors
    assert first.startswith(f"{names[1]}: text, not a recording")
    assert second == "nowhere.wav: no such file; check the path"


@pytest.mark.parametrize("to_file", [False, True])
def test_what_a_broken_recording_holds_is_told_before_its_error(to_file, in_ears, tmp_path, call):
    content = (in_ears / "long.wav").read_bytes()
    broken = tmp_path / "broken.wav"
    broken.write_bytes(content[: 44 + 2 * round(3.6 * RATE)])  # in the silence after two words
    options = ("--out", tmp_path / "words.tsv") if to_file else ()
    result = call("detect", broken, *OPTIONS, *options)
    assert result.code == 1
    [error] = result.errors
    assert error.startswith(f"{broken}: truncated")
    text = (tmp_path / "words.tsv").read_text() if to_file else result.stdout
    assert_hears_words([line.split("\t") for line in text.splitlines()], WORDS[:2])


def first_line(process):
    ready, _, _ = select.select([process.stdout], [], [], 60)
    assert ready, "nothing came before the end"
    return process.stdout.readline().decode().split("\t")


def begin(start, ears, seconds, *options):
    """Start on a pipe that stays open, with the first seconds of the recording in it."""
    process = start("detect", "-", *OPTIONS, *options, cwd=ears)
    samples = (ears / "long.wav").read_bytes()[44:]
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 2**32 - 1, b"WAVEfmt ", 16, 1, 1, RATE,
                         2 * RATE, 2, 16, b"data", 2**32 - 1)  # fmt: skip
    process.stdin.write(header + samples[: 2 * round(seconds * RATE)])
    process.stdin.flush()
    return process, samples[2 * round(seconds * RATE) :]


def test_the_first_word_comes_long_before_the_end(start, ears):
    process, rest = begin(start, ears, 5)
    first = first_line(process)
    stdout, _ = process.communicate(rest, 60)
    assert_hears_words([first, *(line.split("\t") for line in stdout.decode().splitlines())])
    assert process.returncode == 0


def test_ctrl_c_tells_what_was_found(start, ears):
    process, _ = begin(start, ears, 4)
    first = first_line(process)  # the second word is still waiting for what might outdo it
    time.sleep(0.5)  # most likely all of it is heard then
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    rest = stdout.decode().rstrip("\n").split("\t")
    assert_hears_words([first, rest], WORDS[:2], within_s=0.5)
    assert stderr.decode().splitlines()[-1] == "speechcls: error: interrupted"


def test_ctrl_c_keeps_what_was_found_in_out(start, ears, tmp_path):
    process, _ = begin(start, ears, 4, "--out", str(tmp_path / "words.tsv"))
    while process.poll() is None and not any(p.stat().st_size for p in tmp_path.glob(".*/whole")):
        time.sleep(0.05)  # events reach the file as they come
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    lines = (tmp_path / "words.tsv").read_text().splitlines()
    assert_hears_words([line.split("\t") for line in lines], WORDS[:2], within_s=0.5)
    assert list(tmp_path.iterdir()) == [tmp_path / "words.tsv"]


WRONG = {
    "no recording": [],
    "two formats": ["long.wav", "--json", "--csv"],
    "unknown format": ["long.wav", "--format", "xml"],
    "subtitles of two": ["long.wav", "long.wav", "--format", "srt"],
    "label track of two": ["long.wav", "long.wav", "--format", "audacity"],
    "stdin twice": ["-", "-"],
    "threshold 2": ["long.wav", "--threshold", "2"],
    "unknown label": ["long.wav", "--labels", "low,hi"],
    "no label": ["long.wav", "--labels", ","],
    "every 0": ["long.wav", "--every", "0"],
    "smoothing of years": ["long.wav", "--smoothing", "1e9"],
    "channel 0": ["long.wav", "--channel", "0"],
    "out is the recording": ["long.wav", "--out", "./long.wav"],
    "out is a folder": ["long.wav", "--out", "."],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_wrong_usage_ends_with_2(arguments, in_ears, call):
    result = call("detect", *arguments)
    assert (result.code, result.stdout) == (2, ""), result
    assert soundfile.info("long.wav").frames == RATE * 9


def test_what_was_mended_is_told_with_the_name(in_ears, tmp_path, call):
    samples, rate = soundfile.read("long.wav", dtype="float32")
    path = tmp_path / "opposite.wav"
    soundfile.write(path, np.stack([samples, -samples], axis=1), rate, "FLOAT")
    result = call("detect", path, *OPTIONS)
    assert result.code == 0
    assert [row[0] for row in result.rows] == [str(path)] * len(WORDS)
    assert result.stderr.splitlines()[-1] == (
        f"speechcls: warning: {path}: channels cancel out; channel 1 is used: name another if it is"
        " the wrong one"
    )
