"""From recordings to labels, on ONNX Runtime alone."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import ONNX, Artifact
from speechcls.artifact.store import load_artifact
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples, fit_length, loudest_start, resample
from speechcls.errors import ArtifactError, AudioError, ConfigError, SpeechclsError
from speechcls.labels import UNCERTAIN
from speechcls.parallel import default_jobs, map_batches
from speechcls.runtime.session import (
    BATCH_SIZE,
    Probabilities,
    apply_temperature,
    describe_graph,
    open_session,
    run_windows,
    temperature_of,
)

Clip = str | os.PathLike[str] | BinaryIO | npt.NDArray[Any]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one clip."""

    label: str
    probability: float
    """Of ``label``; of the likeliest label where the answer is ``_uncertain_``."""
    probabilities: dict[str, float]
    """Of every label, likeliest first."""


@dataclass(frozen=True)
class Window:
    """The part of a clip that the model hears."""

    samples: Samples
    """(n_samples,) of the model's window."""
    start_s: float
    """Where it starts in the clip."""
    clip_duration_s: float
    is_part: bool
    """Whether the clip is longer than the window."""


class Classifier:
    """A trained model, ready to label clips."""

    def __init__(self, artifact: Artifact, jobs: int | None = None, device: str = "cpu") -> None:
        self.artifact = artifact
        self.labels = artifact.labels
        self.jobs = jobs or default_jobs()
        self._session = open_session(artifact.path / ONNX, device=device)
        self.batch_size = BATCH_SIZE[device]
        self.temperature = temperature_of(artifact)
        self._check_graph()

    def _check_graph(self) -> None:
        """Refuse a graph that is not of this model."""
        n_samples, n_labels = self.artifact.features.n_samples, len(self.labels)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        metadata = self._session.get_modelmeta().custom_metadata_map
        fits = (
            [node.name for node in inputs] == ["samples"]
            and len(inputs[0].shape) == 2
            and (isinstance(inputs[0].shape[1], str) or inputs[0].shape[1] == n_samples)
            and isinstance(inputs[0].shape[0], str)
            and inputs[0].type == "tensor(float)"
            and outputs[0].shape[1:] == [n_labels]
            and metadata == describe_graph(self.labels, self.sample_rate)
        )
        if not fits:
            raise ArtifactError(
                f"{self.artifact.path / ONNX}: does not fit config.json ({n_samples} samples in,"
                f" {n_labels} probabilities out, same labels): parts of two models; copy the model"
                " again"
            )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], jobs: int | None = None, device: str = "cpu"
    ) -> "Classifier":
        """Return the model in folder ``path``.

        Parameters
        ----------
        jobs : threads that read and compute (default: all cores)
        device : ``cpu`` or ``cuda``

        Raises
        ------
        ArtifactError
            When it is missing, damaged, foreign, or written by a newer speechcls.
        ConfigError
            When the device is not there.
        """
        return cls(load_artifact(Path(path)), jobs, device)

    @property
    def sample_rate(self) -> int:
        """Samples a second that the model hears."""
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
        self, clip: str | os.PathLike[str] | BinaryIO, name: str | None = None
    ) -> Window:
        """Return the part of a recording that the model hears; errors call it ``name``.

        Raises
        ------
        AudioError
            When the recording cannot be used.
        """
        return self.window(read_clip(clip, self.sample_rate, name=name))

    def probabilities(self, windows: npt.NDArray[np.float32]) -> Probabilities:
        """Return (batch, n_labels) for ``windows`` (batch, n_samples) at the model's rate."""
        answers = run_windows(self._session, windows, self.jobs, self.batch_size)
        return apply_temperature(answers, self.temperature)

    def predict(
        self, clip: Clip, sample_rate: int | None = None, threshold: float | None = None
    ) -> Prediction:
        """Return the label of one clip.

        Parameters
        ----------
        clip : a file, an open binary stream, or samples (n_samples,) or (n_samples, n_channels),
            floats in [-1, 1] or 16-bit integers
        sample_rate : Hz of an array (default: the model's)
        threshold : see ``decide``

        Raises
        ------
        AudioError
            When the clip cannot be used.
        """
        if isinstance(clip, np.ndarray):
            rate = self.sample_rate if sample_rate is None else sample_rate
            window = self.window(_as_samples(clip, rate, self.sample_rate))
        else:
            window = self.read_window(clip)
        return self.decide(self.probabilities(window.samples[None])[0], threshold)

    def predict_many(
        self,
        clips: Iterable[tuple[str, str | BinaryIO | SpeechclsError]],
        threshold: float | None = None,
    ) -> Iterator[list[tuple[str, Prediction | SpeechclsError, Window | None]]]:
        """Yield name, answer (or what is wrong with the clip) and window heard, in input order.

        They come in lists, each as soon as it is ready, while later clips are still being read;
        memory does not grow with their number.

        Parameters
        ----------
        clips : the name of each and where it is, or an error in its place, which is passed on
        threshold : see ``decide``
        """

        def work(
            batch: list[tuple[str, str | BinaryIO | SpeechclsError]],
        ) -> list[tuple[str, Prediction | SpeechclsError, Window | None]]:
            outcomes = [self._attempt(source, name) for name, source in batch]
            windows = [window.samples for window in outcomes if isinstance(window, Window)]
            answers = iter(self.probabilities(np.stack(windows)) if windows else ())
            return [
                (name, self.decide(next(answers), threshold), outcome)
                if isinstance(outcome, Window)
                else (name, outcome, None)
                for (name, _), outcome in zip(batch, outcomes, strict=True)
            ]

        return map_batches(clips, work, self.jobs, self.batch_size)

    def _attempt(
        self, source: str | BinaryIO | SpeechclsError, name: str
    ) -> Window | SpeechclsError:
        if isinstance(source, SpeechclsError):
            return source
        try:
            return self.read_window(source, name)
        except AudioError as error:
            return error

    def decide(self, probabilities: Probabilities, threshold: float | None = None) -> Prediction:
        """Return the answer that ``probabilities`` (n_labels,) mean.

        Without ``threshold`` it is the likeliest label. With two labels, negative and positive in
        this order, it is the second one from ``threshold`` on. With more it is the likeliest one,
        or ``_uncertain_`` where that stays below ``threshold``.
        """
        values = probabilities.tolist()  # so few are sorted faster without NumPy
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
        ranked = {self.labels[i]: values[i] for i in order}
        label, probability = next(iter(ranked.items()))
        if threshold is not None and len(self.labels) == 2:
            label = self.labels[int(values[1] >= threshold)]
            probability = ranked[label]
        elif threshold is not None and probability < threshold:
            label = UNCERTAIN
        return Prediction(label, probability, ranked)


def _as_samples(array: npt.NDArray[Any], rate: int, to_rate: int) -> Samples:
    """Return an array given by a caller, at ``rate`` Hz, as mono samples at ``to_rate`` Hz."""
    if array.dtype == np.int16:
        array = array / 32_768.0
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        raise AudioError(
            f"array of {array.dtype}, {array.ndim}-dimensional: give floats in [-1, 1] or int16,"
            " (n_samples,) or (n_samples, n_channels)"
        )
    if rate <= 0:
        raise ConfigError(f"sample_rate: {rate} is not possible; it must be a positive number")
    mono = (array if array.ndim == 1 else array.mean(axis=1)).astype(np.float32)
    if not len(mono) or not np.isfinite(mono).all():
        raise AudioError("array: empty, or with NaN or infinite samples")
    return resample(mono, rate, to_rate)
