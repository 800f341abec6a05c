"""Thresholds for so many false alarms an hour, and probabilities that mean what they say."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.calibration import Calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_split
from speechcls.audio.blocks import open_recording
from speechcls.audio.samples import Samples, to_float
from speechcls.data.clips import ClipStore
from speechcls.errors import DatasetError
from speechcls.evaluation.detection_metrics import upper_rate
from speechcls.labels import map_label
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.detection import Detector, Event, detect_events
from speechcls.runtime.session import Probabilities, apply_temperature
from speechcls.runtime.stream import Posteriors, PosteriorStream

N_BINS = 15
"""Bins of the expected calibration error, equally wide."""


def expected_calibration_error(
    probabilities: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.int64]
) -> float:
    """Return how far the likeliest label's probability is from the share that is right, on average.

    Parameters
    ----------
    probabilities : (n_clips, n_labels)
    truth : (n_clips,) the right label of each

    Source
    ------
    Naeini et al. 2015; Guo et al. 2017, with ``N_BINS`` bins of equal width.
    """
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == truth
    which = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    gaps = np.bincount(which, weights=confidence - is_right, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(truth))


def fit_temperature(
    probabilities: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.int64]
) -> float:
    """Return the temperature at which the truth is likeliest.

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


DEFAULT_FA_PER_HOUR = 0.5
LOWEST = 0.1
"""Least probability at which words are looked for in validation clips."""
WITHOUT_CLIPS = 0.5
"""Lowest threshold where there are no validation clips to choose it by."""
_STEP = 1e-4
"""Thresholds are multiples of it."""
_PAUSE_S = 1.0
"""Silence after each validation clip, longer than what makes two words one."""
_BATCH = 256

Progress = Callable[[], None]


@dataclass(frozen=True)
class ValidationDetections:
    """How likely the events of one label were in the validation clips."""

    right: tuple[float, ...]
    """One for each clip of the label in which it was heard, ascending."""
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
) -> Calibration:
    """Return thresholds and temperature of a model.

    The temperature is fitted to the validation clips first, since thresholds are of probabilities
    with it. Each label's threshold begins where its F1 in the validation clips is highest; then
    thresholds are raised until all labels together keep to the false alarms allowed.

    Parameters
    ----------
    labels : those that may be events
    noise : recordings without commands
    clips : of the model's validation split; None: temperature 1, one threshold for all labels
    on_item : called after each recording of noise

    Raises
    ------
    AudioError
        When a recording cannot be used.
    """
    temperature, before, after = 1.0, None, None
    heard: dict[str, ValidationDetections] = {}
    if clips is not None:
        truth = [
            artifact.labels.index(str(map_label(e.label, artifact.labels))) for e in clips.examples
        ]
        index = np.array(truth, dtype=np.int64)
        raw = _probabilities(artifact, clips)
        temperature = fit_temperature(raw, index)
        before = expected_calibration_error(raw, index)
        after = expected_calibration_error(apply_temperature(raw, temperature), index)
        heard = _detect_in_clips(artifact, labels, clips, temperature)
    thresholds = {
        label: best_threshold(heard[label]) if label in heard else WITHOUT_CLIPS for label in labels
    }
    answers, hours = [], 0.0
    for path in noise:
        stream, parts, of_recording = _read_posteriors(artifact, path, temperature)
        answers.append((stream, parts))  # a megabyte or two an hour
        hours += of_recording
        on_item()
    n_allowed = math.floor(fa_per_hour * hours)
    while True:
        alarms = [
            event for stream, parts in answers for event in _events(stream, parts, thresholds)
        ]
        raised = raise_thresholds(thresholds, alarms, heard, n_allowed)
        if raised == thresholds:
            break
        thresholds = raised  # with a rival gone another event may have come up: count again
    return Calibration(
        thresholds=thresholds,
        fa_per_hour=fa_per_hour,
        hours=hours,
        false_alarms=len(alarms),
        upper_fa_per_hour=upper_rate(len(alarms), hours),
        temperature=temperature,
        n_clips=0 if clips is None else len(clips.examples),
        ece_before=before,
        ece_after=after,
    )


def validation_clips(artifact: Artifact, store: ClipStore) -> ClipStore:
    """Return the clips of the model's validation split, recognised by their samples.

    Raises
    ------
    DatasetError
        When there are none.
    """
    known = {row.digest for row in load_split(artifact) if row.split == "validation"}
    chosen = [
        i
        for i, (example, digest) in enumerate(zip(store.examples, store.digests, strict=True))
        if digest in known and map_label(example.label, artifact.labels) is not None
    ]
    if not chosen:
        raise DatasetError(
            "none of these clips is of the model's validation split; name that of its training"
        )
    return ClipStore(
        [store.examples[i] for i in chosen],
        store.samples,
        store.starts[chosen],
        store.lengths[chosen],
        [store.digests[i] for i in chosen],
        store.sample_rate,
        [],
    )


