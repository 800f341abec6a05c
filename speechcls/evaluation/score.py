"""Score a model on a data set, through the engine that ``predict`` runs on."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.artifact.store import load_split
from speechcls.audio.level import level_db, snr_db
from speechcls.audio.samples import Samples, unpad
from speechcls.data.clips import Clip, describe_notes
from speechcls.data.packing import make_reader
from speechcls.data.splits import split_of_digests
from speechcls.errors import ConfigError, DatasetError
from speechcls.evaluation.held_out import (
    NEW,
    check_labels,
    classify_dataset,
    describe_scored,
    prefer_test,
    silent_examples,
    split_in_training,
)
from speechcls.evaluation.metrics import Scores, score
from speechcls.journal import Journal
from speechcls.labels import SILENCE, map_label, mean_command_count
from speechcls.layouts.examples import SPLITS, Dataset, Example
from speechcls.layouts.load import as_dataset
from speechcls.runtime.classifier import Classifier, Window, as_classifier
from speechcls.text import counted

SPLIT_CHOICES = ("auto", *SPLITS, "all")


class WindowLevels(NamedTuple):
    """Levels of the part of a clip that is in the model's window."""

    level_db: float
    """dBFS; see ``level.level_db``."""
    snr_db: float
    """Estimated; see ``level.snr_db``."""


