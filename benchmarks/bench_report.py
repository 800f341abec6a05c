"""The results of ``make bench`` as ``docs/BENCHMARKS.md``."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy
import onnxruntime
import torch

from speechcls.parallel import default_jobs

Row = tuple[str, list[float], list[float], float]
"""Name, its seconds, seconds of what it is compared with, and the largest acceptable ratio."""
Size = tuple[str, int, float, float]
"""Name, clips, seconds, peak memory in MB."""

REPORT = Path(__file__).parent.parent / "docs" / "BENCHMARKS.md"
PROFILE = Path(__file__).parent / "profile.md"
"""Findings of profiles."""

_HEAD = """# Benchmarks

Written by `make bench`. Each ratio is that of the medians of both sides, measured alternately in
one run, so that it is comparable between machines. [PEERS.md](PEERS.md) has other tools beside it.

Machine: {machine}. Python {python}, torch {torch}, ONNX Runtime {onnxruntime}, NumPy {numpy}.

## Against the limit

| what | measured | against | ratio | target | |
| --- | ---: | ---: | ---: | ---: | --- |
{rows}

## From a thousand clips to a hundred thousand

Clips of one second; the larger sets are the same recordings under many names.

| what | clips | seconds | ms per clip | peak memory, MB |
| --- | ---: | ---: | ---: | ---: |
{sizes}

"""


def write_report(rows: Sequence[tuple[str, str, str, str, str]], sizes: Sequence[Size]) -> None:
    """Write the file: rows of name, measured, against, ratio and target, and the sizes."""
    lines = [
        f"| {' | '.join(row)} | {'met' if is_met(row[3], row[4]) else '**missed**'} |"
        for row in rows
    ]
    growing = [
        f"| {what} | {n:,} | {seconds:.1f} | {1e3 * seconds / n:.2f} | {peak_mb:,.0f} |"
        for what, n, seconds, peak_mb in sizes
    ]
    text = _HEAD.format(
        machine=machine(),
        python=platform.python_version(),
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
        numpy=numpy.__version__,
        rows="\n".join(lines),
        sizes="\n".join(growing),
    )
    REPORT.write_text(text + PROFILE.read_text())


def read_ratios() -> dict[str, float]:
    """Return the ratio of each row of the file."""
    table = REPORT.read_text().split("## From a thousand")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if " | <= " in line]
    return {row[0]: float(row[3]) for row in rows}


def is_met(ratio: str, target: str) -> bool:
    """Tell whether a ratio as printed is within its target."""
    return float(ratio) <= float(target.removeprefix("<= "))


def machine() -> str:
    """Return processor, cores and memory in words."""
    name = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).is_file():
        lines = cpuinfo.read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {default_jobs()} cores, {memory:.0f} GiB"
