"""Kill trainings at random moments, and compare what they come to with one never interrupted.

Usage: python benchmarks/kill_training.py [--kills 30] [--seed 0]

Each trial has a cache folder of its own: the command is killed while it packs the recordings,
trains or saves, in turn, and given again until it ends. Wrong are weights or a graph other than
those of the training that was never interrupted, an error on the way, and files left behind. The
exit status is 1 if there is any.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 16_000
WORDS_HZ = {"low": 300, "mid": 600, "high": 1_200}
N_SPEAKERS, N_TAKES = 20, 5
OPTIONS: tuple[str, ...] = (
    "--arch",
    "gru",
    "--hidden-size",
    "16",
    "--num-layers",
    "1",
    "--dropout",
    "0.2",
)
OPTIONS += ("--batch-size", "16", "--epochs", "8", "--epoch-clips", "1", "--patience", "99")
STAGES = {"packing": "labels ", "training": " on cpu, at most ", "saving": "epoch 8/8"}
"""The text on stderr with which each stage begins."""
COMPARED = ("weights.safetensors", "model.onnx", "stream.onnx", "split.csv")
TIMEOUT_S = 600.0


class Times(NamedTuple):
    """Seconds from the start of the command to the begin of each stage, and to its end."""

    begins: dict[str, float]
    end: float

    def span(self, stage: str) -> tuple[float, float]:
        """Return begin and end of a stage."""
        later = [begin for begin in self.begins.values() if begin > self.begins[stage]]
        return self.begins[stage], min(later, default=self.end)


def make_data(folder: Path, seed: int) -> None:
    """Write noisy tones, each word by each speaker."""
    rng = np.random.default_rng(seed)
    times = np.arange(RATE) / RATE
    for word, pitch in WORDS_HZ.items():
        (folder / word).mkdir(parents=True)
        for i in range(N_SPEAKERS * N_TAKES):
            tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * times)
            samples = tone + rng.normal(0, 0.05, RATE)
            name = f"s{i // N_TAKES:02}_nohash_{i % N_TAKES}.flac"
            soundfile.write(folder / word / name, samples, RATE)


def start(data: Path, home: Path) -> subprocess.Popen[bytes]:
    """Start a training with its model and cache in ``home``."""
    environment = os.environ | {"SPEECHCLS_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "speechcls", "train", str(data), *OPTIONS]
    return subprocess.Popen(
        [*command, "--out", str(home / "model"), "--device", "cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )


def time_stages(data: Path, home: Path) -> Times:
    """Train without an interruption; return when each stage began."""
    begun, begins = time.monotonic(), dict[str, float]()
    with start(data, home) as process:
        assert process.stderr
        for line in process.stderr:
            for stage, text in STAGES.items():
                if text in line.decode():
                    begins.setdefault(stage, time.monotonic() - begun)
    if process.returncode or len(begins) < len(STAGES):
        raise SystemExit(f"the training that nobody interrupts ended in {process.returncode}")
    return Times(begins, time.monotonic() - begun)


def hashes(model: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that has to be the same."""
    return {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in COMPARED}


def try_once(data: Path, home: Path, times: Times, stage: str, rng: random.Random) -> list[str]:
    """Kill a training once in ``stage``, let the next command end; return what went wrong."""
    delay_s = rng.uniform(*times.span(stage))
    with start(data, home) as process:
        assert process.stderr
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stderr.read()
    where = f"killed while {stage}, after {delay_s:.2f} s"
    if process.returncode == 0 or {path.name for path in home.iterdir()} == {"model", "cache"}:
        print(f"{where}: all was done before")
        return []
    with start(data, home) as process:
        told = process.communicate(timeout=TIMEOUT_S)[1].decode()
    goes_on = "goes on with an interrupted training" in told
    print(
        f"{where}: {'went on' if goes_on else 'began anew'}, code {process.returncode}", flush=True
    )
    faults = [] if process.returncode == 0 else [f"{where}: {told[-300:]}"]
    left = {path.name for path in home.iterdir()} - {"model", "cache"}
    return faults + ([f"{where}: left {sorted(left)}"] if left else [])


def main() -> None:
    """Run the trials; print each, and the faults at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, faults = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as scratch:
        data, whole = Path(scratch, "data"), Path(scratch, "whole")
        make_data(data, options.seed)
        whole.mkdir()
        times = time_stages(data, whole)
        expected = hashes(whole / "model")
        for number in range(options.kills):
            home = Path(scratch, f"trial{number}")
            home.mkdir()
            faults += try_once(data, home, times, list(STAGES)[number % len(STAGES)], rng)
            if (home / "model").is_dir() and hashes(home / "model") != expected:
                faults.append(f"trial {number}: other weights or graphs")
    print(f"{options.kills} trainings killed, {len(faults)} faults")
    for fault in faults:
        print(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
