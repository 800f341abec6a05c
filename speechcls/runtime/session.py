"""ONNX Runtime sessions: open, run in batches, apply the temperature."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.manifest import read_file, read_limited
from speechcls.audio.samples import PCM, to_float
from speechcls.errors import ArtifactError, ConfigError, reason_of
from speechcls.runtime.cost import CheckedGraph
from speechcls.text import escape

BATCH_SIZE = {"cpu": 8, "cuda": 256}
"""Largest number of clips in one run, by device; more would not fit a processor's cache."""
DEVICES = tuple(BATCH_SIZE)
Probabilities = npt.NDArray[np.float32]
_TOLERANCE = 1e-3
"""Largest difference of a sum of probabilities from 1."""


def describe_graph(labels: Sequence[str], sample_rate: int) -> dict[str, str]:
    """Return the metadata of a model's graph: its labels, one a line, and its rate in Hz."""
    lines = "\n".join(map(escape, labels))  # a label with a line end in it is one line too
    text = lines.encode("utf-8", "backslashreplace").decode()  # no lone surrogates
    return {"labels": text, "sample_rate": str(sample_rate)}


class Session:
    """A graph on ONNX Runtime, checked before and after each run.

    Use ``open_session`` to make one.

    Parameters
    ----------
    graph : what ``session`` runs
    """

    def __init__(self, graph: CheckedGraph, session: onnxruntime.InferenceSession) -> None:
        self.graph, self._session = graph, session

    def run(
        self, names: None, inputs: Mapping[str, npt.NDArray[np.float32]]
    ) -> list[Probabilities]:
        """Return all outputs, probabilities first, as ``InferenceSession.run`` does.

        Raises
        ------
        ArtifactError
            When the graph cannot be run, or what it gives are no probabilities.
        MemoryError
            When there is too little memory for what the graph takes, which was checked.
        """
        [shape, *_] = self.graph.output_shapes(inputs["samples"].shape)
        try:
            with _own_errors(self.graph.name, "cannot be run"):
                outputs = self._session.run(names, dict(inputs))
        except ArtifactError as error:
            if "bad_alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise
        if outputs[0] is None:  # what ONNX Runtime 1.20 returns for an array without rows
            outputs[0] = np.empty((0, *shape[1:]), np.float32)
        rows: Probabilities = outputs[0]
        if rows.min(initial=0) < 0 or not (np.abs(rows.sum(axis=-1) - 1) <= _TOLERANCE).all():
            raise ArtifactError(
                f"{self.graph.name}: its outputs are no probabilities (not finite, below 0, or with"
                " a sum other than 1); copy the model again, or train it again"
            )
        return list(outputs)


def open_session(
    model: bytes | Path,
    n_threads: int = 1,
    device: str = "cpu",
    n_samples: int | None = None,
    name: str | None = None,
) -> Session:
    """Return an ONNX Runtime session that runs ``model``, after checking it.

    Parameters
    ----------
    n_threads : threads per run; for throughput run several sessions of one thread
    n_samples : length of a run to check beforehand (default: a second, or one step of a stream)
    name : what messages call it (default: the path, else ``model.onnx``)

    Raises
    ------
    ArtifactError
        When the graph is damaged, has operators that no model of speechcls has, or would take too
        much memory or time.
    ConfigError
        When the device is not available.
    """
    providers = _providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as well
    name = name or ("model.onnx" if isinstance(model, bytes) else str(model))
    try:
        content = model if isinstance(model, bytes) else read_limited(model)
    except OSError as error:
        raise ArtifactError(f"{name}: {reason_of(error)}; name another model") from error
    graph = CheckedGraph(name, content, n_samples)
    with _own_errors(name, "damaged"):
        # Without its fallback, ONNX Runtime does not print to stdout that a provider failed.
        session = onnxruntime.InferenceSession(
            content, options, providers=providers, enable_fallback=0
        )
    # ONNX Runtime goes on without a provider that fails to start.
    if session.get_providers()[0] != providers[0]:
        raise ConfigError(
            "ONNX Runtime could not start CUDA; install the CUDA and cuDNN that its release asks"
            " for, or use cpu",
            field="device",
        )
    return Session(graph, session)


