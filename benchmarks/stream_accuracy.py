"""Accuracy of the same clips one by one, and concatenated into a stream."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechcls.artifact.store import load_split
from speechcls.audio.samples import Samples
from speechcls.data.clips import read_example
from speechcls.labels import SILENCE, map_label
from speechcls.layouts.examples import Example
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.stream import PosteriorStream

GAP_S = 0.25, 0.75
"""Shortest and longest pause between two clips."""
NOISE_RMS = 1e-3
"""Of the noise in the pauses."""
LAG_S = 0.3
"""How long after the end of a clip its prediction may come."""


def accuracies(classifier: Classifier, data: Path) -> tuple[float, float]:
    """Return the accuracy on the validation clips one by one, and in a stream of all of them.

    A clip's prediction in the stream is that of the step at which a word's posterior peaks, between
    the clip's beginning and ``LAG_S`` after its end.
    """
    rows = [row for row in load_split(classifier.artifact) if row.split == "validation"]
    rows = [row for row in rows if (data / row.path).is_file()]  # others were made
    order = np.random.default_rng(0).permutation(len(rows))
    rows = [rows[i] for i in order]
    labels = classifier.labels
    truth = np.array([labels.index(str(map_label(row.label, labels))) for row in rows])
    examples = [
        Example(data / row.path, row.label, None, None, row.start_s, row.end_s, row.gain)
        for row in rows
    ]
    windows = windows_of(classifier, examples)
    alone = classifier.probabilities(windows).argmax(axis=1)
    silence = labels.index(SILENCE)
    in_stream = np.array(list(_in_stream(classifier, windows, silence)))
    return float((alone == truth).mean()), float((in_stream == truth).mean())


def windows_of(classifier: Classifier, examples: list[Example]) -> npt.NDArray[np.float32]:
    """Return (n_clips, n_samples)."""
    read = (read_example(example, classifier.sample_rate) for example in examples)
    return np.stack([classifier.window(clip.samples).samples for clip in read])


def _in_stream(
    classifier: Classifier, windows: npt.NDArray[np.float32], silence: int
) -> Iterator[int]:
    """Yield the index of the predicted label of each window in the stream."""
    rng, rate = np.random.default_rng(0), classifier.sample_rate
    stream = PosteriorStream(classifier.artifact)
    for window in windows:
        before, after = (_pause(rng, rate) for _ in range(2))
        start_s = (stream.n_processed + len(before)) / rate
        times_s, rows = stream.feed(np.concatenate([before, window, after]))
        end_s = start_s + len(window) / rate + LAG_S
        rows = rows[(times_s > start_s) & (times_s <= end_s)]
        words = np.delete(rows, silence, axis=1).max(axis=1)
        yield int(rows[words.argmax()].argmax())


def _pause(rng: np.random.Generator, rate: int) -> Samples:
    n_samples = round(rng.uniform(*GAP_S) * rate)
    return (NOISE_RMS * rng.standard_normal(n_samples)).astype(np.float32)
