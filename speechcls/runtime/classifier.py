"""Classify clips with a trained model, on ONNX Runtime alone."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import ONNX, Artifact
from speechcls.artifact.store import load_artifact
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples, check_samples, fit_length, loudest_start, resample
from speechcls.errors import AudioError, ConfigError, SpeechclsError
from speechcls.labels import UNCERTAIN
from speechcls.parallel import default_jobs, map_batches
from speechcls.runtime.session import (
    BATCH_SIZE,
    Probabilities,
    apply_temperature,
    check_threshold,
    does_not_fit,
    open_graph,
    run_windows,
    temperature_of,
)

Clip = str | os.PathLike[str] | BinaryIO | npt.NDArray[Any]
"""A path, an open binary stream, or samples (n_samples,): floats in [-1, 1] or int16."""
C = TypeVar("C", bound=Clip | SpeechclsError)


def as_classifier(
    model: "Classifier | str | os.PathLike[str]", jobs: int | None = None
) -> "Classifier":
    """Return a classifier as it is, or the one that runs the model in a folder.

    Parameters
    ----------
    jobs : threads of a classifier that is loaded (default: one for each core)

    Raises
    ------
    ArtifactError
        When the model is missing, damaged, not of speechcls, or written by a newer speechcls.
    """
    return model if isinstance(model, Classifier) else Classifier.load(model, jobs)


@dataclass(frozen=True, repr=False)
class Prediction:
    """Prediction of a model for one clip."""

    label: str
    probability: float
    """Of ``label``; of the likeliest label where ``label`` is ``_uncertain_``."""
    probabilities: dict[str, float]
    """Of every label, likeliest first."""
    start_s: float = 0.0
    """Where the window that the model was run on starts in the clip, seconds."""
    clip_duration_s: float | None = None
    """None where the probabilities did not come from a clip."""
    is_part: bool = False
    """Whether the clip is longer than the window: then it was run on its loudest part."""
    notes: tuple[str, ...] = ()
    """What was mended in reading the clip, a sentence each."""

    def to_dict(self, top_k: int | None = None) -> dict[str, Any]:
        """Return label and probabilities, rounded to six decimals, as JSON-ready values.

        Parameters
        ----------
        top_k : number of labels among the probabilities; None: all
        """
        ranked = list(self.probabilities.items())[:top_k]
        return {
            "label": self.label,
            "probability": round(self.probability, 6),
            "probabilities": {label: round(probability, 6) for label, probability in ranked},
        }

    def __repr__(self) -> str:
        part = f", start_s={self.start_s:.2f}" if self.is_part else ""
        return f"Prediction(label={self.label!r}, probability={self.probability:.4f}{part})"


@dataclass(frozen=True)
class Window:
    """The part of a clip that a model is run on."""

    samples: Samples
    """(n_samples,) of the model's window."""
    start_s: float
    """Where it starts in the clip, seconds."""
    clip_duration_s: float
    is_part: bool
    """Whether the clip is longer than the window."""
    notes: tuple[str, ...] = ()
    """What was mended in reading the clip, a sentence each."""


