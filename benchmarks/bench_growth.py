"""How time and memory grow from 1,000 to 100,000 clips: packing, prediction, and an epoch.

Run it with ``make bench`` on an idle machine with Linux; it takes minutes, and 3.3 GB of
disk for a while. ``python benchmarks/bench_growth.py 1000000`` does one size alone, which takes
half an hour and 33 GB. Clips are a few hundred WAVs of one second under many names (hard links),
all of which are opened and decoded. They are in the system's cache, so that no disk is measured
but the one that is written to.
"""

import dataclasses
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from speechcls.files import CACHE_VARIABLE
from speechcls.parallel import default_jobs

SIZES = 1_000, 10_000, 100_000
N_LABELS = 8
N_FILES = 400
RATE = 16_000
MODEL = Path(__file__).parent.parent / "models" / "commands-tiny"
SPEECHCLS = str(Path(sys.executable).with_name("speechcls"))
_SAMPLE_S = 0.1

Row = tuple[str, int, float, float]
"""What, clips, seconds, and the most memory at a time, MB."""


def main() -> None:
    """Print the time and memory of each size."""
    table = Table(box=None, pad_edge=False, header_style="")
    for heading in ("what", "clips", "seconds", "ms a clip", "peak MB"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    with tempfile.TemporaryDirectory() as scratch:
        sizes = [int(size) for size in sys.argv[1:]] or SIZES
        for what, n_clips, seconds, peak_mb in growth(Path(scratch), sizes):
            figures = f"{seconds:.2f}", f"{1e3 * seconds / n_clips:.3f}", f"{peak_mb:.0f}"
            table.add_row(what, f"{n_clips:,}", *figures)
            print(what, n_clips, *figures, file=sys.stderr)
    Console(width=120).print(table)


def growth(scratch: Path, sizes: Sequence[int] = SIZES) -> Iterator[Row]:
    """Yield what packing, prediction and an epoch take for each size; ``scratch`` is a folder."""
    yield from packing(scratch, sizes)
    yield from prediction(scratch, sizes)
    yield from epochs(scratch, sizes)


def packing(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield what it takes to decode every clip into a store."""
    for n_clips in sizes:
        folder = link_clips(scratch, n_clips)
        output, peak_mb = run_apart([sys.executable, __file__, "packing", str(folder)], scratch)
        yield "packing", n_clips, float(output.read_text()), peak_mb
        shutil.rmtree(folder)


def prediction(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield what ``speechcls predict FOLDER > FILE`` takes, its start among it."""
    for n_clips in sizes:
        folder = link_clips(scratch, n_clips)
        command = [SPEECHCLS, "predict", str(folder), "--quiet", "--model", str(MODEL)]
        started = time.perf_counter()
        output, peak_mb = run_apart(command, scratch)
        seconds = time.perf_counter() - started
        with output.open() as lines:
            n_lines = sum(1 for _ in lines)
        if n_lines != n_clips:
            raise RuntimeError(f"{n_lines} answers for {n_clips} clips")
        yield "prediction", n_clips, seconds, peak_mb
        shutil.rmtree(folder)


def epochs(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield what an epoch of a small network on unchanged clips takes, without validation."""
    for n_clips in sizes:
        output, peak_mb = run_apart([sys.executable, __file__, "epoch", str(n_clips)], scratch)
        yield "epoch, GRU(16)", n_clips, float(output.read_text()), peak_mb


def link_clips(scratch: Path, n_clips: int) -> Path:
    """Return a folder of ``n_clips`` names of WAVs, an eighth of them in each label."""
    originals, folder = scratch / "originals", scratch / f"clips-{n_clips}"
    if not originals.exists():
        originals.mkdir()
        for i, clip in enumerate(make_clips()):
            soundfile.write(originals / f"{i}.wav", clip, RATE)
    for label in range(N_LABELS):
        (folder / f"word{label}").mkdir(parents=True)
    for i in range(n_clips):
        place = folder / f"word{i % N_LABELS}" / f"{i}.wav"
        os.link(originals / f"{i % N_FILES}.wav", place)
    return folder


def make_clips() -> "np.ndarray[tuple[int, int], np.dtype[np.int16]]":
    """Return (N_FILES, RATE) of noise."""
    noise = np.random.default_rng(0).standard_normal((N_FILES, RATE), dtype=np.float32)
    return (3_000 * noise).astype(np.int16)


def run_apart(command: list[str], scratch: Path) -> tuple[Path, float]:
    """Run a command; return the file of its output and the most memory it took at a time, MB.

    That is memory of its own, of all its processes together, looked up ten times a second. What
    getrusage tells is of no use here: it counts pages of mapped files, which the system drops
    when it needs room, and one process only.
    """
    output = scratch / "output"
    environment = os.environ | {CACHE_VARIABLE: str(scratch / "cache")}
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, env=environment)
    peaks, ended = [math.nan], threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            peaks.append(own_memory_mb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code = process.wait()
    finally:
        process.kill()  # it has ended, unless we were interrupted
        ended.set()
        watcher.join()
        shutil.rmtree(scratch / "cache", ignore_errors=True)
    if code:
        raise subprocess.CalledProcessError(code, command)
    return output, float(np.nanmax(peaks))


def own_memory_mb(root: int) -> float:
    """Return what a process and those it started have in memory that is of no file, 10⁶ bytes."""
    parents, own = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:  # it has ended
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines())
        parents[int(folder.name)] = int(fields["PPid"])
        own[int(folder.name)] = int(fields.get("RssAnon", "0 kB").split()[0])
    family = {root}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    total = sum(own.get(process, 0) for process in family)
    return total * 1_024 / 1e6 if total else math.nan


def pack(folder: Path) -> float:
    """Return the seconds that it takes to pack the clips in a folder."""
    from speechcls.data.packing import open_store
    from speechcls.layouts.load import load_dataset

    examples = load_dataset(folder).examples
    started = time.perf_counter()
    store = open_store(folder, examples, RATE, default_jobs())
    seconds = time.perf_counter() - started
    if store.bad or len(store.lengths) != len(examples):
        raise RuntimeError(f"{len(store.bad)} clips were not packed")
    return seconds


def train(n_clips: int) -> float:
    """Return the seconds of an epoch on ``n_clips`` windows, which lie in a nameless file."""
    import torch
    from bench_training import UNCHANGED

    from speechcls.config import FeatureConfig, NetworkConfig
    from speechcls.data.corpus import Corpus
    from speechcls.networks.recogniser import build_recogniser
    from speechcls.networks.zoo import feature_kind
    from speechcls.training.loop import fit

    folder = Path(os.environ[CACHE_VARIABLE])
    folder.mkdir()
    config = NetworkConfig(arch="gru", hidden_size=16, num_layers=1)
    labels = tuple(f"word{i}" for i in range(N_LABELS))
    n_windows = n_clips + N_FILES  # the last ones validate
    index = np.arange(n_windows) % N_LABELS
    with tempfile.TemporaryFile(dir=folder) as file:
        clips = make_clips()
        for start in range(0, n_windows, N_FILES):
            file.write(clips[: n_windows - start].tobytes())
        file.flush()
        corpus = Corpus(
            labels=labels,
            features=FeatureConfig(kind=feature_kind(config.arch)),
            windows=np.memmap(file, np.int16, "r+", shape=(n_windows, RATE)),
            scales=np.ones(n_windows, dtype=np.float32),
            label_index=index,
            words=labels,
            word_index=index,
            split=np.where(np.arange(n_windows) < n_clips, "train", "validation"),
            repeats=np.ones(n_windows, dtype=np.int64),
            noise=np.empty(0, dtype=np.float32),
            rows=[],
            n_own=n_windows,
            warnings=[],
            long_takes=None,
            bad=[],
        )
    recogniser = build_recogniser(corpus.features, config, range(N_LABELS), seed=0)
    recipe, device = dataclasses.replace(UNCHANGED, epochs=1), torch.device("cpu")
    # Statistics of the features are of the first epoch alone.
    result = fit(recogniser, corpus, recipe, device, freeze_feature_stats=True)
    return result.history[0].duration_s


if __name__ == "__main__":
    if sys.argv[1:2] == ["packing"]:
        print(pack(Path(sys.argv[2])))
    elif sys.argv[1:2] == ["epoch"]:
        print(train(int(sys.argv[2])))
    else:
        main()
