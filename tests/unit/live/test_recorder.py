"""The sound around events: where it is cut, how long it is kept, and what cannot be written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.artifact.format import Artifact
from speechcls.audio.samples import to_float
from speechcls.config import EventSettings, FeatureConfig, NetworkConfig
from speechcls.live.events import EventFolder
from speechcls.live.recorder import EventRecorder
from speechcls.runtime.detection import Event

RATE = 100
"""Hz; a sample's value is its number."""
SETTINGS = EventSettings(smoothing_s=0.2, refractory_s=0.8)
RING_S = 30 + 0.2 + 0.8 + 1.0 + 2  # undecided, settings, window, context


class Recorder:
    """A recorder at a rate so low that samples can be counted, and what it reported."""

    def __init__(self, folder):
        features = FeatureConfig(
            sample_rate=RATE, win_length=10, n_fft=16, hop_length=5, n_mels=4, n_mfcc=4, fmax=50
        )
        labels = ("no", "yes")
        artifact = Artifact(Path("m"), features, NetworkConfig(), labels, labels)
        self.errors = []
        self.recorder = EventRecorder(folder, artifact, SETTINGS, self.errors.append)
        self.recorder.start("mic")
        self.folder, self.end = folder, 0

    def push(self, seconds, *events, **options):
        n = round(seconds * RATE)
        ramp = np.arange(self.end, self.end + n).astype(np.int16)
        self.end += n
        self.recorder.push(to_float(ramp), events, **options)

    def clips(self):
        """First sample, last sample and line of each event on disk."""
        kept = EventFolder(self.folder)
        sounds = [soundfile.read(kept.wav(e), dtype="int16")[0] for e in kept.events.values()]
        return [
            (int(sound[0]), int(sound[-1]), event)
            for sound, event in zip(sounds, kept.events.values(), strict=True)
        ]


@pytest.fixture
def made(tmp_path):
    return Recorder(tmp_path / "kept")


def test_a_word_has_a_second_before_and_after_it(made):
    made.push(4.0)
    made.push(2.0, Event(2.5, 3.0, "yes", 0.9))
    [(first, last, event)] = made.clips()
    assert (first, last) == (150, 399)
    assert (event.start_s, event.end_s) == (2.5, 3.0)
    assert (event.clip_start_s, event.clip_end_s) == (1.0, 1.5)
    assert (event.label, event.probability, event.source) == ("yes", 0.9, "mic")
    assert made.recorder.n_kept == 1


@pytest.mark.parametrize("piece_s", [0.01, 0.07, 3.0])
def test_the_pieces_do_not_matter(piece_s, made):
    """An event that is reported when its word ends waits for the second after it."""
    told = False
    while made.end < 6 * RATE:
        now_s = made.end / RATE + piece_s
        made.push(piece_s, *([] if told or now_s < 3.0 else [Event(2.5, 3.0, "yes", 0.9)]))
        told |= now_s >= 3.0
    [(first, last, _)] = made.clips()
    assert (first, last) == (150, 399)


def test_at_the_ends_of_the_stream_there_is_less(made):
    made.push(5.0, Event(0.25, 0.75, "yes", 0.9))
    made.recorder.finish([Event(4.5, 5.1, "no", 0.8)])
    [(first, last, start), (from_, to, end)] = made.clips()
    assert (first, last, start.clip_start_s, start.clip_end_s) == (0, 174, 0.25, 0.75)
    assert (from_, to, end.clip_start_s, end.clip_end_s) == (350, 499, 1.0, 1.6)


def test_lost_sound_counts_in_the_time_and_not_in_the_clip(made):
    made.push(5.0, Event(2.5, 3.0, "yes", 0.9), skipped_s=60.0)
    [(first, last, event)] = made.clips()
    assert (first, last, event.start_s, event.end_s) == (150, 399, 62.5, 63.0)


def test_an_event_may_be_undecided_for_half_a_minute_and_no_longer(made):
    for _ in range(round(RING_S)):
        made.push(1.0)
    made.push(0.0, Event(1.0, 1.5, "yes", 0.9))
    made.push(2.5)  # the ring begins at 2 s now, within the word
    made.push(0.0, Event(1.6, 2.1, "no", 0.9))
    [(first, last, event)] = made.clips()
    assert (first, last, event.label) == (0, 249, "yes")
    assert made.errors == [
        f"{made.folder}: no at 1.60 s of mic is not kept (it was decided too late, when its sound"
        " was no longer there); detection goes on"
    ]


def test_memory_is_bounded(made):
    sizes = set()
    for _ in range(200):
        made.push(1.0)
        sizes.add(sum(piece.nbytes for piece in made.recorder._pieces))
    assert max(sizes) == 2 * RATE * RING_S == 6_800


def test_what_cannot_be_written_is_said_once_and_the_next_is_tried(made, monkeypatch):
    real, full = EventFolder.add, [True]

    def add(folder, *arguments):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x")
        return real(folder, *arguments)

    monkeypatch.setattr(EventFolder, "add", add)
    events = [Event(2.0 + n, 2.2 + n, "yes", 0.9) for n in range(4)]
    made.push(10.0, *events[:2])
    full[0] = False
    made.push(1.0, events[2])
    full[0] = True
    made.push(1.0, events[3])
    assert made.errors == [
        f"{made.folder}: yes at {at}.00 s of mic is not kept (no space left on device); detection"
        " goes on"
        for at in (2, 5)
    ]
    assert (made.recorder.n_kept, made.recorder.n_failed) == (1, 3)
    assert [event.start_s for _, _, event in made.clips()] == [4.0]


def test_a_recording_that_is_read_again_is_not_kept_twice(made, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"1")
    for n in range(2):
        made.recorder.start(str(path), is_file=True)
        made.end = 0
        made.push(5.0, Event(2.5 + 0.1 * n, 3.0 + 0.1 * n, "yes", 0.9))
    assert (made.recorder.n_kept, made.recorder.n_known) == (1, 1)
    [(_, _, event)] = made.clips()
    assert (event.source, event.source_time_ns) == (str(path), path.stat().st_mtime_ns)
