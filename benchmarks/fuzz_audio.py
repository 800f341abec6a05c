"""Read mutated recordings with every reader, and count what goes wrong.

Usage: python benchmarks/fuzz_audio.py --save FOLDER [--inputs 100000] [--seed 0] [--jobs 1]
       [--also FOLDER_OF_FILES]

Input number i, from ``--seed`` on, is always the same, so that a run goes on where another ended.
Wrong are: errors that are not an ``AudioError`` of one line that names the recording, samples that
are not finite, a crash or an endless loop of the process, a peak of memory above ``MEMORY_MAX``,
and more than ``TIME_MAX_S`` of processor time, which is measured again alone. Each such input is
saved. The exit status is 1 if there is any. Needs PyAV (``av``) for some of the formats.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import numpy as np
from fuzz_inputs import Input, make_input, make_seeds

from speechcls.audio.blocks import open_recording
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples
from speechcls.errors import AudioError
from speechcls.live.sources import FileSource, Pipe

T = TypeVar("T")
RATE = 16_000
MEMORY_MAX = 500 * 2**20
"""Bytes that reading one input may take."""
SMALL_MEMORY = 64 * 2**20
MEMORY_RATIO = 64
"""An input of n bytes should take no more than ``MEMORY_RATIO * n + SMALL_MEMORY``."""
TIME_MAX_S = 5.0
HANG_S = 60.0
"""A process that says nothing for so long is ended."""
ADDRESS_SPACE = 12 * 2**30
"""Limit that keeps the machine alive; not what is measured."""
WORST = 5
N_REUSED = 2_000
"""Inputs a process reads before a new one takes over, so that a leak does not look like a peak."""


class Fault(NamedTuple):
    """Something that went wrong with one input."""

    kind: str
    reader: str
    about: str


class Report(NamedTuple):
    """What one process says of one input; ``peak`` bytes and ``time_s`` are the largest."""

    number: int
    faults: tuple[Fault, ...] = ()
    peak: int = 0
    time_s: float = 0.0
    n_read: int = 0
    n_refused: int = 0


class Unseekable(BytesIO):
    """A stream that cannot seek and returns pieces of growing size, as a pipe does."""

    def __init__(self, content: bytes, first: int) -> None:
        super().__init__(content)
        self._n = first

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``size`` bytes."""
        n = self._n if size is None or size < 0 else min(size, self._n)
        self._n = min(2 * self._n, 65_536)
        return super().read(n) if size is not None and size >= 0 else super().read()

    def seekable(self) -> bool:
        """Return that it is not."""
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Refuse."""
        raise OSError("a pipe cannot seek")

    def fileno(self) -> int:
        """Refuse."""
        raise OSError("a pipe in memory has no descriptor")


def clip(path: Path, made: Input) -> Iterator[Samples]:
    """Yield the samples of ``read_clip``: the whole, or a part."""
    start_s, end_s = ((0.0, None), (0.0, None), (0.05, 0.1), (0.1, None))[made.number % 4]
    yield read_clip(path, RATE, start_s, end_s)


def blocks(path: Path, made: Input) -> Iterator[Samples]:
    """Yield the blocks of a recording in a file."""
    with open_recording(path, RATE) as recording:
        yield from recording.blocks((1.0, 0.04, 0.003)[made.number % 3])


def pipe(path: Path, made: Input) -> Iterator[Samples]:
    """Yield the blocks of a recording that comes through a pipe."""
    stream = Unseekable(made.content, 1 + made.number % 5)
    with open_recording(stream, RATE, name=str(path)) as recording:
        yield from recording.blocks()


def live_pipe(path: Path, made: Input) -> Iterator[Samples]:
    """Yield the blocks of live sound from a pipe."""
    stream = Unseekable(made.content, 1 + made.number % 5)
    for block in Pipe(stream, RATE, name=str(path)).blocks():
        yield block.samples


def live_file(path: Path, made: Input) -> Iterator[Samples]:
    """Yield the blocks of live sound from a file."""
    with closing(FileSource(path, speed=0)) as source:
        for block in source.blocks():
            yield block.samples


Reader = Callable[[Path, Input], Iterator[Samples]]
READERS: tuple[Reader, ...] = (clip, blocks, pipe, live_pipe, live_file)


@dataclass
class Totals:
    """What is counted over all inputs."""

    n_readers: int = len(READERS)
    refusal: str = AudioError.__name__
    n_inputs: int = 0
    n_read: int = 0
    n_refused: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    first: dict[Fault, int] = field(default_factory=dict)
    """The first input with each fault."""
    slow: list[int] = field(default_factory=list)
    peaks: list[tuple[int, int]] = field(default_factory=list)
    times: list[tuple[float, int]] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Count one input."""
        self.n_inputs += 1
        self.n_read += report.n_read
        self.n_refused += report.n_refused
        for fault in report.faults:
            self.faults[fault] += 1
            self.first.setdefault(fault, report.number)
        self.peaks = sorted([*self.peaks, (report.peak, report.number)])[-WORST:]
        self.times = sorted([*self.times, (report.time_s, report.number)])[-WORST:]
        if report.time_s > TIME_MAX_S:
            self.slow.append(report.number)

    def text(self) -> str:
        """Return what was counted, as a table."""
        lines = [
            f"{self.n_inputs} inputs, {self.n_readers} readers each: {self.n_read} read,"
            f" {self.n_refused} refused with {self.refusal}, {sum(self.faults.values())} faults"
        ]
        for fault, n in self.faults.most_common():
            first = self.first[fault]
            lines.append(f"{n:7}  {fault.kind:14} {fault.reader:10} {fault.about} (first: {first})")
        peaks = ", ".join(f"{peak / 2**20:.0f} MB ({i})" for peak, i in reversed(self.peaks))
        times = ", ".join(f"{time_s:.2f} s ({i})" for time_s, i in reversed(self.times))
        return "\n".join([*lines, f"largest peaks: {peaks}", f"longest times: {times}"])


