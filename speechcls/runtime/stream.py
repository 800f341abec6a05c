"""Stateful inference on ``stream.onnx``: samples in as they come, posteriors out."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import STREAM, Artifact
from speechcls.audio.samples import Samples
from speechcls.config import DEFAULT_EVERY_S
from speechcls.errors import ArtifactError, ConfigError
from speechcls.runtime.session import (
    Probabilities,
    Session,
    apply_temperature,
    does_not_fit,
    open_graph,
    temperature_of,
)

_LONGEST_S = 1.0
"""Longest piece of sound in one run of a causal network."""
_N_WINDOWS = 8
"""Windows in one run of any other network; more of them exceed a core's cache."""
_N_STREAMS = 32
"""Streams in one run; more of them take as long each, and the first one waits for the last."""


class Posteriors(NamedTuple):
    """Probabilities of each label at successive times of a stream."""

    times_s: npt.NDArray[np.float64]
    """(n_times,) seconds from the start of the stream to the end of the sound that each is of."""
    probabilities: Probabilities
    """(n_times, n_labels)."""


class PosteriorStream:
    """A stream of sound in, posteriors out, by a model that keeps its state in between.

    A causal network gives posteriors at each of its steps, any other one for the window that ends
    at each multiple of ``every_s``. They do not depend on the pieces in which the sound comes.

    Parameters
    ----------
    every_s : seconds from one window to the next; a causal network has its own steps
    session : of another stream of this model, to run both: each has a state of its own

    Raises
    ------
    ArtifactError
        When the model is damaged, or written before streaming was supported.
    ConfigError
        When ``every_s`` is impossible.
    """

    def __init__(
        self,
        artifact: Artifact,
        every_s: float = DEFAULT_EVERY_S,
        session: Session | None = None,
    ) -> None:
        if artifact.contents is not None and STREAM not in artifact.contents:
            raise ArtifactError(
                f"{artifact.path / STREAM}: no such file; the model predates streaming; train it"
                " again"
            )
        self.artifact = artifact
        self.labels = artifact.labels
        self.sample_rate = artifact.features.sample_rate
        self.is_causal = artifact.network.is_streaming
        self.temperature = temperature_of(artifact)
        self.session = open_graph(artifact, STREAM) if session is None else session
        """What runs the network; it may be shared, also by threads."""
        self._step = step = self._find_step()
        if not 0 < every_s < math.inf:
            raise ConfigError(
                f"{every_s:g} s is not possible; it must be more than 0", field="every_s"
            )
        n_steps = max(1, round(every_s * self.sample_rate / step))
        self._block = step if self.is_causal else n_steps * step
        n_blocks = max(1, round(_LONGEST_S * self.sample_rate / self._block))
        if not self.is_causal:
            n_blocks = _N_WINDOWS if self.session.graph.samples_shape[0] != 1 else 1
        self._longest = n_blocks * self._block
        self._check_outputs(self._blocks_of(np.zeros(self._longest, np.float32)).shape)
        self.every_s = self._block / self.sample_rate
        """Seconds from one posterior to the next."""
        self._states = {
            name: np.zeros(shape, dtype=np.float32)
            for name, shape in self.session.graph.states.items()
        }
        self._waiting = np.empty(0, dtype=np.float32)
        self._rows: list[Probabilities] = []
        self._fault: ArtifactError | None = None
        self.n_processed = 0
        """Samples that the posteriors so far are of."""

    def _find_step(self) -> int:
        """Return the samples in each step; refuse a graph of another model."""
        hop, step = self.artifact.features.hop_length, self.session.graph.step
        if not step or step % hop or not (self.is_causal or step == hop):
            raise does_not_fit(self.artifact, STREAM)
        return step

    def _blocks_of(self, samples: Samples) -> Samples:
        """Return the samples (n,) of a run as the graph takes them (n_blocks, n_samples)."""
        return samples.reshape((1, -1) if self.is_causal else (-1, self._block))

    def _check_outputs(self, shape: tuple[int, int]) -> None:
        """Refuse a graph whose outputs are not a row of each step, or of each block, and states."""
        graph = self.session.graph
        rows, *states = graph.output_shapes(shape)
        n_rows = math.prod(shape) // self._block
        expected = (n_rows, len(self.labels))
        if rows != expected or states != [*graph.state_shapes(shape[0]).values()]:
            raise does_not_fit(self.artifact, STREAM)

    def put(self, samples: Samples) -> None:
        """Have ``samples`` (n,) at the model's rate wait for ``advance``."""
        self._waiting = np.concatenate([self._waiting, samples])

    def put_end(self) -> None:
        """Have zeros wait that bring the posteriors up to the end: half a window, whole blocks."""
        n_missing = -len(self._waiting) % self._block
        after = 0 if self.is_causal else self.artifact.features.n_samples // 2
        n_after = n_missing + -(-after // self._block) * self._block
        self.put(np.zeros(n_after, dtype=np.float32))

    @property
    def n_due(self) -> int:
        """Samples in the whole blocks that wait."""
        return len(self._waiting) // self._block * self._block

    def take(self) -> Posteriors:
        """Return the posteriors that ``advance`` has computed since they were last taken.

        Raises
        ------
        ArtifactError
            When the graph cannot be run on the sound of this stream.
        """
        if self._fault is not None:
            raise self._fault
        rows = self._rows[0] if len(self._rows) == 1 else self._joined_rows()
        self._rows.clear()
        ends = self.n_processed - self._block * np.arange(len(rows))[::-1]
        return Posteriors(ends / self.sample_rate, rows)

    def _joined_rows(self) -> Probabilities:
        return np.concatenate([np.empty((0, len(self.labels)), dtype=np.float32), *self._rows])

    def feed(self, samples: Samples) -> Posteriors:
        """Return the posteriors of the times within ``samples`` (n,) at the model's rate.

        Samples after the last of these times wait for the next call.
        """
        self.put(samples)
        advance([self])
        return self.take()

    def finish(self) -> Posteriors:
        """Return the last posteriors: of the samples that wait, padded with half a window."""
        self.put_end()
        advance([self])
        return self.take()

    def run(self, blocks: Iterable[Samples]) -> Iterator[Posteriors]:
        """Yield the posteriors of a whole recording, which comes in ``blocks`` (n,)."""
        for block in blocks:
            yield self.feed(block)
        yield self.finish()


def advance(streams: Sequence[PosteriorStream]) -> None:
    """Compute the posteriors of all sound that waits in streams of one session, to be taken.

    Streams share runs where the graph takes several at once: much of what a run of one takes is
    the same for many. What a stream gives, or why it gives nothing, depends on its own sound alone.
    """
    due = [stream for stream in streams if stream.n_due]
    n_most = _N_STREAMS if due and due[0].session.graph.batch_axes else 1
    while due:
        due.sort(key=lambda stream: stream.n_due)  # those run together are run as far as the first
        for start in range(0, len(due), n_most):
            _try(due[start : start + n_most])
        due = [stream for stream in due if stream.n_due and stream._fault is None]


def _try(streams: Sequence[PosteriorStream]) -> None:
    """Run streams together, or each alone where the sound of one of them does not let them."""
    try:
        _run(streams)
    except ArtifactError as error:
        if len(streams) == 1:
            streams[0]._fault = error
        else:
            for stream in streams:
                _try([stream])


def _run(streams: Sequence[PosteriorStream]) -> None:
    """Run streams together, all of them as far as the first, which has the least sound."""
    first, n_streams = streams[0], len(streams)
    n = min(first.n_due, first._longest)
    samples = np.concatenate([first._blocks_of(stream._waiting[:n]) for stream in streams])
    first._check_outputs(samples.shape)
    axes = {name: first.session.graph.batch_axes.get(name, 0) for name in first._states}
    states = {
        name: np.concatenate([stream._states[name] for stream in streams], axis)
        for name, axis in axes.items()
    }
    rows, *after = first.session.run(None, {"samples": samples} | states)
    rows = apply_temperature(rows, first.temperature)
    n_rows = len(rows) // n_streams
    by_axis = [(name, (slice(None),) * axis) for name, axis in axes.items()]
    for i, stream in enumerate(streams):
        stream._rows.append(rows[i * n_rows : (i + 1) * n_rows])
        own = slice(i, i + 1)
        stream._states = {
            name: state[(*before, own)]
            for (name, before), state in zip(by_axis, after, strict=True)
        }
        stream._waiting = stream._waiting[n:]
        stream.n_processed += n
