"""Ratios of what speechcls takes to what it cannot do without, measured in one run.

Run it with ``make bench`` on an idle machine. A ratio is the median of the runs of both sides,
taken in turns, so that a busy moment hits both.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile
from bench_detect import detection, detection_growth
from bench_growth import growth
from bench_prediction import prediction
from bench_report import Row, read_ratios, write_report
from bench_training import training
from rich.console import Console
from rich.table import Table

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.files import CACHE_VARIABLE

SPEECHCLS = str(Path(sys.executable).with_name("speechcls"))
N_STARTS = 11
N_FEATURE_RUNS = 31
N_ROUNDS = 3
N_CHECKS = 3
WORSE = 1.1
"""Ratio by which one may exceed that of the report, unless it does so in each of the checks."""


def main() -> None:
    """Print every ratio beside its target, and write or check ``docs/BENCHMARKS.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail if a ratio is worse than in docs/BENCHMARKS.md"
    )
    if parser.parse_args().check:
        return check()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        lines = measure(scratch)
        sizes = [*growth(scratch), *detection_growth(scratch)]
    write_report(lines, sizes)


def check() -> None:
    """Measure the ratios and exit with 1 if one is worse than it was, in each of several runs."""
    before, best = read_ratios(), dict[str, float]()
    for _ in range(N_CHECKS):
        with tempfile.TemporaryDirectory() as name:
            for what, _, _, ratio, _ in measure(Path(name)):
                best[what] = min(float(ratio), best.get(what, math.inf))
        worse = [what for what in before if best.get(what, 0.0) > WORSE * before[what]]
        if not worse:
            return
    for what in worse:
        told = f"{what}: {best[what]:.2f}, but {before[what]:.2f} in docs/BENCHMARKS.md"
        print(told, file=sys.stderr)
    sys.exit(1)


def measure(scratch: Path) -> list[tuple[str, str, str, str, str]]:
    """Print and return what was measured, what it is compared with, their ratio, its target."""
    table = Table(box=None, pad_edge=False, header_style="")
    for heading in ("what", "measured", "against", "ratio", "target"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    lines: list[tuple[str, str, str, str, str]] = []
    os.environ[CACHE_VARIABLE] = str(scratch / "cache")
    for row in chain(
        start_up(scratch),
        prediction(scratch),
        detection(scratch),
        training(scratch, N_ROUNDS),
        [features()],
    ):
        what, of, against, target = row
        ratio = statistics.median(of) / statistics.median(against)
        measured, limit = (f"{1e3 * statistics.median(side):.2f} ms" for side in (of, against))
        lines.append((what, measured, limit, f"{ratio:.2f}", f"<= {target:.2f}"))
        table.add_row(*lines[-1])
    Console(width=120).print(table)
    return lines


def start_up(scratch: Path) -> list[Row]:
    """Time of whole processes against that of importing what they cannot do without."""
    model, clip = make_model(scratch), scratch / "clip.wav"
    soundfile.write(clip, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    bare_help = [sys.executable, "-c", "import typer, rich"]
    bare_predict = [sys.executable, "-c", "import numpy, soundfile, onnxruntime, typer"]
    predict = [SPEECHCLS, "predict", str(clip), "--model", str(model), "--quiet"]
    return [
        ("speechcls --help / import typer, rich", *in_turns(
            lambda: run([SPEECHCLS, "--help"]), lambda: run(bare_help), N_STARTS
        ), 1.5),
        ("cold predict / import its libraries", *in_turns(
            lambda: run(predict), lambda: run(bare_predict), N_STARTS
        ), 1.3),
    ]  # fmt: skip


def features() -> Row:
    """Time of the MFCC of a clip in a batch of 32 against librosa's, both on one thread."""
    import librosa
    import torch

    from speechcls.features.mel import MFCC

    torch.set_num_threads(1)
    config = FeatureConfig()
    mfcc = MFCC(config)
    samples = 0.1 * np.random.default_rng(0).standard_normal((32, 16_000)).astype(np.float32)
    batch = torch.from_numpy(samples)

    def by_librosa() -> None:
        for clip in samples:
            librosa.feature.mfcc(
                y=clip,
                sr=config.sample_rate,
                n_fft=config.n_fft,
                win_length=config.win_length,
                hop_length=config.hop_length,
                n_mels=config.n_mels,
                fmin=config.fmin,
                fmax=config.fmax,
                n_mfcc=config.n_mfcc,
            )

    def by_speechcls() -> None:
        with torch.inference_mode():
            mfcc(batch)

    ours, theirs = (
        [seconds / len(samples) for seconds in side]
        for side in in_turns(by_speechcls, by_librosa, N_FEATURE_RUNS)
    )
    return "MFCC of a clip / librosa, one thread", ours, theirs, 0.2


def make_model(scratch: Path) -> Path:
    """Write a default model with untrained weights."""
    from speechcls.artifact.format import Artifact
    from speechcls.artifact.store import save_artifact
    from speechcls.export.onnx import export_onnx
    from speechcls.networks.recogniser import build_recogniser

    features, network = FeatureConfig(kind="log-mel"), NetworkConfig()
    labels = [f"word{i}" for i in range(10)]
    recogniser = build_recogniser(features, network, range(len(labels)), seed=0)
    artifact = Artifact(scratch / "model", features, network, tuple(labels), tuple(labels))
    save_artifact(artifact, {}, export_onnx(recogniser, labels), {}, [])
    return artifact.path


def run(command: list[str]) -> None:
    """Run a command to its end."""
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"COLUMNS": "100"})


def in_turns(
    first: Callable[[], None], second: Callable[[], None], n_runs: int
) -> tuple[list[float], list[float]]:
    """Return seconds of ``n_runs`` of each, after one run of each to warm up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for i in range(n_runs + 1):
        for work, times in zip((first, second), seconds, strict=True):
            started = time.perf_counter()
            work()
            if i:
                times.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
