"""What the C of a model takes on a Cortex-M: memory, and instructions a step, counted by QEMU.

    apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
    python benchmarks/bench_cortexm.py commands-stream /path/to/speech-commands --seconds 60

The export is compiled by its own Makefile, linked with ``benchmarks/cortexm`` and run on boards
that QEMU emulates. Printed for each, as JSON: the largest difference of a probability from the
model's own stream, the ratio of equal answers, bytes of code, tables, state and stack, and
instructions a step. These are no cycles: QEMU knows no pipeline, no cache, no waiting for flash.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_export import sound_of

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import PCM, to_float
from speechcls.deployment.bundle import Request, facts_of, own_file
from speechcls.deployment.c_code import c_files
from speechcls.deployment.check import compare, made_clips
from speechcls.runtime.session import Probabilities
from speechcls.runtime.stream import PosteriorStream

_COMPILER, _EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
_PLACE = Path(__file__).with_name("cortexm")
_STACK_BYTES = 16_384
_N_CALIBRATION = 2_000_000
"""Instructions of a loop in ``board.c`` whose time is known in ticks."""
_TIMEOUT_S = 600
_LIBRARIES = ("-lm", "-lc_nano", "-lgcc")


@dataclass(frozen=True)
class Board:
    """A board that QEMU emulates."""

    machine: str
    flags: tuple[str, ...]
    """Of the compiler."""
    code_at: int
    """Address of 4 MB or more for code and tables."""
    data_at: int
    """Address of 512 KB or more for what is written."""
    clock_mhz: int
    """Of a usual microcontroller with this processor, for a time a step."""


_HARD = ("-mthumb", "-mfloat-abi=hard")
BOARDS = {
    "cortex-m4": Board(  # nRF52840
        "mps2-an386", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", *_HARD), 0x400, 0x20000000, 64
    ),
    "cortex-m7": Board(  # STM32H743
        "mps2-an500", ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", *_HARD), 0x400, 0x20000000, 480
    ),
    "cortex-m55": Board(  # Ensemble E3, its efficient half
        "mps3-an547", ("-mcpu=cortex-m55", *_HARD), 0x60000000, 0x20000000, 160
    ),
}


class BoardError(Exception):
    """A program that does not compile for a board, or does not run on it."""


@dataclass(frozen=True)
class Cost:
    """What a step takes."""

    n_steps: int
    instructions_a_step: int
    """Mean of all steps."""
    instructions_max: int
    """Of the longest step, to 40."""
    state_bytes: int
    stack_bytes: int
    """Deepest use."""


def missing_tools() -> list[str]:
    """Return the tools that are not installed."""
    return [tool for tool in (_COMPILER, _EMULATOR, "make") if shutil.which(tool) is None]


def build(files: Mapping[str, bytes], folder: Path, board: Board) -> Path:
    """Return the program, in ``folder``, of an export for a board.

    Raises
    ------
    BoardError
        When it does not compile without a warning, or needs what the board has not: a heap, files.
    """
    for name, content in files.items():
        if "/" not in name:
            (folder / name).write_bytes(content)
    flags = ["-O2", "-ffunction-sections", *board.flags]
    environment = os.environ | {"CFLAGS": " ".join([*flags, "-Wdouble-promotion"])}
    _call(["make", "--silent", f"CC={_COMPILER}", "speechcls_model.o"], folder, environment)
    own = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-I.", "-c", str(_PLACE / "board.c")]
    _call([_COMPILER, *flags, *own], folder)
    places = {"CODE_AT": board.code_at, "DATA_AT": board.data_at, "STACK_BYTES": _STACK_BYTES}
    symbols = [f"-Wl,--defsym={name}={value}" for name, value in places.items()]
    linked = ["-nostdlib", "-Wl,--gc-sections", f"-Wl,-T,{_PLACE / 'board.ld'}", *symbols]
    objects = ["board.o", "speechcls_model.o"]
    _call([_COMPILER, *flags, *linked, "-o", "board.elf", *objects, *_LIBRARIES], folder)
    return folder / "board.elf"


def _call(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode:
        raise BoardError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[:2000]}")
    return done.stdout


def run(program: Path, board: Board, samples: PCM, n_labels: int) -> tuple[Probabilities, Cost]:
    """Return probabilities (n_steps, n_labels) of ``samples`` (n,), and what they took.

    Raises
    ------
    BoardError
        When the processor faults.
    """
    folder = program.parent
    samples.astype("<i2").tofile(folder / "sound.s16")
    quiet = ["-display", "none", "-monitor", "none", "-serial", "none"]
    counted = ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
    _call([_EMULATOR, "-M", board.machine, *quiet, *counted, "-kernel", program.name], folder)
    rows = np.fromfile(folder / "rows.f32", "<f4").reshape(-1, n_labels)
    report = np.fromfile(folder / "report.u32", "<u4").tolist()
    calibration, low, high, longest, n_steps, state_bytes, stack_bytes = report
    tick = _N_CALIBRATION / calibration  # instructions
    mean = round((low + (high << 32)) * tick / n_steps)
    return rows, Cost(n_steps, mean, round(longest * tick), state_bytes, stack_bytes)


def sizes_of(program: Path) -> dict[str, int]:
    """Return the bytes of a model's code and tables, and of what the C library adds."""
    model = _sections(program.with_name("speechcls_model.o"))
    own, linked = _sections(program.with_name("board.o")), _sections(program)
    code_bytes = model["text"]
    return {
        "code_bytes": code_bytes,
        "library_bytes": linked["text"] - own["text"] - code_bytes,
        "table_bytes": linked["rodata"] - own["rodata"],
        "library_memory_bytes": linked["data"] + linked["bss"] - own["data"] - own["bss"],
    }


