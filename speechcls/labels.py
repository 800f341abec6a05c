"""Reserved labels, which word counts as which label, and how the files of clips are named."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from speechcls.errors import DatasetError

UNKNOWN = "_unknown_"
"""Label of words that are none of the commands."""
SCRAMBLED = "_scrambled_"
"""Output of a network for sounds that are pieced together from words; it counts as unknown."""
SPOKEN = "_spoken_"
"""Output of a network for words of synthetic voices, made for rejection; it counts as unknown."""
SILENCE = "_silence_"
"""Label of clips without speech."""
UNCERTAIN = "_uncertain_"
"""Prediction below the decision threshold; never a label of a model."""
NOISE_FOLDER = "_background_noise_"
"""Folder of background recordings, and their label in a manifest; they are no clips."""
SPEAKER_END = "_nohash_"
"""Separator of speaker and take in the name of a clip, as in Speech Commands."""
_N_NAMED = 10
"""Names in a message before the others are counted."""


def name_take(speaker: str, take: int) -> str:
    """Return the name of a clip without its ending; ``speaker_of`` is its inverse."""
    return f"{speaker}{SPEAKER_END}{take}"


def speaker_of(file_name: str) -> str | None:
    """Return the speaker in the name of a clip, ``<speaker>_nohash_<take>.wav``; None without."""
    speaker, separator, _ = file_name.partition(SPEAKER_END)
    return speaker if separator and speaker else None


def list_names(names: Collection[str]) -> str:
    """Return the first ten names, sorted, and how many more there are."""
    first, n_more = sorted(names)[:_N_NAMED], len(set(names)) - _N_NAMED
    return ", ".join(first) + (f" and {n_more} more" if n_more > 0 else "")


def choose_labels(
    found: set[str], commands: Sequence[str], has_noise: bool, rejects: bool = False
) -> list[str]:
    """Return the labels of a model for this data, in the order of its probabilities.

    Without ``commands`` these are the labels found, sorted; with them the commands as given. Then
    come ``_unknown_`` where there are other words, and ``_silence_`` where there is background
    noise.

    Parameters
    ----------
    rejects : whether there are ``_unknown_`` and ``_silence_`` in any case

    Raises
    ------
    DatasetError
        When a command does not occur, or fewer than two labels are left.
    """
    special = {UNKNOWN, SILENCE}
    if commands:
        if missing := [command for command in commands if command not in found]:
            raise DatasetError(
                f"no label {', '.join(missing)} in the data; it has {', '.join(sorted(found))}",
                field="commands",
            )
        labels = [command for command in dict.fromkeys(commands) if command not in special]
        has_others = bool(found - special - set(labels)) or UNKNOWN in found
    else:
        labels, has_others = sorted(found - special), UNKNOWN in found
    if has_others or rejects:
        labels.append(UNKNOWN)
    if has_noise or rejects or SILENCE in found:
        labels.append(SILENCE)
    if len(labels) < 2:
        raise DatasetError(
            f"only one label ({', '.join(labels)}); a recogniser needs two or more:"
            " add a folder with another word, or one named _unknown_ with other sounds"
        )
    return labels


def is_reserved(word: str) -> bool:
    """Whether a name stands for sounds of a kind, and not for a word."""
    return word.startswith("_")


def is_command(label: str) -> bool:
    """Whether a label of a model is neither ``_unknown_`` nor ``_silence_``.

    Data may name a label as it likes, so one that begins with ``_`` is a command as well.
    """
    return label not in (UNKNOWN, SILENCE)


def map_label(word: str, labels: Collection[str]) -> str | None:
    """Return the label that ``word`` counts as: itself, else ``_unknown_``, else None."""
    if word in labels:
        return word
    return UNKNOWN if UNKNOWN in labels else None


def choose_outputs(found: Iterable[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Return the outputs of a network for ``labels``, in their order.

    Each word that counts as ``_unknown_`` has an output of its own, since a network that learns to
    distinguish them takes new words for commands less often; scrambled words have one more.
    ``_unknown_`` itself has one only where clips have no other name.
    """
    others = {word for word in found if map_label(word, labels) == UNKNOWN}
    others |= {SCRAMBLED} if UNKNOWN in labels else set()
    return (*(label for label in labels if label != UNKNOWN), *sorted(others))


def label_indices(words: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the index of the label that each word counts as."""
    index = {label: i for i, label in enumerate(labels)}  # strangers' models may have many
    return [index[str(map_label(word, index))] for word in words]


def mean_command_count(labels: Iterable[str]) -> int:
    """Return how many of ``labels`` a command has on average; without commands ``_unknown_``."""
    found = Counter(labels)
    counts = {label: n for label, n in found.items() if is_command(label)}
    counts = counts or {label: n for label, n in found.items() if label == UNKNOWN}
    return round(sum(counts.values()) / len(counts)) if counts else 0
