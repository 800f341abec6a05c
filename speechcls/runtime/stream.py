"""Running sound through ``stream.onnx``: samples in as they come, probabilities out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import STREAM, Artifact
from speechcls.audio.samples import Samples
from speechcls.config import DEFAULT_EVERY_S
from speechcls.errors import ArtifactError, ConfigError
from speechcls.runtime.session import Probabilities, apply_temperature, open_session, temperature_of

_MOST_S = 1.0
"""Longest piece of sound in one run of a causal network."""


class Posteriors(NamedTuple):
    """What a model says of running sound."""

    times_s: npt.NDArray[np.float64]
    """(n_answers,) seconds from the beginning of the sound to the last sample heard."""
    probabilities: Probabilities
    """(n_answers, n_labels)."""


class PosteriorStream:
    """One running sound, heard by a model that remembers what came before.

    A causal network answers at each of its steps, any other one on the window that ends at each
    multiple of ``every_s``; the answers do not depend on the pieces in which the sound comes.
    """

    def __init__(self, artifact: Artifact, every_s: float = DEFAULT_EVERY_S) -> None:
        path = artifact.path / STREAM
        if not path.is_file():
            raise ArtifactError(
                f"{path}: no such file; this model was made by a speechcls that knew clips only,"
                " train it again"
            )
        self.artifact = artifact
        self.labels = artifact.labels
        self.sample_rate = artifact.features.sample_rate
        self.is_causal = artifact.network.readout == "stream"
        self.temperature = temperature_of(artifact)
        self._session = open_session(path)
        step = int(self._session.get_modelmeta().custom_metadata_map["step"])
        if every_s <= 0:
            raise ConfigError(f"every: {every_s:g} s is not possible; it must be more than 0")
        n_steps = max(1, round(every_s * self.sample_rate / step))
        self._block = step if self.is_causal else n_steps * step
        n_blocks = round(_MOST_S * self.sample_rate / self._block) if self.is_causal else 1
        self._most = max(1, n_blocks) * self._block
        self.every_s = self._block / self.sample_rate
        """Seconds from one answer to the next."""
        self._states = {
            node.name: np.zeros(node.shape, dtype=np.float32)
            for node in self._session.get_inputs()[1:]
        }
        self._rest = np.empty(0, dtype=np.float32)
        self.n_heard = 0
        """Samples that have been answered to."""

    def feed(self, samples: Samples) -> Posteriors:
        """Return the answers that fall within ``samples`` (n,) at the model's rate.

        What is left at the end of them is heard together with the next ones.
        """
        waiting = np.concatenate([self._rest, samples])
        n_whole = len(waiting) // self._block * self._block
        answers = [np.empty((0, len(self.labels)), dtype=np.float32)]
        for start in range(0, n_whole, self._most):
            block = waiting[start : min(start + self._most, n_whole)][None]
            answer, *after = self._session.run(None, {"samples": block} | self._states)
            self._states = dict(zip(self._states, after, strict=True))
            answers.append(answer)
        self._rest = waiting[n_whole:]
        probabilities = apply_temperature(np.concatenate(answers), self.temperature)
        ends = self.n_heard + self._block * np.arange(1, 1 + len(probabilities))
        self.n_heard += n_whole
        return Posteriors(ends / self.sample_rate, probabilities)

    def finish(self) -> Posteriors:
        """Return the last answers: of what is left, with a window of silence after it."""
        n_missing = -len(self._rest) % self._block
        after = 0 if self.is_causal else self.artifact.features.n_samples // 2
        n_after = n_missing + -(-after // self._block) * self._block
        return self.feed(np.zeros(n_after, dtype=np.float32))
