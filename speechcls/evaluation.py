"""Score a model on a data set, through the engine that ``predict`` runs on."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from speechcls.artifact import SplitRow, load_split
from speechcls.audio import PCM, read_clip, to_float, unpad
from speechcls.classifier import Classifier, Window
from speechcls.clipstore import digest_of, read_example
from speechcls.config import SILENCE
from speechcls.corpus import mean_command_count
from speechcls.dataset import SPLITS, Dataset, Example
from speechcls.errors import AudioError, ConfigError, DatasetError, SpeechclsError
from speechcls.levels import level_db, snr_db
from speechcls.metrics import Scores, is_of_one_speaker, score
from speechcls.readahead import work_ahead
from speechcls.silence import cut_silence
from speechcls.splits import UNUSED, map_label

NEW = "new"
"""The split of a clip that the model's training never saw."""
CHOICES = ("auto", *SPLITS, "all")


@dataclass(frozen=True)
class Answer:
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
    answers: list[Answer]
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
    answers: list[Answer] = []
    bad = list(dataset.problems)
    wanted = {"auto": {NEW, "test", "validation"}, "all": None}.get(split, {split})

    def work(batch: list[Example]) -> list[Answer | SpeechclsError | None]:
        read = ((example, read_pcm(example, classifier.sample_rate)) for example in batch)
        return _run(
            classifier,
            [(e, choose_window(pcm, e, classifier, known, wanted)) for e, pcm in read],
        )

    for outcomes in work_ahead(examples, work, classifier.jobs, classifier.batch_size):
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


def is_tested(example: Example, split: str) -> bool:
    """Whether a word was held out as test; silence alone says nothing of the words."""
    return split == "test" and example.label != SILENCE


def _thin_silence(answers: list[Answer], labels: tuple[str, ...], noise: set[Path]) -> list[Answer]:
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


def check_labels(dataset: Dataset, words: set[str], labels: tuple[str, ...]) -> None:
    """Refuse data with words that a model has no label for."""
    strangers = sorted(word for word in words if map_label(word, labels) is None)
    if strangers:
        raise DatasetError(
            f"{dataset.source}: the model knows no label {', '.join(strangers)} and has no"
            f" _unknown_; the data has {', '.join(sorted(words))}; the model has"
            f" {', '.join(labels)}; name another model, or leave these clips out"
        )


def silent_examples(classifier: Classifier, dataset: Dataset) -> list[Example]:
    """Return cuts of the data's background noise: those that training held out, and new ones.

    New ones are of recordings that the training did not have.
    """
    if SILENCE not in classifier.labels or not dataset.noise:
        return []
    rows = [
        row
        for row in load_split(classifier.artifact)
        if row.label == SILENCE and row.end_s is not None
    ]
    paths = _find_noise(rows, dataset.noise, classifier.sample_rate)
    cuts = [
        Example(paths[row.path], SILENCE, None, row.split, row.start_s, row.end_s, row.gain)
        for row in rows
        if row.path in paths
    ]
    durations_s = {}
    for path in dataset.noise:
        if path in paths.values():
            continue
        try:
            samples = read_clip(path, classifier.sample_rate)
        except AudioError as error:
            dataset.problems.append(str(error))
        else:
            durations_s[path] = len(samples) / classifier.sample_rate
    if durations_s:
        n_cuts = mean_command_count(
            [str(map_label(example.label, classifier.labels)) for example in dataset.examples]
        )
        window_s = classifier.artifact.features.duration_s
        cuts += cut_silence(durations_s, None, n_cuts, window_s)
    return cuts


def _find_noise(
    rows: Sequence[SplitRow], noise: Sequence[Path], sample_rate: int
) -> dict[str, Path]:
    """Return the recordings that a training cut silence from, by its name for them.

    A recording is told by its name without folders and by the samples of one cut.
    """
    found = {}
    for name in dict.fromkeys(row.path for row in rows):
        # A cut of digital silence is like any other.
        probe = next((row for row in rows if row.path == name and row.gain), None)
        for path in noise:
            if probe is None or path.name != PurePosixPath(name).name:
                continue
            cut = Example(path, SILENCE, None, None, probe.start_s, probe.end_s, probe.gain)
            pcm = read_pcm(cut, sample_rate)
            if not isinstance(pcm, SpeechclsError) and digest_of(pcm) == probe.digest:
                found[name] = path
    return found


def read_pcm(example: Example, sample_rate: int) -> PCM | SpeechclsError:
    """Return the samples (n,) of an example, or what is wrong with it."""
    try:
        return read_example(example, sample_rate)
    except AudioError as error:
        return error


def choose_window(
    pcm: PCM | SpeechclsError,
    example: Example,
    classifier: Classifier,
    known: dict[str, str],
    wanted: set[str] | None,
) -> tuple[Window, str] | SpeechclsError | None:
    """Return what the model hears of a clip and its split in training; None if it is not wanted.

    Parameters
    ----------
    pcm : of the example, at the model's rate; an error is handed on
    known : the split of each clip of the training, by digest
    """
    if isinstance(pcm, SpeechclsError):
        return pcm
    split = known.get(digest_of(pcm), NEW)
    if example.gain != 1 and (example.split is None or split != NEW):
        split = example.split or NEW  # all digital silence is alike, whatever its split
    if wanted is not None and split not in wanted:
        return None
    return classifier.window(to_float(pcm)), split


def _run(
    classifier: Classifier, batch: list[tuple[Example, tuple[Window, str] | SpeechclsError | None]]
) -> list[Answer | SpeechclsError | None]:
    """Return what became of each example of a batch; None for one that is not wanted."""
    windows = [outcome[0].samples for _, outcome in batch if isinstance(outcome, tuple)]
    rows: Iterator[npt.NDArray[np.float32]] = iter(())
    if windows:
        rows = iter(classifier.probabilities(np.stack(windows)))
    outcomes: list[Answer | SpeechclsError | None] = []
    for example, outcome in batch:
        if isinstance(outcome, tuple):
            window, split = outcome
            truth = classifier.labels.index(str(map_label(example.label, classifier.labels)))
            n_samples = round(window.clip_duration_s * classifier.sample_rate)
            heard = unpad(window.samples, n_samples)
            level, snr = level_db(heard), snr_db(heard, classifier.sample_rate)
            outcomes.append(
                Answer(example, truth, next(rows), split, window.clip_duration_s, level, snr)
            )
        else:
            outcomes.append(outcome)
    return outcomes


def describe_scored(splits: Sequence[str], speakers: Sequence[str]) -> tuple[str, str]:
    """Say in words which clips were scored, and what to mind about the figures.

    Parameters
    ----------
    splits, speakers : (n_clips,) of each clip; a speaker that is not known is empty
    """
    counts = Counter(splits)
    names = {NEW: "clips that training never saw", "unused": "copies of held-out clips"}
    scored = ", ".join(
        f"{n} {names.get(name, f'clips of the {name} split')}" for name, n in counts.items()
    )
    caveats = []
    if counts["train"]:
        caveats.append("the model was trained on some of these clips: the figures flatter")
    elif counts["validation"]:
        caveats.append(
            "the best epoch was chosen on the validation clips: the figures flatter a bit"
        )
    if is_of_one_speaker(speakers):
        caveats.append("all clips are by one speaker: nothing is known of others")
    return scored, "; ".join(caveats)
