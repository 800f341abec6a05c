"""Training and prediction give the network the same samples of a file, whatever kind it is."""

import dataclasses

import numpy as np
import pytest
import torch
from common_training import CPU, PLAIN

from speechcls.audio.samples import PCM_SCALE, fit_length, loudest_start
from speechcls.config import FeatureConfig, TrainConfig
from speechcls.data.clips import read_example
from speechcls.data.corpus import load_corpus
from speechcls.layouts.examples import Dataset, Example
from speechcls.runtime.classifier import Classifier
from speechcls.training.batches import Batches

HALF_STEP = 0.5 / PCM_SCALE
# name: format, subtype, rate, channels, peak, duration in s (the window is 1 s)
KINDS = {
    "8 bit": ("WAV", "PCM_U8", 16_000, 1, 0.3, 0.7),
    "16 bit": ("WAV", "PCM_16", 16_000, 1, 0.3, 0.7),
    "24 bit": ("WAV", "PCM_24", 16_000, 1, 0.3, 0.7),
    "32 bit": ("WAV", "PCM_32", 16_000, 1, 0.3, 0.7),
    "float": ("WAV", "FLOAT", 16_000, 1, 0.3, 0.7),
    "double": ("WAV", "DOUBLE", 16_000, 1, 0.3, 0.7),
    "loud float": ("WAV", "FLOAT", 16_000, 1, 1.5, 0.7),
    "loud double": ("WAV", "DOUBLE", 16_000, 1, 1.5, 0.7),
    "huge float": ("WAV", "FLOAT", 16_000, 1, 7.0, 0.7),
    "full scale": ("WAV", "PCM_16", 44_100, 1, 0.999, 0.7),  # more by resampling
    "stereo": ("WAV", "PCM_16", 16_000, 2, 0.3, 0.7),
    "loud stereo": ("WAV", "FLOAT", 44_100, 2, 1.5, 0.7),
    "8 kHz": ("WAV", "PCM_16", 8_000, 1, 0.3, 0.7),
    "44.1 kHz": ("WAV", "PCM_24", 44_100, 1, 0.3, 0.7),
    "FLAC": ("FLAC", "PCM_24", 16_000, 1, 0.3, 0.7),
    "Vorbis": ("OGG", "VORBIS", 16_000, 1, 0.3, 0.7),
    "Opus": ("OGG", "OPUS", 48_000, 2, 0.3, 0.7),
    "MP3": ("MP3", "MPEG_LAYER_III", 44_100, 1, 0.9, 0.7),
    "as the window": ("WAV", "PCM_24", 16_000, 1, 0.3, 1.0),
    "long": ("WAV", "PCM_24", 16_000, 1, 0.3, 1.6),
    "long 16 bit": ("WAV", "PCM_16", 16_000, 1, 0.3, 1.6),
    "long and loud": ("WAV", "FLOAT", 44_100, 2, 1.5, 1.6),
    "long MP3": ("MP3", "MPEG_LAYER_III", 44_100, 1, 0.9, 1.6),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))


