"""Words that nobody says, for a synthesiser to speak: what a recogniser is to reject."""

import random
from collections.abc import Iterator

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


def draw_words(own_words: list[str], rng: random.Random) -> Iterator[str]:
    """Yield words that nobody says, without end; none of them is an own word.

    A quarter of them are own words with one sound exchanged, the others are drawn from syllables.

    Parameters
    ----------
    own_words : labels, whatever they are
    """
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
