"""MFCC and LogMel against librosa, on tones, noise and real speech."""

import dataclasses
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from speechcls.audio.decode import read_clip
from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError
from speechcls.features.mel import FEATURES, MFCC, LogMel

CONFIGS = {
    "default": FeatureConfig(),
    "8 kHz": FeatureConfig(
        sample_rate=8_000, n_fft=256, win_length=240, hop_length=80, n_mels=30, n_mfcc=13, fmax=4e3
    ),
    "44.1 kHz": FeatureConfig(
        sample_rate=44_100, n_fft=2_048, win_length=1_102, hop_length=441, fmax=20_000.0, fmin=0.0
    ),
    "odd window": FeatureConfig(win_length=401, n_fft=513, hop_length=123, n_mels=40, n_mfcc=40),
    "window fills the transform": FeatureConfig(win_length=512, hop_length=128),
    "high floor": FeatureConfig(power_floor=1e-3),
    "absolute": FeatureConfig(relative=False),
    "small range": FeatureConfig(range_db=20.0),
}


def librosa_log_mel(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Return (n_frames, n_mels) in dB."""
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        win_length=config.win_length,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    reference = np.maximum(power, config.power_floor).mean() if config.relative else 1.0
    level = librosa.power_to_db(power, ref=reference, amin=config.power_floor, top_db=None)
    return np.maximum(level, -config.range_db if config.relative else -np.inf).T


def librosa_mfcc(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Return (n_frames, n_mfcc)."""
    return librosa.feature.mfcc(S=librosa_log_mel(samples, config).T, n_mfcc=config.n_mfcc).T


def clips(rate: int) -> dict[str, np.ndarray]:
    """Return clips (rate,) of one second that stress the features."""
    rng = np.random.default_rng(0)
    time = np.arange(rate) / rate
    return {
        "noise": rng.standard_normal(rate) * 0.1,
        "faint noise": rng.standard_normal(rate) * 1e-4,
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time),
        "sweep": 0.9 * np.sin(2 * np.pi * (100 + 1_500 * time) * time),
        "click": np.eye(1, rate, rate // 3)[0],
        "silence": np.zeros(rate),
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_equal_to_librosa(name: str) -> None:
    config = CONFIGS[name]
    for what, clip in clips(config.sample_rate).items():
        samples = clip.astype(np.float32)
        batch = torch.from_numpy(np.stack([samples, samples[::-1]]))
        for module, oracle in ((MFCC, librosa_mfcc), (LogMel, librosa_log_mel)):
            features = module(config)(batch).numpy()
            for i, variant in enumerate((samples, samples[::-1])):
                expected = oracle(variant, config)
                np.testing.assert_allclose(features[i], expected, atol=1e-3, rtol=0, err_msg=what)


def test_equal_to_librosa_on_real_speech(shared_data: Path) -> None:
    words = shared_data / "speech-commands"
    paths = [sorted((words / word).iterdir())[i] for word in ("yes", "stop", "cat") for i in (0, 9)]
    for rate, config in ((16_000, CONFIGS["default"]), (8_000, CONFIGS["8 kHz"])):
        for path in paths:
            samples = read_clip(path, rate)
            features = MFCC(config)(torch.from_numpy(samples)[None])[0].numpy()
            expected = librosa_mfcc(samples, config)
            np.testing.assert_allclose(features, expected, atol=1e-3, rtol=0, err_msg=str(path))


@pytest.mark.parametrize("kind", FEATURES)
def test_shape_is_that_of_the_configuration(kind: str) -> None:
    config = FeatureConfig(kind=kind, duration_s=0.77)
    features = FEATURES[kind](config)(torch.zeros(3, config.n_samples))
    assert features.shape == (3, config.n_frames, config.n_features)


@pytest.mark.parametrize("kind", FEATURES)
def test_loud_and_faint_are_alike_if_relative(kind: str) -> None:
    samples = torch.from_numpy(clips(16_000)["sweep"].astype(np.float32))[None]
    samples += 0.01 * torch.randn(samples.shape, generator=torch.Generator().manual_seed(0))
    for relative in (True, False):
        module = FEATURES[kind](FeatureConfig(kind=kind, relative=relative))
        difference = (module(0.01 * samples) - module(samples)).abs().amax()
        assert difference < 1e-2 if relative else difference > 30


def test_too_many_bands_are_refused() -> None:
    config = dataclasses.replace(CONFIGS["default"], n_mels=300)
    with pytest.raises(ConfigError, match="n_mels: 300 bands are too many for n_fft 512"):
        MFCC(config)
