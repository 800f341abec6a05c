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
from speechcls.synthesis.other_words import draw_words

_LANGUAGES = (
    *("en-us", "en-gb", "en-gb-scotland", "de", "fr-fr", "es", "it", "pt", "pl", "nl", "sv", "da"),
    *("nb", "fi", "hu", "ro", "cs", "tr", "id", "sw"),
)
"""Tags of languages that are written in Latin letters, so that they read syllables."""


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
    words = draw_words(sorted(own_words), rng)
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