def best_threshold(heard: ValidationDetections) -> float:
    """Return where F1 is highest: in the middle between the events it takes and the next ones.

    A clip of the label in which it was not heard is missed at any threshold.
    """
    events = sorted([(p, True) for p in heard.right] + [(p, False) for p in heard.wrong])
    if not heard.right:
        return WITHOUT_CLIPS
    best, threshold = -1.0, WITHOUT_CLIPS
    n_right = n_wrong = 0
    for i in range(len(events) - 1, -1, -1):
        probability, is_right = events[i]
        n_right, n_wrong = n_right + is_right, n_wrong + (not is_right)
        below = events[i - 1][0] if i else LOWEST
        if below == probability:
            continue  # no threshold tells the two apart
        f1 = 2 * n_right / (heard.n_clips + n_right + n_wrong)
        if f1 > best:
            best, threshold = f1, (probability + below) / 2
    return max(_STEP, round(threshold, 4))


def raise_thresholds(
    thresholds: Mapping[str, float],
    alarms: Sequence[Event],
    heard: Mapping[str, ValidationDetections],
    n_allowed: int,
) -> dict[str, float]:
    """Return thresholds that leave at most ``n_allowed`` of the false alarms, where that can be.

    Step by step the label is raised past its least likely false alarm that loses the smallest
    share of its words in validation clips by it; among equals that with the least likely alarm, so
    that without clips all labels get one threshold.
    """
    raised = dict(thresholds)
    left = {
        label: sorted(alarm.probability for alarm in alarms if alarm.label == label)
        for label in thresholds
    }

    def cost(label: str) -> tuple[float, float]:
        mine, beyond = heard.get(label), _just_above(left[label][0])
        lost = 0.0
        if mine is not None and mine.n_clips:
            lost = sum(raised[label] <= p < beyond for p in mine.right) / mine.n_clips
        return lost, left[label][0]

    while sum(map(len, left.values())) > n_allowed:
        open_labels = [label for label in left if left[label] and left[label][0] < 1]
        if not open_labels:
            break
        label = min(open_labels, key=cost)
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


def _read_posteriors(
    artifact: Artifact, path: Path, temperature: float
) -> tuple[PosteriorStream, list[Posteriors], float]:
    """Return a stream that went over a recording, its posteriors, and the recording's hours."""
    stream, n_samples = _open_stream(artifact, temperature), 0

    def blocks() -> Iterator[Samples]:
        nonlocal n_samples
        for block in recording.blocks():
            n_samples += len(block)
            yield block

    with open_recording(path, stream.sample_rate) as recording:
        parts = list(stream.run(blocks()))
    return stream, parts, n_samples / stream.sample_rate / 3_600


def _events(
    stream: PosteriorStream, posteriors: Iterable[Posteriors], thresholds: Mapping[str, float]
) -> Iterator[Event]:
    for [events] in detect_events(posteriors, Detector(stream, thresholds)):
        yield from events


def _probabilities(artifact: Artifact, clips: ClipStore) -> Probabilities:
    """Return (n_clips, n_labels) as the network has them."""
    classifier = Classifier(artifact)
    classifier.temperature = 1.0
    windows = (classifier.window(to_float(pcm)).samples for pcm in clips.clips())
    answers, batch = [], []
    for window in windows:
        batch.append(window)
        if len(batch) == _BATCH:
            answers.append(classifier.probabilities(np.stack(batch)))
            batch = []
    if batch:
        answers.append(classifier.probabilities(np.stack(batch)))
    return np.concatenate(answers)


def _detect_in_clips(
    artifact: Artifact, labels: Sequence[str], clips: ClipStore, temperature: float
) -> dict[str, ValidationDetections]:
    """Return what events there are in the clips, played one after the other with pauses."""
    stream = _open_stream(artifact, temperature)
    pause = np.zeros(round(_PAUSE_S * stream.sample_rate), dtype=np.float32)

    def play() -> Iterator[Samples]:
        for pcm in clips.clips():
            yield np.concatenate([to_float(pcm), pause])

    ends_s = np.cumsum(clips.lengths + len(pause)) / stream.sample_rate
    said = [example.label for example in clips.examples]
    right: dict[str, dict[int, float]] = {label: {} for label in labels}
    wrong: dict[str, list[float]] = {label: [] for label in labels}
    for event in _events(stream, stream.run(play()), dict.fromkeys(labels, LOWEST)):
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
