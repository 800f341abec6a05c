"""The same sound through speechcls and through other tools, each in an environment of its own.

Run it with ``make bench-peers`` on an idle machine with Linux. The environments lie in
``build/peers`` and are used again. Nothing but packages is downloaded: a tool that lacks its model,
or does not install, has a row that says so. Writes ``docs/PEERS.md``.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import machine

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / "build" / "peers"
PROGRAM = Path(__file__).with_name("peer_program.py")
CONSTRAINTS = ROOT / "constraints.txt"
REPORT = ROOT / "docs" / "PEERS.md"
LIVEKIT = "livekit-wakeword"

RATE = 16_000
N_CLIPS = 200
RECORDING_S = 60
N_TONES = 3
N_RUNS = 3
N_LARGEST = 8
"""Packages of the installation of speechcls whose sizes are told."""
INSTALL_LIMIT_S, RUN_LIMIT_S = 3_600, 600


@dataclass(frozen=True)
class Environment:
    """Packages of a tool, and nothing else."""

    name: str
    steps: tuple[tuple[str, ...], ...]
    """Arguments of ``pip install``, one call after the other."""
    always: tuple[str, ...] = ()
    """Those of a last call that is made even where the environment is there already."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    """As ``peer_program.py`` knows it."""
    title: str
    environment: str


ROWS = [
    Row("commands", "speechcls, `commands` as it detects", "speechcls"),
    Row("commands-stream", "speechcls, `commands-stream` as it detects", "speechcls"),
    Row("commands-stream-live", "speechcls, `commands-stream` as it listens", "speechcls"),
    Row("livekit", "livekit-wakeword, front end in batches", LIVEKIT),
    Row("livekit-live", "livekit-wakeword, front end as it listens", LIVEKIT),
    Row("openwakeword", "openWakeWord, its import", "openwakeword"),
    Row("sherpa-onnx", "sherpa-onnx, its import", "sherpa-onnx"),
    Row("tutorial", "librosa and torch, the tutorials' loop", "tutorial"),
    Row("transformers", "transformers, its pipeline", "transformers"),
]

_HEAD = """# Beside other tools

Written by `make bench-peers`. Each tool is in an environment of its own with what prediction needs
and nothing else, and gets the same sound (noise and tones): {n_clips} clips of one second, one at a
time, and a recording of {recording_s} s, at 16 kHz. One thread; medians of {n_runs} runs, the tools
in turns.

Machine: {machine}. Python {python}. Versions: {versions}.

| tool | clips/s | times real time | start, CPU s | start, s | peak memory, MB | on disk, MB |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
{notes}
What the columns are:

- **clips/s**, **times real time**: by the processor's time on one core, once the model is loaded.
- **start**: of a new process until its first answer on one clip (of an import: its end), with its
  files in the disk cache; by the processor's time, and by the clock.
- **peak memory**: resident, of the process that classifies the clips and then the recording,
  {sound_mb:.0f} MB of sound included.
- **on disk**: all packages of the environment, with compiled bytecode and the models that come
  with them.

These compare what tools cost, not how well they recognise: networks and tasks differ.

- Recordings go through speechcls as through its commands: in blocks of a second (`detect`) or of
  40 ms (`listen`). `commands` runs on a window of a second every 0.1 s, `commands-stream` has an
  output every 40 ms.
- The front end of livekit-wakeword embeds 775 ms every 80 ms: of the whole recording in batches,
  or, as its listener, of the last two seconds anew for each block. A classifier of each word would
  be added to that.
- The tutorials' loop takes librosa's default frames and a BiLSTM(2x128) with random weights. The
  pipeline of transformers has a network that is tiny and random: what the pipeline takes itself.
  Both get the windows of `commands`.

## What is installed

The largest packages of the installation of speechcls for prediction, {total_mb:.0f} MB in all:

| package | MB |
| --- | ---: |
{largest}
"""


def main() -> None:
    """Install, measure, print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", help="livekit-wakeword, where the package index has none")
    wheel = parser.parse_args().wheel
    failures = {made.name: install(made) for made in environments(wheel)}
    with tempfile.TemporaryDirectory() as name:
        make_sound(Path(name))
        measured, faults = measure(Path(name), failures)
    text = report(measured, faults)
    REPORT.write_text(text)
    print(text)


def environments(wheel: str | None) -> list[Environment]:
    """Return the environment of each tool."""
    needs = "-r", str(ROOT / "requirements-predict.txt")
    own = "--no-deps", "--force-reinstall", str(ROOT)
    # torch first, as in the Makefile.
    torch = ("torch",)
    return [
        Environment("speechcls", (needs,), own),
        Environment(LIVEKIT, ((wheel or LIVEKIT,),)),
        Environment("openwakeword", (("openwakeword",),)),
        Environment("sherpa-onnx", (("sherpa-onnx",),)),
        Environment("tutorial", (torch, ("librosa",))),
        Environment("transformers", (torch, ("transformers", "numpy"))),
    ]


def install(environment: Environment) -> str:
    """Make an environment unless it is there; return why it could not be made, or nothing."""
    folder = ENVIRONMENTS / environment.name
    done = folder / "installed.json"
    content = json.dumps([environment.steps, CONSTRAINTS.read_text(), platform.python_version()])
    print(f"installing {environment.name} in {folder}", file=sys.stderr)
    try:
        if not (done.is_file() and done.read_text() == content):
            # Without pip, so that all that is there is of the tool.
            call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
            for step in environment.steps:
                pip_install(folder, step)
            done.write_text(content)
        if environment.always:
            shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # of an earlier build
            pip_install(folder, environment.always)
    except (subprocess.SubprocessError, OSError) as error:
        return f"does not install: {why(error)}"
    return ""