def main() -> None:
    """Read all inputs; exit with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, help="folder of inputs with faults")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--also", type=Path, help="folder of further files to be mutated")
    arguments = parser.parse_args()
    arguments.save.mkdir(parents=True, exist_ok=True)
    seeds = make_seeds(arguments.also)
    totals = Totals()
    indices = range(arguments.seed, arguments.seed + arguments.inputs)
    try:
        for report in read_all(indices, seeds, arguments.jobs, read_range):
            totals.add(report)
            if report.faults:
                save(report, make_input(report.number, seeds), arguments.save)
            if sys.stderr.isatty() and totals.n_inputs % 100 == 0:
                print(f"\r{totals.n_inputs} inputs", end="", file=sys.stderr)
        measure_again(totals, seeds, arguments.save)
    except KeyboardInterrupt:
        print("stopped before the end", file=sys.stderr)
    print(totals.text())
    sys.exit(1 if totals.faults else 0)


def measure_again(totals: Totals, seeds: tuple[Input, ...], folder: Path) -> None:
    """Read the slow inputs once more, one after another, and count those that are slow again."""
    for number in totals.slow:
        for report in read_all(range(number, number + 1), seeds, 1, read_range):
            if report.time_s > TIME_MAX_S:
                fault = Fault("slow", "all", f"over {TIME_MAX_S:g} s")
                totals.faults[fault] += 1
                totals.first.setdefault(fault, number)
                save(report._replace(faults=(fault,)), make_input(number, seeds), folder)


def save(report: Report, made: Input, folder: Path) -> None:
    """Keep an input, and what went wrong with it."""
    name = f"{report.number}-{made.name}"
    (folder / name).write_bytes(made.content)
    with (folder / "faults.tsv").open("a") as file:
        for fault in report.faults:
            file.write("\t".join([name, *fault, made.history]) + "\n")


class Worker(NamedTuple):
    """A process that reads inputs, and how far it came."""

    process: multiprocessing.process.BaseProcess
    receiver: Connection
    left: range
    heard: float


def read_all(
    indices: range,
    seeds: tuple[T, ...],
    n_jobs: int,
    target: Callable[[Connection, range, tuple[T, ...]], None],
) -> Iterator[Report]:
    """Yield a report of each input, in any order; the processes may crash or hang.

    Parameters
    ----------
    target : reads inputs in a process of its own, and sends a report of each
    """
    parts = [indices[i : i + N_REUSED] for i in range(0, len(indices), N_REUSED)]
    workers: list[Worker] = []
    while parts or workers:
        while parts and len(workers) < n_jobs:
            workers.append(start(parts.pop(0), seeds, target))
        ready = wait([worker.receiver for worker in workers], timeout=1.0)
        for worker in list(workers):
            report, ended = None, ""
            if worker.receiver in ready:
                try:
                    report = cast(Report, worker.receiver.recv())
                except EOFError:
                    worker.process.join()
                    ended = f"exit {worker.process.exitcode}"
            elif time.monotonic() - worker.heard > HANG_S:
                ended = f"silent for {HANG_S:g} s"
                worker.process.kill()
            if report is None and not ended:
                continue
            workers.remove(worker)
            if ended and worker.left:
                report = Report(worker.left[0], (Fault("crash", "process", ended),))
            if report is not None:
                left = worker.left[1:]
                yield report
                if ended and left:
                    parts.insert(0, left)
                elif not ended:
                    workers.append(worker._replace(left=left, heard=time.monotonic()))


def start(
    indices: range,
    seeds: tuple[T, ...],
    target: Callable[[Connection, range, tuple[T, ...]], None],
) -> Worker:
    """Return a new process that reads the inputs."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=target, args=(sender, indices, seeds), daemon=True)
    process.start()
    sender.close()
    return Worker(process, receiver, indices, time.monotonic())


