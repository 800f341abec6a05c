"""What ``docs/RESULTS.md`` shows of a trained model, measured on the exported graph."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from sklearn.metrics import roc_auc_score
from stream_accuracy import windows_of

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.format import ONNX, SplitRow
from speechcls.artifact.store import load_split
from speechcls.audio.decode import read_clip
from speechcls.data.background import split_range
from speechcls.labels import NOISE_FOLDER, SILENCE, UNKNOWN, is_command, map_label
from speechcls.layouts.examples import Dataset, Example
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.detection import DEFAULT_THRESHOLD
from speechcls.runtime.session import open_session

SNRS_DB = (0, 5, 10, 20)
N_VOICES = 20
"""Recordings of other words that are mixed into babble."""
LOST = (0.01, 0.05)
"""Ratios of lost commands at which it is told how many left-out words are accepted."""
HOUR_SNR_DB = 10

Probabilities = npt.NDArray[np.float32]


def rejection_of(
    classifier: Classifier, dataset: Dataset, left_out: Collection[str], data: Path
) -> dict[str, Any]:
    """Return how words that no training had are told from commands.

    ``recall``: of ``_unknown_`` on them; ``accepted``: taken for a command, by the likeliest label
    alone and at the thresholds of detection; ``auroc``: of the probability of the likeliest command
    in validation clips of commands that are right, and in them; ``at_lost``: accepted where as many
    of the commands are lost.
    """
    labels = classifier.labels
    commands = [i for i, label in enumerate(labels) if is_command(label)]
    unseen = [example for example in dataset.examples if example.label in left_out]
    others = classifier.probabilities(windows_of(classifier, unseen))
    rows = [row for row in validation_rows(classifier, data) if row.label in labels]
    known = [Example(data / row.path, row.label, None) for row in rows]
    own = classifier.probabilities(windows_of(classifier, known))
    truth = np.array([labels.index(row.label) for row in rows])
    right = np.where(own.argmax(axis=1) == truth, own[np.arange(len(truth)), truth], 0.0)
    wrong = others[:, commands].max(axis=1)
    calibration = load_calibration(classifier.artifact)
    thresholds = calibration.thresholds if calibration else {}
    limits = np.array([thresholds.get(labels[i], DEFAULT_THRESHOLD) for i in commands])
    is_accepted = np.isin(others.argmax(axis=1), commands)
    return {
        "recall": float((others.argmax(axis=1) == labels.index(UNKNOWN)).mean()),
        "accepted": float(is_accepted.mean()),
        "accepted_at_threshold": float((others[:, commands] >= limits).any(axis=1).mean()),
        "auroc": float(roc_auc_score([1] * len(right) + [0] * len(wrong), [*right, *wrong])),
        "at_lost": {str(lost): float((wrong >= np.quantile(right, lost)).mean()) for lost in LOST},
    }


def validation_rows(classifier: Classifier, data: Path) -> list[SplitRow]:
    """Return the validation clips of the data that are words."""
    rows = [row for row in load_split(classifier.artifact) if row.split == "validation"]
    return [row for row in rows if row.label != SILENCE and (data / row.path).is_file()]


def mixed_hour(model: Path, data: Path) -> dict[str, Any]:
    """Return what is found in an hour of validation words mixed into background of no training."""
    program = str(Path(sys.executable).with_name("speechcls"))
    with tempfile.TemporaryDirectory(prefix="speechcls-") as scratch:
        noise, mixed = Path(scratch, "noise"), Path(scratch, "mixed")
        noise.mkdir()
        for path in sorted((data / NOISE_FOLDER).glob("*.*")):
            if path.suffix in (".wav", ".flac"):
                write_held_out(path, noise / f"{path.stem}.wav")
        mix = ["mix", str(data), "--noise", str(noise), "--minutes", "60", "--seed", "1"]
        mix += ["--snr", str(HOUR_SNR_DB), "--out", str(mixed), "-m", str(model), "--quiet"]
        commands = [label for label in Classifier.load(model).labels if label[0] != "_"]
        mix += ["--commands", ",".join(commands)]
        subprocess.run([program, *mix], check=True, stdout=subprocess.DEVNULL)
        score = ["evaluate", "--stream", str(mixed / "recording.wav"), "-m", str(model), "--json"]
        score += ["--truth", str(mixed / "truth.csv")]
        done = subprocess.run([program, *score], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    told = ("hours", "words", "miss_rate", "confused", "false_alarms", "thresholds")
    return {name: found[name] for name in told}


def write_held_out(source: Path, target: Path) -> None:
    """Write the part of a recording of background that no training uses."""
    samples, rate = soundfile.read(source, dtype="int16")
    first_s, _ = split_range(len(samples) / rate, "validation")
    soundfile.write(target, samples[round(first_s * rate) :], rate)


def accuracy_in_babble(classifier: Classifier, data: Path, babble: Path) -> dict[str, float]:
    """Return the balanced accuracy on validation words in babble, by signal-to-noise ratio in dB.

    The babble is of another data set. Silence is left out, since it has no level.
    """
    rows = validation_rows(classifier, data)
    examples = [Example(data / row.path, row.label, None, None, 0.0, None, 1.0) for row in rows]
    windows = windows_of(classifier, examples)
    truth = np.array(
        [classifier.labels.index(str(map_label(row.label, classifier.labels))) for row in rows]
    )
    generator = np.random.default_rng(0)
    voices = [read_clip(path, classifier.sample_rate) for path in sorted(babble.rglob("*.wav"))]
    voices = [voice / np.sqrt(np.mean(voice**2)) for voice in voices]
    noise = np.zeros_like(windows)
    for clip in noise:
        for chosen in generator.integers(len(voices), size=N_VOICES):
            start = generator.integers(len(clip))
            voice = voices[chosen][: len(clip) - start]
            clip[start : start + len(voice)] += voice
    power, noise_power = (np.mean(x**2, axis=1, keepdims=True) for x in (windows, noise))
    accuracy = {}
    for snr_db in SNRS_DB:
        gain = np.sqrt(power / noise_power) / 10 ** (snr_db / 20)
        noisy = (windows + gain * noise).astype(np.float32)
        predicted = classifier.probabilities(noisy).argmax(axis=1)
        recalls = [(predicted == truth)[truth == label].mean() for label in np.unique(truth)]
        accuracy[str(snr_db)] = float(np.mean(recalls))
    return accuracy


def ms_per_clip(classifier: Classifier) -> float:
    """Return the median time of one clip from samples to probabilities on one thread."""
    session = open_session(classifier.artifact.path / ONNX)
    samples = np.zeros((1, classifier.artifact.features.n_samples), np.float32)
    times = []
    for _ in range(60):
        started = time.perf_counter()
        session.run(None, {"samples": samples})
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[10:])
