"""A data set made ready for training: read, labelled, split, every clip as long as the window."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import SplitRow
from speechcls.audio.samples import Samples, to_float
from speechcls.config import DataConfig, FeatureConfig
from speechcls.data.background import read_recordings, sample_background, split_range
from speechcls.data.clips import (
    Clip,
    ClipStore,
    Cut,
    Windows,
    cut_windows,
    describe_notes,
    make_windows,
    read_clips,
    read_example,
)
from speechcls.data.copies import split_by_sound
from speechcls.data.packing import open_store
from speechcls.data.segments import LongTakes, choose_window_s, find_long_takes
from speechcls.errors import DatasetError
from speechcls.labels import (
    SILENCE,
    UNKNOWN,
    choose_labels,
    choose_outputs,
    is_command,
    is_reserved,
    map_label,
    mean_command_count,
)
from speechcls.layouts.examples import SPLITS, Dataset, Example
from speechcls.storage.places import is_mirrored, name_of
from speechcls.text import counted

_N_LISTED = 20  # bad clips named in an error


@dataclass(frozen=True)
class Rejects:
    """Sounds made to be rejected, beside those of a data set."""

    clips: ClipStore
    """Labelled ``_silence_``, or with words that are none of the data set's; each has its split."""
    noise: Samples
    """(n_noise,) amplitude: background sound for training."""


@dataclass(frozen=True)
class Corpus:
    """Windows, labels and splits that ``training`` takes, and what the artifact keeps of them."""

    labels: tuple[str, ...]
    """In the order of the probabilities."""
    features: FeatureConfig
    """With the length of the window chosen by the clips."""
    windows: Windows
    """(n_clips, n_samples) of full scale; held-out cuts of noise are among them."""
    scales: npt.NDArray[np.float32]
    """(n_clips,) amplitude of full scale: 1, and more where a clip exceeds that."""
    label_index: npt.NDArray[np.int64]
    """(n_clips,) into ``labels``."""
    words: tuple[str, ...]
    """Classes of the network: the labels, with each word of ``_unknown_`` a class of its own."""
    word_index: npt.NDArray[np.int64]
    """(n_clips,) into ``words``."""
    split: npt.NDArray[np.str_]
    """(n_clips,) ``train``, ``validation``, ``test`` or ``unused``."""
    repeats: npt.NDArray[np.int64]
    """(n_clips,) how often each is drawn where another clip is drawn once."""
    noise: Samples
    """(n_noise,) amplitude: the background noise that may be trained on; empty if there is none."""
    rows: list[SplitRow]
    """One per clip."""
    n_own: int
    """Clips of the data set; those that come after them were made for the training."""
    warnings: list[str]
    long_takes: LongTakes | None
    """Clips much longer than the window, if there are any."""
    bad: list[str]
    """One line for each clip, and each recording of background, that could not be used."""
    reviewed: str = ""
    """What training has of reviewed events, if there are any."""
    address: str = ""
    """Where the data set lies, if it does not lie here."""

    def samples(self, clips: npt.NDArray[np.int64]) -> Samples:
        """Return the amplitudes (n, n_samples) of some clips, by index (n,)."""
        return to_float(self.windows[clips]) * self.scales[clips, None]

    def training_clips(self, label: int) -> npt.NDArray[np.int64]:
        """Return the clips (n,) of the data set that train a label, by its index."""
        n = self.n_own
        return np.flatnonzero((self.split[:n] == "train") & (self.label_index[:n] == label))

    def training_samples(self, n_each: int) -> Iterator[Samples]:
        """Yield amplitudes (n, n_samples) of at most ``n_each`` such clips of each word."""
        for i, label in enumerate(self.labels):
            if not is_reserved(label) and len(clips := self.training_clips(i)):
                yield self.samples(clips[:n_each])

    def store(self, split: str) -> ClipStore:
        """Return the windows of the data set's clips in a split, with the model's labels."""
        chosen = np.flatnonzero(self.split[: self.n_own] == split)
        n_clips, n_samples = len(chosen), self.windows.shape[1]
        names = [self.labels[i] for i in self.label_index[chosen]]
        rows = [self.rows[i] for i in chosen]
        return ClipStore(
            [
                Example(Path(row.path), name, row.speaker)
                for row, name in zip(rows, names, strict=True)
            ],
            self.windows[chosen].reshape(-1),
            n_samples * np.arange(n_clips, dtype=np.int64),
            np.full(n_clips, n_samples, dtype=np.int64),
            self.scales[chosen],
            [row.digest for row in rows],
            [()] * n_clips,
            self.features.sample_rate,
            [],
        )

    def summary(self) -> str:
        """Return what it holds in a line."""
        counts = {name: int((self.split == name).sum()) for name in SPLITS}
        n_speakers = len({row.speaker for row in self.rows} - {""})
        speakers = f" by {counted(n_speakers, 'speaker')}" if n_speakers else ""
        return (
            f"{len(self.labels)} labels, {len(self.rows)} clips{speakers}"
            f" ({', '.join(f'{n} {name}' for name, n in counts.items())}),"
            f"{f' {self.reviewed},' if self.reviewed else ''} window {self.features.duration_s:g} s"
        )


