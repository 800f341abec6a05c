"""An output format that is registered is one of the command: in its help, its checks, its output.

What is added here is all that it takes: a function, and a line in a table of ``writers``.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

ADDED = """
from speechcls.runtime import writers

def shout(stream, top_k):
    return lambda path, prediction: print(f"{prediction.label.upper()}!", file=stream)

def markdown(stream):
    return lambda path, event: print(f"* **{event.label}** at {event.start_s:.1f} s", file=stream)

def bare(stream):
    return lambda event, reported_s: print(event.label, file=stream)

writers.PREDICTION_FORMATS["shout"] = writers.Format(shout, "in capitals")
writers.EVENT_FORMATS["markdown"] = writers.Format(markdown, "a list", single_recording=True)
writers.LIVE_FORMATS["bare"] = writers.Format(bare)
"""
RUN = "import sys, added; from speechcls.cli.app import main; sys.exit(main())"


@pytest.fixture
def run_with_formats(tmp_path, request):
    """Run the command line in a process in which formats are added before it starts."""
    (tmp_path / "added.py").write_text(ADDED)
    paths = os.pathsep.join([str(tmp_path), str(request.config.rootpath)])

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def recording(tmp_path, make_running):
    soundfile.write(tmp_path / "a.wav", make_running([(1.0, "low"), (2.5, "high")], 4.0), 16_000)
    return tmp_path / "a.wav"


JSONL = "jsonl (one JSON object per line)"


@pytest.mark.parametrize(
    ("command", "help_text", "refusal"),
    [
        ("predict", f"tsv, csv (with a header), {JSONL} or shout (in capitals).",
         "no 'xml'; there are tsv, csv, jsonl, shout"),
        ("detect", f"tsv, csv, {JSONL}, audacity (a label track), srt (subtitles) or markdown (a",
         "no 'xml'; there are tsv, csv, jsonl, audacity, srt, markdown"),
        ("listen", f"tsv, {JSONL} or bare.", "no 'xml'; there are tsv, jsonl, bare"),
    ],
)  # fmt: skip
def test_help_and_checks_know_it(command, help_text, refusal, run_with_formats):
    code, stdout, _ = run_with_formats(command, "--help")
    assert code == 0
    assert help_text in " ".join(stdout.split())
    code, stdout, stderr = run_with_formats(command, "-", "--format", "xml")
    assert (code, stdout) == (2, "")
    assert refusal in stderr


def test_predict_writes_it(run_with_formats, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    code, stdout, stderr = run_with_formats(
        "predict", tmp_path / "silence.wav", "-m", "commands", "--format", "shout"
    )
    assert (code, stdout) == (0, "_SILENCE_!\n"), stderr


def test_detect_and_listen_write_it(run_with_formats, recording, hearer):
    options = ("-m", hearer, "--threshold", "0.6")
    code, stdout, stderr = run_with_formats("detect", recording, *options, "--format", "markdown")
    assert code == 0, stderr
    assert [line.split(" at ")[0] for line in stdout.splitlines()] == ["* **low**", "* **high**"]
    code, _, stderr = run_with_formats(
        "detect", recording, recording, *options, "--format", "markdown"
    )
    assert (code, "describes one recording" in stderr) == (2, True)
    source = ("--from", recording, "--speed", "0")
    code, stdout, stderr = run_with_formats("listen", *source, *options, "--format", "bare")
    assert (code, stdout) == (0, "low\nhigh\n"), stderr
