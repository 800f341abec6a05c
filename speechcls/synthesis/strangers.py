"""Words that are none of a data set's own, spoken by synthetic voices of many languages."""

import random
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from speechcls.audio.samples import PCM
from speechcls.errors import AudioError
from speechcls.synthesis.espeak import (
    SAMPLE_RATE,
    EspeakSynthesiser,
    Voice,
    finish_clip,
    usable_variants,
)

_LANGUAGES = (
    *("en-us", "en-gb", "en-gb-scotland", "de", "fr-fr", "es", "it", "pt", "pl", "nl", "sv", "da"),
    *("nb", "fi", "hu", "ro", "cs", "tr", "id", "sw"),
)
"""Tags of languages that are written in Latin letters, so that they read syllables."""
_ONSETS = (
    *("b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z"),
    *("ch", "sh", "th", "bl", "br", "dr", "fl", "fr", "gl", "gr", "kl", "kr", "pl", "pr"),
    *("sk", "sl", "sm", "sn", "sp", "st", "str", "tr", "tw", "", "", ""),
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "oo", "ou", "ay", "ie")
_CODAS = ("", "", "", "", "n", "s", "t", "r", "l", "m", "k", "p", "d", "nd", "st", "x", "sh")
_N_SYLLABLES = (1, 1, 1, 2, 2, 2, 2, 3, 3)
_NEAR_RATIO = 0.25
"""Of the words, the ratio that is like one of the own words but for one sound."""
_EXCHANGES = ("bpdtgk", "fvszj", "lrwh", "mn")
"""Consonants of a kind; one is exchanged for one of another kind, which is heard."""
_PLAIN_VOWELS = "aeiou"


class Stranger(NamedTuple):
    """A spoken word that is none of the own words."""

    name: str
    """What was spoken by whom, as the name of a file."""
    clip: PCM
    """(n_samples,) of full scale at ``espeak.SAMPLE_RATE`` Hz, the word between short silences."""


def speak_strangers(
    n_clips: int,
    own_words: Collection[str],
    seed: int,
    longest_s: float,
    on_clip: Callable[[], None] = lambda: None,
) -> list[Stranger]:
    """Return words that nobody says, each spoken by another voice; the same for the same seed.

    A quarter of them are own words with one sound exchanged, the others are drawn from syllables.

    Parameters
    ----------
    own_words : labels, whatever they are
    longest_s : longer clips are left out, seconds
    on_clip : called after each clip

    Raises
    ------
    ConfigError
        When espeakng-loader is not installed or does not work.
    """
    synthesiser, rng = EspeakSynthesiser(), random.Random(f"strangers {seed}")
    voices = _draw_voices(synthesiser, rng)
    words = _draw_words(sorted(own_words), rng)
    made: list[Stranger] = []
    n_longest = round(longest_s * SAMPLE_RATE)
    with ThreadPoolExecutor(1) as speaker:  # in the main thread, espeak swallows Ctrl-C
        while len(made) < n_clips:
            word, voice = next(words), next(voices)
            try:
                samples = speaker.submit(synthesiser.speak, word, voice).result()
                clip = finish_clip(samples, synthesiser.sample_rate, rng)
            except AudioError:
                continue  # this voice cannot say it: another one says another word
            if len(clip) <= n_longest:
                made.append(Stranger(f"{word}-{voice.name}", clip))
                on_clip()
    return made


def _draw_voices(synthesiser: EspeakSynthesiser, rng: random.Random) -> Iterator[Voice]:
    """Yield voices of all languages without end."""
    accents = [synthesiser.accents[tag] for tag in _LANGUAGES if tag in synthesiser.accents]
    variants = usable_variants(synthesiser)
    while True:
        pitch, spread, rate_wpm = rng.randint(15, 85), rng.randint(20, 90), rng.randint(100, 220)
        yield Voice(rng.choice(accents), rng.choice(variants), pitch, spread, rate_wpm)


def _draw_words(own_words: list[str], rng: random.Random) -> Iterator[str]:
    """Yield words without end; none of them is an own word."""
    lower = [word.lower() for word in own_words]
    spoken = [word for word in lower if word.isalpha() and word.isascii() and len(word) > 1]
    while True:
        if spoken and rng.random() < _NEAR_RATIO:
            word = near_miss(rng.choice(spoken), rng)
        else:
            word = "".join(
                rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
                for _ in range(rng.choice(_N_SYLLABLES))
            )
        if word not in lower:
            yield word


def near_miss(word: str, rng: random.Random) -> str:
    """Return ``word``, of letters, with one sound exchanged for another, or one added."""
    places = list(range(len(word)))
    rng.shuffle(places)
    for place in places if rng.random() < 0.8 else ():
        letter = word[place]
        if letter in _PLAIN_VOWELS:
            others = _PLAIN_VOWELS.replace(letter, "")
        else:
            others = "".join(kind for kind in _EXCHANGES if letter not in kind)
        if letter.isalpha():
            return word[:place] + rng.choice(others) + word[place + 1 :]
    syllable = rng.choice(_ONSETS[:17]) + rng.choice(_PLAIN_VOWELS)
    return syllable + word if rng.random() < 0.5 else word + syllable
