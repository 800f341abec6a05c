"""Recordings with annotations: held-out clips mixed into background sound."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechcls.artifact.format import SplitRow
from speechcls.audio.blocks import open_recording
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples, to_pcm
from speechcls.audio.speech import find_speech
from speechcls.data.clips import ClipStore
from speechcls.data.splits import assign_splits, split_of_digests, trained_speakers
from speechcls.errors import AudioError, ConfigError, DatasetError
from speechcls.fields import Config
from speechcls.files import open_atomic
from speechcls.labels import SILENCE, UNKNOWN, is_command
from speechcls.layouts.annotations import Word, write_truth
from speechcls.layouts.examples import Dataset

RECORDING = "recording.wav"
GAP_S = 0.5
"""Shortest pause between two clips, seconds."""
_BLOCK_S = 1.0
_CUT_S, _SHORTEST_CUT_S = 10.0, 0.1
_CROSS_FADE_S, _CLIP_FADE_S = 0.5, 0.01
_HEADROOM_DB = 20.0
"""Room that the background leaves for a word's peaks above its mean power."""
_MIN_POWER = 1e-6
"""Lower limit of the background's power, so that words in digital silence are not silent."""


@dataclass(frozen=True)
class MixSettings(Config):
    """How words are mixed into background sound."""

    minutes: float = 30.0
    """Length of the recording."""
    snr_db: float = 10.0
    """A word's power against that of the background at its place, dB."""
    words_per_minute: float = 10.0
    distractors_per_minute: float = 0.0
    """Clips of other words, which are not in the annotations."""
    seed: int = 0
    """Seed of the order and places of clips and background."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require("minutes", 0 < self.minutes <= 2_000, "above 0 and at most 2000")
        self._require("snr_db", -60 <= self.snr_db <= 60, "in -60 .. 60")
        self._require("words_per_minute", 0 <= self.words_per_minute < math.inf, "zero or more")
        is_possible = 0 <= self.distractors_per_minute < math.inf
        self._require("distractors_per_minute", is_possible, "zero or more")
        self._require("seed", self.seed >= 0, "zero or more")


@dataclass(frozen=True)
class MixClips:
    """Clips that may be mixed into a recording, as indices into a store."""

    split: str
    """``test``, or ``validation`` where no clip of a command is held out as test."""
    words: list[int]
    distractors: list[int]
    labels: tuple[str, ...]
    """Of the words."""


def choose_clips(
    store: ClipStore, commands: Sequence[str] = (), rows: Sequence[SplitRow] | None = None
) -> MixClips:
    """Return the clips that are held out of training, as are all other clips of their speakers.

    Parameters
    ----------
    commands : labels of the words; none: every label
    rows : the split of a model, whose clips are recognised by their samples; other clips count as
        test. None: the split that training would make

    Raises
    ------
    ConfigError
        When the data has no such command.
    DatasetError
        When no clip of a command is left.
    """
    found = sorted(filter(is_command, {example.label for example in store.examples}))
    if unknown := sorted(set(commands) - set(found)):
        raise ConfigError(
            f"no label {', '.join(unknown)} in the data; it has {', '.join(found)}",
            field="commands",
        )
    labels = tuple(commands or found)
    if rows is None:
        mapped = [e.label if e.label in labels else UNKNOWN for e in store.examples]
        splits = assign_splits(store.examples, mapped, store.digests).names
        pairs = zip(store.examples, splits, strict=True)
        trained = {example.speaker or "" for example, split in pairs if split == "train"}
    else:
        known = split_of_digests(rows)
        splits = [known.get(digest, "test") for digest in store.digests]
        trained = trained_speakers(rows)
    held_out = [
        (i, example.label, split)
        for i, (example, split) in enumerate(zip(store.examples, splits, strict=True))
        if split in ("test", "validation") and not (example.speaker and example.speaker in trained)
    ]
    for split in ("test", "validation"):
        words = [i for i, label, mine in held_out if mine == split and label in labels]
        if words:
            others = {*labels, SILENCE}
            distractors = [
                i for i, label, mine in held_out if mine == split and label not in others
            ]
            return MixClips(split, words, distractors, labels)
    raise DatasetError(
        f"no clip of {', '.join(labels)} is by a speaker who is held out of training; name other"
        " data, or a model that was trained on other speakers"
    )


class Background:
    """Endless background: cuts at random places of recordings, each cross-faded into the next.

    One cut is in memory at a time. Loud ones are attenuated to ``ceiling_db`` of full scale, so
    that there is room for words above them.

    Raises
    ------
    AudioError
        When a recording cannot be read, or is shorter than 0.1 s.
    """

    def __init__(
        self,
        recordings: Sequence[Path],
        sample_rate: int,
        ceiling_db: float,
        generator: np.random.Generator,
    ) -> None:
        self._recordings: list[tuple[Path, float]] = []
        for path in recordings:
            with open_recording(path, sample_rate) as recording:
                duration_s = recording.duration_s
                if duration_s is None:  # not known before the end
                    duration_s = sum(map(len, recording.blocks())) / sample_rate
            if duration_s < _SHORTEST_CUT_S:
                raise AudioError(f"{path}: shorter than {_SHORTEST_CUT_S:g} s; leave it out")
            self._recordings.append((path, duration_s))
        self.notes: dict[str, None] = {}
        """What was mended in the recordings that have been read, a sentence each, in order."""
        self._sample_rate, self._generator = sample_rate, generator
        self._ceiling = 10 ** (ceiling_db / 10)
        self._ready = self._tail = np.empty(0, dtype=np.float32)

    def read(self, n_samples: int) -> Samples:
        """Return the next (n_samples,) float32."""
        parts, n_missing = [], n_samples
        while n_missing > 0:
            if not len(self._ready):
                self._append_cut()
            parts.append(self._ready[:n_missing])
            self._ready = self._ready[n_missing:]
            n_missing -= len(parts[-1])
        return np.concatenate([np.empty(0, dtype=np.float32), *parts])

    def _append_cut(self) -> None:
        """Cross-fade the last cut into a new one."""
        cut = self._cut()
        n_fade = min(round(_CROSS_FADE_S * self._sample_rate), len(cut) // 2)
        n_both = min(n_fade, len(self._tail))
        angle = np.linspace(0, np.pi / 2, n_both, dtype=np.float32)
        # The powers of uncorrelated sounds add up.
        cut[:n_both] = cut[:n_both] * np.sin(angle) + self._tail[:n_both] * np.cos(angle)
        self._ready, self._tail = cut[: len(cut) - n_fade], cut[len(cut) - n_fade :]

    def _cut(self) -> Samples:
        path, duration_s = self._recordings[self._generator.integers(len(self._recordings))]
        start_s = self._generator.uniform(0, max(0.0, duration_s - _CUT_S))

        def on_note(note: str) -> None:
            self.notes[f"{path}: {note}"] = None

        end_s = start_s + _CUT_S
        cut = read_clip(path, self._sample_rate, start_s, end_s, on_note=on_note).copy()
        power = float(np.mean(np.square(cut, dtype=np.float64)))
        if power > self._ceiling:
            cut *= np.float32(math.sqrt(self._ceiling / power))
        return cut


@dataclass(frozen=True)
class Mix:
    """What was mixed into a recording."""

    words: list[Word]
    n_distractors: int
    n_clipped: int
    """Samples that were too loud for a WAV."""
    warnings: tuple[str, ...] = ()
    """What was mended in recordings of background."""


def write_mix(
    store: ClipStore,
    chosen: MixClips,
    dataset: Dataset,
    noise: Sequence[Path],
    out: Path,
    settings: MixSettings,
) -> Mix:
    """Write ``recording.wav``, whole or not at all, and its annotations into the folder ``out``.

    Memory holds a clip, a cut of background and the annotations, however long the recording is.

    Raises
    ------
    AudioError
        When a recording of background cannot be used.
    ConfigError
        When there are no distractors, or more clips than the time has room for.
    DatasetError
        When there is a recording in ``out``.
    """
    rate = store.sample_rate
    if (out / RECORDING).exists():
        raise DatasetError(f"{out / RECORDING}: exists; choose another path")
    generator = np.random.default_rng(settings.seed)
    clips = _draw(chosen.words, settings.words_per_minute * settings.minutes, generator)
    is_word = [True] * len(clips)
    if settings.distractors_per_minute and not chosen.distractors:
        raise ConfigError(
            "the data has no held-out word besides the commands", field="distractors_per_minute"
        )
    n_distractors = settings.distractors_per_minute * settings.minutes
    clips += _draw(chosen.distractors, n_distractors, generator)
    is_word += [False] * (len(clips) - len(is_word))
    order = generator.permutation(len(clips)).tolist()
    clips, is_word = [clips[i] for i in order], [is_word[i] for i in order]
    n_samples = round(settings.minutes * 60 * rate)
    starts = _draw_starts([int(store.lengths[i]) for i in clips], n_samples, rate, generator)
    ceiling_db = -max(0.0, settings.snr_db) - _HEADROOM_DB
    background = Background(noise, rate, ceiling_db, generator)
    words = [
        _word(store, clip, start, dataset)
        for clip, start, named in zip(clips, starts, is_word, strict=True)
        if named
    ]
    n_clipped = 0
    with open_atomic(out / RECORDING) as file:
        options = {"subtype": "PCM_16", "format": "WAV", "closefd": False}
        with soundfile.SoundFile(file.fileno(), "w", rate, 1, **options) as sound:
            for piece in _render(store, clips, starts, n_samples, background, settings.snr_db):
                n_clipped += int((np.abs(piece) > 1).sum())
                sound.write(to_pcm(piece))
        write_truth(words, out)
    return Mix(words, is_word.count(False), n_clipped, tuple(background.notes))


def _draw(clips: Sequence[int], n: float, generator: np.random.Generator) -> list[int]:
    """Return ``n`` of the clips in random order, all equally often but for the last round."""
    drawn: list[int] = []
    while clips and len(drawn) < round(n):
        drawn += generator.permutation(clips).tolist()
    return drawn[: round(n)]


def _draw_starts(
    lengths: Sequence[int], n_samples: int, sample_rate: int, generator: np.random.Generator
) -> list[int]:
    """Return random starts of clips of these lengths, in order and with pauses between them."""
    gap = round(GAP_S * sample_rate)
    free = n_samples - sum(lengths) - gap * (len(lengths) + 1)
    if free < 0:
        raise ConfigError(
            f"{len(lengths)} clips with pauses of {GAP_S:g} s do not fit into"
            f" {n_samples / sample_rate / 60:g} minutes; give more minutes or fewer words",
            field="words_per_minute",
        )
    offsets = np.sort(generator.integers(free + 1, size=len(lengths)))
    before = np.cumsum([gap, *(length + gap for length in lengths)])[: len(lengths)]
    starts: list[int] = (offsets + before).tolist()
    return starts


def _clip(store: ClipStore, index: int) -> Samples:
    """Return the samples (n,) of a clip, faded at its ends: its own background must not click."""
    samples = store.read(index)
    n_fade = min(round(_CLIP_FADE_S * store.sample_rate), len(samples) // 2)
    ramp = np.linspace(0, 1, n_fade, endpoint=False, dtype=np.float32)
    samples[:n_fade] *= ramp
    samples[len(samples) - n_fade :] *= ramp[::-1]
    return samples


def _word(store: ClipStore, index: int, start: int, dataset: Dataset) -> Word:
    """Return the annotation of the word in a clip that starts at sample ``start``."""
    example = store.examples[index]
    first, last = map(int, find_speech(_clip(store, index), store.sample_rate))
    return Word(
        (start + first) / store.sample_rate,
        (start + last) / store.sample_rate,
        example.label,
        dataset.relative_name(example.path),
        example.speaker or "",
    )


def _render(
    store: ClipStore,
    clips: Sequence[int],
    starts: Sequence[int],
    n_samples: int,
    background: Background,
    snr_db: float,
) -> Iterator[Samples]:
    """Yield the recording in pieces."""
    block, done = round(_BLOCK_S * store.sample_rate), 0
    for clip, start in zip(clips, starts, strict=True):
        while done < start:
            piece = background.read(min(block, start - done))
            done += len(piece)
            yield piece
        samples = _clip(store, clip)
        piece = add_word(background.read(len(samples)), samples, store.sample_rate, snr_db)
        done += len(piece)
        yield piece
    while done < n_samples:
        piece = background.read(min(block, n_samples - done))
        done += len(piece)
        yield piece


def add_word(background: Samples, clip: Samples, sample_rate: int, snr_db: float) -> Samples:
    """Return ``background`` (n,) plus a clip (n,) scaled so that its word is ``snr_db`` louder."""
    first, last = map(int, find_speech(clip, sample_rate))
    of_word, of_background = (
        float(np.mean(np.square(part[first:last], dtype=np.float64))) for part in (clip, background)
    )
    if of_word == 0:
        return background
    power = max(of_background, _MIN_POWER) * 10 ** (snr_db / 10)
    mixed: Samples = background + clip * np.float32(math.sqrt(power / of_word))
    return mixed