def load_corpus(
    dataset: Dataset,
    features: FeatureConfig,
    duration_s: float | None = None,
    commands: Sequence[str] = (),
    test_speakers: Sequence[str] = (),
    max_bad: float = 0.01,
    jobs: int = 1,
    on_clip: Callable[[], None] = lambda: None,
    verify: bool = False,
    rejects: Rejects | None = None,
    cut: Cut = cut_windows,
    buffer_clips: int = DataConfig.buffer_clips,
) -> Corpus:
    """Return a data set with the label, split and window of each clip decided.

    Parameters
    ----------
    duration_s : length of the window, seconds; None: chosen by the lengths of the clips
    commands : labels to recognise; without them every label of the data
    test_speakers : speakers whose clips are the test split
    max_bad : largest fraction of clips that may be unusable
    jobs, on_clip : processes that decode clips at once, and what is called after each clip
    verify : decode every clip again, whatever the cache folder has
    rejects : sounds that no label stands for; with them there are ``_unknown_`` and ``_silence_``
    cut : cuts the windows
    buffer_clips : clips that are in memory at a time, of those that are read from shards

    Raises
    ------
    DatasetError
        When too many clips are bad, a label has none, or they cannot be split.
    """
    rate = features.sample_rate
    noise, bad_noise = _read_noise(dataset, rate)
    labels = _choose_labels(dataset, commands, bool(noise), rejects is not None)
    store = open_store(dataset.root, dataset.examples, rate, jobs, on_clip, verify)
    bad = dataset.problems + store.bad
    _check_bad(bad, len(dataset.examples) + len(dataset.problems), max_bad)
    readable = {example.label for example in store.examples}
    require_clips(dataset, labels, readable, bad, makes_unknown=rejects is not None)
    features, long_takes = _choose_window(store, features, duration_s)
    mapped = [str(map_label(example.label, labels)) for example in store.examples]
    splits = split_by_sound(dataset.root, store, mapped, test_speakers, jobs)
    stores = [store, _held_out_silence(noise, features, mapped, splits.names)]
    stores += [rejects.clips] if rejects else []
    joined = _join(dataset, stores, splits.names, labels)
    is_trained = joined["split"] == "train"
    return Corpus(
        labels=tuple(labels),
        features=features,
        noise=np.concatenate([_training_noise(noise, rate), *([rejects.noise] if rejects else [])]),
        n_own=len(store.examples),
        warnings=_warn(dataset, store, noise) + splits.warnings,
        long_takes=long_takes,
        bad=bad + bad_noise,
        address=name_of(dataset.root) if is_mirrored(dataset.root) else "",
        windows=make_windows(stores, features.n_samples, is_trained, cut, buffer_clips),
        **joined,
    )


