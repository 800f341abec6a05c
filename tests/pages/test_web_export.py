"""``speechcls export --to web`` in a real browser: files and a microphone, against Python."""

import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from common_pages import another, fits, page_in, serious_findings

from speechcls.artifact.store import load_artifact
from speechcls.deployment.web import PACKAGE, VERSION
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.stream import PosteriorStream
from speechcls.runtime.streaming import StreamingClassifier
from speechcls.synthesis.espeak import EspeakSynthesiser, Voice, finish_clip

# What the page draws and what its microphone gives, as they come.
RECORD = """
window.drawn = [], window.heard = [];
const value = Object.getOwnPropertyDescriptor(HTMLMeterElement.prototype, "value");
Object.defineProperty(HTMLMeterElement.prototype, "value", {
  ...value, set(x) { value.set.call(this, x); window.drawn.push(x); },
});
window.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(...given) {
    super(...given);
    this.port.addEventListener("message", ({ data }) => window.heard.push(...data));
  }
};
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The unpacked npm package that runs the graphs: ``$ONNXRUNTIME_WEB``, else from npm."""
    if named := os.environ.get("ONNXRUNTIME_WEB"):
        return Path(named)
    if shutil.which("npm") is None:
        pytest.skip(f"no npm to get {PACKAGE} by, and no $ONNXRUNTIME_WEB")
    folder = tmp_path_factory.mktemp("engine")
    command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm gives no {PACKAGE}@{VERSION} here: {done.stderr.strip()[:200]}")
    with tarfile.open(folder / f"{PACKAGE}-{VERSION}.tgz") as packed:
        packed.extractall(folder, filter="data")
    return folder / "package"


@contextmanager
def served(folder, model, *options):
    """Export a model and serve the folder as its README says; yield the address."""
    command = ["-m", "speechcls", "export", model, "--to", "web", "--out", folder, *options]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]
    # A file for what it says of requests: a pipe that nobody reads would fill up.
    with (
        folder.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
        finally:
            server.terminate()


@pytest.fixture(scope="module", params=["commands-tiny", "commands-stream"])
def page_of(request, engine, tmp_path_factory):
    """A model of whole clips and one of streams: its name, and the address of its page."""
    folder = tmp_path_factory.mktemp("web") / "page"
    with served(folder, request.param, "--runtime", engine) as address:
        yield request.param, address


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Words of a voice: one shorter than a window, one longer, and one of two channels."""
    speaker, folder = EspeakSynthesiser(), tmp_path_factory.mktemp("clips")
    paths = {}
    for word, pause, n_channels in (("yes", 0, 1), ("no", 9_000, 1), ("left", 2_000, 2)):
        spoken = speaker.speak(word, Voice("en", "f5", 50, 50, 160))
        said = finish_clip(spoken, speaker.sample_rate, random.Random(1))
        said = np.pad(said, (pause, pause))[:, None] // np.array([1, 2])[:n_channels]
        noise = np.random.default_rng(0).integers(-30, 30, said.shape)
        paths[word] = folder / f"{word} & co.wav"
        soundfile.write(paths[word], (said + noise).clip(-32768, 32767).astype(np.int16), 16_000)
    return paths


def wait_until(page, condition, timeout_s=30):
    """Wait for a condition of JavaScript; the page's policy forbids Playwright's own way."""
    end = time.monotonic() + timeout_s
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def wait_until_ready(page):
    page.get_by_role("status").get_by_text("Ready.", exact=True).wait_for()


def words_of(page):
    """The lines of the page's log, the newest first."""
    return page.locator("#words li").all_text_contents()


def test_a_recording_gets_the_probabilities_of_the_model(browser, page_of, clips):
    model, address = page_of
    classifier = Classifier.load(model)
    with page_in(browser, address) as page:
        wait_until_ready(page)
        for path in clips.values():
            expected = classifier.predict(path)
            before = len(words_of(page))
            page.get_by_label("or recordings").set_input_files(path)
            page.locator("#words li").nth(before).wait_for()
            line = f"{path.name}  {expected.label}  {expected.probability:.2f}"
            assert words_of(page)[0] == line
            script = "[...document.querySelectorAll('meter')].map((m) => [m.ariaLabel, m.value])"
            found = dict(page.evaluate(script))
            assert found == pytest.approx(expected.probabilities, abs=1e-4)


def test_the_microphone_gets_the_probabilities_and_words_of_the_model(browser, page_of, clips):
    model, address = page_of
    artifact = load_artifact(model)
    flags = (
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
        f"--use-file-for-fake-audio-capture={clips['no']}",
    )
    with another(browser, *flags) as listening, page_in(listening, address) as page:
        page.add_init_script(RECORD)
        page.reload()
        wait_until_ready(page)
        page.get_by_role("button", name="Listen").dblclick()  # begins once
        page.get_by_role("status").get_by_text("Listening. The sound stays").wait_for()
        wait_until(page, "window.heard.length > 6 * 16000")
        page.get_by_role("button", name="Stop").click()
        wait_until_ready(page)
        block = PosteriorStream(artifact).every_s * artifact.features.sample_rate
        n_drawn = f"{len(artifact.labels)} * Math.floor(window.heard.length / {block:.0f})"
        wait_until(page, f"window.drawn.length === {n_drawn}")
        drawn, heard = page.evaluate("[window.drawn, window.heard]")
        lines = words_of(page)
    samples = np.array(heard, np.float32)
    assert np.abs(samples).max() > 0.1
    rows = np.reshape(drawn, (-1, len(artifact.labels)))
    expected = PosteriorStream(artifact).feed(samples).probabilities
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    events = StreamingClassifier(artifact).feed(samples)
    assert len(events) >= 2 and {event.label for event in events} == {"no"}
    assert {line.split()[2] for line in lines} == {"no"}
    # the last word may be complete for one and not yet for the other, which wait differently
    assert abs(len(lines) - len(events)) <= 1


def test_the_page_is_for_everybody_on_every_screen(browser, page_of, clips):
    _, address = page_of
    for size, scheme in (("phone", "light"), ("phone", "dark"), ("desktop", "dark")):
        with page_in(browser, address, size, scheme) as page:
            wait_until_ready(page)
            page.get_by_label("or recordings").set_input_files(list(clips.values()))
            page.locator("#words li").nth(len(clips) - 1).wait_for()
            assert serious_findings(page) == []
            assert fits(page)
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.id") == "listen"


def test_what_the_page_cannot_do_it_says(browser, page_of, tmp_path):
    _, address = page_of
    (tmp_path / "notes.txt").write_text("no sound")
    with page_in(browser, address) as page:  # of a browser without any microphone
        wait_until_ready(page)
        page.get_by_role("button", name="Listen").click()
        page.get_by_role("status").get_by_text("No microphone: ").wait_for()
        assert page.get_by_role("button", name="Listen").is_visible()
        page.get_by_label("or recordings").set_input_files(tmp_path / "notes.txt")
        page.locator("#words li").first.wait_for()
        assert words_of(page)[0].startswith("notes.txt  not readable (")


def test_a_page_without_its_engine_says_what_it_lacks(browser, tmp_path):
    lacks = "onnxruntime-web is missing in the folder ort/; README.md says how to get it."
    with (
        served(tmp_path / "page", "commands-tiny") as address,
        pytest.raises(AssertionError, match="404"),  # in the console too
        page_in(browser, address) as page,
    ):
        page.get_by_role("status").get_by_text(lacks).wait_for()
        assert page.get_by_role("button", name="Listen").is_disabled()
