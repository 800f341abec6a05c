"""Score a model on a data set, through the engine that ``predict`` runs on."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechcls.artifact.store import load_split
from speechcls.audio.level import level_db, snr_db
from speechcls.audio.samples import unpad
from speechcls.data.corpus import mean_command_count
from speechcls.data.examples import SPLITS, Dataset, Example
from speechcls.data.splits import UNUSED
from speechcls.errors import ConfigError, DatasetError, SpeechclsError
from speechcls.evaluation.held_out import (
    NEW,
    check_labels,
    choose_window,
    describe_scored,
    is_tested,
    read_pcm,
    silent_examples,
)
from speechcls.evaluation.metrics import Scores, score
from speechcls.labels import SILENCE, map_label
from speechcls.parallel import map_batches
from speechcls.runtime.classifier import Classifier, Window

CHOICES = ("auto", *SPLITS, "all")


@dataclass(frozen=True)
class ScoredClip:
    """What the model says of one clip, and what is known of the clip."""

    example: Example
    truth: int
    """Index of the label."""
    probabilities: npt.NDArray[np.float32]
    """(n_labels,)"""
    split: str
    duration_s: float
    level_db: float
    """Of what the model hears, dB below full scale; see ``levels.level_db``."""
    snr_db: float
    """Of the same, estimated; see ``levels.snr_db``."""

    @property
    def predicted(self) -> int:
        """Index of the likeliest label."""
        return int(self.probabilities.argmax())


@dataclass(frozen=True)
class Evaluation:
    """The scores, what was scored, and what could not be."""

    scores: Scores
    scored: str
    """The clips that count, in words."""
    caveat: str
    """Why the figures may flatter; empty if they do not."""
    bad: list[str]
    """One line for each clip that could not be read."""
    answers: list[ScoredClip]
    """Of each clip that counts, in the order of the data."""


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    split: str = "auto",
    on_clip: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Return how well the model does on clips that it was not trained on.

    A clip is recognised as one of the training's by its samples, whatever its name. ``auto``
    scores what is new to the model and the held-out test clips; where there are no test clips, the
    validation clips as well.

    Parameters
    ----------
    split : ``auto``, ``train``, ``validation``, ``test`` or ``all``
    on_clip : called after each clip

    Raises
    ------
    ConfigError
        When ``split`` is unknown.
    DatasetError
        When the model does not know a label and has no ``_unknown_``, or nothing is to be scored.
    """
    if split not in CHOICES:
        raise ConfigError(f"--split {split}: not one of {', '.join(CHOICES)}")
    words = {example.label for example in dataset.examples}
    check_labels(dataset, words, classifier.labels)
    # An unused clip is a copy of a held-out one, whose split counts.
    rows = sorted(load_split(classifier.artifact), key=lambda row: row.split != UNUSED)
    known = {row.digest: row.split for row in rows}
    examples = dataset.examples + silent_examples(classifier, dataset)
    answers: list[ScoredClip] = []
    bad = list(dataset.problems)
    wanted = {"auto": {NEW, "test", "validation"}, "all": None}.get(split, {split})

    def work(batch: list[Example]) -> list[ScoredClip | SpeechclsError | None]:
        read = ((example, read_pcm(example, classifier.sample_rate)) for example in batch)
        return _run(
            classifier,
            [(e, choose_window(pcm, e, classifier, known, wanted)) for e, pcm in read],
        )

    for outcomes in map_batches(examples, work, classifier.jobs, classifier.batch_size):
        for outcome in outcomes:
            if isinstance(outcome, SpeechclsError):
                bad.append(str(outcome))
            elif outcome is not None:
                answers.append(outcome)
            on_clip()
    if split == "auto" and any(is_tested(answer.example, answer.split) for answer in answers):
        answers = [answer for answer in answers if answer.split != "validation"]
    answers = _thin_silence(answers, classifier.labels, set(dataset.noise))
    if not answers:
        there = Counter(row.split for row in load_split(classifier.artifact))
        raise DatasetError(
            f"{dataset.source}: no clip of split {split} to score;"
            f" the model was made with {', '.join(f'{n} {name}' for name, n in there.items())}"
            " clips; choose another --split, or other data"
        )
    speakers = [answer.example.speaker or "" for answer in answers]
    scores = score(
        np.array([answer.truth for answer in answers]),
        np.array([answer.predicted for answer in answers]),
        classifier.labels,
        speakers,
    )
    scored, caveat = describe_scored([answer.split for answer in answers], speakers)
    return Evaluation(scores, scored, caveat, bad, answers)


def _thin_silence(
    answers: list[ScoredClip], labels: tuple[str, ...], noise: set[Path]
) -> list[ScoredClip]:
    """Return the answers with no more silence than clips of a command, by less new silence.

    How many clips count is known only now; noise has no end and would outweigh them.
    """
    spoken = [labels[answer.truth] for answer in answers if labels[answer.truth] != SILENCE]
    cuts = [
        i
        for i, answer in enumerate(answers)
        if answer.split == NEW and answer.example.path in noise
    ]
    n_held_out = sum(answer.example.path in noise for answer in answers) - len(cuts)
    n_wanted = max(0, mean_command_count(spoken) - n_held_out) if spoken else len(cuts)
    if len(cuts) <= n_wanted:
        return answers
    kept = {cuts[i] for i in np.linspace(0, len(cuts) - 1, n_wanted).round().astype(int)}
    dropped = set(cuts) - kept
    return [answer for i, answer in enumerate(answers) if i not in dropped]


def _run(
    classifier: Classifier, batch: list[tuple[Example, tuple[Window, str] | SpeechclsError | None]]
) -> list[ScoredClip | SpeechclsError | None]:
    """Return what became of each example of a batch; None for one that is not wanted."""
    windows = [outcome[0].samples for _, outcome in batch if isinstance(outcome, tuple)]
    rows: Iterator[npt.NDArray[np.float32]] = iter(())
    if windows:
        rows = iter(classifier.probabilities(np.stack(windows)))
    outcomes: list[ScoredClip | SpeechclsError | None] = []
    for example, outcome in batch:
        if isinstance(outcome, tuple):
            window, split = outcome
            truth = classifier.labels.index(str(map_label(example.label, classifier.labels)))
            n_samples = round(window.clip_duration_s * classifier.sample_rate)
            heard = unpad(window.samples, n_samples)
            level, snr = level_db(heard), snr_db(heard, classifier.sample_rate)
            outcomes.append(
                ScoredClip(example, truth, next(rows), split, window.clip_duration_s, level, snr)
            )
        else:
            outcomes.append(outcome)
    return outcomes
