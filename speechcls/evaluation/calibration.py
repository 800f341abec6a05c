"""Thresholds for a rate of false alarms, and a temperature that calibrates probabilities."""

import base64
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.artifact.calibration import Calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_split
from speechcls.audio.blocks import open_recording
from speechcls.audio.decode import OnNote
from speechcls.audio.samples import Samples, ignore_note
from speechcls.config import DEFAULT_FA_PER_HOUR
from speechcls.data.clips import ClipStore
from speechcls.data.splits import split_of_digests
from speechcls.errors import DatasetError
from speechcls.evaluation.detection_metrics import upper_rate
from speechcls.evaluation.held_out import Classified, classify_examples
from speechcls.evaluation.metrics import expected_calibration_error
from speechcls.journal import Journal, Key, key_of_file
from speechcls.labels import map_label
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.detection import Detector, Event, detect_events
from speechcls.runtime.session import Probabilities, apply_temperature
from speechcls.runtime.stream import Posteriors, PosteriorStream


def fit_temperature(
    probabilities: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.int64]
) -> float:
    """Return the temperature that maximises the likelihood of the truth.

    Parameters
    ----------
    probabilities : (n_clips, n_labels); their logarithms are logits but for a constant
    truth : (n_clips,) the right label of each

    Source
    ------
    Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    right = logits[np.arange(len(truth)), truth]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(scale * logits, axis=1) - scale * right))

    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


LOWEST_THRESHOLD = 0.1
"""Threshold at which words are detected in the validation clips."""
THRESHOLD_WITHOUT_CLIPS = 0.5
"""Lowest threshold where there are no validation clips to choose it by."""
_STEP = 1e-4
"""Thresholds are multiples of it."""
_PAUSE_S = 1.0
"""Silence after each validation clip, too long for two words to be merged."""

Progress = Callable[[], None]


@dataclass(frozen=True)
class ValidationDetections:
    """Probabilities of the events of one label in the validation clips, ascending."""

    right: tuple[float, ...]
    """One for each clip of the label in which it was detected."""
    wrong: tuple[float, ...]
    """One for each event in a clip of another word."""
    n_clips: int
    """Clips of the label."""


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
) -> Calibration:
    """Return thresholds and temperature of a model.

    The temperature is fitted to the validation clips first, since thresholds apply to
    probabilities with it. Each label's threshold starts where its F1 in the validation clips is
    highest; then thresholds are raised until all labels together keep to the false alarms allowed.

    Parameters
    ----------
    labels : those that are detected
    noise : recordings without commands
    clips : of the model's validation split; None: temperature 1, one threshold for all labels
    on_item : called after each recording of noise
    on_note : called with what was mended in one, a sentence that names it
    journal : of the recordings that are done, to go on with
    loss_max : largest ratio of a label's words in validation clips that a raised threshold may
        lose, whatever false alarms are left

    Raises
    ------
    AudioError
        When a recording cannot be used.
    ArtifactError
        When the model cannot be loaded.
    """
    fit = _Fit() if clips is None else _fit_to_clips(artifact, labels, clips)
    temperature, found = fit.temperature, fit.found
    thresholds = {
        label: best_threshold(found[label]) if label in found else THRESHOLD_WITHOUT_CLIPS
        for label in labels
    }
    posteriors, hours = list[Posteriors](), 0.0
    for path, heard in _hear(artifact, noise, temperature, journal or Journal()):
        for note in heard.notes:
            on_note(f"{path}: {note}")
        posteriors.append(heard.posteriors)
        hours += heard.hours
        on_item()
    stream = _open_stream(artifact, temperature)
    n_allowed = math.floor(fa_per_hour * hours)
    limits = {
        label: highest_threshold(own, thresholds[label], loss_max) for label, own in found.items()
    }
    thresholds, n_alarms = _limit_alarms(thresholds, stream, posteriors, found, n_allowed, limits)
    return Calibration(
        thresholds=thresholds,
        fa_per_hour=fa_per_hour,
        hours=hours,
        false_alarms=n_alarms,
        upper_fa_per_hour=upper_rate(n_alarms, hours),
        temperature=temperature,
        n_clips=fit.n_clips,
        ece_before=fit.ece_before,
        ece_after=fit.ece_after,
    )


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


def _limit_alarms(
    thresholds: dict[str, float],
    stream: PosteriorStream,
    posteriors: Sequence[Posteriors],
    found: Mapping[str, ValidationDetections],
    n_allowed: int,
    limits: Mapping[str, float],
) -> tuple[dict[str, float], int]:
    """Return thresholds that keep to the false alarms allowed, and how many there are."""
    while True:
        alarms = [event for own in posteriors for event in _events(stream, [own], thresholds)]
        raised = raise_thresholds(thresholds, alarms, found, n_allowed, limits)
        if raised == thresholds:
            return thresholds, len(alarms)
        thresholds = raised  # another event may no longer be suppressed: recount


def validation_clips(artifact: Artifact, store: ClipStore) -> ClipStore:
    """Return the clips of the model's validation split, recognised by their samples.

    Raises
    ------
    DatasetError
        When there are none.
    """
    known = split_of_digests(load_split(artifact))
    chosen = [
        i
        for i, (example, digest) in enumerate(zip(store.examples, store.digests, strict=True))
        if known.get(digest) == "validation" and map_label(example.label, artifact.labels)
    ]
    if not chosen:
        raise DatasetError(
            "none of these clips is of the model's validation split; name that of its training"
        )
    return store.choose(chosen)


def best_threshold(found: ValidationDetections) -> float:
    """Return the threshold of the highest F1, halfway between the events above and below it.

    A clip of the label in which it was not detected is missed at any threshold.
    """
    events = sorted([(p, True) for p in found.right] + [(p, False) for p in found.wrong])
    if not found.right:
        return THRESHOLD_WITHOUT_CLIPS
    best, threshold = -1.0, THRESHOLD_WITHOUT_CLIPS
    n_right = n_wrong = 0
    for i in range(len(events) - 1, -1, -1):
        probability, is_right = events[i]
        n_right, n_wrong = n_right + is_right, n_wrong + (not is_right)
        below = events[i - 1][0] if i else LOWEST_THRESHOLD
        if below == probability:
            continue  # no threshold separates the two
        f1 = 2 * n_right / (found.n_clips + n_right + n_wrong)
        if f1 > best:
            best, threshold = f1, (probability + below) / 2
    return max(_STEP, round(threshold, 4))


def highest_threshold(found: ValidationDetections, threshold: float, loss_max: float) -> float:
    """Return the highest threshold that loses at most a ratio of the words above ``threshold``."""
    kept, n_lost = [p for p in found.right if p >= threshold], math.floor(loss_max * found.n_clips)
    return max(threshold, kept[n_lost]) if n_lost < len(kept) else 1.0


def raise_thresholds(
    thresholds: Mapping[str, float],
    alarms: Sequence[Event],
    found: Mapping[str, ValidationDetections],
    n_allowed: int,
    limits: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return thresholds that leave at most ``n_allowed`` of the false alarms, where possible.

    Step by step a label's threshold is raised past its least likely false alarm: that of the label
    that loses the smallest fraction of its words in validation clips by it, among equals the one
    with the least likely alarm, so that without clips all labels get one threshold. None is raised
    above its limit in ``limits``.
    """
    raised, limits = dict(thresholds), limits or {}
    left = {
        label: sorted(alarm.probability for alarm in alarms if alarm.label == label)
        for label in thresholds
    }

    def recall_loss(label: str) -> tuple[float, float]:
        own, raised_to = found.get(label), _just_above(left[label][0])
        loss = 0.0
        if own is not None and own.n_clips:
            loss = sum(raised[label] <= p < raised_to for p in own.right) / own.n_clips
        return loss, left[label][0]

    def may_raise(label: str) -> bool:
        limit = limits.get(label, 1.0)
        return bool(left[label]) and left[label][0] < 1 and _just_above(left[label][0]) <= limit

    while sum(map(len, left.values())) > n_allowed:
        open_labels = [label for label in left if may_raise(label)]
        if not open_labels:
            break
        label = min(open_labels, key=recall_loss)
        raised[label] = max(raised[label], _just_above(left[label][0]))
        left[label] = [p for p in left[label] if p >= raised[label]]
    return raised


def _just_above(probability: float) -> float:
    threshold = round(probability, 4)
    return min(1.0, threshold if threshold > probability else round(threshold + _STEP, 4))


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
