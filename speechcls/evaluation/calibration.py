"""Thresholds for a rate of false alarms, and a temperature that calibrates probabilities."""

import base64
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechcls.artifact.calibration import Calibration
from speechcls.artifact.format import Artifact
from speechcls.audio.blocks import open_recording
from speechcls.audio.decode import OnNote
from speechcls.audio.samples import Samples, ignore_note
from speechcls.config import DEFAULT_FA_PER_HOUR
from speechcls.data.clips import ClipStore
from speechcls.evaluation.detection_metrics import (
    LOWEST_THRESHOLD,
    ValidationDetections,
    best_threshold,
    highest_threshold,
    raise_thresholds,
    upper_rate,
)
from speechcls.evaluation.held_out import Classified, classify_examples
from speechcls.evaluation.metrics import expected_calibration_error, fit_temperature
from speechcls.journal import Journal, Key, key_of_file
from speechcls.labels import map_label
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.detection import DEFAULT_THRESHOLD, Detector, Event, detect_events
from speechcls.runtime.session import Probabilities, apply_temperature
from speechcls.runtime.stream import Posteriors, PosteriorStream

_PAUSE_S = 1.0
"""Silence after each validation clip, too long for two words to be merged."""

_ALARMS_MAX, _DECIMALS = 1_000, 4
"""False alarms of a label whose probabilities are kept, and their decimals."""

Progress = Callable[[], None]


@dataclass(frozen=True)
class NoiseAlarms:
    """The false alarms in recordings of one kind."""

    hours: float
    false_alarms: int

    def to_dict(self) -> dict[str, float]:
        """Return hours, false alarms, and their rate with its upper bound, as JSON-ready values."""
        return {
            "hours": self.hours,
            "false_alarms": self.false_alarms,
            "fa_per_hour": self.false_alarms / self.hours,
            "upper_fa_per_hour": upper_rate(self.false_alarms, self.hours),
        }


def sum_by_kind(kinds: Iterable[str], alarms: Iterable[NoiseAlarms]) -> dict[str, NoiseAlarms]:
    """Return the false alarms of each kind of recording.

    Parameters
    ----------
    kinds, alarms : of each recording
    """
    sums = defaultdict[str, list[NoiseAlarms]](list)
    for kind, own in zip(kinds, alarms, strict=True):
        sums[kind].append(own)
    return {
        kind: NoiseAlarms(sum(a.hours for a in own), sum(a.false_alarms for a in own))
        for kind, own in sorted(sums.items())
    }


class Calibrated(NamedTuple):
    """A calibration, and what it was chosen on."""

    calibration: Calibration
    alarms: list[NoiseAlarms]
    """Of each recording of noise, at the thresholds."""


def calibrate(
    artifact: Artifact,
    labels: Sequence[str],
    noise: Sequence[Path],
    clips: ClipStore | None,
    fa_per_hour: float = DEFAULT_FA_PER_HOUR,
    on_item: Progress = lambda: None,
    on_note: OnNote = ignore_note,
    journal: Journal | None = None,
    loss_max: float = 1.0,
) -> Calibrated:
    """Return thresholds and temperature of a model.

    The temperature is fitted to the validation clips first, since thresholds apply to
    probabilities with it. A label keeps ``DEFAULT_THRESHOLD`` where nothing shows that another is
    better: its threshold starts where its F1 in the validation clips is highest, if it is higher
    there than at the default; then thresholds are raised until all labels together keep to the
    false alarms allowed. They stay below the default only if the noise is long enough to show with
    95 % confidence that the rate is kept to; else all of them start at the default or above.

    Parameters
    ----------
    labels : those that are detected
    noise : recordings without commands
    clips : of the model's validation split; None: temperature 1, no threshold below the default
    on_item, on_note : called after each recording of noise, and with what was mended in one
    journal : of the recordings that are done, to go on with
    loss_max : largest ratio of a label's words in the clips that raising its threshold may lose

    Raises
    ------
    AudioError
        When a recording cannot be used.
    ArtifactError
        When the model cannot be loaded.
    """
    fit = _Fit() if clips is None else _fit_to_clips(artifact, labels, clips)
    temperature = fit.temperature
    posteriors, hours = list[Posteriors](), list[float]()
    for path, heard in _hear(artifact, noise, temperature, journal or Journal()):
        for note in heard.notes:
            on_note(f"{path}: {note}")
        posteriors.append(heard.posteriors)
        hours.append(heard.hours)
        on_item()
    total = sum(hours)
    starts = {label: best_threshold(fit.found.get(label)) for label in labels}
    stream = _open_stream(artifact, temperature)
    heard_by: dict[str, Any] = {"stream": stream, "posteriors": posteriors, "found": fit.found}
    n_allowed = math.floor(fa_per_hour * total)
    limit = partial(_limit_alarms, n_allowed=n_allowed, loss_max=loss_max, **heard_by)
    thresholds, counts = lower_where_shown(starts, limit, total, fa_per_hour)
    n_alarms, upper = sum(counts), upper_rate(sum(counts), total)
    of_fit = temperature, fit.n_clips, fit.ece_before, fit.ece_after
    known = _likeliest(stream, posteriors, labels), _hits(fit.found)
    calibration = Calibration(thresholds, fa_per_hour, total, n_alarms, upper, *of_fit, *known)
    return Calibrated(calibration, [NoiseAlarms(*each) for each in zip(hours, counts, strict=True)])


