"""Detected words kept with their sound, and the verdicts of who listened to them.

A folder holds a WAV of each event, ``events.jsonl`` with a line per event, and ``verdicts.jsonl``
with a line per verdict, of which the last one on an event counts. Lines are only ever appended, so
that one process may detect while another one reviews. What follows the last complete line was being
written when a process ended, and is dropped.
"""

import dataclasses
import errno
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from speechcls.audio.samples import PCM, Samples
from speechcls.audio.wav import wav_bytes
from speechcls.errors import ConfigError, DatasetError, reason_of
from speechcls.files import is_file_name, naming, write_atomic
from speechcls.locks import try_lock
from speechcls.text import json_text, printable

EVENTS, VERDICTS = "events.jsonl", "verdicts.jsonl"
RIGHT, WRONG = "right", "wrong"
_LONGEST_WORD = 200
_NUMBERED = re.compile(r"(\d{1,15})(?:-.*)?\.wav", re.ASCII | re.DOTALL)
T = TypeVar("T")


@dataclass(frozen=True)
class SavedEvent:
    """One detected, or missed, word that is kept with its sound."""

    file: str
    """Name of its WAV in the folder."""
    source: str
    """The recording that it was in, or what was listened to."""
    source_time_ns: int | None
    """When the recording was last written; None where it is no file."""
    start_s: float
    """Of the word in the source, seconds."""
    end_s: float
    clip_start_s: float
    """Of the word in its WAV, seconds."""
    clip_end_s: float
    label: str
    probability: float | None
    """None where no model has detected it."""
    model: str | None
    """The folder of the model that has detected it."""
    time: str
    """When it was kept: UTC, ISO 8601."""

    def __post_init__(self) -> None:
        """Refuse what no event can be: the file may come from elsewhere."""
        texts = self.file, self.source, self.label, self.time, self.model or ""
        times = self.start_s, self.end_s, self.clip_start_s, self.clip_end_s
        if not all(type(text) is str for text in texts):
            raise ValueError("text is missing")
        if not (is_file_name(self.file) and self.file.endswith(".wav")):
            raise ValueError(f"{self.file!r} is not the name of a WAV")
        if not all(type(each) in (int, float) and 0 <= each < math.inf for each in times):
            raise ValueError("impossible times")
        if self.start_s > self.end_s or self.clip_start_s > self.clip_end_s:
            raise ValueError("ends before it starts")
        if self.probability is not None and not (
            type(self.probability) in (int, float) and 0 <= self.probability <= 1
        ):
            raise ValueError("impossible probability")
        if self.source_time_ns is not None and type(self.source_time_ns) is not int:
            raise ValueError("impossible source_time_ns")


@dataclass(frozen=True)
class Verdict:
    """What a listener says of an event."""

    verdict: str
    """``right``, the label was said, or ``wrong``."""
    said: str | None = None
    """What was said instead, where the listener told."""

    def __post_init__(self) -> None:
        """Refuse what is no verdict."""
        if self.verdict not in (RIGHT, WRONG):
            raise ValueError(f"{self.verdict!r} is neither {RIGHT} nor {WRONG}")
        if self.said is not None and (self.verdict == RIGHT or check_word(self.said) != self.said):
            raise ValueError("impossible word in place of the label")


def check_word(text: object) -> str:
    """Return a word that somebody typed, as labels are written.

    Raises
    ------
    ConfigError
        When it cannot be a label.
    """
    word = unicodedata.normalize("NFC", text).strip() if isinstance(text, str) else ""
    if not word or len(word) > _LONGEST_WORD or printable(word) != word:
        raise ConfigError(f"{text!r} cannot be a label; spell it in letters")
    return word


