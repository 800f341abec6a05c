"""Sounds to reject: background made of nothing, strangers' words, and both for a data set."""

import random
from collections import Counter

import numpy as np
import pytest

from speechcls.errors import ConfigError
from speechcls.labels import SILENCE, SPOKEN
from speechcls.synthesis import rejects as rejects_module
from speechcls.synthesis.environment import SOURCES, make_environment
from speechcls.synthesis.other_words import near_miss
from speechcls.synthesis.rejects import NOISE_S, make_rejects, make_test_sound
from speechcls.synthesis.strangers import speak_strangers

RATE = 16_000


def levels_db(sound):
    """Level of each second, dB of full scale."""
    seconds = sound[: len(sound) // RATE * RATE].reshape(-1, RATE)
    return 10 * np.log10(np.mean(seconds**2, axis=1) + 1e-12)


def test_an_environment_is_sound_of_many_levels():
    sound = make_environment(60.0, RATE, seed=1)
    assert (sound.dtype, sound.shape) == (np.float32, (60 * RATE,))
    assert np.abs(sound).max() <= 1
    levels = levels_db(sound)
    assert levels.min() > -70  # nowhere silent for a second
    assert -16 > levels.max() > levels.min() + 10


def test_an_environment_is_the_same_for_the_same_seed_alone():
    first, again, other = (make_environment(5.0, 8_000, seed) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.2


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_each_source_sounds_at_low_rates_too(source):
    sound = source(4_000, 4_000, np.random.default_rng(0))
    assert sound.shape == (4_000,)
    assert np.isfinite(sound).all()
    assert np.sqrt(np.mean(sound**2)) > 0


def test_a_near_miss_has_one_sound_of_another_kind():
    rng = random.Random(0)
    misses = {near_miss("tap", rng) for _ in range(300)}
    assert "tap" not in misses
    exchanged = {word for word in misses if len(word) == 3}
    assert {sum(a != b for a, b in zip(word, "tap", strict=True)) for word in exchanged} == {1}
    # t and p are of one kind, as are d and k: nobody hears which one was said for sure
    assert not {"dap", "kap", "tad", "tak"} & misses
    assert {"sap", "tip", "tam"} <= misses
    assert any(len(word) > 3 for word in misses)


@pytest.fixture(scope="module")
def spoken():
    pytest.importorskip("espeakng_loader", reason="the extra synth")
    return speak_strangers(60, ["Stop", "x1", "go"], seed=5, longest_s=0.8)


def test_strangers_say_no_own_word_and_are_no_longer_than_asked(spoken):
    assert len(spoken) == 60
    words = [stranger.name.partition("-")[0] for stranger in spoken]
    assert not {"stop", "go", "x1"} & set(words)
    assert len(set(words)) > 50
    assert len({stranger.name for stranger in spoken}) == 60
    assert max(len(stranger.clip) for stranger in spoken) <= round(0.8 * RATE)
    assert min(np.abs(stranger.clip).max() for stranger in spoken) > 3_000


def test_strangers_are_the_same_for_the_same_seed(spoken):
    again = speak_strangers(10, ["Stop", "x1", "go"], seed=5, longest_s=0.8)
    assert [s.name for s in again] == [s.name for s in spoken[:10]]
    assert all(np.array_equal(a.clip, b.clip) for a, b in zip(again, spoken, strict=False))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(rejects_module, "_N_VALIDATION", 5)
    monkeypatch.setattr(rejects_module, "_N_TEST_WORDS", 4)
    monkeypatch.setattr(rejects_module, "_TEST_S", 6.0)


def test_rejects_of_a_data_set(few):
    pytest.importorskip("espeakng_loader", reason="the extra synth")
    made = make_rejects(["yes", "no"], 8_000, seed=0, n_spoken=12)
    counts = Counter((example.label, example.split) for example in made.clips.examples)
    assert counts == {(SPOKEN, "train"): 12, (SPOKEN, "validation"): 5, (SILENCE, "validation"): 75}
    assert made.clips.sample_rate == 8_000
    assert len(set(made.clips.digests)) == len(made.clips.digests)
    lengths = made.clips.lengths
    assert len(made.noise) == NOISE_S * 8_000
    assert lengths.sum() == len(made.clips.samples)
    assert set(lengths[-75:].tolist()) == {8_000}
    # in training and validation other words by other voices
    names = [str(example.path.name) for example in made.clips.examples]
    train, validation = (
        {name.rpartition("-")[0] for name in part} for part in (names[:12], names[12:17])
    )
    assert not train & validation


def test_without_a_synthesiser_there_is_background_and_a_warning(few, monkeypatch):
    def refuse(*_):
        raise ConfigError("espeak-ng: not installed")

    monkeypatch.setattr(rejects_module, "speak_strangers", refuse)
    warnings = []
    made = make_rejects(["yes"], RATE, seed=0, on_warning=warnings.append)
    assert {example.label for example in made.clips.examples} == {SILENCE}
    assert warnings == ["no words to reject are spoken: espeak-ng: not installed"]
    assert len(make_test_sound(["yes"], RATE)) == (20 + 6 + 3 * 10) * RATE


def test_the_test_sound_has_silence_noise_and_strangers(few):
    pytest.importorskip("espeakng_loader", reason="the extra synth")
    sound = make_test_sound(["yes", "no"], RATE)
    assert sound.tobytes() == make_test_sound(["no", "yes"], RATE).tobytes()
    assert not sound[: 20 * RATE].any()
    white = levels_db(sound[26 * RATE :])[:30]
    expected = 20 * np.log10([0.003, 0.03, 0.3])
    np.testing.assert_allclose(white.reshape(3, 10).mean(axis=1), expected, atol=0.6)
    assert len(sound) > (20 + 6 + 30) * RATE + 4 * RATE // 2
    assert np.abs(sound[56 * RATE :]).max() > 0.1
