"""``speechcls listen`` on pipes and files: what it prints, and when."""

import io
import json
import shutil
import signal
import sys

import numpy as np
import onnx
import pytest
import soundfile

from speechcls.live.listen import detect_live
from speechcls.live.sources import Block
from speechcls.runtime.streaming import StreamingClassifier

RATE = 16_000
SAID = [(1.0, "low"), (2.513, "high"), (4.127, "low"), (5.333, "high"), (6.641, "low")]
LABELS = [label for _, label in SAID]
BEEP_S = 0.25


@pytest.fixture(scope="module")
def running(make_running):
    return make_running(SAID, 8.0)


@pytest.fixture(scope="module")
def wav(running, tmp_path_factory):
    path = tmp_path_factory.mktemp("running") / "running.wav"
    soundfile.write(path, running, RATE, subtype="PCM_16")
    return path


def raw_of(samples):
    return (samples * 32_768).astype("<i2").tobytes()


def events_of(result):
    assert result.code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_words_of_a_file_are_printed_with_time_and_probability(hearer, wav, call):
    result = call("listen", "--from", wav, "--speed", "0", "-m", hearer)
    assert result.code == 0
    assert [row[1] for row in result.rows] == LABELS
    middles = [start_s + BEEP_S / 2 for start_s, _ in SAID]
    assert [float(row[0]) for row in result.rows] == pytest.approx(middles, abs=0.4)
    assert all(0.6 <= float(row[2]) <= 1 for row in result.rows)
    assert result.stderr.splitlines() == [
        f"speechcls: model {hearer} (named)",
        "speechcls: the model knows no other sounds and may take any for a word",
        f"speechcls: listening to {wav}; Ctrl-C ends it",
        "speechcls: listened for 8.0 s, 5 words detected",
    ]


@pytest.mark.parametrize("rate", [16_000, 44_100, 8_000])
def test_a_command_is_told_at_most_200_ms_after_its_end(rate, hearer, running, tmp_path, call):
    import soxr

    path = tmp_path / "a.wav"
    soundfile.write(path, soxr.resample(running, RATE, rate), rate)
    events = events_of(call("listen", "--from", path, "--speed", "0", "-m", hearer, "--json"))
    assert [event["label"] for event in events] == LABELS
    late_s = [
        event["heard_s"] - start_s - BEEP_S
        for event, (start_s, _) in zip(events, SAID, strict=True)
    ]
    assert max(late_s) <= 0.2
    assert min(late_s) > -BEEP_S  # no word is known before it began


def test_a_window_model_hears_too(home, make_tone, tmp_path, call):
    quiet = np.zeros(RATE, dtype=np.float32)
    sound = [quiet, make_tone("high"), quiet, make_tone("low", 3), quiet]
    soundfile.write(tmp_path / "a.wav", np.concatenate(sound), RATE)
    options = ("--speed", "0", "-m", home.model, "--labels", "high", "--json", "--threshold", "0.8")
    events = events_of(call("listen", "--from", tmp_path / "a.wav", *options))
    near = [e for e in events if abs(e["time_s"] - 1.25) < 0.5]
    assert [event["label"] for event in near] == ["high"]
    assert {event["label"] for event in events} == {"high"}


def test_a_pipe_gives_the_same_as_the_file(hearer, wav, call, run):
    whole = call("listen", "--from", wav, "--speed", "0", "-m", hearer).stdout
    raw = soundfile.read(wav, dtype="int16")[0].tobytes()
    of_floats = io.BytesIO()
    soundfile.write(of_floats, soundfile.read(wav)[0], RATE, "FLOAT", format="WAV")
    for content in (raw, raw + b"\x01", wav.read_bytes(), of_floats.getvalue()):
        result = run("listen", "-", "-m", hearer, stdin=content)
        assert (result.code, result.stdout) == (0, whole), result.stderr
        assert ("ended within a sample" in result.stderr) == (len(content) % 2 == 1)


