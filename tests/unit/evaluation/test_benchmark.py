"""The arithmetic of measuring, by a clock that only moves when something runs."""

import dataclasses
import json
import subprocess
import sys
import threading

import pytest

from speechcls.artifact.lookup import find_bundled
from speechcls.errors import ArtifactError
from speechcls.evaluation import benchmark as speed
from speechcls.evaluation.benchmark import (
    BatchRate,
    choose_batch,
    compare_batches,
    median_s,
    read_counts,
)


class FakeClock:
    """Time that passes as it is told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return FakeClock()


def test_the_median_leaves_out_the_first_run(clock):
    durations = iter([50.0, 1.0, 9.0, 2.0])

    def work():
        clock.now += next(durations)

    assert median_s(work, 0.0, clock) == pytest.approx(2.0)


def test_there_are_as_many_runs_as_the_budget_has_room_for(clock):
    starts = []

    def work():
        starts.append(clock.now)
        clock.now += 1.0

    median_s(work, 10.0, clock)
    assert len(starts) == 10
    starts.clear()
    median_s(work, 1.5, clock)
    assert len(starts) == 1 + 3


def test_rates_of_batches_are_clips_of_all_threads_by_time_of_a_round(clock):
    """A batch takes 10 ms and 1 ms a clip; two threads take turns, as on one core."""
    lock, sizes = threading.Lock(), []

    def run(size):
        with lock:
            sizes.append(size)
            clock.now += 0.010 + 0.001 * size

    rates = list(compare_batches(run, 0.011, 2, 1_000.0, clock))
    assert [rate.size for rate in rates] == [1, 2, 4, 8, 16, 32, 64]
    for rate in rates:
        assert rate.clips_per_second == pytest.approx(rate.size / (0.010 + 0.001 * rate.size))
    assert sizes == sorted(sizes)


def test_threads_run_batches_at_the_same_time(clock):
    meeting = threading.Barrier(3, timeout=30)  # breaks unless three come
    [rate, *_] = compare_batches(lambda size: meeting.wait(), 1.0, 3, 1.0, _counter())
    assert rate.clips_per_second == pytest.approx(3.0)


def _counter():
    """A clock that moves one second whenever it is read."""
    readings = iter(range(1_000))
    return lambda: float(next(readings))


def test_a_round_of_a_small_network_is_long_enough_to_be_timed(clock):
    n_runs = 0

    def run(size):
        nonlocal n_runs
        n_runs += 1
        clock.now += 0.001

    next(compare_batches(run, 0.001, 1, 0.0, clock))
    assert n_runs == 4 * 30  # four rounds of 30 ms, of which the first does not count


def test_a_slow_network_is_not_tried_in_batches_that_take_too_long(clock):
    def run(size):
        clock.now += 0.1 * size

    # 0.4 s for batches of 1; 0.8 s for those of 2; 1.6 s for those of 4 are not left of 2 s
    assert [rate.size for rate in compare_batches(run, 0.1, 1, 2.0, clock)] == [1, 2]
    assert [rate.size for rate in compare_batches(run, 60.0, 1, 2.0, clock)] == [1]


def test_the_best_batch_is_the_smallest_as_good_as_the_fastest():
    rates = [BatchRate(1, 50.0, 1.0), BatchRate(2, 97.9, 2.0), BatchRate(4, 98.0, 3.0)]
    rates += [BatchRate(8, 100.0, 4.0), BatchRate(16, 70.0, 5.0)]
    assert choose_batch(rates).size == 4
    assert choose_batch(rates[:2]).size == 2


@pytest.mark.parametrize(
    "content, counts",
    [
        ('{"n_parameters": 12, "multiply_adds": 345}', (12, 345)),
        ('{"n_parameters": 12}', (12, None)),
        ('{"n_parameters": "many", "multiply_adds": 345}', (None, 345)),
        ("[]", (None, None)),
        ('{"n_parameters": 12', (None, None)),
    ],
)
def test_counts_are_what_the_model_says_of_itself(content, counts, tmp_path):
    (tmp_path / "metrics.json").write_text(content)
    assert read_counts(tmp_path) == counts


def test_a_model_without_metrics_has_no_counts(tmp_path):
    assert read_counts(tmp_path) == (None, None)


def test_peak_memory_grows_by_what_is_allocated_and_stays():
    """In a process of its own, whose peak nothing else has raised."""
    script = (
        "from speechcls.evaluation.benchmark import peak_memory_mb as peak\n"
        "before = peak()\n"
        "taken = b'x' * 200_000_000\n"
        "during = peak()\n"
        "del taken\n"
        "print(during - before, peak() - during)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    grown, later = map(float, ran.stdout.split())
    assert grown == pytest.approx(200, abs=10)
    assert later == pytest.approx(0, abs=5)


def test_figures_of_a_model_fit_each_other(monkeypatch):
    monkeypatch.setattr(speed, "median_s", lambda work, *_: (work(), 0.004)[1])
    model = find_bundled()
    measured = speed.benchmark(model, 2)
    assert measured.ms_per_clip == 4.0
    assert measured.real_time_factor == 0.004  # its window is one second
    # a round takes 4 ms as well, with as many runs in each thread as fill 30 ms at 4 ms a clip
    assert measured.clips_per_second == pytest.approx(
        2 * max(1, -(-30 // (4 * measured.best_batch))) * measured.best_batch / 0.004, abs=0.1
    )
    assert measured.best_ms_per_clip == pytest.approx(1e3 / measured.clips_per_second, abs=1e-4)
    assert measured.file_bytes == len((model / "model.onnx").read_bytes())
    metrics = json.loads((model / "metrics.json").read_text())
    assert measured.parameters == metrics["n_parameters"]
    assert measured.multiply_adds == metrics["multiply_adds"]


def test_a_process_of_its_own_says_the_same(tmp_path, monkeypatch):
    """Also where a file beside it is called like a library."""
    (tmp_path / "numpy.py").write_text("raise ImportError('not the real one')")
    monkeypatch.chdir(tmp_path)
    apart = speed.benchmark_in_subprocess(find_bundled(), 1)
    here = speed.benchmark(find_bundled(), 1)
    fixed = ("model", "parameters", "multiply_adds", "file_bytes", "jobs")
    both = dataclasses.asdict(apart), dataclasses.asdict(here)
    assert [both[0][name] for name in fixed] == [both[1][name] for name in fixed]
    # this process has loaded pytest and more; that one has only what it needs
    assert apart.peak_memory_mb < here.peak_memory_mb


def test_a_process_that_fails_is_told_with_its_last_words(monkeypatch):
    monkeypatch.setattr(speed.sys, "executable", "false")
    with pytest.raises(ArtifactError, match=r"commands: cannot be run \(exit code 1\); try"):
        speed.benchmark_in_subprocess(find_bundled(), 1)


def test_a_process_of_its_own_finds_the_modules_that_this_one_finds(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('found it')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArtifactError, match="ImportError: found it"):
        speed.benchmark_in_subprocess(find_bundled(), 1)