@contextmanager
def _own_errors(name: str, what: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises into an ``ArtifactError``: its classes have none in common."""
    try:
        yield
    except Exception as error:
        is_own = type(error).__module__.startswith("onnxruntime")
        if not is_own and not isinstance(error, RuntimeError | ValueError | MemoryError):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"{name}: {what} ({reason}); copy the model again") from error


def _providers(device: str) -> list[str]:
    """Return the execution providers of a device: its own, then what runs the rest."""
    if device not in DEVICES:
        raise ConfigError(f"no {device!r}; there are {', '.join(DEVICES)}", field="device")
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ConfigError(
            "this ONNX Runtime has no CUDA; pip install onnxruntime-gpu in place of onnxruntime,"
            " or use cpu",
            field="device",
        )
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def run_windows(
    session: Session,
    windows: npt.NDArray[np.float32] | PCM,
    jobs: int,
    batch_size: int = BATCH_SIZE["cpu"],
) -> Probabilities:
    """Return probabilities (n, n_labels) of ``windows`` (n, n_samples), on ``jobs`` threads.

    On a CPU those of a window are the same whatever the windows beside it: ONNX Runtime rounds the
    last row of an odd number of rows otherwise, so one more is added there.

    Parameters
    ----------
    windows : float32 in [-1, 1], or 16-bit integers
    """

    def run(start: int) -> Probabilities:
        batch = to_float(windows[start : start + batch_size])
        n = len(batch)
        batch = np.concatenate([batch, batch[-1:]]) if n % 2 else batch
        rows: Probabilities = session.run(None, {"samples": batch})[0]
        return rows[:n] if len(rows) == len(batch) else rows

    if len(windows) <= batch_size:
        return run(0)
    with ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(run, range(0, len(windows), batch_size))))


def open_graph(
    artifact: Artifact, file_name: str, n_samples: int | None = None, device: str = "cpu"
) -> Session:
    """Return a session that runs a graph of a model, after checking that it is the model's.

    Parameters
    ----------
    n_samples : see ``open_session``

    Raises
    ------
    ArtifactError, ConfigError
        As ``open_session``, and when the file is not the one in the model's manifest.
    """
    path = artifact.path / file_name
    try:
        content = read_file(artifact, file_name)
    except OSError as error:
        raise ArtifactError(f"{path}: {reason_of(error)}; name another model") from error
    session = open_session(content, device=device, n_samples=n_samples, name=str(path))
    about = describe_graph(artifact.labels, artifact.features.sample_rate)
    metadata = {key: text for key, text in session.graph.metadata.items() if key != "step"}
    n_columns = session.graph.output_shapes(session.graph.first_shape)[0][1:]
    if metadata != about or n_columns != (len(artifact.labels),):
        raise does_not_fit(artifact, file_name)
    return session


def does_not_fit(artifact: Artifact, file_name: str) -> ArtifactError:
    """Return the error of a graph of another model."""
    n_samples, n_labels = artifact.features.n_samples, len(artifact.labels)
    return ArtifactError(
        f"{artifact.path / file_name}: does not fit config.json ({n_samples} samples in,"
        f" {n_labels} probabilities out, same labels): files of different models are mixed;"
        " copy the model again"
    )


def temperature_of(artifact: Artifact) -> float:
    """Return the temperature of the model's calibration; 1 where it has none.

    Raises
    ------
    ArtifactError
        When the calibration is damaged.
    """
    calibration = load_calibration(artifact)
    return 1.0 if calibration is None else calibration.temperature


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return ``probabilities`` (n, n_labels) at a temperature: less confident above 1.

    Their logarithms are the logits but for a constant, which cancels when they are normalised.

    Source
    ------
    Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    if temperature == 1:
        return probabilities
    # Relative to the largest one, so that they do not all underflow.
    largest = probabilities.max(axis=1, keepdims=True, initial=0)
    powers = (probabilities / largest) ** np.float32(1 / temperature)
    tempered: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return tempered


def check_threshold(threshold: float | None) -> None:
    """Refuse a threshold that is no probability.

    Raises
    ------
    ConfigError
        When it is not in 0 .. 1.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"{threshold} is not possible; it must be in 0 .. 1", field="threshold")