@dataclass(frozen=True)
class _Fit:
    """What the validation clips say of a model; as it is here where there are none."""

    temperature: float = 1.0
    ece_before: float | None = None
    ece_after: float | None = None
    found: Mapping[str, ValidationDetections] = field(default_factory=dict)
    n_clips: int = 0


def _fit_to_clips(artifact: Artifact, labels: Sequence[str], clips: ClipStore) -> _Fit:
    """Return the temperature that fits the clips, and what is detected in them with it."""
    names = [str(map_label(example.label, artifact.labels)) for example in clips.examples]
    truth = np.array([artifact.labels.index(name) for name in names], dtype=np.int64)
    raw = _probabilities(artifact, clips)
    temperature = fit_temperature(raw, truth)
    return _Fit(
        temperature,
        expected_calibration_error(raw, truth),
        expected_calibration_error(apply_temperature(raw, temperature), truth),
        _detect_in_clips(artifact, labels, clips, temperature),
        len(clips.examples),
    )


Limit = Callable[[dict[str, float]], tuple[dict[str, float], list[int]]]
"""Raises thresholds to the false alarms allowed; returns them and each recording's alarms."""


def lower_where_shown(
    starts: Mapping[str, float], limit: Limit, hours: float, fa_per_hour: float
) -> tuple[dict[str, float], list[int]]:
    """Return thresholds and each recording's alarms, none below the default without evidence.

    Parameters
    ----------
    starts : by the validation clips
    hours : of noise; the evidence is that the upper bound of the rate in it is at most
        ``fa_per_hour``
    """
    thresholds, counts = limit(dict(starts))
    if upper_rate(sum(counts), hours) <= fa_per_hour:
        return thresholds, counts
    return limit({label: max(start, DEFAULT_THRESHOLD) for label, start in starts.items()})


def _limit_alarms(
    thresholds: dict[str, float],
    stream: PosteriorStream,
    posteriors: Sequence[Posteriors],
    found: Mapping[str, ValidationDetections],
    n_allowed: int,
    loss_max: float,
) -> tuple[dict[str, float], list[int]]:
    """Return thresholds that keep to the false alarms allowed, and how many each recording has."""
    limits = {
        label: highest_threshold(own, thresholds[label], loss_max) for label, own in found.items()
    }
    while True:
        alarms = [list(_events(stream, [own], thresholds)) for own in posteriors]
        raised = raise_thresholds(thresholds, [*chain(*alarms)], found, n_allowed, limits)
        if raised == thresholds:
            return thresholds, list(map(len, alarms))
        thresholds = raised  # another event may no longer be suppressed: recount


def _likeliest(
    stream: PosteriorStream, posteriors: Iterable[Posteriors], labels: Sequence[str]
) -> dict[str, list[float]]:
    """Return the probabilities of false alarms by label, likeliest first."""
    found: dict[str, list[float]] = {label: [] for label in labels}
    for alarm in _events(stream, posteriors, dict.fromkeys(labels, LOWEST_THRESHOLD)):
        found[alarm.label].append(round(alarm.probability, _DECIMALS))
    return {label: sorted(own, reverse=True)[:_ALARMS_MAX] for label, own in found.items()}


def _hits(found: Mapping[str, ValidationDetections]) -> dict[str, list[float]]:
    """Return the probability of each clip of a label, 0 where it was not detected."""
    return {
        label: [0.0] * (own.n_clips - len(own.right)) + [round(p, _DECIMALS) for p in own.right]
        for label, own in found.items()
    }