def test_events_are_flushed_as_they_come_however_odd_the_pieces(hearer, running, start):
    process = start("listen", "-", "-m", hearer, "--json")
    content = raw_of(running)
    n_piece = 37 * 2 * RATE // 1_000 + 1  # 37 ms and a half sample
    cut = 2 * round(2.2 * RATE)
    for begin in range(0, cut, n_piece):
        process.stdin.write(content[begin : min(begin + n_piece, cut)])
        process.stdin.flush()
    # the pipe is still open, so that the first word would wait in a buffer for ever
    assert json.loads(process.stdout.readline())["label"] == "low"
    stdout, stderr = process.communicate(content[cut:], timeout=60)
    assert process.returncode == 0
    assert [json.loads(line)["label"] for line in stdout.splitlines()] == LABELS[1:]
    assert stderr.endswith(b"listened for 8.0 s, 5 words detected\n")


def test_the_rate_of_a_pipe_can_be_told(hearer, running, run):
    import soxr

    content = raw_of(soxr.resample(running, RATE, 48_000))
    result = run("listen", "-", "--rate", "48000", "-m", hearer, stdin=content)
    assert [row[1] for row in result.rows] == LABELS


def test_lost_sound_counts_in_times_and_joins_no_halves(hearer, running):
    """Ten seconds are lost within the first word, and its halves are no word."""
    classifier = StreamingClassifier.load(hearer, 0.8, ["low", "high"], eager=True)
    cut, lost_s = round(2.3 * RATE), 10.0
    blocks = [
        Block(running[:cut], RATE),
        Block(running[cut:], RATE, lost_s, ("gone",)),
    ]
    updates = list(detect_live(classifier, blocks))
    events = [event for update in updates for event in update.events]
    assert [event.label for event in events] == LABELS
    middles = [start_s + BEEP_S / 2 + lost_s * (start_s > 2.3) for start_s, _ in SAID]
    assert [event.centre_s for event in events] == pytest.approx(middles, abs=0.4)
    assert [update.warnings for update in updates if update.warnings] == [("gone",)]
    assert updates[-1].time_s == pytest.approx(18.0)


def test_no_sound_at_all_is_an_error(hearer, run):
    result = run("listen", "-", "-m", hearer, stdin=b"")
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == ["stdin: is empty (0 bytes); check the command that writes to it"]


@pytest.mark.parametrize("content", [b"\x00", b"\x00\x01"])
def test_next_to_no_sound_has_no_events(content, hearer, run):
    result = run("listen", "-", "-m", hearer, stdin=content)
    assert (result.code, result.stdout) == (0, "")
    assert result.stderr.endswith("listened for 0.0 s, 0 words detected\n")


def test_labels_and_threshold_choose_events(hearer, wav, call):
    options = ("--from", wav, "--speed", "0", "-m", hearer)
    assert [row[1] for row in call("listen", *options, "--labels", "high").rows] == ["high"] * 2
    assert call("listen", *options, "--threshold", "1").stdout == ""
    wrong = call("listen", *options, "--labels", "nix")
    assert wrong.code == 2
    assert "nix" in wrong.errors[0]


def test_wrong_sources_are_refused(hearer, wav, tmp_path, call, run):
    (tmp_path / "a.raw").write_bytes(b"no audio" * 9)
    options = ("-m", hearer)
    for name, fact in (("no.wav", "no such file"), ("a.raw", "text, not a recording")):
        result = call("listen", "--from", tmp_path / name, *options)
        assert (result.code, result.stdout) == (1, "")
        assert f"{name}: {fact}" in result.errors[0]
    flac = tmp_path / "a.flac"
    soundfile.write(flac, np.zeros(100), RATE)
    result = run("listen", "-", *options, stdin=flac.read_bytes())
    assert (result.code, result.stdout) == (1, "")
    assert "stdin: a FLAC, which cannot be read from a pipe; name the file" in result.errors[0]
    for arguments in (["clip.wav"], ["-", "--from", wav], ["--from", wav, "--microphone", "1"]):
        assert call("listen", *arguments, *options).code == 2