def _sections(path: Path) -> Counter[str]:
    printed = _call(["arm-none-eabi-size", "-A", path.name], path.parent)
    sizes: Counter[str] = Counter()
    for name, n_bytes in re.findall(r"^\.(text|rodata|data|bss)\S*\s+(\d+)", printed, re.M):
        sizes[name] += int(n_bytes)
    return sizes


def files_of(artifact: Artifact, is_int8: bool) -> dict[str, bytes]:
    """Return the files of an export that a board needs."""
    target = "c-int8" if is_int8 else "c"
    facts = facts_of(Request(artifact, target, made_clips(artifact, 1), "size"))
    return c_files(artifact, facts, is_int8) | {"Makefile": own_file("Makefile")}


def measure(artifact: Artifact, samples: PCM, name: str, is_int8: bool) -> dict[str, Any]:
    """Return the figures of one form of a model on one board."""
    board, stream = BOARDS[name], PosteriorStream(artifact)
    with tempfile.TemporaryDirectory() as folder:
        program = build(files_of(artifact, is_int8), Path(folder), board)
        rows, cost = run(program, board, samples, len(artifact.labels))
        sizes = sizes_of(program)
    agreement = compare(rows, stream.feed(to_float(samples)).probabilities)
    per_second = cost.instructions_a_step / stream.every_s
    return {
        "processor": name,
        "target": "c-int8" if is_int8 else "c",
        **agreement.to_dict(),
        **asdict(cost),
        **sizes,
        "step_ms": 1e3 * stream.every_s,
        "million_instructions_a_second": round(per_second / 1e6, 1),
        "clock_mhz": board.clock_mhz,
        "ms_a_step_at_one_a_cycle": round(cost.instructions_a_step / (1e3 * board.clock_mhz), 2),
    }


def main() -> None:
    """Measure, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    if missing := missing_tools():
        raise SystemExit(f"not installed: {', '.join(missing)}")
    artifact = load_artifact(given.model)
    samples = sound_of(artifact, given.data, given.seconds / 60)
    for name in BOARDS:
        for is_int8 in (False, True):
            sys.stdout.write(json.dumps(measure(artifact, samples, name, is_int8)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
