"""Very many paths through ``predict --files-from``, and a day of sound through ``listen``.

    python benchmarks/bench_load.py --paths 1000000 --hours 24

Prints memory, open files and speed as the run goes; memory and speed at the end should be those of
the start. The paths are hard links of one clip, the sound is noise with a word in it each minute.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
LINKS_MAX = 30_000
"""Of one file; ext4 allows 65,000."""


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=50_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


def watch(pid: int) -> tuple[float, int, float]:
    """Return the resident memory of a process, MB, its open files and its time on processors, s."""
    status = Path(f"/proc/{pid}/status").read_text()
    # Of a process that has just ended there is none.
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS 0")
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    busy_s = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return int(line.split()[1]) / 1_000, len(list(Path(f"/proc/{pid}/fd").iterdir())), busy_s


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    """Return a running command with pipes to it and from it."""
    command = [sys.executable, "-m", "speechcls", *arguments, "-m", "commands", "-q"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def make_links(folder: Path, n_paths: int) -> Iterator[Path]:
    """Yield paths of hard links, a folder and a copy of the clip for each so many."""
    rng = np.random.default_rng(0)
    for first in range(0, n_paths, LINKS_MAX):
        own = folder / str(first)
        own.mkdir()
        soundfile.write(own / "clip.wav", rng.normal(0, 0.1, RATE).astype(np.float32), RATE)
        for n in range(first, min(first + LINKS_MAX, n_paths)):
            (path := own / f"{n}.wav").hardlink_to(own / "clip.wav")
            yield path


def measure_predict(n_paths: int, jobs: int) -> None:
    """Print memory, files and speed twenty times on the way."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"predict --files-from: {n_paths} paths, {jobs} jobs")
        print("paths\tMB\topen files\tclips/s\tms of a processor per clip")
        listed = Path(folder, "list")
        with listed.open("w") as file:
            file.writelines(f"{path}\n" for path in make_links(Path(folder), n_paths))
        process = start("predict", "--files-from", str(listed), "--jobs", str(jobs))
        assert process.stdout is not None
        n_each, began, busy_before = max(1, n_paths // 20), time.perf_counter(), 0.0
        for n_done, _ in enumerate(process.stdout, 1):
            if n_done % n_each == 0:
                now = time.perf_counter()
                memory, n_files, busy_s = watch(process.pid)
                speed, cost_ms = n_each / (now - began), 1e3 * (busy_s - busy_before) / n_each
                print(f"{n_done}\t{memory:.1f}\t{n_files}\t{speed:.0f}\t{cost_ms:.2f}", flush=True)
                began, busy_before = now, busy_s
        print(f"exit code {process.wait()}, {n_done} lines")


def make_minutes(n_minutes: int, word: np.ndarray) -> Iterator[bytes]:
    """Yield minutes of faint noise that ends in the word, as 16-bit PCM."""
    rng = np.random.default_rng(1)
    minute = rng.normal(0, 0.002, 60 * RATE)
    minute[-len(word) - RATE : -RATE] += word
    pcm = (minute.clip(-1, 1) * 32_767).astype("<i2").tobytes()
    for _ in range(n_minutes):
        yield pcm


def measure_listen(hours: float) -> None:
    """Feed a day as fast as it is taken; the times of the words tell whether they drift."""
    n_minutes = round(hours * 60)
    rng = np.random.default_rng(2)
    word = rng.normal(0, 0.3, RATE // 2) * np.hanning(RATE // 2)
    process = start("listen", "-", "--rate", str(RATE), "--threshold", "0.05")
    assert process.stdin is not None and process.stdout is not None
    times: list[float] = []
    lines = process.stdout
    reader = threading.Thread(target=lambda: times.extend(float(x.split()[0]) for x in lines))
    reader.start()
    print(f"listen -: {hours:g} hours of sound")
    print("hours\tMB\topen files\ttimes real time")
    began, n_each = time.perf_counter(), max(1, n_minutes // 12)
    for n_done, pcm in enumerate(make_minutes(n_minutes, word), 1):
        process.stdin.write(pcm)
        if n_done % n_each == 0:
            now = time.perf_counter()
            memory, n_files, _ = watch(process.pid)
            speed = 60 * n_each / (now - began)
            print(f"{n_done / 60:.1f}\t{memory:.1f}\t{n_files}\t{speed:.0f}", flush=True)
            began = now
    process.stdin.close()
    code = process.wait()
    reader.join()
    print(f"exit code {code}, {len(times)} words in {n_minutes} minutes")
    for minute in (1, n_minutes // 2, n_minutes - 1):  # all minutes are alike
        offsets = [f"{t - 60 * minute:.2f}" for t in times if 60 * minute <= t < 60 * (minute + 1)]
        print(f"words in minute {minute}, seconds from its start: {', '.join(offsets)}")


if __name__ == "__main__":
    options = parse()
    if options.paths:
        measure_predict(options.paths, options.jobs)
    if options.hours:
        measure_listen(options.hours)
