"""Verdicts that come from a browser, words that were missed, and playing."""

import json
import sys
import types

import numpy as np
import pytest
import soundfile

from speechcls.errors import AudioError, ConfigError, DatasetError
from speechcls.live.events import RIGHT, WRONG, EventFolder, SavedEvent, Verdict
from speechcls.live.review import add_missed, play, read_sound, read_verdicts

RATE = 16_000


@pytest.fixture
def folder(tmp_path, tone):
    folder = EventFolder(tmp_path / "kept")
    for n in range(3):
        event = SavedEvent("0.wav", "mic", None, n, n + 0.5, 0, 0.5, "yes", 0.5, "m", "")
        folder.add(event, tone(440, 0.5), RATE)
    return folder


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def row(file="000001-yes.wav", verdict=WRONG, said=None, **more):
    return {"file": file, "verdict": verdict, "said": said} | more


def test_verdicts_are_taken_as_the_page_writes_them(folder, tmp_path):
    rows = [row(), row("000002-yes.wav", RIGHT), row("000003-yes.wav", said=" cafe\u0301 ")]
    verdicts = read_verdicts(write(tmp_path / "v.json", {"verdicts": rows}), folder)
    assert verdicts == {
        "000001-yes.wav": Verdict(WRONG),
        "000002-yes.wav": Verdict(RIGHT),
        "000003-yes.wav": Verdict(WRONG, "caf\u00e9"),
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "[" * 100_000,
        {"verdicts": {}},
        {"verdicts": [3]},
        {"verdicts": [row(verdict="maybe")]},
        {"verdicts": [row(verdict=["wrong"])]},
        {"verdicts": [row(file=3)]},
        {"verdicts": [row(said=3)]},
        {"verdicts": [row(said="a\tb")]},
        {"verdicts": [row(said="x" * 201)]},
        {"verdicts": [row(verdict=RIGHT, said="no")]},
        {"verdicts": [row(more=1)]},
        {"verdicts": [{"file": "000001-yes.wav"}]},
        " " * (1 << 24) + "{}",
    ],
    ids=lambda content: str(content)[:40],
)
def test_what_is_no_such_file_is_refused(content, folder, tmp_path):
    with pytest.raises(DatasetError, match=r"v\.json: not the verdicts of a review page"):
        read_verdicts(write(tmp_path / "v.json", content), folder)


def test_events_that_are_not_there_are_named_and_nothing_is_taken(folder, tmp_path):
    rows = [row(), row("../x.wav"), row("000009-no.wav")]
    with pytest.raises(DatasetError) as raised:
        read_verdicts(write(tmp_path / "v.json", {"verdicts": rows}), folder)
    assert "2 of 3 verdicts are on no event" in str(raised.value)
    assert raised.value.details == ("no event ../x.wav", "no event 000009-no.wav")
    with pytest.raises(DatasetError, match="two verdicts on one event"):
        read_verdicts(write(tmp_path / "v.json", {"verdicts": [row(), row()]}), folder)
    with pytest.raises(DatasetError, match=r"w\.json: no such file"):
        read_verdicts(tmp_path / "w.json", folder)


def test_a_missed_word_is_kept_as_right(tmp_path):
    """At 8 kHz, each second a level of its own."""
    levels = np.repeat(np.arange(10) / 20, 8_000)
    soundfile.write(tmp_path / "a.wav", levels, 8_000)
    folder = EventFolder(tmp_path / "kept")
    event = add_missed(folder, tmp_path / "a.wav", 5.5, "yes")
    assert (event.start_s, event.end_s, event.clip_start_s, event.clip_end_s) == (
        *(5.25, 5.75),
        *(1.0, 1.5),
    )
    assert (event.file, event.label, event.probability, event.model) == (
        *("000001-yes.wav", "yes"),
        *(None, None),
    )
    sound = read_sound(folder, event)
    assert len(sound) == 2.5 * RATE  # from 4.25 to 6.75 s
    assert sound[[RATE // 2, RATE, 2 * RATE]] == pytest.approx([0.2, 0.25, 0.3], abs=1e-3)
    assert EventFolder(folder.path).verdicts == {event.file: Verdict(RIGHT)}
    early = add_missed(folder, tmp_path / "a.wav", 0.1, "yes")
    assert (early.start_s, early.clip_start_s, early.clip_end_s) == (0.0, 0.0, 0.35)
    late = add_missed(folder, tmp_path / "a.wav", 9.9, "yes")
    assert len(read_sound(folder, late)) == pytest.approx(1.35 * RATE)


def test_what_cannot_be_a_missed_word_is_refused(tmp_path, write_wav, tone):
    path, folder = write_wav(tmp_path / "a.wav", tone(440, 2.0)), EventFolder(tmp_path / "kept")
    with pytest.raises(AudioError, match=r"a\.wav: ends before 2\.5 s"):
        add_missed(folder, path, 2.5, "yes")
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="is not possible"):
            add_missed(folder, path, bad, "yes")
    with pytest.raises(AudioError):
        add_missed(folder, tmp_path / "b.wav", 1.0, "yes")
    with pytest.raises(ConfigError, match="cannot be a label"):
        add_missed(folder, path, 1.0, "\x1b")
    assert not folder.path.exists()
    add_missed(folder, path, 1.0, "yes")
    with pytest.raises(ConfigError, match=r"is kept already as 000001-yes\.wav; judge that right"):
        add_missed(folder, path, 1.1, "yes")


def test_sound_is_played_where_there_is_a_device(monkeypatch, tone):
    played = []

    class PortAudioError(Exception):
        pass

    def fail(samples, rate):
        raise PortAudioError("no device")

    stub = types.SimpleNamespace(
        play=lambda samples, rate: played.append((len(samples), rate)),
        PortAudioError=PortAudioError,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", stub)
    play(tone(440, 0.5))
    assert played == [(8_000, RATE)]
    stub.play = fail
    with pytest.raises(AudioError, match="no device; choose an output device"):
        play(tone(440, 0.5))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match=r"speechcls\[mic\]"):
        play(tone(440, 0.5))
