"""Sounds that a recogniser is to reject, made for a training: strangers' words and background."""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from speechcls.artifact.format import SplitRow
from speechcls.audio.samples import PCM, Samples, resample, to_float, to_pcm
from speechcls.config import TrainConfig
from speechcls.data.clips import ClipStore, digest_of
from speechcls.data.corpus import Rejects
from speechcls.errors import ConfigError
from speechcls.labels import SILENCE, SPOKEN
from speechcls.layouts.examples import Example
from speechcls.synthesis.environment import make_environment
from speechcls.synthesis.espeak import SAMPLE_RATE
from speechcls.synthesis.strangers import speak_strangers

NOISE_S = 90.0
"""Length of the background that is made for training, seconds."""
_N_VALIDATION = 150
"""Strangers' words for validation, of other words and voices."""
_N_SILENT = 75
"""Cuts of other background for validation."""
_LONGEST_S = 1.5
_TEST_S, _N_TEST_WORDS, _TEST_SEED = 120.0, 90, 777_777
_MADE = Path("made by speechcls")
"""Where the names of made sounds begin in ``split.csv``."""


def make_rejects(
    own_words: Collection[str],
    sample_rate: int,
    seed: int,
    on_warning: Callable[[str], None] = lambda text: None,
    n_spoken: int = TrainConfig.n_spoken,
) -> Rejects:
    """Return sounds that are none of the own words; the same for the same words and seed.

    Parameters
    ----------
    own_words : labels of the data set
    sample_rate : Hz
    on_warning : called where there is no synthesiser, so that there are no spoken words
    n_spoken : strangers' words for training
    """
    made: list[tuple[Example, PCM]] = []
    for number, (split, n_clips) in enumerate(
        {"train": n_spoken, "validation": _N_VALIDATION}.items()
    ):
        try:
            spoken = speak_strangers(n_clips, own_words, 2 * seed + number, _LONGEST_S)
        except ConfigError as error:
            on_warning(f"no words to reject are spoken: {error}")
            break
        made += [
            (_example(f"{stranger.name}-{i}", SPOKEN, split), _at_rate(stranger.clip, sample_rate))
            for i, stranger in enumerate(spoken)
        ]
    silent = make_environment(_N_SILENT, sample_rate, seed + 1)
    for i, cut in enumerate(np.split(silent, _N_SILENT)):
        made.append((_example(f"background-{i}", SILENCE, "validation"), to_pcm(cut)))
    noise = make_environment(NOISE_S, sample_rate, seed)
    return Rejects(_as_store(made, sample_rate), noise)


def count_rejects(rows: Iterable[SplitRow]) -> int:
    """Return how many of the clips are made, to be rejected."""
    return sum(Path(row.path).parts[:1] == _MADE.parts for row in rows)


def make_test_sound(own_words: Collection[str], sample_rate: int) -> Samples:
    """Return five minutes of sound (n_samples,) without any of the own words; the same each time.

    Background, white noise, digital silence and, where there is a synthesiser, strangers' words
    with pauses: none of it is part of what ``make_rejects`` returns.

    Parameters
    ----------
    own_words : labels of the data set
    sample_rate : Hz
    """
    generator, seed = np.random.default_rng(_TEST_SEED), _TEST_SEED
    parts = [make_environment(_TEST_S, sample_rate, seed)]
    for level in (0.003, 0.03, 0.3):
        white = generator.standard_normal(10 * sample_rate, dtype=np.float32)
        parts.append(np.float32(level) * white)
    with suppress(ConfigError):
        for stranger in speak_strangers(_N_TEST_WORDS, own_words, seed, _LONGEST_S):
            word = to_float(_at_rate(stranger.clip, sample_rate))
            pause = round(generator.uniform(0.3, 1.0) * sample_rate)
            parts += [word, np.zeros(pause, dtype=np.float32)]
    sound = np.concatenate(parts)
    sound += np.float32(1e-3) * generator.standard_normal(len(sound), dtype=np.float32)
    silence = np.zeros(20 * sample_rate, dtype=np.float32)
    return np.concatenate([silence, np.clip(sound, -1.0, 1.0)])


def _example(name: str, label: str, split: str) -> Example:
    return Example(_MADE / name, label, None, split)


def _at_rate(clip: PCM, sample_rate: int) -> PCM:
    if sample_rate == SAMPLE_RATE:
        return clip
    samples: Samples = resample(to_float(clip), SAMPLE_RATE, sample_rate)
    return to_pcm(samples)


def _as_store(made: list[tuple[Example, PCM]], sample_rate: int) -> ClipStore:
    """Return examples and their sound (n,) as a store of clips."""
    lengths = np.array([len(clip) for _, clip in made], dtype=np.int64)
    return ClipStore(
        [example for example, _ in made],
        np.concatenate([clip for _, clip in made]),
        np.cumsum(lengths) - lengths,
        lengths,
        np.ones(len(made), dtype=np.float32),
        [digest_of(clip) for _, clip in made],
        [()] * len(made),
        sample_rate,
        [],
    )
