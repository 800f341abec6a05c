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
from speechcls.errors import ArtifactError, ConfigError

BATCH_SIZE = {"cpu": 8, "cuda": 256}
"""Most clips in one run of the network, by device; more do not fit a processor's cache."""
DEVICES = tuple(BATCH_SIZE)
Probabilities = npt.NDArray[np.float32]


def describe_graph(labels: Sequence[str], sample_rate: int) -> dict[str, str]:
    """Return what the graph's metadata says: labels, a line each, and the rate in Hz."""
    text = "\n".join(labels).encode("utf-8", "backslashreplace").decode()  # no lone surrogates
    return {"labels": text, "sample_rate": str(sample_rate)}


def open_session(
    model: bytes | Path, n_threads: int = 1, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Return ONNX Runtime, ready to run ``model``.

    Parameters
    ----------
    n_threads : that share the work of one run; one thread each for several runs at once does more

    Raises
    ------
    ArtifactError
        When the graph is damaged.
    ConfigError
        When the device is not there.
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
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{name}: {reason}; mend that or name another model") from error
    except Exception as error:  # ONNX Runtime's own classes share no other ancestor
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        first_line = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{name}: damaged ({first_line}); copy the model again") from error
    if session.get_providers()[0] != providers[0]:  # it goes on without one that fails to start
        raise ConfigError(f"--device {device}: {_CUDA_FAILED}")
    return session


_CUDA_FAILED = (
    "ONNX Runtime could not start CUDA; install the CUDA and cuDNN that its release asks for,"
    " or use --device cpu"
)


def _providers(device: str) -> list[str]:
    """Return what ONNX Runtime calls a device, and what runs the rest of the graph there."""
    if device not in DEVICES:
        raise ConfigError(f"--device {device}: there are {', '.join(DEVICES)}")
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ConfigError(
            "--device cuda: this ONNX Runtime has no CUDA; pip install onnxruntime-gpu in place of"
            " onnxruntime, or use --device cpu"
        )
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def run_windows(
    session: onnxruntime.InferenceSession,
    windows: npt.NDArray[np.float32] | PCM,
    jobs: int,
    batch_size: int = BATCH_SIZE["cpu"],
) -> Probabilities:
    """Return (n, n_labels) for ``windows`` (n, n_samples), in batches on ``jobs`` threads.

    Parameters
    ----------
    windows : float32 in [-1, 1], or 16-bit integers
    """

    def run(start: int) -> Probabilities:
        batch = to_float(windows[start : start + batch_size])
        answer: Probabilities = session.run(None, {"samples": batch})[0]
        return answer

    if len(windows) <= batch_size:
        return run(0)
    with ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(run, range(0, len(windows), batch_size))))


def temperature_of(artifact: Artifact) -> float:
    """Return the temperature that the model's calibration found; 1 where there is none."""
    calibration = load_calibration(artifact)
    return 1.0 if calibration is None else calibration.temperature


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return ``probabilities`` (n, n_labels) less sure if the temperature is above 1.

    Their logarithms are logits but for a constant, which the sum takes out.

    Source
    ------
    Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    if temperature == 1:
        return probabilities
    # From the largest one on, so that nothing vanishes where all would.
    largest = probabilities.max(axis=1, keepdims=True, initial=0)
    powers = (probabilities / largest) ** np.float32(1 / temperature)
    tempered: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return tempered
