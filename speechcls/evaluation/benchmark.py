"""Time, memory and size of a model on this machine.

``benchmark_in_subprocess`` runs this module once per model: peak memory belongs to a process, not
to a model, and a second model in the same process would profit from memory pools and library pages
of the first.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from speechcls.artifact.format import ONNX
from speechcls.artifact.store import load_artifact, read_metrics
from speechcls.errors import ArtifactError
from speechcls.files import CACHE_VARIABLE
from speechcls.parallel import default_jobs
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import open_session

BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Sizes of batch that are tried."""
_LATENCY_BUDGET_S, _BATCHES_BUDGET_S = 0.5, 1.5
_ROUND_S = 0.03  # shortest round worth timing: handing work to threads costs some 0.1 ms
_MIN_RUNS = 3  # runs that have a median
_RATE_TOLERANCE = 0.98  # of the highest rate: two measurements differ by more

Clock = Callable[[], float]


@dataclass(frozen=True)
class BenchmarkResult:
    """Time, memory and size of one model."""

    model: str
    parameters: int | None
    """None where the model's ``metrics.json`` does not say."""
    multiply_adds: int | None
    """Of the network on one window; features come on top. None as above."""
    file_bytes: int
    """Of ``model.onnx``."""
    load_ms: float
    """From the folder to a session ready to run, once, libraries imported before."""
    ms_per_clip: float
    """One clip at a time, on one thread: median."""
    real_time_factor: float
    """Computing time per second of sound, one clip at a time, on one thread."""
    jobs: int
    """Threads that run batches in parallel; the fields below are with all of them."""
    best_batch: int
    """Clips in a batch of the size with the highest throughput."""
    best_ms_per_clip: float
    clips_per_second: float
    peak_memory_mb: float | None
    """Of the whole process, libraries included, until the best batch. None if not known."""


@dataclass(frozen=True)
class BatchRate:
    """Throughput of one batch size."""

    size: int
    clips_per_second: float
    peak_memory_mb: float | None
    """Of the process so far; sizes are tried upwards."""


def benchmark_in_subprocess(path: Path, jobs: int | None = None) -> BenchmarkResult:
    """Return the cost of the model in folder ``path``, measured in a fresh process.

    Parameters
    ----------
    jobs : threads that run batches in parallel; None: all cores

    Raises
    ------
    ArtifactError
        When the model cannot be loaded or run.
    """
    Classifier.load(path, jobs=1)  # refuses what is not a model, or mixed files of two
    # The modules of this process, and none that happens to be in the current folder.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # In no cache folder a model is as any other, and not fetched while the clock runs.
    environment[CACHE_VARIABLE] = os.devnull
    command = [sys.executable, "-P", "-m", __name__, os.fspath(path), str(jobs or default_jobs())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise ArtifactError(f"{path}: cannot be run ({reason}); try another model")
    return BenchmarkResult(**json.loads(done.stdout))


def benchmark(path: Path, jobs: int) -> BenchmarkResult:
    """Return the cost of the model in folder ``path``; its memory is that of this process."""
    started = time.perf_counter()
    features = load_artifact(path).features
    # One thread per run: a network for one second of sound is too small to be split.
    session = open_session(path / ONNX, n_threads=1)
    load_s = time.perf_counter() - started
    # Neither silence nor full scale; the time of a recogniser does not depend on the sound.
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((BATCHES[-1], features.n_samples), dtype=np.float32) * 0.1

    def run(size: int) -> None:
        session.run(None, {"samples": noise[:size]})

    latency_s = median_s(lambda: run(1), _LATENCY_BUDGET_S)
    best = choose_batch(list(compare_batches(run, latency_s, jobs, _BATCHES_BUDGET_S)))
    counts = read_counts(path)
    return BenchmarkResult(
        model=str(path),
        parameters=counts[0],
        multiply_adds=counts[1],
        file_bytes=(path / ONNX).stat().st_size,
        load_ms=round(1e3 * load_s, 2),
        ms_per_clip=round(1e3 * latency_s, 4),
        real_time_factor=round(latency_s / features.duration_s, 7),
        jobs=jobs,
        best_batch=best.size,
        best_ms_per_clip=round(1e3 / best.clips_per_second, 4),
        clips_per_second=round(best.clips_per_second, 1),
        peak_memory_mb=best.peak_memory_mb,
    )


def median_s(
    work: Callable[[], object], budget_s: float, clock: Clock = time.perf_counter
) -> float:
    """Return the median time, seconds, of the runs that fit into ``budget_s``, at least three.

    A first run, which allocates memory, does not count.
    """
    end = clock() + budget_s
    work()
    seconds: list[float] = []
    while len(seconds) < _MIN_RUNS or clock() < end:
        started = clock()
        work()
        seconds.append(clock() - started)
    return statistics.median(seconds)


def compare_batches(
    run: Callable[[int], object],
    latency_s: float,
    jobs: int,
    budget_s: float,
    clock: Clock = time.perf_counter,
) -> Iterator[BatchRate]:
    """Yield the throughput of each batch size, upwards, while the budget lasts; always that of 1.

    Parameters
    ----------
    run : runs one batch of a number of clips
    latency_s : time of a batch of one clip, seconds
    jobs : threads that run batches at the same time
    """
    end = clock() + budget_s
    with ThreadPoolExecutor(jobs) as pool:
        for i, size in enumerate(BATCHES):
            left_s = end - clock()
            batch_s = size * latency_s
            if i and (_MIN_RUNS + 1) * batch_s > left_s:
                return
            n_runs = max(1, math.ceil(_ROUND_S / batch_s))
            work = partial(_run_round, pool, jobs, n_runs, partial(run, size))
            round_s = median_s(work, left_s / (len(BATCHES) - i), clock)
            yield BatchRate(size, jobs * n_runs * size / round_s, peak_memory_mb())


def _run_round(pool: ThreadPoolExecutor, jobs: int, n_runs: int, run: Callable[[], object]) -> None:
    """Run ``n_runs`` times in each of ``jobs`` threads."""

    def repeat(_: int) -> None:
        for _run in range(n_runs):
            run()

    list(pool.map(repeat, range(jobs)))


def choose_batch(rates: list[BatchRate]) -> BatchRate:
    """Return the smallest batch size whose throughput is as good as the highest."""
    fastest = max(rate.clips_per_second for rate in rates)
    return next(rate for rate in rates if rate.clips_per_second >= _RATE_TOLERANCE * fastest)


def read_counts(path: Path) -> tuple[int | None, int | None]:
    """Return parameters and multiply-adds of a model, each None where it does not say."""
    metrics = read_metrics(path)
    n_parameters, multiply_adds = metrics.get("n_parameters"), metrics.get("multiply_adds")
    return (
        n_parameters if isinstance(n_parameters, int) else None,
        multiply_adds if isinstance(multiply_adds, int) else None,
    )


def peak_memory_mb() -> float | None:
    """Return the most memory that this process ever had, in 10⁶ bytes; None if not known."""
    try:
        # Linux's getrusage counts what the parent had when it started this process, too.
        status = Path("/proc/self/status").read_text()
        [line] = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) * 1_024 / 1e6, 1)
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, else KiB
    return round(peak * (1 if sys.platform == "darwin" else 1_024) / 1e6, 1)


if __name__ == "__main__":  # for benchmark_in_subprocess
    sys.stdout.write(json.dumps(asdict(benchmark(Path(sys.argv[1]), int(sys.argv[2])))))
