"""Background sound without a word in it, made of nothing: wind, hum, knocks, notes."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from speechcls.audio.samples import Samples

_SCENE_S = 3.0, 8.0
"""Shortest and longest scene, seconds."""
_LEVEL_DB = -45.0, -18.0
"""Level of the quietest and the loudest scene, dB of full scale."""
_SLOPES = -1.0, 2.0
"""Power of noise falls with frequency to a power between these: from blue to brown."""

Scene = npt.NDArray[np.float64]


def make_environment(duration_s: float, sample_rate: int, seed: int) -> Samples:
    """Return background sound (n_samples,) float32 in [-1, 1]: one scene after the other.

    A scene is a mixture of one to three sources at random levels. The same seed gives the same
    sound.

    Parameters
    ----------
    duration_s : length, seconds
    sample_rate : Hz
    """
    generator = np.random.default_rng([seed, sample_rate])
    n_samples = round(duration_s * sample_rate)
    scenes, n_made = [], 0
    while n_made < n_samples:
        n_scene = round(generator.uniform(*_SCENE_S) * sample_rate)
        scenes.append(_make_scene(n_scene, sample_rate, generator))
        n_made += n_scene
    return np.concatenate(scenes)[:n_samples].astype(np.float32)


def _make_scene(n_samples: int, rate: int, generator: np.random.Generator) -> Scene:
    """Return a mixture of sources (n_samples,), of a random level."""
    chosen = generator.choice(len(SOURCES), size=generator.integers(1, 4), replace=False)
    mixed = np.zeros(n_samples)
    for source in chosen:
        sound = SOURCES[source](n_samples, rate, generator)
        mixed += 10 ** (generator.uniform(-15, 0) / 20) * sound / _rms(sound)
    level = 10 ** (generator.uniform(*_LEVEL_DB) / 20)
    return np.clip(level * mixed / _rms(mixed), -1.0, 1.0)


def _rms(sound: Scene) -> float:
    return float(np.sqrt(np.mean(sound**2))) or 1.0


def _noise(n_samples: int, rate: int, generator: np.random.Generator) -> Scene:
    """Return coloured noise through a random equaliser: a fan, wind, rain, a road."""
    spectrum = np.fft.rfft(generator.standard_normal(n_samples))
    frequency = np.maximum(np.fft.rfftfreq(n_samples, 1 / rate), 20.0)
    gains_db = generator.uniform(-12, 12, 10)
    position = np.linspace(0, 9, 10)
    curve = np.interp(9 * np.sqrt(frequency / frequency[-1]), position, gains_db)
    shaped = spectrum * frequency ** (-generator.uniform(*_SLOPES) / 2) * 10 ** (curve / 20)
    return np.fft.irfft(shaped, n=n_samples)


def _gusts(n_samples: int, rate: int, generator: np.random.Generator) -> Scene:
    """Return noise that swells and fades, up to as often as syllables do: waves, rubbing."""
    n_swells = max(2, round(n_samples / rate * generator.uniform(0.5, 8.0)))
    levels_db = generator.uniform(-30, 0, n_swells)
    place = np.linspace(0, n_swells - 1, n_samples)
    return _noise(n_samples, rate, generator) * 10 ** (
        np.interp(place, np.arange(n_swells), levels_db) / 20
    )


def _hum(n_samples: int, rate: int, generator: np.random.Generator) -> Scene:
    """Return the harmonics of a low tone that wavers a little: mains, motors, fridges."""
    wavering = 1 + 0.02 * np.interp(
        np.linspace(0, 9, n_samples), np.arange(10), generator.uniform(-1, 1, 10)
    )
    phase = 2 * np.pi * np.cumsum(generator.uniform(40, 240) * wavering) / rate
    weights = generator.uniform(0, 1, 12) / np.arange(1, 13)
    return np.asarray(sum(w * np.sin(k * phase) for k, w in enumerate(weights, start=1)))


def _knocks(n_samples: int, rate: int, generator: np.random.Generator) -> Scene:
    """Return short sounds that ring out: dishes, steps, doors, keys."""
    sound = np.zeros(n_samples)
    for _ in range(max(1, round(n_samples / rate * generator.uniform(0.5, 6.0)))):
        time_s = np.arange(round(generator.uniform(0.02, 0.3) * rate)) / rate
        ring = np.zeros(len(time_s))
        for _ in range(generator.integers(1, 6)):
            decay_s = generator.uniform(0.003, 0.08)
            tone = 2 * np.pi * generator.uniform(150, min(6_000, rate / 2)) * time_s
            ring += np.exp(-time_s / decay_s) * np.sin(tone)
        ring += generator.standard_normal(len(time_s)) * np.exp(-time_s / 0.004)
        start = int(generator.integers(n_samples))
        part = ring[: n_samples - start]
        sound[start : start + len(part)] += generator.uniform(0.2, 1.0) * part
    return sound


def _notes(n_samples: int, rate: int, generator: np.random.Generator) -> Scene:
    """Return notes with harmonics, some of which glide: music, bells, signals, birds."""
    sound = np.zeros(n_samples)
    for _ in range(max(1, round(n_samples / rate * generator.uniform(1.0, 8.0)))):
        n_note = round(generator.uniform(0.08, 0.9) * rate)
        pitch = np.exp(generator.uniform(np.log(80), np.log(2_000)))
        glide = 2 ** (generator.choice([0, 0, 0.1, 0.7]) * generator.uniform(-1, 1))
        phase = 2 * np.pi * np.cumsum(np.geomspace(pitch, pitch * glide, n_note)) / rate
        n_harmonics = max(1, min(int(generator.integers(1, 9)), int(rate / 2 / pitch / 2)))
        weights = generator.uniform(0, 1, n_harmonics) / np.arange(1, n_harmonics + 1)
        note = sum(w * np.sin(k * phase) for k, w in enumerate(weights, start=1))
        envelope = np.minimum(1, np.arange(n_note) / (0.02 * rate)) * np.exp(
            -np.arange(n_note) / (generator.uniform(0.1, 1.0) * rate)
        )
        start = int(generator.integers(n_samples))
        part = (note * envelope)[: n_samples - start]
        sound[start : start + len(part)] += part
    return sound


SOURCES: tuple[Callable[[int, int, np.random.Generator], Scene], ...] = (
    _noise,
    _gusts,
    _hum,
    _knocks,
    _notes,
)
"""Each returns a sound (n_samples,) of any level."""
