"""What prediction takes beside the engine alone: one clip, and a folder of ten thousand."""

import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import torch
from bench_report import Row

from speechcls.artifact.format import ONNX
from speechcls.artifact.store import load_artifact
from speechcls.export.onnx import OPSET
from speechcls.networks.load import load_recogniser
from speechcls.parallel import default_jobs
from speechcls.runtime.session import open_session, run_windows

SPEECHCLS = str(Path(sys.executable).with_name("speechcls"))
MODEL = Path(__file__).parent.parent / "models" / "commands"
N_CLIPS = 10_000
N_RECORDINGS = 500
"""Recordings that differ; the others are links to them, which are read all the same."""
N_ROUNDS = 3
N_RUNS = 400

KINDS = [
    ("WAV", "wav", 16_000, 0.85),
    ("FLAC", "flac", 16_000, 0.6),
    ("WAV at 44.1 kHz", "wav", 44_100, 0.6),
]
"""Name, ending, Hz, and the share of the engine's throughput that has to be reached."""


def prediction(scratch: Path) -> Iterator[Row]:
    """Yield rows: what, its seconds, seconds of what it is compared with, largest ratio."""
    yield one_clip()
    yield from folders(scratch)


def one_clip() -> Row:
    """Time of a clip from samples, on one thread, against that from ready features."""
    recogniser = load_recogniser(load_artifact(MODEL))
    config = recogniser.features.config
    network = torch.nn.Sequential(recogniser.network, torch.nn.Softmax(dim=1))
    features = torch.randn(1, config.n_frames, config.n_features)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (features,), buffer, dynamo=False, opset_version=OPSET,  # type: ignore[arg-type]
            input_names=["features"], dynamic_axes={"features": {0: "batch", 1: "n_frames"}},
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    alone = onnxruntime.InferenceSession(
        buffer.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    whole = open_session(MODEL / ONNX)
    samples = np.random.default_rng(0).standard_normal((1, config.n_samples)).astype(np.float32)
    of, against = [], []
    for _ in range(N_RUNS):
        of.append(seconds(lambda: whole.run(None, {"samples": samples})))
        against.append(seconds(lambda: alone.run(None, {"features": features.numpy()})))
    return "a clip / its network on ready features, one thread", of, against, 1.25


def folders(scratch: Path) -> Iterator[Row]:
    """Time of ``speechcls predict FOLDER`` against the engine on windows in memory, all cores."""
    session, jobs = open_session(MODEL / ONNX), default_jobs()
    n_samples = load_artifact(MODEL).features.n_samples
    generator = np.random.default_rng(0)
    windows = 0.1 * generator.standard_normal((N_RECORDINGS, n_samples)).astype(np.float32)
    windows = np.resize(windows, (N_CLIPS // 10, n_samples))
    for name, suffix, rate, least in KINDS:
        folder = write_folder(scratch / f"{suffix}-{rate}", suffix, rate)
        command = [SPEECHCLS, "predict", str(folder), "--model", str(MODEL), "--quiet"]
        of, against = [], []
        for _ in range(N_ROUNDS):
            against.append(10 * seconds(lambda: run_windows(session, windows, jobs)))
            of.append(seconds(lambda: subprocess.run(command, check=True, capture_output=True)))  # noqa: B023
        per_clip = [[s / N_CLIPS for s in side] for side in (of, against)]
        yield f"a {name} of a folder / the engine alone", per_clip[0], per_clip[1], 1 / least


def write_folder(folder: Path, suffix: str, rate: int) -> Path:
    """Write ``N_CLIPS`` recordings of one second, many of them links to the same."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(N_CLIPS):
        place = folder / f"{i:05}.{suffix}"
        if i < N_RECORDINGS:
            soundfile.write(place, 0.1 * generator.standard_normal(rate), rate)
        else:
            os.link(folder / f"{i % N_RECORDINGS:05}.{suffix}", place)
    return folder


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
