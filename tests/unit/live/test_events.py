"""Kept events: their files, lines and verdicts, also of killed processes and strangers."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from speechcls.errors import ConfigError, DatasetError
from speechcls.live.events import (
    EVENTS,
    RIGHT,
    VERDICTS,
    WRONG,
    EventFolder,
    SavedEvent,
    Verdict,
    check_word,
)

RATE = 16_000
HOSTILE = "=1\x1b[31m/../../x\ty\n\u202e<b>" + os.fsdecode(b"\xe9")


def event(label="yes", start_s=1.0, source="/a.wav", time_ns=5, **changes):
    """An event that is not kept yet, half a second long."""
    fields = {
        "file": "0.wav",
        "source": source,
        "source_time_ns": time_ns,
        "start_s": start_s,
        "end_s": start_s + 0.5,
        "clip_start_s": 1.0,
        "clip_end_s": 1.5,
        "label": label,
        "probability": 0.75,
        "model": "models/x",
        "time": "",
    }
    return SavedEvent(**fields | changes)


@pytest.fixture
def folder(tmp_path):
    return EventFolder(tmp_path / "kept")


def test_an_event_is_a_wav_and_a_line(folder, tone):
    first = folder.add(event(), tone(440, 0.25), 8_000)
    second = folder.add(event("no", 3.0), tone(880, 0.25), 8_000)
    assert [first.file, second.file] == ["000001-yes.wav", "000002-no.wav"]
    samples, rate = soundfile.read(folder.wav(first))
    assert (rate, soundfile.info(folder.wav(first)).subtype) == (8_000, "PCM_16")
    np.testing.assert_allclose(samples, tone(440, 0.25), atol=1e-4)
    lines = [json.loads(line) for line in (folder.path / EVENTS).read_text().splitlines()]
    assert lines == [dataclasses.asdict(first), dataclasses.asdict(second)]
    assert first.time.endswith("+00:00")
    assert EventFolder(folder.path).events == {e.file: e for e in (first, second)}


def test_no_name_of_a_stranger_leaves_the_folder(folder, tone):
    kept = folder.add(event(HOSTILE, source=HOSTILE), tone(440, 0.1), RATE)
    assert kept.file == "000001.wav"
    assert {path.name for path in folder.path.iterdir()} == {"000001.wav", EVENTS}
    text = (folder.path / EVENTS).read_bytes()
    assert text.count(b"\n") == 1 and b"\x1b" not in text and text.isascii()
    [again] = EventFolder(folder.path).events.values()
    assert (again.label, again.source) == (HOSTILE, HOSTILE)


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../a.wav"},
        {"file": "/etc/passwd"},
        {"file": "a.txt"},
        {"file": 3},
        {"label": None},
        {"start_s": -1},
        {"start_s": float("nan")},
        {"end_s": 0.5},
        {"clip_end_s": True},
        {"probability": 1.5},
        {"model": 3},
        {"source_time_ns": "now"},
        {"more": 1},
    ],
    ids=str,
)
def test_lines_that_it_did_not_write_are_refused(changes, folder, tone):
    folder.add(event(), tone(440, 0.1), RATE)
    forged = dataclasses.asdict(event(file="1.wav")) | changes
    with (folder.path / EVENTS).open("a") as file:
        file.write(json.dumps(forged) + "\n")
    with pytest.raises(DatasetError, match=f"{EVENTS}: line 2 is not one that speechcls wrote"):
        EventFolder(folder.path)


@pytest.mark.parametrize("line", ["{}", "[" * 100_000, '{"file": "0.wav"}', "\x00", "3"])
def test_verdicts_that_it_did_not_write_are_refused(line, folder, tone):
    folder.add(event(), tone(440, 0.1), RATE)
    (folder.path / VERDICTS).write_text(line + "\n")
    with pytest.raises(DatasetError, match=f"{VERDICTS}: line 1 is not one"):
        EventFolder(folder.path)


def test_what_stands_in_the_folder_is_never_replaced(folder, tone):
    folder.path.mkdir()
    (folder.path / "000001-yes.wav").write_text("mine")
    kept = folder.add(event(), tone(440, 0.1), RATE)
    assert kept.file == "000002-yes.wav"
    assert (folder.path / "000001-yes.wav").read_text() == "mine"
    # nor by a process that looked before
    late = EventFolder(folder.path)
    late._number = 0
    assert late.add(event(start_s=9), tone(440, 0.1), RATE).file == "000003-yes.wav"


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    script = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from speechcls.live.events import EventFolder, SavedEvent, Verdict\n"
        "folder = EventFolder(Path(sys.argv[1]))\n"
        "for n in range(20):\n"
        "    e = SavedEvent('0.wav', 'mic', None, n, n, 0, 0, 'yes', 0.5, 'm', '')\n"
        "    kept = folder.add(e, np.zeros(80, np.float32), 16_000)\n"
        "    folder.judge(kept.file, Verdict('wrong', sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", script, tmp_path / "kept"]
    processes = [subprocess.Popen([*command, name]) for name in "abc"]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    after = EventFolder(tmp_path / "kept")
    assert len(after.events) == 60
    said = sorted(str(verdict.said) for verdict in after.verdicts.values())
    assert said == ["a"] * 20 + ["b"] * 20 + ["c"] * 20


def test_the_line_of_a_killed_process_is_dropped(folder, tone):
    first = folder.add(event(), tone(440, 0.1), RATE)
    whole = (folder.path / EVENTS).read_bytes()
    (folder.path / EVENTS).write_bytes(whole + whole[:40])
    after = EventFolder(folder.path)
    assert list(after.events) == [first.file]
    second = after.add(event(start_s=9), tone(440, 0.1), RATE)
    assert list(EventFolder(folder.path).events) == [first.file, second.file]


def test_a_disk_that_fills_up_leaves_neither_line_nor_sound(folder, tone, monkeypatch):
    first = folder.add(event(), tone(440, 0.1), RATE)
    whole = (folder.path / EVENTS).read_bytes()

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("speechcls.live.events.os.fsync", fail)
        patch.setattr(
            "speechcls.live.events.write_atomic", lambda p, c, overwrite: p.write_bytes(c)
        )
        with pytest.raises(OSError, match=EVENTS):
            folder.add(event(start_s=9), tone(440, 0.1), RATE)
        with pytest.raises(OSError, match=VERDICTS):
            folder.judge(first.file, Verdict(RIGHT))
    assert (folder.path / EVENTS).read_bytes() == whole
    assert folder.verdicts == EventFolder(folder.path).verdicts == {}
    assert [path.name for path in folder.path.glob("*.wav")] == [first.file]


def test_the_last_verdict_counts(folder, tone):
    kept = folder.add(event(), tone(440, 0.1), RATE)
    assert (folder.said(kept), folder.unjudged()) == (None, [kept])
    for verdict, said in [
        (Verdict(WRONG), None),
        (Verdict(WRONG, "left"), "left"),
        (Verdict(RIGHT), "yes"),
    ]:
        folder.judge(kept.file, verdict)
        again = EventFolder(folder.path)
        assert (again.verdicts, again.said(kept), again.unjudged()) == (
            {kept.file: verdict},
            said,
            [],
        )
    folder.judge(kept.file, Verdict(RIGHT))  # nothing new
    folder.judge(kept.file, Verdict(WRONG, "yes"))  # who types the label means that it is right
    assert folder.verdicts == {kept.file: Verdict(RIGHT)}
    assert (folder.path / VERDICTS).read_bytes().count(b"\n") == 3


def test_a_word_of_a_recording_is_known_again(folder, tone):
    kept = folder.add(event(start_s=1.0), tone(440, 0.1), RATE)
    folder.add(event(start_s=5.0, source="the microphone", time_ns=None), tone(440, 0.1), RATE)
    for again in (folder, EventFolder(folder.path)):
        assert again.find(event(start_s=1.2)) == kept  # its middle is within the other
        others = [
            event(start_s=1.3),
            event("no", 1.2),
            event(source="/b.wav", start_s=1.2),
            event(time_ns=6, start_s=1.2),  # the recording has changed
            event(start_s=5.0, source="the microphone", time_ns=None),
        ]
        assert [again.find(each) for each in others] == [None] * 5


def test_words_are_written_as_labels_are():
    assert check_word(" cafe\u0301 ") == "caf\u00e9"
    assert check_word("\u0645\u06cc\u200c\u0631\u0648\u0645")  # with a joiner
    for bad in ("", "  ", "x" * 201, "a\tb", "\x1b[2J", "\u202e", None, 3):
        with pytest.raises(ConfigError, match="cannot be a label"):
            check_word(bad)
    for bad in (("maybe", None), (RIGHT, "x"), (WRONG, " x"), (WRONG, "\x1b")):
        with pytest.raises((ValueError, ConfigError)):
            Verdict(*bad)