@dataclass(frozen=True)
class ScoredClip:
    """The probabilities of one clip, and what is known of it."""

    example: Example
    truth: int
    """Index of the label."""
    probabilities: npt.NDArray[np.float32]
    """(n_labels,)"""
    split: str
    """Of the model's training, or ``new``."""
    duration_s: float
    levels: WindowLevels | None
    """None where they were not measured."""
    notes: tuple[str, ...] = ()
    """A sentence on each way in which its samples are not those of the file."""

    @property
    def predicted(self) -> int:
        """Index of the likeliest label."""
        return int(self.probabilities.argmax())


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a data set."""

    scores: Scores
    scored: str
    """The clips that count, in words."""
    caveat: str
    """Why the scores may be optimistically biased; empty if they are not."""
    bad: list[str]
    """One line for each clip that could not be read."""
    clips: list[ScoredClip]
    """Those that count, in the order of the data."""

    @property
    def notes(self) -> list[str]:
        """One line for each way in which samples are not those of the files."""
        examples = [clip.example for clip in self.clips]
        return describe_notes(examples, [clip.notes for clip in self.clips])

    def __str__(self) -> str:
        """Return the clips that count, the caveat and the overall scores, a line each."""
        scores = self.scores
        speakers = f" by {counted(scores.n_speakers, 'speaker')}" if scores.n_speakers else ""
        low, high = 100 * scores.accuracy_low, 100 * scores.accuracy_high
        n_there = sum(row.n_clips > 0 for row in scores.per_label)
        there = "one label that occurs" if n_there == 1 else f"{n_there} labels that occur"
        of = "" if n_there == len(scores.labels) else f" (of the {there})"
        own = scores.command_recall
        commands = "" if own is None else f"; {100 * own:.1f} % of the commands"
        lines = [
            f"scored    {self.scored}{speakers}",
            *([f"caveat    {self.caveat}"] if self.caveat else []),
            f"accuracy  {100 * scores.accuracy:.1f} % (95 % interval {low:.1f} - {high:.1f})",
            f"balanced  {100 * scores.balanced_accuracy:.1f} %, the mean recall{of}{commands}",
            f"macro F1  {100 * scores.macro_f1:.1f} %{of}",
        ]
        return "\n".join(lines)


class _Known(NamedTuple):
    """What is kept of a clip while the model runs."""

    split: str
    duration_s: float
    levels: WindowLevels | None
    notes: tuple[str, ...]


def _restore(kept: list[Any]) -> _Known:
    split, duration_s, levels, notes = kept
    return _Known(split, duration_s, levels and WindowLevels(*levels), tuple(notes))


def evaluate(
    model: Classifier | str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str],
    split: str = "auto",
    on_clip: Callable[[], None] = lambda: None,
    measure_levels: bool = False,
    journal: Journal | None = None,
) -> Evaluation:
    """Return the scores of a model on clips that it was not trained on.

    Training clips are recognised by their samples. ``auto`` scores clips that are new to the model
    and those of the test split; where there are no test clips, those of the validation split as
    well.

    Parameters
    ----------
    model, data : a classifier or a model's folder; a data set or its folder or manifest
    split : ``auto``, ``train``, ``validation``, ``test`` or ``all``
    on_clip : called after each clip
    measure_levels : whether to measure the levels of each clip too, which a report shows
    journal : of the clips that are done, to go on with

    Raises
    ------
    ConfigError
        When ``split`` is unknown.
    DatasetError
        When the data cannot be read, the model has no label for a word and no ``_unknown_``, or
        there is nothing to score.
    ArtifactError
        When the model cannot be loaded.

    Examples
    --------
    >>> from speechcls import evaluate
    >>> evaluation = evaluate("commands", folder)
    >>> print(evaluation.scores.n_clips, evaluation.scored)
    12 12 clips not used in training
    """
    if split not in SPLIT_CHOICES:
        raise ConfigError(f"{split!r} is not one of {', '.join(SPLIT_CHOICES)}", field="split")
    classifier, dataset = as_classifier(model), as_dataset(data)
    check_labels(dataset, classifier.labels)
    read = make_reader(dataset.root, classifier.sample_rate)
    choose = _make_choose(classifier, read, split, measure_levels)
    silent = silent_examples(classifier, dataset)
    found, bad = classify_dataset([classifier], dataset, silent, choose, _restore, on_clip, journal)
    clips = []
    for example, outcome in found:
        truth = classifier.labels.index(str(map_label(example.label, classifier.labels)))
        [probabilities] = outcome.probabilities
        clips.append(ScoredClip(example, truth, probabilities, *outcome.kept))
    if split == "auto":
        clips = prefer_test(clips, lambda clip: (clip.example, clip.split))
    clips = _thin_silence(clips, classifier.labels, set(dataset.noise))
    if not clips:
        raise _nothing_to_score(classifier, dataset, split, bad)
    return _summarise(clips, classifier.labels, bad)


def _make_choose(
    classifier: Classifier, read: Callable[[Example], Clip], split: str, measure_levels: bool
) -> Callable[[Example], tuple[_Known, list[Samples]] | None]:
    """Return a function that reads a clip: its ``_Known`` and window; None if it is not wanted."""
    known = split_of_digests(load_split(classifier.artifact))
    wanted = {"auto": {NEW, "test", "validation"}, "all": None}.get(split, {split})

    def choose(example: Example) -> tuple[_Known, list[Samples]] | None:
        clip = read(example)
        own = split_in_training(clip.digest, example, known)
        if wanted is not None and own not in wanted:
            return None
        window = classifier.window(clip.samples)
        levels = _measure(window, classifier.sample_rate) if measure_levels else None
        return _Known(own, window.clip_duration_s, levels, clip.notes), [window.samples]

    return choose


def _measure(window: Window, sample_rate: int) -> WindowLevels:
    """Return the levels of a clip within its window, without the padding."""
    samples = unpad(window.samples, round(window.clip_duration_s * sample_rate))
    return WindowLevels(level_db(samples), snr_db(samples, sample_rate))


def _thin_silence(
    clips: list[ScoredClip], labels: tuple[str, ...], noise: set[Path]
) -> list[ScoredClip]:
    """Return the clips with no more silence than clips of a command, by less new silence.

    How many clips count is known only now; noise has no end and would outweigh them.
    """
    spoken = [labels[clip.truth] for clip in clips if labels[clip.truth] != SILENCE]
    cuts = [i for i, clip in enumerate(clips) if clip.split == NEW and clip.example.path in noise]
    n_held_out = sum(clip.example.path in noise for clip in clips) - len(cuts)
    n_wanted = max(0, mean_command_count(spoken) - n_held_out) if spoken else len(cuts)
    if len(cuts) <= n_wanted:
        return clips
    kept = {cuts[i] for i in np.linspace(0, len(cuts) - 1, n_wanted).round().astype(int)}
    dropped = set(cuts) - kept
    return [clip for i, clip in enumerate(clips) if i not in dropped]


def _nothing_to_score(
    classifier: Classifier, dataset: Dataset, split: str, bad: Sequence[str]
) -> DatasetError:
    counts = Counter(row.split for row in load_split(classifier.artifact))
    return DatasetError(
        f"{dataset.source}: no clip of split {split} to score; the model was made with"
        f" {', '.join(f'{n} {name}' for name, n in counts.items())} clips; choose another split,"
        " or other data",
        bad[:5],
    )


def _summarise(clips: list[ScoredClip], labels: tuple[str, ...], bad: list[str]) -> Evaluation:
    speakers = [clip.example.speaker or "" for clip in clips]
    truth = np.array([clip.truth for clip in clips])
    predicted = np.array([clip.predicted for clip in clips])
    scored, caveat = describe_scored([clip.split for clip in clips], speakers)
    return Evaluation(score(truth, predicted, labels, speakers), scored, caveat, bad, clips)