def test_a_model_that_knows_clips_only_is_refused(hearer, wav, tmp_path, call):
    shutil.copytree(hearer, tmp_path / "old")
    (tmp_path / "old" / "stream.onnx").unlink()
    result = call("listen", "--from", wav, "-m", tmp_path / "old")
    assert (result.code, result.stdout) == (1, "")
    assert "train it again" in result.errors[0]


LOG = "import sys, json; open(sys.argv[1], 'a').write(json.dumps(sys.argv[2:]) + '\\n')"


def test_each_event_runs_its_command_once(hearer, wav, tmp_path, call):
    log = tmp_path / "a log"
    command = f'"{sys.executable}" -c "{LOG}" "{log}" {{label}} "at {{time_s}} s; $HOME"'
    # the line end of LOG is for Python, not for shlex
    command = command.replace("\\n", "\\\\n")
    result = call("listen", "--from", wav, "--speed", "0", "-m", hearer, "--exec", command)
    assert (result.code, result.errors) == (0, [])
    ran = [json.loads(line) for line in log.read_text().splitlines()]
    assert ran == [[row[1], f"at {row[0]} s; $HOME"] for row in result.rows]
    assert [label for label, _ in ran] == LABELS


def test_a_label_of_shell_reaches_no_shell(hearer, wav, tmp_path, call):
    label = "high; touch pwned $(touch pwned) 'x"
    model = tmp_path / "model"
    shutil.copytree(hearer, model)
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace('"high"', json.dumps(label)))
    for name in ("model.onnx", "stream.onnx"):  # whose labels have to be the same
        graph = onnx.load(model / name)
        for entry in graph.metadata_props:
            entry.value = entry.value.replace("high", label)
        onnx.save(graph, model / name)
    (model / "manifest.json").unlink()
    log = tmp_path / "log"
    command = f"{sys.executable} -c \"{LOG}\" '{log}' {{label}}".replace("\\n", "\\\\n")
    result = call("listen", "--from", wav, "--speed", "0", "-m", model, "--exec", command)
    assert (result.code, result.errors) == (0, [])
    ran = [json.loads(line) for line in log.read_text().splitlines()]
    assert ran == [[name.replace("high", label)] for name in LABELS]
    assert list(tmp_path.rglob("pwned")) == []


def test_commands_that_fail_or_have_to_wait_too_long_are_told(hearer, make_running, tmp_path, call):
    said = [(0.5 + k, "low" if k % 2 else "high") for k in range(14)]
    soundfile.write(tmp_path / "a.wav", make_running(said, 15.0), RATE)
    # The sound takes a fraction of what one command does, so that all but the first have to wait.
    command = f"{sys.executable} -c 'import time; time.sleep(1); exit(7)'"
    options = ("--speed", "0", "-m", hearer, "--quiet", "--exec", command)
    result = call("listen", "--from", tmp_path / "a.wav", *options)
    assert result.code == 0
    assert len(result.rows) == 14  # every event is printed, whatever becomes of its command
    failed = [line for line in result.errors if "failed (exit code 7)" in line]
    not_run = [line for line in result.errors if "not run" in line]
    assert len(failed) + len(not_run) == 14 == len(result.errors)
    assert len(not_run) >= 4


def test_no_such_program_is_wrong_usage(hearer, wav, call):
    result = call("listen", "--from", wav, "-m", hearer, "--exec", "no-such-program {label}")
    assert (result.code, result.stdout) == (2, "")
    assert "no-such-program" in result.errors[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_ends_the_wait_for_sound(number, home, start):
    process = start("listen", "-", "--model", home.model)
    process.stdin.write(bytes(32_000))
    process.stdin.flush()
    assert "listening to stdin" in [process.stderr.readline().decode() for _ in range(3)][2]
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert b"Traceback" not in process.stderr.read()
