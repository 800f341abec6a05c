"""ONNX Runtime sessions: open, run in batches, apply the temperature."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.format import Artifact
from speechcls.audio.samples import PCM, to_float
from speechcls.errors import ArtifactError, ConfigError, reason_of
from speechcls.text import escape

BATCH_SIZE = {"cpu": 8, "cuda": 256}
"""Largest number of clips in one run, by device; more would not fit a processor's cache."""
DEVICES = tuple(BATCH_SIZE)
Probabilities = npt.NDArray[np.float32]


def describe_graph(labels: Sequence[str], sample_rate: int) -> dict[str, str]:
    """Return the metadata of a model's graph: its labels, one a line, and its rate in Hz."""
    lines = "\n".join(map(escape, labels))  # a label with a line end in it is one line too
    text = lines.encode("utf-8", "backslashreplace").decode()  # no lone surrogates
    return {"labels": text, "sample_rate": str(sample_rate)}


def open_session(
    model: bytes | Path, n_threads: int = 1, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session that runs ``model``.

    Parameters
    ----------
    n_threads : threads per run; for throughput run several sessions of one thread

    Raises
    ------
    ArtifactError
        When the graph is damaged.
    ConfigError
        When the device is not available.
    """
    providers = _providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    name = "model.onnx" if isinstance(model, bytes) else str(model)
    try:
        content = model if isinstance(model, bytes) else model.read_bytes()
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except OSError as error:
        raise ArtifactError(f"{name}: {reason_of(error)}; name another model") from error
    except Exception as error:  # ONNX Runtime's own errors have no other class in common
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        first_line = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{name}: damaged ({first_line}); copy the model again") from error
    # ONNX Runtime goes on without a provider that fails to start.
    if session.get_providers()[0] != providers[0]:
        raise ConfigError(
            "ONNX Runtime could not start CUDA; install the CUDA and cuDNN that its release asks"
            " for, or use cpu",
            field="device",
        )
    return session


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
    session: onnxruntime.InferenceSession,
    windows: npt.NDArray[np.float32] | PCM,
    jobs: int,
    batch_size: int = BATCH_SIZE["cpu"],
) -> Probabilities:
    """Return probabilities (n, n_labels) of ``windows`` (n, n_samples), on ``jobs`` threads.

    Parameters
    ----------
    windows : float32 in [-1, 1], or 16-bit integers
    """

    def run(start: int) -> Probabilities:
        batch = to_float(windows[start : start + batch_size])
        rows: Probabilities = session.run(None, {"samples": batch})[0]
        return rows

    if len(windows) <= batch_size:
        return run(0)
    with ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(run, range(0, len(windows), batch_size))))


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
