"""Which clips of a data set are new to a model, and batched inference over examples."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from speechcls.artifact.format import Artifact, SplitRow
from speechcls.artifact.store import load_split
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples
from speechcls.data.background import read_recordings, sample_background
from speechcls.data.clips import ClipStore, read_example
from speechcls.data.splits import split_of_digests
from speechcls.errors import AudioError, DatasetError
from speechcls.evaluation.metrics import has_single_speaker
from speechcls.journal import Journal, Key, key_of_file
from speechcls.labels import SILENCE, map_label, mean_command_count
from speechcls.layouts.examples import Dataset, Example
from speechcls.parallel import map_batches
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import Probabilities

NEW = "new"
"""Split of clips that were not in the model's training data."""

Item = TypeVar("Item")
Kept = TypeVar("Kept")
Chosen = tuple[Kept, Sequence[Samples]]
"""What is kept of an example, and its window for each classifier."""


@dataclass(frozen=True)
class Classified(Generic[Kept]):
    """One example that was classified."""

    kept: Kept
    """What ``choose`` returned for it."""
    probabilities: tuple[Probabilities, ...]
    """(n_labels,) of each classifier."""


_Outcome = Classified[Kept] | AudioError | None
"""What an example came to; None where it is not wanted."""


def classify_examples(
    classifiers: Sequence[Classifier],
    examples: Iterable[Item],
    choose: Callable[[Item], Chosen[Kept] | None],
    jobs: int,
    batch_size: int,
    on_example: Callable[[], None] = lambda: None,
) -> Iterator[_Outcome[Kept]]:
    """Yield one outcome for each example, in order: its probabilities, an error, or None.

    Parameters
    ----------
    classifiers : any number; each gets a window of its own
    choose : returns what is to be kept of an example, and its windows, (n_samples,) for each
        classifier; None where it is not wanted. It is called from ``jobs`` threads, and an
        ``AudioError`` of it becomes the outcome.
    on_example : called after each example
    """

    def attempt(example: Item) -> Chosen[Kept] | AudioError | None:
        try:
            return choose(example)
        except AudioError as error:
            return error

    def work(batch: list[Item]) -> list[_Outcome[Kept]]:
        outcomes = [attempt(example) for example in batch]
        windows = [outcome[1] for outcome in outcomes if isinstance(outcome, tuple)]
        of_models = zip(*windows, strict=True)  # (n_chosen,) windows for each classifier
        rows = [
            iter(classifier.probabilities(np.stack(of_model)))
            for classifier, of_model in zip(classifiers, of_models, strict=bool(windows))
        ]
        return [
            Classified(outcome[0], tuple(next(row) for row in rows))
            if isinstance(outcome, tuple)
            else outcome
            for outcome in outcomes
        ]

    for outcome in itertools.chain.from_iterable(map_batches(examples, work, jobs, batch_size)):
        on_example()
        yield outcome


def prefer_test(clips: list[Item], split_of: Callable[[Item], tuple[Example, str]]) -> list[Item]:
    """Return the clips without those of the validation split if there are words to test on.

    Parameters
    ----------
    split_of : returns the example and the split of a clip
    """
    rows = [split_of(clip) for clip in clips]
    # Silence alone says nothing of words.
    if not any(split == "test" and example.label != SILENCE for example, split in rows):
        return clips
    return [clip for clip, (_, split) in zip(clips, rows, strict=True) if split != "validation"]


def check_labels(dataset: Dataset, labels: tuple[str, ...]) -> None:
    """Refuse data with words that a model has no label for.

    Raises
    ------
    DatasetError
        Naming the words.
    """
    words = {example.label for example in dataset.examples}
    known = {label.casefold(): label for label in labels}
    twins = sorted(w for w in words if w not in labels and w.casefold() in known)
    if twins:
        raise DatasetError(
            f"{dataset.source}: labels {', '.join(twins)} differ from the model's"
            f" {', '.join(known[word.casefold()] for word in twins)} in capitals only; rename them,"
            " or they would count as _unknown_"
        )
    unknown = sorted(word for word in words if map_label(word, labels) is None)
    if unknown:
        raise DatasetError(
            f"{dataset.source}: the model has no label {', '.join(unknown)} and has no"
            f" _unknown_; the data has {', '.join(sorted(words))}; the model has"
            f" {', '.join(labels)}; name another model, or leave these clips out"
        )


class SilentExamples(NamedTuple):
    """Cuts of background noise."""

    examples: list[Example]
    bad: list[str]
    """One line for each recording that cannot be read."""


def silent_examples(classifier: Classifier, dataset: Dataset) -> SilentExamples:
    """Return cuts of the data's background noise: those that training held out, and new ones.

    New ones are cut from recordings that the training did not have.

    Raises
    ------
    ArtifactError
        When the split of the model cannot be read.
    """
    if SILENCE not in classifier.labels or not dataset.noise:
        return SilentExamples([], [])
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
    rate, known = classifier.sample_rate, set(paths.values())
    durations_s, bad = read_recordings(
        [path for path in dataset.noise if path not in known],
        lambda path: len(read_clip(path, rate)) / rate,
    )
    if durations_s:
        n_cuts = mean_command_count(
            [str(map_label(example.label, classifier.labels)) for example in dataset.examples]
        )
        window_s = classifier.artifact.features.duration_s
        cuts += sample_background(durations_s, None, n_cuts, window_s)
    return SilentExamples(cuts, bad)


