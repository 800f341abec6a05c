"""Record the examples of servers and of the Hub, each against a counterpart of this machine.

Usage: python benchmarks/served_examples.py CLIPS

CLIPS is a folder of Speech Commands. ``serve`` is asked by curl, ``wyoming`` by the client of the
library wyoming, and ``push`` and ``pull`` speak with the tests' stand-in of the Hub. What they
print is written to ``docs/examples``, and into the pages of the manual that show the same commands.
It takes Linux and its root: the servers listen at their usual ports in a network of their own.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
from examples import PLACE
from transcripts import ROOT, SCRATCH, prepare, run_step

CLIP = "stop/099d52ad_nohash_3.flac"
SAID = (CLIP, "yes/004ae714_nohash_0.flac")
PAGES = ("SERVING.md", "HOME-ASSISTANT.md", "MODEL.md")
PORT, FRAME = 10_400, 1_024
SERVE = "speechcls serve &                                     # pip install 'speechcls[serve]'"
STUDIO = "speechcls serve --studio words"
ASK = "curl --data-binary @stop.flac 'http://127.0.0.1:8765/v1/predict?top_k=2'"
MORE = (
    "curl --data-binary @stop.flac http://127.0.0.1:8765/v1/predict",
    "curl -F clip=@stop.flac -F clip=@README.md 'http://127.0.0.1:8765/v1/predict?top_k=2'",
    "curl --data-binary @stop.flac http://127.0.0.1:8765/v1/detect",
)
WYOMING = 'speechcls wyoming --uri tcp://0.0.0.0:10400 --zeroconf "My words"'
PUSH, PULL = "speechcls push commands-tiny hf://ann/words", "speechcls pull hf://ann/words"
EXAMPLES = {"serve": (SERVE, ASK), "wyoming": (WYOMING,), "push": (PUSH,), "pull": (PULL,)}
NETWORK = (
    "ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add 10.77.0.1/24 dev v0"
    " && ip link set v0 up && ip link set v1 up && ip route add default dev v0"
)
"""What gives a network namespace an address that a server can be announced at."""


@contextmanager
def running(command: str, folder: Path, environment: dict[str, str]) -> Iterator[list[str]]:
    """Yield the lines that a server has printed, once it listens; at the end it has stopped."""
    printed = folder / "printed.txt"
    with printed.open("w") as file:
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=environment, stderr=file
        )
    lines: list[str] = []
    try:
        while not any("listening at" in line for line in lines):
            if server.poll() is not None:
                raise SystemExit(
                    f"{command}: ended with {server.returncode}: {printed.read_text()}"
                )
            time.sleep(0.1)
            lines[:] = _shown(printed.read_text())
        yield lines
        time.sleep(1.0)
        lines[:] = _shown(printed.read_text())
    finally:
        server.terminate()
        server.wait(30)


def _shown(printed: str) -> list[str]:
    return printed.replace(f"{ROOT}/models/", ".../models/").splitlines()


async def say(paths: list[Path]) -> None:
    """Have a server of Wyoming hear some clips, as a satellite would."""
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient
    from wyoming.wake import Detect

    for path in paths:
        async with AsyncClient.from_uri(f"tcp://127.0.0.1:{PORT}") as client:
            await client.write_event(Detect().event())
            await client.write_event(AudioStart(16_000, 2, 1).event())
            samples, rate = soundfile.read(path, dtype="int16")
            content = samples.tobytes() + bytes(2 * rate)
            for first in range(0, len(content), FRAME):
                chunk = AudioChunk(rate, 2, 1, content[first : first + FRAME])
                await client.write_event(chunk.event())
            await client.write_event(AudioStop().event())
            event = await asyncio.wait_for(client.read_event(), 20)
            assert event is not None and event.type == "detection", event


def record_serve(folder: Path, environment: dict[str, str]) -> dict[str, list[str]]:
    """Return what ``serve`` prints, and what it answers to curl."""
    with running("speechcls serve", folder, environment) as lines:
        asked = {command: run_step(command.replace("curl", "curl -s"), folder, environment)
                 for command in (ASK, *MORE)}  # fmt: skip
    with running(STUDIO, folder, environment) as page_lines:
        pass
    return {SERVE: lines, STUDIO: page_lines, **asked}


def record_wyoming(folder: Path, environment: dict[str, str], clips: Path) -> dict[str, list[str]]:
    """Return what ``wyoming`` prints while it hears some words."""
    with running(WYOMING, folder, environment) as lines:
        asyncio.run(say([clips / name for name in SAID]))
    return {WYOMING: lines}


def record_hub(folder: Path, environment: dict[str, str]) -> dict[str, list[str]]:
    """Return what ``push`` and ``pull`` print."""
    sys.path.append(str(ROOT / "tests" / "support"))
    import common_hub  # type: ignore[import-not-found]

    with common_hub.serving() as hub:
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "NO_PROXY": "127.0.0.1"}
        own = {**environment, **own, "HF_TOKEN": common_hub.TOKEN}
        return {command: run_step(command, folder, own) for command in (PUSH, PULL)}


def rewritten(text: str, printed: dict[str, list[str]]) -> str:
    """Return a page with what the commands print now; ``...`` within a line stays."""

    def replace(found: re.Match[str]) -> str:
        lines, shown = [], found[1].split("\n$ ")
        for part in shown:
            command, *before = part.removeprefix("$ ").splitlines()
            now = printed.get(command, before)
            lines += [f"$ {command}", *map(_abridged, now, (before + now)[: len(now)])]
        return "\n".join(["```console", *lines, "```"])

    return re.sub(r"```console\n(\$ .*?)\n```", replace, text, flags=re.DOTALL)


def _abridged(line: str, before: str) -> str:
    """Return a line without what was left out of it before."""
    first, dots, last = before.partition(", ...")
    return line[: len(first)] + dots + last if dots else line


def main() -> None:
    """Record all of it."""
    if os.environ.get("IN_NETWORK") != "1":
        own = {**os.environ, "IN_NETWORK": "1"}
        command = ["unshare", "--net", "bash", "-c", f'{NETWORK} && exec "$0" "$@"']
        sys.exit(subprocess.run([*command, sys.executable, *sys.argv], env=own).returncode)
    clips, environment = Path(sys.argv[1]), prepare(SCRATCH / "served")
    folder = SCRATCH / "served" / "work"
    (folder / "stop.flac").write_bytes((clips / CLIP).read_bytes())
    (folder / "README.md").write_text("# Notes\n")
    printed = record_serve(folder, environment) | record_wyoming(folder, environment, clips)
    printed |= record_hub(folder, environment)
    for name, commands in EXAMPLES.items():
        lines = [line for command in commands for line in (f"$ {command}", *printed[command])]
        (PLACE / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for page in PAGES:
        path = ROOT / "docs" / page
        text = rewritten(path.read_text(encoding="utf-8"), printed)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
