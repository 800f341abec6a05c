"""From a detector's mistakes to a better model: ``--save-events``, ``review``, ``--mistakes``."""

import csv
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

RATE = 16_000
GAP_S = 1.5
SAID = ["low", "rise", "high", "fall", "rise", "low", "fall", "high"]
"""In the recording that is reviewed; only low and high are words of the model."""
AGAIN = ["low", "fall", "high", "rise", "fall", "low", "rise", "high"]
"""In the one that shows what was learnt."""
HISS = 0.01
# A tone that is scrambled is the tone again, and no non-word.
EPOCHS = ("--arch", "gru", "--epochs", "24", "--scramble-ratio", "0", "--unknown-ratio", "6")
EPOCHS += ("--speed-max", "0", "--reverb-prob", "0")
OPTIONS = ("--threshold", "0.6", "--labels", "low,high")


def make_recording(make_tone, said, seed):
    """Each sound half a second long, one every 1.5 s, in noise."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, HISS, round(RATE * GAP_S * (len(said) + 1))).astype(np.float32)
    for n, label in enumerate(said):
        tone = make_tone(label, 900 + 50 * seed + n)
        start = round(RATE * GAP_S * (n + 1)) - len(tone) // 2
        samples[start : start + len(tone)] += tone
    return samples


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_tones, make_tone, train):
    """A folder with a model of two words that takes other sweeps for them, and recordings."""
    folder = tmp_path_factory.mktemp("place")
    data = make_tones(folder / "tones", labels=("high", "low"))
    (data / "_background_noise_").mkdir()
    hiss = np.random.default_rng(1).normal(0, HISS, 20 * RATE)
    soundfile.write(data / "_background_noise_" / "hiss.wav", hiss, RATE)
    trained = train(data, folder / "models" / "first", *EPOCHS)
    assert trained.code == 0, trained.stderr
    recordings = {"day.wav": SAID, "again.wav": AGAIN, "other.wav": ["low"]}
    for seed, (name, said) in enumerate(recordings.items(), start=1):
        soundfile.write(folder / name, make_recording(make_tone, said, seed), RATE)
    return folder


@pytest.fixture
def at(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def kept_once(place, run):
    """What ``detect day.wav --save-events`` keeps, its result, and what it prints without that."""
    plain = run("detect", "day.wav", *OPTIONS, cwd=place)
    folder = place / "kept once"
    result = run("detect", "day.wav", *OPTIONS, "--save-events", folder.name, cwd=place)
    assert (result.code, result.stdout) == (0, plain.stdout), result.stderr
    return folder, result, plain


@pytest.fixture
def kept(kept_once, tmp_path):
    """A copy of it, to judge."""
    return shutil.copytree(kept_once[0], tmp_path / "kept")


def events_of(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def verdicts_of(folder):
    """The last verdict on each event, and what was said."""
    lines = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    return {line["file"]: (line["verdict"], line["said"]) for line in lines}


def test_each_event_is_kept_with_the_sound_around_it(kept_once, place):
    folder, result, plain = kept_once
    day, rate = soundfile.read(place / "day.wav", dtype="int16")
    events = events_of(folder)
    assert [
        [e["source"], f"{e['start_s']:.3f}", f"{e['end_s']:.3f}", e["label"]] for e in events
    ] == [[str(place / path), *row] for path, *row in (row[:4] for row in plain.rows)]
    assert len(events) == len(SAID)
    for n, event in enumerate(events, start=1):
        assert event["file"] == f"{n:06}-{event['label']}.wav"
        assert event["model"] == "models/first"
        sound, rate = soundfile.read(folder / event["file"], dtype="int16")
        first = round((event["start_s"] - event["clip_start_s"]) * RATE)
        assert (rate, event["clip_start_s"]) == (RATE, 1.0)
        shift = next(k for k in range(-9, 10) if np.array_equal(sound[:99], day[first + k :][:99]))
        assert np.array_equal(sound, day[first + shift :][: len(sound)])  # times are in ms
        assert len(sound) / RATE == pytest.approx(event["clip_end_s"] + 1.0, abs=0.001)
    assert result.stderr.splitlines() == [
        "speechcls: model models/first (newest in ./models/)",
        "speechcls: the model knows no other sounds and may take any for a word",
        "speechcls: keeps the sound of each detected word in kept once, with 1 s before and after"
        " it; Ctrl-C ends that, and without --save-events nothing is kept",
        f"speechcls: kept {len(SAID)} events in kept once",
        "speechcls: next: speechcls review 'kept once'",
    ]


def test_without_the_option_nothing_is_kept(place, tmp_path, run):
    model = place / "models" / "first"
    for command in (
        ("detect", place / "day.wav", "-m", model, *OPTIONS),
        ("listen", "--from", place / "day.wav", "--speed", "0", "-m", model, *OPTIONS),
    ):
        result = run(*command, cwd=tmp_path)
        assert (result.code, result.stdout.count("\n") >= 4) == (0, True)
        assert "keeps" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_not_kept_again(at, tmp_path, run):
    command = ("detect", at / "day.wav", "-m", at / "models" / "first", *OPTIONS)
    options = ("--save-events", "kept", "--out", "out.tsv")
    for stderr in ("kept 8 events in kept\n", "kept 0 events in kept (8 were there already)\n"):
        result = run(*command, *options, cwd=tmp_path)
        assert result.code == 0 and f"speechcls: {stderr}" in result.stderr
    assert len(events_of(tmp_path / "kept")) == len(list((tmp_path / "kept").glob("*.wav"))) == 8


def test_a_run_that_was_killed_goes_on_without_a_second_copy(place, tmp_path, run, start):
    names = [f"{n}.wav" for n in range(6)]
    for name in names:
        shutil.copy(place / "day.wav", tmp_path / name)
    command = ("detect", *names, "-m", place / "models" / "first", *OPTIONS, "--out", "out.tsv")
    process = start(*command, "--save-events", "kept", cwd=tmp_path)
    while process.poll() is None and len(list((tmp_path / "kept").glob("*.wav"))) < 12:
        time.sleep(0.002)
    process.kill()
    process.wait(60)
    other = run(*command, "--save-events", "elsewhere", "--resume", cwd=tmp_path)
    assert other.code == 2
    assert "save_events was kept and is elsewhere" in other.errors[0]
    done = run(*command, "--save-events", "kept", "--resume", cwd=tmp_path)
    assert done.code == 0, done.stderr
    events = events_of(tmp_path / "kept")
    assert len({(e["source"], e["start_s"]) for e in events}) == len(events) == 6 * len(SAID)


def test_ctrl_c_keeps_what_was_found(place, tmp_path, start):
    process = start(
        *("detect", "-", "--rate", str(RATE), "-m", place / "models" / "first", *OPTIONS),
        *("--save-events", "kept"),
        cwd=tmp_path,
    )
    day, _ = soundfile.read(place / "day.wav", dtype="int16")
    process.stdin.write(day[: round(5.5 * RATE)].tobytes())
    process.stdin.flush()
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    events = events_of(tmp_path / "kept")
    assert len(events) == 1 + stdout.count(b"\n") >= 2
    assert {(e["source"], e["source_time_ns"]) for e in events} == {("stdin", None)}
    assert f"speechcls: kept {len(events)} events in kept".encode() in stderr


def test_listen_keeps_events_too(hearer, make_running, tmp_path, call):
    said = [(1.0, "low"), (2.5, "high"), (4.0, "low"), (5.9, "high")]
    running = make_running(said, 6.4)
    soundfile.write(tmp_path / "a.wav", running, 2 * RATE)  # played at twice its speed
    soundfile.write(tmp_path / "a.wav", np.repeat(running, 3), 3 * RATE)
    options = ("--speed", "0", "-m", hearer, "--threshold", "0.8", "--save-events")
    result = call("listen", "--from", tmp_path / "a.wav", *options, tmp_path / "kept")
    assert result.code == 0, result.stderr
    events = events_of(tmp_path / "kept")
    assert [e["label"] for e in events] == [row[1] for row in result.rows] == ["low", "high"] * 2
    for (start_s, _), event in zip(said, events, strict=True):
        sound, rate = soundfile.read(tmp_path / "kept" / event["file"])
        assert rate == RATE
        assert (event["start_s"] + event["end_s"]) / 2 == pytest.approx(start_s + 0.125, abs=0.3)
        # The beep is where it was in the recording, and the clip ends with the recording at last.
        loud = np.flatnonzero(np.abs(sound) > 0.05)
        offset_s = event["start_s"] - event["clip_start_s"]
        assert offset_s + loud[0] / RATE == pytest.approx(start_s, abs=0.01)
        assert offset_s + len(sound) / RATE == pytest.approx(min(6.4, event["end_s"] + 1), abs=0.01)
    again = call("listen", "--from", tmp_path / "a.wav", *options, tmp_path / "kept")
    assert "kept 0 events" in again.stderr and "4 were there already" in again.stderr


def test_a_folder_that_cannot_be_written_is_said_and_detection_goes_on(place, tmp_path, run):
    """Files of 10 kB at most: no WAV fits."""
    plain = run("detect", "day.wav", *OPTIONS, cwd=place)
    for command in (
        ("detect", place / "day.wav"),
        ("listen", "--from", place / "day.wav", "--speed", "0"),
    ):
        result = run(
            *(*command, "-m", place / "models" / "first", *OPTIONS, "--save-events", "kept"),
            cwd=tmp_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
        )
        assert result.code == 1
        first, last = result.errors
        assert first.startswith(f"kept: {result.rows[0][-2]} at 1.")
        assert first.endswith("is not kept (file too large); detection goes on")
        assert last == f"kept: {len(result.rows)} events are not kept"
        assert len(result.rows) >= 4
        assert command[0] == "listen" or result.stdout == plain.stdout.replace(
            "day.wav", str(place / "day.wav")
        )
        assert [path.name for path in (tmp_path / "kept").iterdir()] == []


def test_a_place_that_is_none_is_refused_before(at, tmp_path, call):
    (tmp_path / "file").write_text("mine")
    result = call("detect", "day.wav", *OPTIONS, "--save-events", tmp_path / "file")
    assert (result.code, result.stdout) == (2, "")
    assert result.errors == [f"{tmp_path / 'file'}: is a file, not a folder; choose another path"]
    (tmp_path / "events.jsonl").write_text("{}\n")
    result = call("detect", "day.wav", *OPTIONS, "--save-events", tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert "events.jsonl: line 1 is not one that speechcls wrote" in result.errors[0]


def review_in_terminal(folder, typed, cwd):
    """Type into ``review`` in a terminal; return code and stderr."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "speechcls", "review", folder],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(cwd / "stub"), *sys.path])},
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, typed.encode())
    stdout, stderr = process.communicate(timeout=60)
    os.close(ours)
    assert stdout == b""
    return process.returncode, stderr.decode()