class Classifier:
    """A trained model, ready to classify clips.

    Use ``Classifier.load`` to make one.

    Examples
    --------
    >>> import numpy as np
    >>> from speechcls import Classifier
    >>> classifier = Classifier.load("commands")
    >>> classifier.predict(np.zeros(16_000, dtype=np.float32)).label
    '_silence_'
    """

    def __init__(self, artifact: Artifact, jobs: int | None = None, device: str = "cpu") -> None:
        self.artifact = artifact
        self.labels = artifact.labels
        if jobs is not None and jobs < 1:
            raise ConfigError(f"{jobs} is not possible; it must be 1 or more", field="jobs")
        self.jobs = jobs or default_jobs()
        n_samples = artifact.features.n_samples
        self._session = open_graph(artifact, ONNX, n_samples, device)
        batch, length = self._session.graph.samples_shape
        is_free = isinstance(batch, str) and (isinstance(length, str) or length == n_samples)
        if self._session.graph.states or not is_free:
            raise does_not_fit(artifact, ONNX)
        self.batch_size = BATCH_SIZE[device]
        self.temperature = temperature_of(artifact)

    def __repr__(self) -> str:
        features = self.artifact.features
        return (
            f"Classifier({str(self.artifact.path)!r}, {len(self.labels)} labels,"
            f" {features.duration_s:g} s at {features.sample_rate} Hz)"
        )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], jobs: int | None = None, device: str = "cpu"
    ) -> "Classifier":
        """Return a classifier that runs a model on disk.

        Parameters
        ----------
        path : the model's folder, or the name of one that comes with speechcls, as ``commands``
        jobs : threads that read and compute (default: one for each core)
        device : ``cpu`` or ``cuda``

        Raises
        ------
        ArtifactError
            When the model is missing, damaged, not of speechcls, or written by a newer speechcls.
        ConfigError
            When the device is not available.
        """
        return cls(load_artifact(path), jobs, device)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the model's window, Hz."""
        return self.artifact.features.sample_rate

    def window(self, samples: Samples) -> Window:
        """Return the loudest window of ``samples`` (n,) at the model's rate, padded if short."""
        n_samples = self.artifact.features.n_samples
        return Window(
            fit_length(samples, n_samples),
            loudest_start(samples, n_samples) / self.sample_rate,
            len(samples) / self.sample_rate,
            len(samples) > n_samples,
        )

    def read_window(
        self,
        clip: Clip,
        sample_rate: int | None = None,
        name: str | None = None,
        channel: int | None = None,
    ) -> Window:
        """Return the part of a clip that the model is run on.

        Parameters
        ----------
        clip, sample_rate, channel : see ``predict``
        name : what messages call the clip (default: its path, or the ``name`` of a stream)

        Raises
        ------
        AudioError
            When the clip cannot be used.
        """
        if hasattr(clip, "__array__"):  # of NumPy, or a tensor
            return self.window(self._resampled(np.asarray(clip), sample_rate))
        if not isinstance(clip, str | os.PathLike) and not hasattr(clip, "read"):
            raise AudioError(
                f"{type(clip).__name__}: not a clip; give a path, an open binary stream or an array"
            )
        notes: list[str] = []
        samples = read_clip(
            clip, self.sample_rate, name=name, channel=channel, on_note=notes.append
        )
        return replace(self.window(samples), notes=tuple(notes))

    def _resampled(self, array: npt.NDArray[Any], rate: int | None) -> Samples:
        """Return the samples of an array at the model's rate."""
        rate = self.sample_rate if rate is None else rate
        if not 0 < rate < math.inf:
            raise ConfigError(
                f"{rate} is not possible; it must be a positive number", field="sample_rate"
            )
        if array.ndim == 2:
            raise AudioError(
                f"array of shape {array.shape}: one clip is (n_samples,); give a batch (batch,"
                " n_samples) to predict_many, or average the channels of (n_samples, n_channels)"
                " with .mean(axis=1)"
            )
        samples = resample(check_samples(array), rate, self.sample_rate)
        if not len(samples):
            raise AudioError("array: empty, or shorter than one sample of the model's")
        return samples

    def probabilities(self, windows: npt.NDArray[np.float32]) -> Probabilities:
        """Return (batch, n_labels) for ``windows`` (batch, n_samples) at the model's rate.

        On a CPU those of a window are the same to the bit in every batch, so that a job that is
        stopped and goes on ends with the same bytes.
        """
        rows = run_windows(self._session, windows, self.jobs, self.batch_size)
        return self._calibrated(rows, len(windows))

    def _calibrated(self, rows: Probabilities, n_windows: int) -> Probabilities:
        """Return the probabilities of what the graph returned for so many windows."""
        if rows.shape != (n_windows, len(self.labels)):
            raise does_not_fit(self.artifact, ONNX)
        return apply_temperature(rows, self.temperature)

    def predict(
        self,
        clip: Clip,
        sample_rate: int | None = None,
        threshold: float | None = None,
        channel: int | None = None,
    ) -> Prediction:
        """Return the prediction for one clip.

        Of a clip longer than the model's window the loudest window counts; a shorter one is
        padded with zeros.

        Parameters
        ----------
        clip : a path, an open binary stream that can seek, or samples (n_samples,) of one channel:
            floats in [-1, 1] or int16
        sample_rate : Hz of an array (default: the model's); a file has its own
        threshold : see ``decide``
        channel : which one of a recording counts, from 1 on (default: the mean of all, or what of
            them is not empty or cancels out)

        Raises
        ------
        AudioError
            When the clip cannot be used; an array of two dimensions is a batch or has several
            channels, and is refused.
        ConfigError
            When ``sample_rate`` or ``threshold`` is impossible.

        Examples
        --------
        >>> import numpy as np
        >>> from speechcls import Classifier
        >>> classifier = Classifier.load("commands")
        >>> prediction = classifier.predict(np.zeros(8_000, dtype=np.int16), sample_rate=8_000)
        >>> prediction.label, len(prediction.probabilities) == len(classifier.labels)
        ('_silence_', True)
        """
        window = self.read_window(clip, sample_rate, channel=channel)
        # Run alone, which takes half as long as the two that ``probabilities`` would make of it.
        rows = self._session.run(None, {"samples": window.samples[None]})[0]
        return self.decide(self._calibrated(rows, 1)[0], threshold, window)

    def predict_many(
        self,
        clips: Iterable[C],
        sample_rate: int | None = None,
        threshold: float | None = None,
        channel: int | None = None,
    ) -> Iterator[tuple[C, Prediction | SpeechclsError]]:
        """Yield each clip with its prediction, or with the error that it could not be used for.

        The pairs come in the order of ``clips``, each as soon as it is ready, while later clips
        are still being read; memory is constant, however many there are. On a CPU a prediction is
        the same to the bit whatever clips come with it; that of ``predict``, which takes half as
        long for one clip, differs by less than 1e-6.

        Parameters
        ----------
        clips : paths, open binary streams or arrays (n_samples,), as many as there are, from any
            iterable; or one array (batch, n_samples). An error, or a prediction, in place of a clip
            is passed on.
        sample_rate : Hz of arrays (default: the model's)
        threshold : see ``decide``
        channel : see ``predict``

        Raises
        ------
        AudioError
            When ``clips`` is one clip.
        ConfigError
            When ``sample_rate`` or ``threshold`` is impossible.

        Examples
        --------
        >>> import numpy as np
        >>> from speechcls import Classifier
        >>> classifier = Classifier.load("commands")
        >>> batch = np.zeros((2, 16_000), dtype=np.float32)
        >>> [prediction.label for clip, prediction in classifier.predict_many(batch)]
        ['_silence_', '_silence_']
        >>> [(clip, error)] = classifier.predict_many(["absent.wav"])
        >>> print(error)
        absent.wav: no such file; check the path
        """
        if isinstance(clips, str | os.PathLike) or hasattr(clips, "read"):
            raise AudioError("one clip, not several: give it to predict, or a list of clips")
        if hasattr(clips, "__array__") and len(shape := np.asarray(clips).shape) != 2:
            raise AudioError(
                f"array of shape {shape}: a batch is (batch, n_samples); give one clip"
                " (n_samples,) to predict"
            )
        check_threshold(threshold)
        return self._predict_many(clips, sample_rate, threshold, channel)

    def _predict_many(
        self,
        clips: Iterable[C],
        sample_rate: int | None,
        threshold: float | None,
        channel: int | None,
    ) -> Iterator[tuple[C, Prediction | SpeechclsError]]:
        def work(batch: list[C]) -> list[tuple[C, Prediction | SpeechclsError]]:
            outcomes = [self._attempt(clip, sample_rate, channel) for clip in batch]
            windows = [outcome.samples for outcome in outcomes if isinstance(outcome, Window)]
            rows = iter(self.probabilities(np.stack(windows)) if windows else ())
            return [
                (clip, self.decide(next(rows), threshold, outcome))
                if isinstance(outcome, Window)
                else (clip, outcome)
                for clip, outcome in zip(batch, outcomes, strict=True)
            ]

        for pairs in map_batches(clips, work, self.jobs, self.batch_size):
            yield from pairs

    def _attempt(
        self, clip: Clip | Prediction | SpeechclsError, sample_rate: int | None, channel: int | None
    ) -> Window | Prediction | SpeechclsError:
        if isinstance(clip, Prediction | SpeechclsError):
            return clip
        try:
            return self.read_window(clip, sample_rate, channel=channel)
        except AudioError as error:
            return error

    def decide(
        self,
        probabilities: Probabilities,
        threshold: float | None = None,
        window: Window | None = None,
    ) -> Prediction:
        """Return the prediction that ``probabilities`` (n_labels,) of a ``window`` lead to.

        Without ``threshold`` it is the likeliest label. With two labels, negative and positive in
        this order, it is the second one from ``threshold`` on. With more it is the likeliest one,
        or ``_uncertain_`` where that stays below ``threshold``.

        Raises
        ------
        ConfigError
            When ``threshold`` is not in 0 .. 1.
        """
        check_threshold(threshold)
        values = probabilities.tolist()  # so few are sorted faster without NumPy
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
        ranked = {self.labels[i]: values[i] for i in order}
        label, probability = next(iter(ranked.items()))
        if threshold is not None and len(self.labels) == 2:
            label = self.labels[int(values[1] >= threshold)]
            probability = ranked[label]
        elif threshold is not None and probability < threshold:
            label = UNCERTAIN
        if window is None:
            return Prediction(label, probability, ranked)
        part = window.start_s, window.clip_duration_s, window.is_part, window.notes
        return Prediction(label, probability, ranked, *part)
