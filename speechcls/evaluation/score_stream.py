"""Score a model on a long recording with annotated words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_split
from speechcls.audio.samples import Samples
from speechcls.data.splits import trained_speakers
from speechcls.errors import DatasetError
from speechcls.evaluation.detection_metrics import (
    THRESHOLDS,
    CurvePoint,
    StreamScores,
    det_curve,
    score_events,
)
from speechcls.layouts.annotations import Word
from speechcls.runtime.detection import Detector, Event, detect_events
from speechcls.runtime.stream import PosteriorStream


@dataclass(frozen=True)
class StreamEvaluation:
    """The scores at the thresholds of the labels, and the curve over one threshold for all."""

    scores: StreamScores
    curve: list[CurvePoint]
    thresholds: dict[str, float]
    warnings: list[str]


def evaluate_stream(
    stream: PosteriorStream,
    blocks: Iterable[Samples],
    words: Sequence[Word],
    thresholds: Mapping[str, float],
) -> StreamEvaluation:
    """Return how well detected events match the annotation; memory is constant.

    The model runs over the recording once. The events at ``thresholds`` are scored; for the curve
    those at the lowest of ``detection_metrics.THRESHOLDS`` are swept over by probability.

    Parameters
    ----------
    blocks : (n,) samples each, at the stream's rate
    words : the annotations; those of a label that is not in ``thresholds`` do not count

    Raises
    ------
    DatasetError
        When the model can detect none of the words.
    """
    counted = [word for word in words if word.label in thresholds]
    others = sorted({word.label for word in words} - thresholds.keys())
    if not counted:
        raise DatasetError(
            f"the annotations have {', '.join(others)}; the model detects {', '.join(thresholds)};"
            " name another model or other annotations"
        )
    detector = Detector(stream, thresholds)
    lowest = Detector(stream, dict.fromkeys(thresholds, THRESHOLDS[0]))
    found: tuple[list[Event], list[Event]] = [], []
    n_samples = 0

    def counted_blocks() -> Iterator[Samples]:
        nonlocal n_samples
        for block in blocks:
            n_samples += len(block)
            yield block

    for parts in detect_events(stream.run(counted_blocks()), detector, lowest):
        for events, part in zip(found, parts, strict=True):
            events += part
    hours = n_samples / stream.sample_rate / 3_600
    warnings = []
    if others:
        warnings.append(f"words that the model cannot detect do not count: {', '.join(others)}")
    if n_late := sum(word.start_s > hours * 3_600 for word in counted):
        warnings.append(f"{n_late} annotated words begin after the end of the recording")
    if n_known := _count_trained(counted, stream.artifact):
        warnings.append(
            f"optimistically biased: {n_known} words are by speakers who trained the model; mix"
            " the recording for this model"
        )
    return StreamEvaluation(
        score_events(counted, found[0], tuple(thresholds), hours),
        det_curve(counted, found[1], hours),
        dict(thresholds),
        warnings,
    )


def _count_trained(words: Sequence[Word], artifact: Artifact) -> int:
    """Return how many words are clips, or by speakers, of the model's training."""
    rows = load_split(artifact)
    paths = {row.path for row in rows if row.split == "train"}
    speakers = trained_speakers(rows)
    return sum(
        word.speaker in speakers or (not word.speaker and word.path in paths) for word in words
    )
