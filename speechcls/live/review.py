"""Verdicts from elsewhere, words that a model missed, and playing what was kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples
from speechcls.config import FeatureConfig
from speechcls.errors import AudioError, ConfigError, DatasetError, reason_of
from speechcls.journal import key_of_file
from speechcls.live.events import RIGHT, EventFolder, SavedEvent, Verdict, check_word
from speechcls.live.microphone import load_sounddevice
from speechcls.live.recorder import CONTEXT_S
from speechcls.storage.places import is_mirrored, name_of

SAMPLE_RATE = FeatureConfig.sample_rate
"""Hz, at which kept sound is played and missed words are kept."""
_HALF_S = 0.25
"""Half of what a missed word is taken to last."""
_LONGEST_FILE = 1 << 24
"""Bytes of verdicts, more than a page of events makes."""


def read_verdicts(path: Path, folder: EventFolder) -> dict[str, Verdict]:
    """Return the verdicts in a file that the page of a folder has exported, by WAV.

    Nothing in it is trusted; it is taken as a whole or not at all.

    Raises
    ------
    DatasetError
        When it is no such file, or has verdicts on other events, each of which is a detail.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; check the path") from error
    try:
        if len(content) > _LONGEST_FILE:
            raise ValueError("too long")
        found = json.loads(content)
        rows = found["verdicts"]
        if type(rows) is not list:
            raise ValueError("no list of verdicts")
        judged = [_parse(row) for row in rows]
    except (ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
        raise DatasetError(
            f"{path}: not the verdicts of a review page ({error}); export them again"
        ) from error
    verdicts = dict(judged)
    if unknown := [file for file, _ in judged if file not in folder.events]:
        raise DatasetError(
            f"{path}: {len(unknown)} of {len(judged)} verdicts are on no event of {folder.path};"
            " none is taken; name the folder that the page was made of",
            [f"no event {file}" for file in unknown],
        )
    if len(verdicts) < len(judged):
        raise DatasetError(f"{path}: two verdicts on one event; export them again")
    return verdicts


def _parse(row: Mapping[str, Any]) -> tuple[str, Verdict]:
    file, verdict, said = row["file"], row["verdict"], row.get("said")
    if type(file) is not str or row.keys() - {"file", "verdict", "said"}:
        raise ValueError("unknown fields")
    return file, Verdict(verdict, None if said is None else check_word(said))


def add_missed(folder: EventFolder, recording: Path, at_s: float, label: str) -> SavedEvent:
    """Keep a word that no model has detected, as rightly labelled; return its event.

    Parameters
    ----------
    at_s : of the middle of the word in the recording, seconds

    Raises
    ------
    ConfigError
        When the label or the time is impossible.
    AudioError
        When the recording cannot be read there.
    OSError
        When it cannot be written.
    """
    if not 0 <= at_s < 1e9:
        raise ConfigError(f"{at_s:g} s is not possible; give seconds from its start")
    start_s = max(0.0, at_s - _HALF_S)
    first_s = max(0.0, start_s - CONTEXT_S)
    last_s = at_s + _HALF_S + CONTEXT_S
    is_elsewhere = is_mirrored(recording)
    samples = read_clip(recording, SAMPLE_RATE, first_s, last_s)
    if at_s >= first_s + len(samples) / SAMPLE_RATE:
        raise AudioError(f"{recording}: ends before {at_s:g} s; name a time in it")
    event = SavedEvent(
        file="0.wav",
        source=name_of(recording) if is_elsewhere else str(recording.absolute()),
        source_time_ns=None if is_elsewhere else key_of_file(recording)[2],
        start_s=round(start_s, 3),
        end_s=round(at_s + _HALF_S, 3),
        clip_start_s=round(start_s - first_s, 3),
        clip_end_s=round(at_s + _HALF_S - first_s, 3),
        label=check_word(label),
        probability=None,
        model=None,
        time="",
    )
    if known := folder.find(event):
        raise ConfigError(
            f"{recording}: {label} at {at_s:g} s is kept already as {known.file}; judge that right"
        )
    event = folder.add(event, samples, SAMPLE_RATE)
    folder.judge(event.file, Verdict(RIGHT))
    return event


def read_sound(folder: EventFolder, event: SavedEvent) -> Samples:
    """Return the sound (n_samples,) of an event at ``SAMPLE_RATE``.

    Raises
    ------
    AudioError
        When it cannot be read.
    """
    return read_clip(folder.wav(event), SAMPLE_RATE)


def play(samples: Samples) -> None:
    """Start to play ``samples`` (n_samples,) at ``SAMPLE_RATE``, in place of what is being played.

    Raises
    ------
    ConfigError
        When nothing is installed that plays.
    AudioError
        When there is no device that plays.
    """
    library = load_sounddevice()
    try:
        library.play(samples, SAMPLE_RATE)
    except (library.PortAudioError, ValueError) as error:
        raise AudioError(f"{error}; choose an output device of this machine") from error