def test_events_are_judged_in_a_terminal(kept, tmp_path):
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "sounddevice.py").write_text("raise ImportError")
    files = [event["file"] for event in events_of(kept)]
    # right; a slip, wrong; said was "left"; skip; back to the skipped one, wrong; quit
    code, stderr = review_in_terminal(kept, "r\nrigth\nw\n= left\ns\nb\nw\nq\n", tmp_path)
    assert code == 0, stderr
    assert verdicts_of(kept) == {
        files[0]: ("right", None),
        files[1]: ("wrong", None),
        files[2]: ("wrong", "left"),
        files[3]: ("wrong", None),
    }
    assert stderr.count("events are not played: sounddevice is not installed; run pip") == 1
    assert f"1/8  {'low'}  0." in stderr
    assert str(kept / files[0]) in stderr
    picture = next(line for line in stderr.splitlines() if line.startswith("    |"))
    assert len(picture) == len("    ||") + 60
    assert "-" * 20 in picture and "%" * 10 in picture  # hiss at -40 dB, and the word
    assert stderr.endswith("speechcls: 8 events, 4 of them not judged\n")
    # It goes on with the others; back to a judged one shows and changes its verdict.
    code, stderr = review_in_terminal(kept, "=low\nb\nr\n\x04", tmp_path)
    assert code == 0, stderr
    assert "1/4  " in stderr and "judged wrong low" in stderr
    assert verdicts_of(kept)[files[4]] == ("right", None)
    assert verdicts_of(kept)[files[0]] == ("right", None)