def _join(
    dataset: Dataset,
    stores: Sequence[ClipStore],
    splits: Sequence[str],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return the fields of a corpus that have an entry for each clip, but the windows, by name.

    Parameters
    ----------
    stores : the clips of the data set, then those that were made
    splits : of the former
    """
    examples = [example for store in stores for example in store.examples]
    split = [*splits, *(str(example.split) for example in examples[len(splits) :])]
    digests = [digest for store in stores for digest in store.digests]
    words = [example.label for example in examples]
    outputs = choose_outputs(words, labels)
    # With an _unknown_ class every word counts as something, so that none is None.
    label_index = [labels.index(str(map_label(word, labels))) for word in words]
    return {
        "scales": np.concatenate([store.scales for store in stores]),
        "label_index": np.array(label_index, dtype=np.int64),
        "words": outputs,
        "word_index": np.array([outputs.index(word) for word in words], dtype=np.int64),
        "split": np.array(split),
        "repeats": np.array([example.repeats for example in examples], dtype=np.int64),
        "rows": _split_rows(dataset, examples, split, digests),
        "reviewed": _describe_reviewed(examples, split),
    }


def _choose_window(
    store: ClipStore, features: FeatureConfig, duration_s: float | None
) -> tuple[FeatureConfig, LongTakes | None]:
    """Return the features with the length of the window, and the clips that are too long for it.

    Reviewed events do not count: their lengths are not those of words.
    """
    own = [i for i, example in enumerate(store.examples) if not example.is_reviewed]
    clips, rate = store.choose(own) if own else store, store.sample_rate
    durations_s = clips.lengths / rate
    duration_s = duration_s or choose_window_s(durations_s, clips.read, rate)
    features = dataclasses.replace(features, duration_s=duration_s)
    return features, find_long_takes(clips.examples, durations_s, duration_s)


def _describe_reviewed(examples: Sequence[Example], split: Sequence[str]) -> str:
    """Return how many reviewed events train, and where they are; nothing where there are none."""
    pairs = zip(examples, split, strict=True)
    used = [example for example, name in pairs if example.is_reviewed and name == "train"]
    n_negative = sum(example.label == UNKNOWN for example in used)
    counts = {"hard negative": n_negative, "word": len(used) - n_negative}
    texts = [f"{n} {what}{'s' if n > 1 else ''}" for what, n in counts.items() if n]
    return f"{', '.join(texts)} from {used[0].path.parent}" if used else ""


def _choose_labels(
    dataset: Dataset, commands: Sequence[str], has_noise: bool, rejects: bool
) -> list[str]:
    """Return the labels of the model; an empty label folder is one too, which is refused."""
    wanted = {name for name in dataset.empty_labels if name in commands or not commands}
    words = {example.label for example in dataset.examples} | wanted
    return choose_labels(words, commands, has_noise, rejects)


def _read_noise(dataset: Dataset, sample_rate: int) -> tuple[dict[Path, Clip], list[str]]:
    """Return the recordings of background, and a line for each that cannot be used."""
    return read_recordings(
        dataset.noise, lambda path: read_example(Example(path, SILENCE), sample_rate)
    )


def _split_rows(
    dataset: Dataset, examples: Sequence[Example], split: Sequence[str], digests: Sequence[str]
) -> list[SplitRow]:
    """Return what the artifact keeps of each clip."""
    return [
        SplitRow(
            dataset.relative_name(example.path),
            example.label,
            example.speaker or "",
            name,
            example.start_s,
            example.end_s,
            example.gain,
            digest,
        )
        for example, name, digest in zip(examples, split, digests, strict=True)
    ]


def _warn(dataset: Dataset, store: ClipStore, noise: dict[Path, Clip]) -> list[str]:
    """Return warnings of the data set, of its label folders, of clips and of background."""
    warnings = [
        *(
            f"{dataset.root / label}: a label folder without a recording"
            for label in dataset.empty_labels
        ),
        *describe_notes(
            store.examples + [Example(path, SILENCE) for path in noise],
            store.notes + [clip.notes for clip in noise.values()],
        ),
    ]
    if n_bad := len(dataset.noise) - len(noise):
        warnings.append(
            f"{n_bad} of {len(dataset.noise)} background recordings cannot be used"
            + ("" if noise else f": none is left to cut {SILENCE} clips from")
        )
    return warnings


def require_clips(
    dataset: Dataset,
    labels: Sequence[str],
    readable: set[str],
    bad: Sequence[str] = (),
    makes_unknown: bool = False,
) -> None:
    """Refuse a data set in which no clip of some label can be read.

    Parameters
    ----------
    labels : of the model
    readable : words of the clips that can be read
    bad : a line for each other clip
    makes_unknown : whether there are other clips of ``_unknown_``

    Raises
    ------
    DatasetError
        Naming the label, or the data set where it is ``_unknown_``.
    """
    for label in labels:
        if label not in readable and is_command(label):
            raise DatasetError(
                f"{dataset.root / label}: no readable clip of this label; add recordings or leave"
                " the label out",
                _shorten(bad),
            )
    is_other = (map_label(word, labels) == UNKNOWN for word in readable)
    if UNKNOWN in labels and not makes_unknown and not any(is_other):
        raise DatasetError(
            f"{dataset.source}: no readable clip of a word that is none of the commands; add"
            " such recordings",
            _shorten(bad),
        )


def _check_bad(bad: Sequence[str], n_clips: int, max_bad: float) -> None:
    ratio = len(bad) / n_clips
    if ratio <= max_bad or math.isclose(ratio, max_bad):
        return
    allow = f" or leave them out, or allow {math.ceil(1e3 * ratio) / 1e3:g}" if ratio < 1 else ""
    raise DatasetError(
        f"{len(bad)} of {n_clips} clips are bad, more than the {max_bad:g} allowed; fix them"
        + (allow or ", or name other recordings"),
        _shorten(bad),
        field="max_bad",
    )


def _shorten(lines: Sequence[str]) -> list[str]:
    n_more = len(lines) - _N_LISTED
    return [*lines[:_N_LISTED], *([f"and {n_more} more"] if n_more > 0 else [])]


def _training_noise(noise: dict[Path, Clip], sample_rate: int) -> Samples:
    parts = [np.empty(0, dtype=np.float32)]
    for clip in noise.values():
        start_s, end_s = split_range(len(clip.pcm) / sample_rate, "train")
        parts.append(clip.samples[round(start_s * sample_rate) : round(end_s * sample_rate)])
    return np.concatenate(parts)


def _held_out_silence(
    noise: dict[Path, Clip], features: FeatureConfig, mapped: list[str], splits: list[str]
) -> ClipStore:
    """Return silent clips for validation and test, as many as a command has there on average."""
    rate = features.sample_rate
    durations_s = {path: len(clip.pcm) / rate for path, clip in noise.items()}
    examples = []
    for split in ("validation", "test") if noise else ():
        n_cuts = mean_command_count(
            [name for name, own in zip(mapped, splits, strict=True) if own == split]
        )
        examples += sample_background(durations_s, split, n_cuts, features.duration_s)
    return read_clips(examples, rate)