def read_range(sender: Connection, indices: range, seeds: tuple[Input, ...]) -> None:
    """Send a report of each input."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Path(os.devnull).open("w") as nowhere:  # libmpg123 and libsndfile print what they think
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    with tempfile.TemporaryDirectory() as folder:
        for index in indices:
            made = make_input(index, seeds)
            path = Path(folder) / made.name
            path.write_bytes(made.content)
            sender.send(read_input(path, made))
            path.unlink()


def read_input(path: Path, made: Input) -> Report:
    """Return what each reader makes of one input."""
    faults, peaks, times, n_read, n_refused = [], [0], [0.0], 0, 0
    for reader in READERS:
        before, started = reset_peak(), time.process_time()
        fault, is_read = read(reader(path, made), path)
        times.append(time.process_time() - started)
        peaks.append(memory("VmHWM") - before)
        n_read += is_read
        n_refused += not (is_read or fault)
        if fault:
            faults.append(Fault(*fault[:1], reader.__name__, fault[1]))
        if peaks[-1] > MEMORY_MAX:
            faults.append(Fault("memory", reader.__name__, f"above {MEMORY_MAX >> 20} MB"))
        elif peaks[-1] > MEMORY_RATIO * len(made.content) + SMALL_MEMORY:
            faults.append(
                Fault(
                    "memory", reader.__name__, f"above {MEMORY_RATIO} n + {SMALL_MEMORY >> 20} MB"
                )
            )
    return Report(made.number, tuple(faults), max(peaks), max(times), n_read, n_refused)


def read(pieces: Iterable[Samples], path: Path) -> tuple[tuple[str, str] | None, bool]:
    """Return what went wrong, if anything, and whether all was read."""
    try:
        for samples in pieces:
            if samples.dtype != np.float32 or samples.ndim != 1 or not np.isfinite(samples).all():
                return (
                    "samples",
                    f"{samples.dtype} {samples.ndim} dimensions or not finite",
                ), False
    except AudioError as error:
        text = str(error)
        if not text.startswith(f"{path}: ") or text.count(str(path)) > 1 or "\n" in text:
            return ("message", text.replace(str(path), "PATH")[:100].replace("\n", "\\n")), False
        return None, False
    except Exception as error:  # the very thing that is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        return (type(error).__name__, where), False
    return None, True


def reset_peak() -> int:
    """Forget the peak of this process's memory, and return what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(key: str) -> int:
    """Return a line of ``/proc/self/status``, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