def test_sound_is_played_where_it_can_be(kept, tmp_path):
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "sounddevice.py").write_text(
        "class PortAudioError(Exception): pass\n"
        "def play(samples, rate): open('played', 'a').write(f'{len(samples)} {rate}\\n')\n"
    )
    code, stderr = review_in_terminal(kept, "p\nw\nq\n", tmp_path)
    assert code == 0 and "not played" not in stderr
    n = [soundfile.info(kept / event["file"]).frames for event in events_of(kept)]
    played = (tmp_path / "played").read_text().splitlines()
    assert played == [f"{n[0]} 16000", f"{n[0]} 16000", f"{n[1]} 16000"]


def test_without_a_terminal_they_are_listed(kept, run):
    events = events_of(kept)
    (kept / "verdicts.jsonl").write_text(
        json.dumps({"file": events[1]["file"], "verdict": "wrong", "said": "left"}) + "\n"
        + json.dumps({"file": events[2]["file"], "verdict": "right", "said": None}) + "\n"
    )  # fmt: skip
    result = run("review", kept)
    assert (result.code, len(result.rows)) == (0, 8)
    columns = [[row[0], row[1], *row[3:6]] for row in result.rows[:3]]
    assert columns == [
        [e["file"], e["label"], *judged, e["source"]]
        for e, judged in zip(
            events, (["", ""], ["wrong", "left"], ["right", events[2]["label"]]), strict=False
        )
    ]
    assert result.rows[0][6:] == [f"{events[0]['start_s']:.3f}", f"{events[0]['end_s']:.3f}"]
    assert result.stderr == "speechcls: 8 events, 6 of them not judged\n"