def write_kinds(folder, write_wav, rng):
    """Write a recording of each kind: noise that swells and fades, with silence around it."""
    examples = []
    for i, (kind, about) in enumerate(KINDS.items()):
        format, subtype, rate, n_channels, peak, duration_s = about
        n = round(rate * duration_s)
        sound = rng.standard_normal((n, n_channels)) * np.hanning(n)[:, None] ** 2
        sound[: n // 8] = sound[-n // 8 :] = 0
        if kind == "full scale":
            sound = np.sign(np.sin(np.arange(n) / rng.uniform(15, 25)))[:, None]
        sound *= peak / np.abs(sound).max()
        path = folder / f"{i:02}.{format.lower()}"
        write_wav(path, sound, rate=rate, format=format, subtype=subtype)
        examples.append(Example(path, "yes" if i % 2 else "no", split="train"))
    return examples


@pytest.fixture
def examples(tmp_path, write_wav, rng):
    training = write_kinds(tmp_path / "data", write_wav, rng)
    held_out = write_kinds(tmp_path / "held-out", write_wav, rng)
    return training + [dataclasses.replace(e, split="validation") for e in held_out]


def test_a_batch_without_augmentation_is_what_the_classifier_has(tmp_path, examples):
    classifier = Classifier.load("commands")
    corpus = load_corpus(Dataset(tmp_path, examples), FeatureConfig(), duration_s=1.0)
    assert corpus.bad == []
    batches = Batches(corpus, TrainConfig(batch_size=64, **PLAIN), CPU)
    [(samples, _)] = list(batches.training_samples(1))
    left = list(samples.numpy())
    for kind, example in zip(KINDS, examples, strict=False):
        predicted = classifier.read_window(example.path).samples
        differences = [float(np.abs(window - predicted).max()) for window in left]
        best = int(np.argmin(differences))
        peak = max(1.0, float(np.abs(predicted).max()))
        assert differences[best] <= 1.01 * HALF_STEP * peak, kind
        left.pop(best)
    assert left == []


def test_every_other_reader_has_the_samples_of_training(tmp_path, examples):
    corpus = load_corpus(Dataset(tmp_path, examples), FeatureConfig(), duration_s=1.0)
    samples = corpus.samples(np.arange(len(examples)))
    for i, example in enumerate(examples):
        clip = read_example(example, 16_000)
        assert clip.digest == corpus.rows[i].digest
        assert np.array_equal(fit_length(clip.samples, 16_000), samples[i])


def test_peaks_above_full_scale_reach_training(tmp_path, examples):
    corpus = load_corpus(Dataset(tmp_path, examples), FeatureConfig(), duration_s=1.0)
    peaks = dict(zip(KINDS, np.abs(corpus.samples(np.arange(len(KINDS)))).max(axis=1), strict=True))
    assert peaks["loud float"] == pytest.approx(1.5, abs=1e-4)
    assert peaks["huge float"] == pytest.approx(7.0, abs=1e-3)
    assert peaks["float"] == pytest.approx(0.3, abs=1e-4)
    scales = dict(zip(KINDS, corpus.scales.tolist(), strict=False))
    assert [kind for kind in KINDS if scales[kind] == 1] == [
        kind for kind in KINDS if peaks[kind] <= 1
    ]
    assert 1 < scales["full scale"] < 1.3
    # 1.5 * 32768 / 32767, in which the loudest sample is the largest integer.
    assert scales["loud float"] == pytest.approx(1.500045778, rel=1e-6)


def test_validation_clips_are_scaled_too(tmp_path, examples):
    corpus = load_corpus(Dataset(tmp_path, examples), FeatureConfig(), duration_s=1.0)
    batches = Batches(corpus, TrainConfig(batch_size=64, **PLAIN), CPU)
    chosen = np.flatnonzero(corpus.split == "validation")
    [(features, _)] = list(batches.validation())
    expected = batches._features(torch.from_numpy(corpus.samples(chosen)))
    torch.testing.assert_close(features, expected)
    clipped = batches._features(torch.from_numpy(corpus.samples(chosen).clip(-1, 1)))
    assert not torch.allclose(features, clipped, atol=1e-2)


def test_the_loudest_window_starts_at_one_place_for_floats_and_integers(rng):
    """In digital silence around a word many windows are equally loud, but for rounding."""
    for _ in range(50):
        samples = np.zeros(3_000, np.float32)
        samples[1_200:1_700] = rng.uniform(-0.3, 0.3, 500)
        samples += rng.uniform(-1e-6, 1e-6, 3_000).astype(np.float32)
        clip = np.rint(samples * 32_768).astype(np.int16)
        assert loudest_start(samples, 1_000) == loudest_start(clip, 1_000) == 700