class EventFolder:
    """The events in a folder, and the verdicts on them.

    Raises
    ------
    DatasetError
        When a line cannot be understood, or the folder cannot be read.

    Attributes
    ----------
    path : the folder, which need not exist yet
    events : by the name of their WAV, in the order in which they were kept
    verdicts : by the name of the event's WAV
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: dict[str, SavedEvent] = {}
        self.verdicts: dict[str, Verdict] = {}
        self._places: dict[tuple[str, int, str], list[SavedEvent]] = {}
        for event in _read_lines(path / EVENTS, lambda content: SavedEvent(**content)):
            self._note(event)
        for file, verdict in _read_lines(path / VERDICTS, _judgement_of):
            if file in self.events:
                self.verdicts[file] = verdict
        self._number = max(map(_number_of, self.events), default=0)

    def wav(self, event: SavedEvent) -> Path:
        """Return the path of an event's WAV."""
        return self.path / event.file

    def unjudged(self) -> list[SavedEvent]:
        """Return the events without a verdict, in order."""
        return [event for file, event in self.events.items() if file not in self.verdicts]

    def said(self, event: SavedEvent) -> str | None:
        """Return what was said by the verdict on an event; None where nobody knows."""
        verdict = self.verdicts.get(event.file)
        if verdict is None:
            return None
        return event.label if verdict.verdict == RIGHT else verdict.said

    def find(self, event: SavedEvent) -> SavedEvent | None:
        """Return the kept event of the same label at the same place in a recording, if any."""
        centre_s = (event.start_s + event.end_s) / 2
        near = self._places.get(_place_of(event), ())
        return next((each for each in near if each.start_s <= centre_s <= each.end_s), None)

    def add(self, event: SavedEvent, samples: PCM | Samples, sample_rate: int) -> SavedEvent:
        """Keep an event under a new name, which is returned with it; no file is replaced.

        Parameters
        ----------
        event : whose ``file`` and ``time`` are chosen here
        samples : (n_samples,) of its WAV

        Raises
        ------
        OSError
            When it cannot be written.
        """
        content = wav_bytes(samples, sample_rate)
        while True:
            self._number += 1
            named = f"{self._number:06}-{event.label}.wav"
            file = named if is_file_name(named) else f"{self._number:06}.wav"
            try:
                write_atomic(self.path / file, content, overwrite=False)
                break
            except FileExistsError:
                if not os.path.lexists(self.path / file):
                    raise  # a file is in place of the folder
        time = datetime.now(UTC).isoformat(timespec="seconds")
        event = dataclasses.replace(event, file=file, time=time)
        try:
            _append(self.path / EVENTS, dataclasses.asdict(event))
        except BaseException:
            self.wav(event).unlink()  # no sound is kept without a line that tells of it
            raise
        self._note(event)
        return event

    def judge(self, file: str, verdict: Verdict) -> None:
        """Write a verdict, unless it stands there already.

        Parameters
        ----------
        file : name of the event's WAV

        Raises
        ------
        OSError
            When it cannot be written.
        """
        if verdict.said == self.events[file].label:
            verdict = Verdict(RIGHT)
        if self.verdicts.get(file) != verdict:
            _append(self.path / VERDICTS, {"file": file} | dataclasses.asdict(verdict))
            self.verdicts[file] = verdict

    def _note(self, event: SavedEvent) -> None:
        self.events[event.file] = event
        if event.source_time_ns is not None:
            self._places.setdefault(_place_of(event), []).append(event)


def _place_of(event: SavedEvent) -> tuple[str, int, str]:
    """Return recording and label; -1 as the time where it is no file, so that none is alike."""
    time_ns = -1 if event.source_time_ns is None else event.source_time_ns
    return event.source, time_ns, event.label


def _number_of(file: str) -> int:
    match = _NUMBERED.fullmatch(file)
    return int(match[1]) if match else 0


def _judgement_of(content: Mapping[str, Any]) -> tuple[str, Verdict]:
    file, *rest = content["file"], content["verdict"], content["said"]
    if type(file) is not str or len(content) != 3:
        raise ValueError("unknown fields")
    return file, Verdict(*rest)


def _read_lines(path: Path, parse: Callable[[Any], T]) -> list[T]:
    """Return what each complete line of a file of JSON is parsed as; nothing of an absent file."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; check its permissions") from error
    parsed = []
    for number, line in enumerate(lines, start=1):
        try:
            parsed.append(parse(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
            raise DatasetError(
                f"{path}: line {number} is not one that speechcls wrote ({error}); mend it"
            ) from error
    return parsed


def _append(path: Path, content: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON, whole or not at all, while no other process does."""
    line = json_text(dict(content)).encode() + b"\n"
    with naming(path), path.open("a+b", buffering=0) as file:
        try_lock(file.fileno(), wait=True)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if end and file.read(1) != b"\n":  # a process was killed while it wrote
            file.seek(0)
            end = file.read().rfind(b"\n") + 1
            file.truncate(end)
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise
