"""Long takes: recordings of several utterances, told from clips and taken apart in place."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.audio.blocks import open_recording
from speechcls.audio.samples import Samples
from speechcls.audio.speech import UtteranceFinder
from speechcls.config import FeatureConfig
from speechcls.data.clips import WINDOW_MAX_S, window_of
from speechcls.errors import AudioError
from speechcls.labels import SILENCE
from speechcls.layouts.examples import Dataset, Example

LONG_S = 2.5
"""Recordings that last longer may hold several utterances."""
LONG_RATIO = 2.0
"""How many windows a clip lasts at least that counts as a long take."""
_OVER_MAX = 1.25
"""How many of the longest windows a clip lasts at least that does not fit into any."""
_MARGIN_S = 0.2
"""Sound before and after an utterance that belongs to it, if that is not nearer to another one."""
_RATE = FeatureConfig.sample_rate
_N_PROBED, _PROBED_S = 8, 10.0
"""Takes, and their first seconds, that tell how long an utterance is."""
_MIN_RECORDINGS_FOR_PROCESSES = 16

Part = tuple[float, float]
"""Start and end of an utterance, seconds."""


@dataclass(frozen=True)
class LongTakes:
    """Clips of which only a small part fits into the window."""

    n_clips: int
    longest_s: float
    window_s: float
    unused_ratio: float
    """Fraction of their sound that is in no window."""
    first: Path
    """The recording of the first of them."""

    @property
    def n_windows(self) -> float:
        """How many times longer than the window the longest one is."""
        return self.longest_s / self.window_s

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON-ready values."""
        return dataclasses.asdict(self) | {"first": str(self.first)}


def find_long_takes(
    examples: Sequence[Example], durations_s: npt.NDArray[np.float64], window_s: float
) -> LongTakes | None:
    """Return what is known of the long takes among clips; None if there is none.

    Those are longer than two windows, or than the window and three times the median clip, or do not
    fit into any window.

    Parameters
    ----------
    durations_s : (n_clips,) of the clips
    """
    if not len(durations_s):
        return None
    usual_s = min(window_s, 1.5 * float(np.median(durations_s)))
    is_long = (durations_s > LONG_RATIO * usual_s) & (durations_s > window_s)
    is_long |= durations_s > _OVER_MAX * max(window_s, WINDOW_MAX_S)
    is_long &= np.array([example.label != SILENCE for example in examples])
    if not is_long.any():
        return None
    total_s = float(durations_s[is_long].sum())
    n_clips = int(is_long.sum())
    return LongTakes(
        n_clips,
        float(durations_s[is_long].max()),
        window_s,
        1 - n_clips * window_s / total_s,
        examples[int(is_long.argmax())].path,
    )


def choose_window_s(
    durations_s: npt.NDArray[np.float64], read: Callable[[int], Samples], sample_rate: int
) -> float:
    """Return the length of the window that suits clips, seconds.

    It is as long as clips usually are. Where most of them may hold several utterances, and do, it
    is as long as an utterance: the loudest one of each is then learnt.

    Parameters
    ----------
    durations_s : (n_clips,) of the clips
    read : returns the samples (n,) of a clip by index
    """
    if np.median(durations_s) <= LONG_S:
        return window_of(durations_s)
    order = np.linspace(0, len(durations_s) - 1, _N_PROBED).round().astype(int)
    parts = [
        find_utterances([read(i)[: round(_PROBED_S * sample_rate)]], sample_rate)
        for i in sorted(set(order.tolist()))
    ]
    if np.median([len(own) for own in parts]) < 2:
        return window_of(durations_s)
    return window_of(np.array([end_s - start_s for own in parts for start_s, end_s in own]))


def find_utterances(blocks: Iterable[Samples], sample_rate: int) -> list[Part]:
    """Return the utterances in a recording, each with a little of the sound around it.

    Parameters
    ----------
    blocks : its samples (n,), piece by piece
    """
    finder, end_s, found = UtteranceFinder(sample_rate, 1.0), 0.0, list[Part]()
    for block in blocks:
        found += [(u.start_s, u.start_s + u.speech_s) for u in finder.push(block)]
        end_s += len(block) / sample_rate
    found += [(u.start_s, u.start_s + u.speech_s) for u in finder.finish()]
    parts = []
    for i, (start_s, stop_s) in enumerate(found):
        before_s = found[i - 1][1] if i else -start_s
        after_s = found[i + 1][0] if i + 1 < len(found) else 2 * end_s - stop_s
        low_s = max(start_s - _MARGIN_S, (before_s + start_s) / 2)
        high_s = min(stop_s + _MARGIN_S, (stop_s + after_s) / 2)
        parts.append((round(low_s, 4), round(high_s, 4)))
    return parts


def segment(dataset: Dataset, jobs: int = 1, on_clip: Callable[[], None] = lambda: None) -> Dataset:
    """Return the data set with a clip for each utterance in place of each long take.

    A recording of more than 2.5 s is taken apart if it holds two or more utterances between pauses.
    One without any is left out and named among the problems. What cannot be read stays as it is,
    to be named when it is read.

    Parameters
    ----------
    jobs : processes that search recordings
    on_clip : called after each clip that was looked at
    """
    examples, problems = list[Example](), list(dataset.problems)
    n_taken_apart = n_parts = 0
    found = _search([e for e in dataset.examples if e.label != SILENCE], jobs)
    for example in dataset.examples:
        parts = None if example.label == SILENCE else next(found)
        on_clip()
        if parts is None or len(parts) == 1:
            examples.append(example)
        elif parts:
            n_taken_apart, n_parts = n_taken_apart + 1, n_parts + len(parts)
            examples += [
                dataclasses.replace(example, start_s=start_s, end_s=end_s)
                for start_s, end_s in parts
            ]
        else:
            problems.append(
                f"{example.path}: no utterance found in it; record it again, nearer and louder"
            )
    recordings = "1 recording" if n_taken_apart == 1 else f"{n_taken_apart} recordings"
    note = f"{recordings} taken apart into {n_parts} clips"
    if not n_taken_apart:
        note = f"nothing to take apart: no recording over {LONG_S:g} s holds two utterances"
    return dataclasses.replace(
        dataset, examples=examples, problems=problems, notes=[*dataset.notes, note]
    )


def _search(examples: Sequence[Example], jobs: int) -> Iterator[list[Part] | None]:
    """Yield the utterances of each recording, in order; see ``_read_parts``."""
    import joblib

    n_processes = jobs if len(examples) >= _MIN_RECORDINGS_FOR_PROCESSES else 1
    pool = joblib.Parallel(n_jobs=n_processes, return_as="generator")
    found: Iterator[list[Part] | None] = pool(joblib.delayed(_read_parts)(e) for e in examples)
    return found


def _read_parts(example: Example) -> list[Part] | None:
    """Return the utterances of a recording; None if it is no long take or cannot be read."""
    start_s, end_s = example.start_s, example.end_s
    if end_s is not None and end_s - start_s <= LONG_S:
        return None
    try:
        with open_recording(example.path, _RATE, example.channel) as recording:
            total_s = recording.duration_s
            if total_s is not None and min(total_s, end_s or total_s) - start_s <= LONG_S:
                return None
            parts = find_utterances(_crop(recording.blocks(), start_s, end_s), _RATE)
    except AudioError:
        return None
    return [(round(start_s + low_s, 4), round(start_s + high_s, 4)) for low_s, high_s in parts]


def _crop(blocks: Iterable[Samples], start_s: float, end_s: float | None) -> Iterator[Samples]:
    """Yield the samples (n,) of a recording between two times."""
    position, first = 0, round(start_s * _RATE)
    last = None if end_s is None else round(end_s * _RATE)
    for block in blocks:
        low = max(0, first - position)
        high = len(block) if last is None else min(len(block), last - position)
        position += len(block)
        if low < high:
            yield block[low:high]
