"""Detect words in a stream of samples, as they come."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import check_samples, open_resampler
from speechcls.config import DEFAULT_EVERY_S, EventSettings
from speechcls.errors import AudioError, ConfigError
from speechcls.runtime.detection import EAGER_CAUSAL_SETTINGS, Detector, Event, choose_thresholds
from speechcls.runtime.session import Probabilities, Session
from speechcls.runtime.stream import PosteriorStream, advance


class StreamingClassifier:
    """A trained model that detects words in one stream of samples, as they come.

    Use ``StreamingClassifier.load`` to make one; each stream needs its own.

    Parameters
    ----------
    artifact : the model
    threshold : detection threshold of all labels, in 0 .. 1, or of some by label (default: the
        model's calibrated ones, else 0.6)
    labels : those to detect (default: all but ``_unknown_`` and ``_silence_``)
    settings : how posteriors become events
    every_s : seconds from one window to the next; a causal model has its own steps
    eager : report a word as soon as its posterior reaches the threshold, as ``listen`` does, not
        when it has fallen again, which places the word better
    sample_rate : Hz of the samples that will be fed (default: the model's)
    session : see ``PosteriorStream``

    Raises
    ------
    ArtifactError
        When the model is damaged, or written before streaming was supported.
    ConfigError
        When the model has no such label, or a setting is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> from speechcls import StreamingClassifier
    >>> stream = StreamingClassifier.load("commands", labels=["yes", "no"], sample_rate=8_000)
    >>> events = []
    >>> for _ in range(10):  # a second of silence in pieces of 0.1 s
    ...     events += stream.feed(np.zeros(800, dtype=np.float32))
    >>> events + stream.finish()
    []
    """

    def __init__(
        self,
        artifact: Artifact,
        threshold: float | Mapping[str, float] | None = None,
        labels: Sequence[str] | None = None,
        settings: EventSettings | None = None,
        every_s: float = DEFAULT_EVERY_S,
        eager: bool = False,
        sample_rate: int | None = None,
        session: Session | None = None,
    ) -> None:
        self.artifact = artifact
        self.thresholds = choose_thresholds(artifact, threshold, labels)
        """Detection threshold of each label that may be an event."""
        self._stream = PosteriorStream(artifact, every_s, session)
        self.session = self._stream.session
        """What runs the network; see ``PosteriorStream``."""
        self.every_s = self._stream.every_s
        """Seconds from one posterior to the next."""
        if settings is None and eager and self._stream.is_causal:
            settings = EAGER_CAUSAL_SETTINGS
        self.settings = settings or EventSettings()
        """How posteriors become events."""
        self._detector = Detector(self._stream, self.thresholds, self.settings, eager)
        self.sample_rate = self._stream.sample_rate if sample_rate is None else sample_rate
        """Hz of the samples that are fed."""
        if not 0 < self.sample_rate < math.inf:
            raise ConfigError(
                f"{sample_rate} is not possible; it must be a positive number", field="sample_rate"
            )
        self._resample = open_resampler(self.sample_rate, self._stream.sample_rate)
        self.posterior: Probabilities | None = None
        """(n_labels,) the latest probability of each label of the model; None at the beginning."""
        self._has_ended = False

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        threshold: float | None = None,
        labels: Sequence[str] | None = None,
        settings: EventSettings | None = None,
        every_s: float = DEFAULT_EVERY_S,
        eager: bool = False,
        sample_rate: int | None = None,
    ) -> "StreamingClassifier":
        """Return a streaming classifier that runs a model on disk.

        Parameters
        ----------
        path : the model's folder, or the name of one that comes with speechcls:
            ``commands-stream`` is causal
        threshold, labels, settings, every_s, eager, sample_rate : see the class

        Raises
        ------
        ArtifactError
            When the model is missing, damaged, not of speechcls, or written before streaming was
            supported.
        ConfigError
            When the model has no such label, or a setting is impossible.
        """
        artifact = load_artifact(path)
        return cls(artifact, threshold, labels, settings, every_s, eager, sample_rate)

    def __repr__(self) -> str:
        return (
            f"StreamingClassifier({str(self.artifact.path)!r}, {len(self.thresholds)} labels to"
            f" detect at {self.sample_rate} Hz)"
        )

    def feed(self, samples: npt.NDArray[Any]) -> list[Event]:
        """Return the events that are complete after the next samples of the stream.

        Parameters
        ----------
        samples : (n,) of one channel at ``sample_rate``, as many as there are, none included:
            floats in [-1, 1] or int16

        Raises
        ------
        AudioError
            When the samples are of another type or shape or not finite, or the stream has ended.
        """
        self.put(samples)
        advance_together([self])
        return self.take()

    def finish(self) -> list[Event]:
        """Return the events that are open at the end of the stream; nothing can be fed after it.

        Raises
        ------
        AudioError
            When the stream has ended before.
        """
        self.put(np.empty(0, dtype=np.float32), is_last=True)
        advance_together([self])
        return self.take()

    def put(self, samples: npt.NDArray[Any], is_last: bool = False) -> None:
        """Have the next samples wait, for ``advance_together`` and ``take``; as ``feed`` does.

        Parameters
        ----------
        is_last : whether the stream ends with them

        Raises
        ------
        AudioError
            As ``feed``.
        """
        if self._has_ended:
            raise AudioError("the stream has ended; make another StreamingClassifier for the next")
        self._stream.put(self._resample(check_samples(samples), is_last))
        if is_last:
            self._stream.put_end()
            self._has_ended = True

    def take(self) -> list[Event]:
        """Return the events that are complete by what ``advance_together`` has computed.

        Raises
        ------
        ArtifactError
            When the model cannot be run on the sound of this stream.
        """
        posteriors = self._stream.take()
        if len(posteriors.probabilities):
            self.posterior = posteriors.probabilities[-1]
        events = self._detector.push(posteriors)
        return events + self._detector.finish() if self._has_ended else events


def advance_together(classifiers: Sequence[StreamingClassifier]) -> None:
    """Run streams of one session on all that waits: in common, but each as if it were alone."""
    advance([classifier._stream for classifier in classifiers])
