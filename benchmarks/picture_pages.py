"""The pages that screenshots of the documentation are taken of."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from picture_data import ROOT, SCRATCH, WORD, WORDS, clips_of, run, speech, walk

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import to_pcm
from speechcls.audio.wav import wav_bytes

N_TAKES = {"yes": 12, "no": 10, "stop": 4}
"""Recordings that the folder of the page has."""


@contextmanager
def opened_page() -> Iterator[Any]:
    """Yield the page of ``serve`` in a browser whose microphone says ``WORD``, with a model."""
    from playwright.sync_api import sync_playwright

    from speechcls.serve.models import ModelSet
    from speechcls.serve.server import Server
    from speechcls.serve.settings import ServeConfig
    from speechcls.studio.routes import Studio

    model, place = SCRATCH / "words-1", SCRATCH / "page"
    if not model.is_dir():
        run("train", speech(), "--from", "commands-tiny", "--epochs", "4", "--out", model)
    shutil.rmtree(place, ignore_errors=True)
    own = shutil.copytree(model, place / "models" / model.name)  # where the page may change it
    for word in WORDS[:3]:
        (place / "words" / word).mkdir(parents=True)
        for n, clip in enumerate(clips_of(word)[: N_TAKES[word]]):
            shutil.copy(
                clip, place / "words" / word / f"{'ann' if n % 2 else 'ben'}_nohash_{n}.wav"
            )
    sounds = [np.zeros(8_000, np.float32)]
    for clip in clips_of(WORD)[:5]:
        sounds += [read_clip(clip, 16_000), np.zeros(8_000, np.float32)]
    said = place / "said.wav"
    said.write_bytes(wav_bytes(to_pcm(np.concatenate(sounds)), 16_000))
    fake = ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
    flags = [
        "--no-sandbox",
        *(f"--{name}" for name in fake),
        f"--use-file-for-fake-audio-capture={said}",
    ]
    server = Server(
        ModelSet([(own, "trained on the page")]),
        ServeConfig(port=0),
        make_extra=lambda service: Studio(service, place / "words", place / "models"),
    )
    server.start()
    try:
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_page(viewport={"width": 1_000, "height": 780})
            page.goto(server.url)
            page.wait_for_selector("html[data-ready]")
            yield page
            browser.close()
    finally:
        server.stop()
        server.wait()


def take_page(name: str, show: Callable[[Any], None]) -> Path:
    """Return a picture of the page of ``serve`` after something was done in it."""
    with opened_page() as page:
        show(page)
        page.screenshot(path=SCRATCH / f"{name}.png")
    return SCRATCH / f"{name}.png"


def show_recording(page: Any) -> None:
    """Record, until a take is asked for."""
    page.get_by_role("button", name=f"Record {WORD}").click()
    page.locator("#takes-left", has_text="2 of 5").wait_for()
    quiet = "".join(f":not([aria-valuenow^='-{tens}'])" for tens in (4, 5, 6))  # dB
    page.locator(f"#prompt.now ~ #level{quiet}").wait_for()


def show_trying(page: Any) -> None:
    """Talk to the model, until it has recognised some words."""
    page.get_by_role("link", name="4 Try").click()
    page.get_by_role("button", name="Listen").click()
    page.locator("#log li").nth(3).wait_for()
    page.locator("#bars .over").wait_for()
    page.set_viewport_size({"width": 1_000, "height": 950})  # down to the thresholds' buttons


def walk_check() -> Path:
    """Return the page of ``check`` on the data of the walk, with a few faults planted."""
    place = walk("out/report.html").parents[1]
    page, faulty = place / "check.html", place / "faulty"
    if not page.is_file():
        shutil.rmtree(faulty, ignore_errors=True)
        shutil.copytree(place / "data", faulty)
        clips = sorted((faulty / "go").iterdir())
        shutil.copy(clips[0], faulty / "no" / clips[0].name)  # the same sound under two labels
        for clip in clips[1:4]:
            samples, rate = soundfile.read(clip)
            soundfile.write(clip, 0 * samples, rate)
        samples, rate = soundfile.read(clips[4])
        soundfile.write(clips[4], np.clip(30 * samples, -1, 1), rate)
        clips[5].write_bytes(b"no recording")
        _run_in(place, "check faulty --html check.html --max-bad 1", check=False)  # faulty: exit 1
    return page


def _run_in(place: Path, line: str, check: bool = True) -> None:
    subprocess.run([sys.executable, "-m", "speechcls", *line.split()], cwd=place, check=check)


def walk_compare() -> Path:
    """Return the page that compares the model of the walk with a small one."""
    place = walk("out/report.html").parents[1]
    page = place / "compared" / "compare.html"
    if not page.is_file():
        if not (place / "models" / "gru").is_dir():
            _run_in(place, "train data --arch gru --size tiny --epochs 4 -q --out models/gru")
        _run_in(place, "compare models/data-att-bigru models/gru --data data --report compared")
    return page


def manual(page: str) -> Path:
    """Return a page of the manual, which is built first."""
    folder = SCRATCH / "manual"
    if not folder.is_dir():
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True)
    return folder / f"{page}.html"


def learnt() -> Path:
    """Return the page of an LSTM that was kept at some epochs, on a clip that it has not heard."""
    model, page = SCRATCH / "learnt", SCRATCH / "learnt.html"
    if not page.is_file():
        options = "--arch lstm --hidden-size 24 --num-layers 1 --readout last --closed --from none"
        epochs = "--epochs 12 --snapshots 1,2,4,8 --seed 0"
        if not model.is_dir():
            run("train", speech(), "--out", model, *options.split(), *epochs.split())
        run("explain", clips_of(WORD)[0], "-m", model, "--html", page)
    return page


def units() -> Path:
    """Return the page of what the units of that LSTM respond to."""
    page = SCRATCH / "units.html"
    if not page.is_file():
        learnt()
        run("explain", "--data", speech(), "-m", SCRATCH / "learnt", "--html", page)
    return page


PAGES: dict[str, Callable[[], Path]] = {
    "explain-page": lambda: walk("explain.html"),
    "explain-learnt": learnt,
    "explain-units": units,
    "manual-home": lambda: manual("index"),
    "manual-train": lambda: manual("commands/train"),
    "manual-glossary": lambda: manual("GLOSSARY"),
    "report": lambda: walk("out/report.html"),
    "check": walk_check,
    "compare": walk_compare,
}
"""What makes each page that screenshots are taken of, by their name."""