def classify_dataset(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    silent: SilentExamples,
    choose: Callable[[Example], Chosen[Kept] | None],
    restore: Callable[[list[Any]], Kept],
    on_clip: Callable[[], None],
    journal: Journal | None = None,
) -> tuple[list[tuple[Example, Classified[Kept]]], list[str]]:
    """Return the wanted clips and cuts with their probabilities, and a line per unreadable one.

    Parameters
    ----------
    classifiers, choose : as ``classify_examples`` takes them; the first one's jobs are used
    restore : makes what ``choose`` keeps, a tuple, of its values from JSON
    journal : of the clips that are done
    """
    examples, first = dataset.examples + silent.examples, classifiers[0]

    def compute(rest: Iterable[Example]) -> Iterator[_Outcome[Kept]]:
        return classify_examples(classifiers, rest, choose, first.jobs, first.batch_size)

    def unpack(content: Any) -> _Outcome[Kept]:
        if not isinstance(content, list):
            return AudioError(content) if content else None
        kept, rows = content
        return Classified(restore(kept), tuple(np.array(row, dtype=np.float32) for row in rows))

    found, bad = [], [*dataset.problems, *silent.bad]
    outcomes = (journal or Journal()).run(examples, _key_of, compute, _pack, unpack)
    for example, outcome in outcomes:
        on_clip()
        if isinstance(outcome, Classified):
            found.append((example, outcome))
        elif outcome is not None:
            bad.append(str(outcome))
    return found, bad


def _key_of(example: Example) -> Key:
    """Return what tells a clip from the other ones, and from what it was before."""
    part = example.start_s, example.end_s, example.gain, example.channel
    return key_of_file(example.path, *part, example.label, example.speaker, example.split)


def _pack(outcome: "_Outcome[Any]") -> Any:
    """Return what an example came to, as JSON-ready values without any loss."""
    if isinstance(outcome, Classified):
        return [outcome.kept, [row.tolist() for row in outcome.probabilities]]
    return outcome and str(outcome)


def _find_noise(
    rows: Sequence[SplitRow], noise: Sequence[Path], sample_rate: int
) -> dict[str, Path]:
    """Return the recordings that a training cut silence from, by the names it has for them.

    A recording is identified by its name without folders and by the samples of one cut.
    """
    found = {}
    for name in dict.fromkeys(row.path for row in rows):
        # A cut of digital silence is like any other.
        probe = next((row for row in rows if row.path == name and row.gain), None)
        for path in noise:
            if probe is None or path.name != PurePosixPath(name).name:
                continue
            cut = Example(path, SILENCE, None, None, probe.start_s, probe.end_s, probe.gain)
            try:
                digest = read_example(cut, sample_rate).digest
            except AudioError:
                continue
            if digest == probe.digest:
                found[name] = path
    return found


def split_in_training(digest: str, example: Example, known: dict[str, str]) -> str:
    """Return the split of a clip in a model's training; ``NEW`` if it was not there.

    Parameters
    ----------
    digest : of the example at the model's rate
    known : the split of each clip of the training, by digest; see ``splits.split_of_digests``
    """
    split = known.get(digest, NEW)
    if example.gain != 1 and (example.split is None or split != NEW):
        return example.split or NEW  # all digital silence is alike, whatever its split
    return split


def describe_scored(splits: Sequence[str], speakers: Sequence[str]) -> tuple[str, str]:
    """Return in words which clips were scored, and the caveat on their scores.

    Parameters
    ----------
    splits, speakers : (n_clips,) of each clip; a speaker that is not known is empty
    """
    counts = Counter(splits)
    names = {NEW: "clips not used in training", "unused": "copies of held-out clips"}
    scored = ", ".join(
        f"{n} {names.get(name, f'clips of the {name} split')}" for name, n in counts.items()
    )
    caveats = []
    if counts["train"]:
        caveats.append("optimistically biased: the model was trained on some of these clips")
    elif counts["validation"]:
        caveats.append(
            "slightly optimistically biased: the best epoch was chosen on the validation clips"
        )
    if has_single_speaker(speakers):
        caveats.append("all clips are by one speaker: nothing is known about others")
    return scored, "; ".join(caveats)


def validation_clips(artifact: Artifact, store: ClipStore) -> ClipStore:
    """Return the clips of the model's validation split, recognised by their samples.

    Raises
    ------
    DatasetError
        When there are none.
    """
    known = split_of_digests(load_split(artifact))
    chosen = [
        i
        for i, (example, digest) in enumerate(zip(store.examples, store.digests, strict=True))
        if known.get(digest) == "validation" and map_label(example.label, artifact.labels)
    ]
    if not chosen:
        raise DatasetError(
            "none of these clips is of the model's validation split; name that of its training"
        )
    return store.choose(chosen)
