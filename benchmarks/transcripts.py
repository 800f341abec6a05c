"""Sessions in documents: commands after ``$`` in console blocks, and what each of them prints.

``python benchmarks/transcripts.py FILE...`` runs those of each Markdown file in order in an empty
folder, below ``build/transcripts``, and writes what they print in place of what stood there. A line
``...`` stands for all that is left out, and stays where it is: as many lines before and after it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / "build" / "transcripts"
REST = "..."
"""The line that stands for any number of lines."""
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHIM = f'#!/bin/sh\nexec "{sys.executable}" -m speechcls "$@"\n'


@dataclass(frozen=True)
class Step:
    """A command of a session, and the lines that a document says it prints."""

    command: str
    lines: tuple[str, ...]


def read_steps(block: str) -> list[Step]:
    """Return the commands of a console block; a line that begins with ``$ `` is one."""
    steps: list[Step] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:], ()))
        elif steps:
            steps[-1] = Step(steps[-1].command, (*steps[-1].lines, line))
    return steps


def find_steps(text: str) -> list[Step]:
    """Return the commands of all console blocks of a Markdown text, in order."""
    return [step for block in _BLOCK.findall(text) for step in read_steps(block)]


def prepare(folder: Path) -> dict[str, str]:
    """Return an environment in which ``speechcls`` is this one, with a cache of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "work"):
        (folder / name).mkdir(parents=True)
    shim = folder / "bin" / "speechcls"
    shim.write_text(_SHIM, encoding="utf-8")
    shim.chmod(0o755)
    paths = {"PATH": f"{shim.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    own = {"SPEECHCLS_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    kept = {name: value for name, value in os.environ.items() if name != "SPEECHCLS_MODEL"}
    return kept | paths | own


def run_step(
    command: str, folder: Path, environment: dict[str, str], codes: tuple[int, ...] = (0,)
) -> list[str]:
    """Return the lines that a command of bash prints, stderr and stdout as they come.

    Raises
    ------
    subprocess.CalledProcessError
        If it ends with none of ``codes``; what it printed is on stderr then.
    """
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode not in codes:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()
    # The models that come with speechcls, and the session, lie wherever the checkout is.
    printed = done.stdout.replace(f"{folder}/", ".../").replace(f"{ROOT}/models/", ".../models/")
    return printed.rstrip("\n").splitlines()


def abridge(printed: list[str], before: tuple[str, ...]) -> list[str]:
    """Return what a command printed, with as much left out as it was before."""
    if REST not in before:
        return printed
    first = before.index(REST)
    last = len(before) - 1 - first
    if len(printed) <= first + last:
        return printed
    return [*printed[:first], REST, *printed[len(printed) - last :]]


def record(text: str, name: str) -> str:
    """Return a Markdown text with its commands run, and what they print now."""
    environment = prepare(SCRATCH / name)

    def rewritten(block: str) -> Iterator[str]:
        for step in read_steps(block):
            print(f"$ {step.command}", flush=True)
            printed = run_step(step.command, SCRATCH / name / "work", environment)
            yield f"$ {step.command}"
            yield from abridge(printed, step.lines)

    return _BLOCK.sub(lambda found: "\n".join(["```console", *rewritten(found[1]), "```"]), text)


def main() -> None:
    """Record the files that are named."""
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(record(path.read_text(encoding="utf-8"), path.stem), encoding="utf-8")


if __name__ == "__main__":
    main()