def _open_stream(artifact: Artifact, temperature: float) -> PosteriorStream:
    stream = PosteriorStream(artifact)
    stream.temperature = temperature  # not that of an earlier calibration
    return stream


class _Heard(NamedTuple):
    """The posteriors of a recording of noise."""

    posteriors: Posteriors
    """A megabyte or two an hour."""
    hours: float
    notes: list[str]


def _hear(
    artifact: Artifact, noise: Sequence[Path], temperature: float, journal: Journal
) -> Iterator[tuple[Path, _Heard]]:
    """Yield each recording of noise with its posteriors, those in the journal from there."""

    def compute(paths: Iterable[Path]) -> Iterator[_Heard]:
        return (_read_posteriors(artifact, path, temperature) for path in paths)

    def key_of(path: Path) -> Key:
        return key_of_file(path, temperature)

    return journal.run(noise, key_of, compute, _pack, _unpack)


def _read_posteriors(artifact: Artifact, path: Path, temperature: float) -> _Heard:
    stream, n_samples = _open_stream(artifact, temperature), 0

    def blocks() -> Iterator[Samples]:
        nonlocal n_samples
        for block in recording.blocks():
            n_samples += len(block)
            yield block

    with open_recording(path, stream.sample_rate) as recording:
        columns = zip(*stream.run(blocks()), strict=True)
        posteriors = Posteriors(*(np.concatenate(column) for column in columns))
    return _Heard(posteriors, n_samples / stream.sample_rate / 3_600, recording.notes)


def _pack(heard: _Heard) -> list[Any]:
    """Return JSON-ready values without any loss."""
    times_s, rows = heard.posteriors
    arrays = [base64.b64encode(np.ascontiguousarray(a).tobytes()).decode() for a in (times_s, rows)]
    return [*arrays, rows.shape[1], heard.hours, heard.notes]


def _unpack(content: list[Any]) -> _Heard:
    times, rows, n_labels, hours, notes = content
    posteriors = Posteriors(
        np.frombuffer(base64.b64decode(times)),
        np.frombuffer(base64.b64decode(rows), dtype=np.float32).reshape(-1, n_labels),
    )
    return _Heard(posteriors, hours, notes)


def _events(
    stream: PosteriorStream, posteriors: Iterable[Posteriors], thresholds: Mapping[str, float]
) -> Iterator[Event]:
    for [events] in detect_events(posteriors, Detector(stream, thresholds)):
        yield from events


def _probabilities(artifact: Artifact, clips: ClipStore) -> Probabilities:
    """Return (n_clips, n_labels) without a temperature."""
    classifier = Classifier(artifact)
    classifier.temperature = 1.0

    def choose(clip: int) -> tuple[None, list[Samples]]:
        return None, [classifier.window(clips.read(clip)).samples]

    indices = range(len(clips.examples))
    outcomes = classify_examples(
        [classifier], indices, choose, classifier.jobs, classifier.batch_size
    )
    return np.stack([o.probabilities[0] for o in outcomes if isinstance(o, Classified)])


def _detect_in_clips(
    artifact: Artifact, labels: Sequence[str], clips: ClipStore, temperature: float
) -> dict[str, ValidationDetections]:
    """Return the events in the clips, concatenated with pauses."""
    stream = _open_stream(artifact, temperature)
    pause = np.zeros(round(_PAUSE_S * stream.sample_rate), dtype=np.float32)

    def play() -> Iterator[Samples]:
        for clip in range(len(clips.examples)):
            yield np.concatenate([clips.read(clip), pause])

    ends_s = np.cumsum(clips.lengths + len(pause)) / stream.sample_rate
    said = [example.label for example in clips.examples]
    right: dict[str, dict[int, float]] = {label: {} for label in labels}
    wrong: dict[str, list[float]] = {label: [] for label in labels}
    for event in _events(stream, stream.run(play()), dict.fromkeys(labels, LOWEST_THRESHOLD)):
        clip = min(int(np.searchsorted(ends_s, event.centre_s)), len(said) - 1)
        if said[clip] == event.label:
            right[event.label][clip] = max(event.probability, right[event.label].get(clip, 0.0))
        else:
            wrong[event.label].append(event.probability)
    return {
        label: ValidationDetections(
            tuple(sorted(right[label].values())), tuple(sorted(wrong[label])), said.count(label)
        )
        for label in labels
    }