def test_a_page_has_the_events_and_its_verdicts_are_taken_over(kept, tmp_path, call):
    events = events_of(kept)
    result = call("review", kept, "--page")
    assert (result.code, result.stdout) == (0, f"{kept / 'review.html'}\n")
    page = (kept / "review.html").read_text()
    assert page.count("<audio") == page.count("data:audio/wav;base64,") == 8
    assert [f'data-file="{event["file"]}"' in page for event in events] == [True] * 8
    assert "http" not in page.replace("http-equiv", "")
    rows = [
        {"file": event["file"], "verdict": "right" if event["label"] == said else "wrong"}
        for event, said in zip(events, SAID, strict=True)
    ]
    (tmp_path / "verdicts.json").write_text(json.dumps({"verdicts": rows[:7]}))
    result = call("review", kept, "--import", tmp_path / "verdicts.json")
    assert (result.code, result.stdout) == (0, "")
    assert "7 verdicts taken from" in result.stderr
    assert verdicts_of(kept) == {row["file"]: (row["verdict"], None) for row in rows[:7]}
    assert call("review", kept, "--page").code == 0
    assert (kept / "review.html").read_text().count("<audio") == 1
    (tmp_path / "verdicts.json").write_text(
        json.dumps({"verdicts": [*rows, rows[0] | {"file": "x"}]})
    )
    before = (kept / "verdicts.jsonl").read_bytes()
    result = call("review", kept, "--import", tmp_path / "verdicts.json")
    assert result.code == 1
    assert "  no event x" in result.stderr.splitlines()
    assert (kept / "verdicts.jsonl").read_bytes() == before


def test_wrong_use_of_review(at, kept, tmp_path, call):
    for options in (("--page", "--import", "v"), ("--page", "--missed", "yes", "day.wav", "1")):
        result = call("review", kept, *options)
        assert (result.code, result.stdout) == (2, "")
        assert result.errors == ["--page, --import and --missed exclude each other"]
    result = call("review", tmp_path / "empty")
    assert result.code == 2
    assert result.errors[0].startswith(f"{tmp_path / 'empty'}: no events in it; keep some with")
    result = call("review", kept, "--missed", "yes", "day.wav", "99")
    assert result.code == 1
    assert result.errors[0].startswith("day.wav: ")


def test_the_distractors_are_learnt_and_the_words_stay(at, kept, tmp_path, train, call):
    """With the very same options, but for ``--mistakes``."""
    before = call("detect", "again.wav", "-m", "models/first", *OPTIONS)
    assert len(before.rows) == len(AGAIN)  # every distractor is taken for a word
    rows = [
        {"file": event["file"], "verdict": "right" if event["label"] == said else "wrong"}
        for event, said in zip(events_of(kept), SAID, strict=True)
    ]
    (tmp_path / "verdicts.json").write_text(json.dumps({"verdicts": rows}))
    assert call("review", kept, "--import", tmp_path / "verdicts.json").code == 0
    missed = call("review", kept, "--missed", "low", "other.wav", "1.5")
    assert (missed.code, missed.stdout) == (0, f"{kept / '000009-low.wav'}\n")
    trained = train("tones", tmp_path / "second", *EPOCHS, "--mistakes", kept)
    assert trained.code == 0, trained.stderr
    assert f"4 hard negatives, 5 words from {kept}, window" in trained.stderr
    after = call("detect", "again.wav", "-m", tmp_path / "second", *OPTIONS)
    assert [row[3] for row in after.rows] == ["low", "high", "low", "high"]
    with (tmp_path / "second" / "split.csv").open() as file:
        split = [row for row in csv.DictReader(file) if row["path"].startswith(str(kept))]
    assert [row["split"] for row in split] == ["train"] * 9
    assert [row["label"] for row in split].count("_unknown_") == 4
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert config["data"]["mistakes"] == str(kept)
    assert "_unknown_" in config["labels"]


def test_a_training_without_a_judged_event_is_refused(at, kept, tmp_path, train):
    result = train("tones", tmp_path / "model", "--epochs", "1", "--mistakes", kept)
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [f"--mistakes: {kept}: no judged event in it; review it first"]
    assert not (tmp_path / "model").exists()
