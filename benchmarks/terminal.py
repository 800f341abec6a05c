"""The README's session as a moving picture: its commands in a real terminal, and what it shows."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pyte
from PIL import Image, ImageDraw, ImageFont
from transcripts import find_steps, prepare

COLUMNS, ROWS, FONT_SIZE = 94, 24, 14
MARGIN, BAR = 12, 28
"""Pixels around the text, and of the window's title bar."""
BETWEEN_FRAMES_S = 0.2
LONGEST_S, AFTER_S, LAST_S = 9.0, 1.8, 4.0
"""Seconds that a command may take in the picture, and that its result stays."""
FACES = ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
BACKGROUND, FOREGROUND = "#11161d", "#d7dde5"
COLOURS = {
    **{"black": "#4a5563", "red": "#f0716f", "green": "#7fd18b", "brown": "#e8c46a"},
    **{"blue": "#79b1f2", "magenta": "#cf9bf0", "cyan": "#6fcfd3", "white": "#eef2f6"},
}
"""Of the terminal's eight; it calls yellow brown. A colour of 256 is six hexadecimal digits."""

Cell = tuple[str, str, bool]
"""A character, its colour, and whether it is bold."""


@dataclass(frozen=True)
class Frame:
    """What a terminal shows, row by row, and for how long."""

    rows: tuple[tuple[Cell, ...], ...]
    seconds: float


class Recorder:
    """A terminal in which commands are typed and run."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.frames: list[Frame] = []

    def show(self, seconds: float) -> None:
        """Keep what the terminal shows now, for so long."""
        rows = tuple(
            tuple(_cell(self.screen.buffer[row][column]) for column in range(COLUMNS))
            for row in range(ROWS)
        )
        if self.frames and self.frames[-1].rows == rows:
            seconds += self.frames.pop().seconds
        self.frames.append(Frame(rows, seconds))

    def type(self, command: str) -> None:
        """Type a command at the prompt."""
        self.stream.feed(b"\x1b[32m$\x1b[0m ")
        for start in range(0, len(command), 4):
            self.stream.feed(command[start : start + 4].encode())
            self.show(0.12)
        self.show(0.5)
        self.stream.feed(b"\r\n")

    def run(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        """Run a command in the terminal, at its own speed if it is not too long.

        Raises
        ------
        subprocess.CalledProcessError
            If it fails.
        """
        ours, theirs = pty.openpty()
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        kept = {k: v for k, v in environment.items() if k not in ("COLUMNS", "NO_COLOR")}
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env={**kept, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        first = len(self.frames)
        began = shown = time.monotonic()
        while select.select([ours], [], [], BETWEEN_FRAMES_S)[0] or process.poll() is None:
            try:
                self.stream.feed(os.read(ours, 65_536) if _ready(ours) else b"")
            except OSError:  # the other side was closed
                break
            now = time.monotonic()
            if now - shown >= BETWEEN_FRAMES_S:
                self.show(now - shown)
                shown = now
        os.close(ours)
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)
        speed = max(1.0, (time.monotonic() - began) / LONGEST_S)
        played = [Frame(frame.rows, frame.seconds / speed) for frame in self.frames[first:]]
        self.frames[first:] = _thinned(played)
        self.show(AFTER_S)


def _ready(file: int) -> bool:
    return bool(select.select([file], [], [], 0)[0])


def _cell(char: pyte.screens.Char) -> Cell:
    colour = FOREGROUND if char.fg == "default" else COLOURS.get(char.fg, f"#{char.fg}")
    return char.data or " ", colour, bool(char.bold)


def _thinned(frames: list[Frame]) -> list[Frame]:
    """Return frames of which none is shorter than ``BETWEEN_FRAMES_S``, as long in all."""
    kept: list[Frame] = []
    for frame in frames:
        if kept and kept[-1].seconds < BETWEEN_FRAMES_S:
            frame = Frame(frame.rows, frame.seconds + kept.pop().seconds)
        kept.append(frame)
    return kept


def draw(frame: Frame) -> Image.Image:
    """Return a window with what the terminal shows."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [ImageFont.truetype(str(folder / name), FONT_SIZE) for name in FACES]
    width, height = round(faces[0].getlength("M")), FONT_SIZE + 5
    size = COLUMNS * width + 2 * MARGIN, ROWS * height + 2 * MARGIN + BAR
    image = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, size[0], BAR), fill="#232b36")
    for n, colour in enumerate((COLOURS["red"], COLOURS["brown"], COLOURS["green"])):
        pen.ellipse((MARGIN + 18 * n, 9, MARGIN + 18 * n + 10, 19), fill=colour)
    for y, row in enumerate(frame.rows):
        for x, (text, colour, is_bold) in enumerate(row):
            if text != " ":
                place = MARGIN + x * width, BAR + MARGIN + y * height
                pen.text(place, text, fill=colour, font=faces[is_bold])
    return image


def record_readme(readme: Path, scratch: Path) -> list[Frame]:
    """Return the commands of a README, run in an empty folder below ``scratch``."""
    environment = prepare(scratch)
    recorder = Recorder()
    for step in find_steps(readme.read_text(encoding="utf-8")):
        print(f"$ {step.command}", flush=True)
        recorder.type(step.command)
        recorder.run(step.command, scratch / "work", environment)
    recorder.show(LAST_S)
    return recorder.frames


def save_gif(frames: list[Frame], path: Path) -> None:
    """Write frames as a GIF that goes on and on, in the colours that the last one has."""
    images = [draw(frame) for frame in frames]
    palette = images[-1].quantize(32, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    small[0].save(
        path,
        save_all=True,
        append_images=small[1:],
        duration=[round(1000 * frame.seconds) for frame in frames],
        loop=0,
        optimize=True,
    )