def pip_install(folder: Path, packages: tuple[str, ...]) -> None:
    """Install packages into an environment, in the tested versions as far as there are any."""
    pip = [sys.executable, "-m", "pip", "--python", str(python_of(folder)), "--quiet"]
    call([*pip, "--disable-pip-version-check", "install", "-c", str(CONSTRAINTS), *packages])


def call(command: list[str]) -> None:
    """Run a command to its end."""
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)


def python_of(folder: Path) -> Path:
    """Return the Python of an environment."""
    return folder / "bin" / "python"


def why(error: BaseException) -> str:
    """Return the last line that a program wrote before it failed, or the error itself."""
    lines = str(getattr(error, "stderr", "") or "").strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [str(error)])[-1]


def make_sound(folder: Path) -> None:
    """Write a clip, all clips and a recording, as 16-bit PCM."""
    generator = np.random.default_rng(0)
    seconds = np.arange(RATE) / RATE
    clips = np.empty((N_CLIPS, RATE), np.int16)
    for clip in clips:
        loudness = 10 ** generator.uniform(-3, -1)
        sound = loudness * generator.standard_normal(RATE)
        for frequency in generator.uniform(100, 4_000, N_TONES):
            sound += 0.1 * np.hanning(RATE) * np.sin(2 * np.pi * frequency * seconds)
        clip[:] = np.round(32_767 * sound.clip(-1, 1))
    for name, n_clips in [("clip", 1), ("clips", N_CLIPS), ("recording", RECORDING_S)]:
        clips[:n_clips].astype("<i2").tofile(folder / f"{name}.pcm")


def measure(
    sound: Path, failures: dict[str, str]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Return what each run of each row reported, after one to warm up, and why rows have none."""
    measured: dict[str, list[dict[str, Any]]] = defaultdict(list)
    faults = {row.name: failures[row.environment] for row in ROWS if failures[row.environment]}
    for i in range(N_RUNS + 1):
        for row in ROWS:
            if row.name in faults:
                continue
            print(f"run {i} of {N_RUNS}: {row.title}", file=sys.stderr)
            try:
                found = run(row, sound)
            except (subprocess.SubprocessError, OSError) as error:
                faults[row.name] = f"does not run: {why(error)}"
                measured.pop(row.name, None)
                continue
            if i:
                measured[row.name].append(found)
    return measured, faults


def run(row: Row, sound: Path) -> dict[str, Any]:
    """Return what one run of a tool reported, with the seconds until its first answer."""
    began = time.time()
    started = run_program(row, sound, "start")
    found = run_program(row, sound, "work")
    return found | {"start_s": started["answered_at"] - began, "start_cpu_s": started["cpu_s"]}


def run_program(row: Row, sound: Path, mode: str) -> dict[str, Any]:
    """Return what the program printed with the Python of a tool."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    python = str(python_of(ENVIRONMENTS / row.environment))
    done = subprocess.run(
        # -I: neither this folder's modules nor those of PYTHONPATH.
        [python, "-I", str(PROGRAM), row.name, str(sound), mode],
        check=True, capture_output=True, text=True, timeout=RUN_LIMIT_S,
        env=os.environ | threads | {"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(measured: dict[str, list[dict[str, Any]]], faults: dict[str, str]) -> str:
    """Return the text of the report."""
    lines, notes, versions = [], [], dict[str, str]()
    for row in ROWS:
        runs = measured.get(row.name, [])
        cells = [
            median(runs, "clips_per_s", ",.0f"),
            median(runs, "times_real_time", ",.0f"),
            median(runs, "start_cpu_s", ".2f"),
            median(runs, "start_s", ".2f"),
            median(runs, "peak_mb", ",.0f"),
            f"{sum(sizes_mb(row.environment).values()):,.0f}" if runs else "-",
        ]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
        missing = faults.get(row.name) or (runs[0]["lacks"] if runs else "")
        if missing:
            notes.append(f"- **{row.title}**: {missing}.")
        for found in runs:
            versions |= found["versions"]
    sizes = sizes_mb("speechcls")
    ranked = sorted(sizes.items(), key=lambda item: -item[1])
    largest = [f"| {name} | {size:.1f} |" for name, size in ranked[:N_LARGEST]]
    rest = sum(size for _, size in ranked[N_LARGEST:])
    return _HEAD.format(
        n_clips=N_CLIPS,
        recording_s=RECORDING_S,
        n_runs=N_RUNS,
        machine=machine(),
        python=platform.python_version(),
        versions=", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        rows="\n".join(lines),
        notes="\n".join(["", "What is missing:", "", *notes, ""]) if notes else "",
        sound_mb=4 * RATE * (N_CLIPS + RECORDING_S) / 1e6,
        total_mb=sum(sizes.values()),
        largest="\n".join([*largest, f"| {len(ranked[N_LARGEST:])} others | {rest:.1f} |"]),
    )


def median(runs: list[dict[str, Any]], name: str, form: str) -> str:
    """Return the median of what the runs reported, or a dash where they did not."""
    values = [found[name] for found in runs if name in found]
    return f"{statistics.median(values):{form}}" if values else "-"


def sizes_mb(environment: str) -> dict[str, float]:
    """Return the size of each package of an environment, MB."""
    places = (ENVIRONMENTS / environment / "lib").glob("python*/site-packages")
    return {
        package.name: sum(path.stat().st_size for path in installed_files(package)) / 1e6
        for package in distributions(path=[str(place) for place in places])
    }


def installed_files(package: Distribution) -> Iterator[Path]:
    """Yield the files of a package that are there."""
    for file in package.files or ():
        path = Path(str(file.locate()))
        if path.is_file():
            yield path


if __name__ == "__main__":
    main()
