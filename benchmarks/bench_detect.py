"""How much faster than sound ``speechcls detect`` is, and what memory hours of it take.

Run it with ``make bench`` on an idle machine with Linux. Seconds are those of the processor, for
each second of sound, on one core, with the start of the program in them.
"""

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from bench_report import Row, Size

from speechcls.config import STREAM_FEATURES, STREAM_NETWORK, FeatureConfig, NetworkConfig

MODEL = Path(__file__).parent.parent / "models" / "commands"
RATE = 16_000
WAV = 1, 1, RATE, 2 * RATE, 2, 16
"""Header: PCM, channels, Hz, bytes a second and a frame, bits."""
MINUTES = 10
HOURS = 10
N_RUNS = 3
MOST_BUNDLED, MOST_CAUSAL = 1 / 60, 1 / 300
"""Seconds of the processor for each second of sound."""
MOST_GROWTH_MB = 50
# A process begins with the peak of the one that started it, here one with torch.
_USAGE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def main() -> None:
    """Print every ratio, and the memory of a minute and of hours."""
    with tempfile.TemporaryDirectory() as name:
        for what, of, against, target in detection(Path(name), N_RUNS):
            print(f"{what}: {min(of) / against[0]:.2f} <= {target:.2f}, {1 / min(of):.0f} x sound")
        (_, _, _, short_mb), (what, _, seconds, long_mb) = detection_growth(Path(name))
        print(
            f"{what}: {HOURS} hours in {seconds:.0f} s, {long_mb:.0f} MB, a minute"
            f" {short_mb:.0f} MB: {long_mb - short_mb:.1f} <= {MOST_GROWTH_MB} MB more"
        )


def detection(scratch: Path, n_runs: int = N_RUNS) -> Iterator[Row]:
    """Yield for each kind of model what a second of sound takes, and what it may."""
    recording = scratch / "minutes.wav"
    with soundfile.SoundFile(recording, "w", RATE, 1) as file:
        generator = np.random.default_rng(0)
        for _ in range(MINUTES * 60):
            loudness = 10 ** generator.uniform(-3, -0.5)
            file.write(loudness * generator.standard_normal(RATE))
    models = [
        ("detect, bundled model / a 60th of the sound", MODEL, MOST_BUNDLED),
        ("detect, causal model / a 300th of the sound", make_causal(scratch), MOST_CAUSAL),
    ]
    for what, model, most in models:
        seconds = [detect(recording, model)[0] / (MINUTES * 60) for _ in range(n_runs)]
        yield what, seconds, [most] * n_runs, 1.0


def detection_growth(scratch: Path) -> list[Size]:
    """Return what a minute and hours of sound take of a causal model."""
    model, sizes = make_causal(scratch), []
    for n_seconds in (60, HOURS * 3_600):
        recording = scratch / "hours.wav"
        # Silence takes as long as words, and a file of it, with holes, no place on the disk.
        n_bytes = 2 * RATE * n_seconds
        head = struct.pack("<4sI8sIHHIIHH", b"RIFF", 36 + n_bytes, b"WAVEfmt ", 16, *WAV)
        recording.write_bytes(head + struct.pack("<4sI", b"data", n_bytes))
        os.truncate(recording, 44 + n_bytes)
        seconds, peak_mb = detect(recording, model)
        sizes.append(("detect in one recording of so many seconds", n_seconds, seconds, peak_mb))
        recording.unlink()
    return sizes


def make_causal(scratch: Path) -> Path:
    """Write a small causal model with untrained weights."""
    from speechcls.artifact.format import Artifact
    from speechcls.artifact.store import save_artifact
    from speechcls.export.onnx import export_onnx, export_stream
    from speechcls.networks.recogniser import build_recogniser
    from speechcls.networks.size import fit_size

    labels = [f"word{i}" for i in range(10)]
    features = FeatureConfig(kind="log-mel", **STREAM_FEATURES)
    network = fit_size("small", features, NetworkConfig(**STREAM_NETWORK), len(labels))
    recogniser = build_recogniser(features, network, range(len(labels)), seed=0)
    artifact = Artifact(scratch / "causal", features, network, tuple(labels), tuple(labels))
    graphs = export_onnx(recogniser, labels), export_stream(recogniser, labels)
    save_artifact(artifact, {}, graphs[0], {}, [], force=True, stream=graphs[1])
    return artifact.path


def detect(recording: Path, model: Path) -> tuple[float, float]:
    """Return the processor's seconds and the most memory, MB, of one run."""
    command = ["-m", "speechcls", "detect", str(recording), "-q", "-m", str(model)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _USAGE, sys.executable, *command],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    seconds, peak_kb = done.stdout.split()
    return float(seconds), float(peak_kb) / 1e3


if __name__ == "__main__":
    main()
