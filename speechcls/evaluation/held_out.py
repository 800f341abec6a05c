"""Which clips of a data set are new to a model, and the window it hears of each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from speechcls.artifact.format import SplitRow
from speechcls.artifact.store import load_split
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import PCM, to_float
from speechcls.data.background import sample_background
from speechcls.data.clips import digest_of, read_example
from speechcls.data.corpus import mean_command_count
from speechcls.data.examples import Dataset, Example
from speechcls.data.splits import UNUSED
from speechcls.errors import AudioError, DatasetError, SpeechclsError
from speechcls.evaluation.metrics import is_of_one_speaker
from speechcls.labels import SILENCE, map_label
from speechcls.runtime.classifier import Classifier, Window


def split_of_digests(classifier: Classifier) -> dict[str, str]:
    """Return the split of each clip of a model's training, by digest of its samples."""
    # An unused clip is a copy of a held-out one, whose split counts.
    rows = sorted(load_split(classifier.artifact), key=lambda row: row.split != UNUSED)
    return {row.digest: row.split for row in rows}


NEW = "new"
"""The split of a clip that the model's training never saw."""


def is_tested(example: Example, split: str) -> bool:
    """Whether a word was held out as test; silence alone says nothing of the words."""
    return split == "test" and example.label != SILENCE


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
        cuts += sample_background(durations_s, None, n_cuts, window_s)
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
