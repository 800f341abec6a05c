"""The faults of a data set, found before anything is trained on it."""

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechcls.artifact.store import load_split
from speechcls.audio.decode import naming_errors, read_native
from speechcls.audio.samples import Samples, resample, to_mono
from speechcls.config import FeatureConfig
from speechcls.data.background import read_recordings
from speechcls.data.clips import as_clip, read_example
from speechcls.data.corpus import require_clips
from speechcls.data.fingerprint import fingerprint
from speechcls.data.segments import LongTakes, choose_window_s, find_long_takes
from speechcls.data.splits import assign_splits, split_of_digests
from speechcls.data_quality.duplicates import Sound, find_copies
from speechcls.data_quality.findings import BAD, KINDS, CheckResult, Finding
from speechcls.data_quality.giveaways import FileTraits, file_traits, find_giveaways
from speechcls.data_quality.label_errors import find_label_errors
from speechcls.data_quality.signal import Levels, faults_of, measure
from speechcls.errors import AudioError, DatasetError, EmptyError
from speechcls.evaluation.held_out import Classified, classify_examples
from speechcls.labels import SILENCE, choose_labels, map_label
from speechcls.layouts.examples import Dataset, Example
from speechcls.layouts.load import as_dataset
from speechcls.parallel import default_jobs
from speechcls.runtime.classifier import Classifier, as_classifier
from speechcls.runtime.session import Probabilities

IMBALANCE_RATIO = 10
"""How many times as many clips one label may have as another."""
FEW_CLIPS = 10
MAX_SPEAKER_RATIO = 0.5
"""Fraction of the clips that one speaker of several may have."""
_BATCH_SIZE = 8


@dataclass(frozen=True)
class _Measured:
    """Levels, fingerprint and probabilities of a clip: about 1 kB."""

    levels: Levels
    sound: Sound
    traits: FileTraits
    notes: tuple[str, ...]
    """What was mended in reading."""
    probabilities: Probabilities | None = None
    """(n_labels,) of the model, where there is one."""


@dataclass
class _Result:
    """What one part of the check found."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(
    data: Dataset | str | os.PathLike[str],
    model: Classifier | str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    on_clip: Callable[[], None] = lambda: None,
) -> CheckResult:
    """Return the faults of the clips of a data set and of the set as a whole.

    Clips are read once, those that may be copies a second time; none is kept or changed.

    Parameters
    ----------
    data : a data set or its folder or manifest
    model : a classifier or a model's folder, to find label errors with
    jobs : threads that read and compute (default: all cores)
    on_clip : called after each clip

    Raises
    ------
    DatasetError
        When there is no such data set, or it has no clips.
    ArtifactError
        When the model is damaged or missing.

    Examples
    --------
    >>> from speechcls import check
    >>> result = check(folder)
    >>> [finding.detail for finding in result.of_kind("copy")]
    ['identical to no/s00_nohash_0.wav']
    """
    dataset = as_dataset(data)
    classifier = None if model is None else as_classifier(model, jobs)
    outcomes = _measure_all(dataset.examples, classifier, jobs or default_jobs(), on_clip)
    measured = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, _Measured)}
    examples, bad_noise = dataset.examples, _check_noise(dataset)
    notes, refusals, findings = list[str](), list[str](), _find_unreadable(outcomes)
    if measured:
        findings += _by_level(examples, measured) + _mended(measured)
        notes += _giveaways(examples, measured)
        if classifier:
            label_errors = _find_label_errors(examples, measured, classifier)
            findings, notes = findings + label_errors.findings, notes + label_errors.notes
        split = _split(dataset, measured, has_noise=len(bad_noise) < len(dataset.noise))
        notes, refusals = notes + split.notes, split.refusals
        bad = {finding.clip for finding in findings if finding.kind in BAD}
        sounds = {
            i: one.sound
            for i, one in measured.items()
            if one.sound.fingerprint.any() and examples[i].label != SILENCE
        }
        findings += find_copies(dataset, sounds, _sample_rate(classifier), split.names, bad)
    findings += _speakers_in_two_splits(examples)
    order = list(KINDS)
    findings.sort(key=lambda finding: order.index(finding.kind))  # stable: worst first within each
    levels = [measured[i].levels if i in measured else None for i in range(len(outcomes))]
    takes = _find_long_takes(examples, measured, _sample_rate(classifier))
    result = CheckResult(dataset, levels, findings, notes, refusals, bad_noise, takes)
    result.notes += _note_balance(result)
    return result


def _sample_rate(classifier: Classifier | None) -> int:
    """Return the rate, Hz, at which clips are compared."""
    return classifier.sample_rate if classifier else FeatureConfig().sample_rate


def _measure_all(
    examples: Sequence[Example],
    classifier: Classifier | None,
    jobs: int,
    on_clip: Callable[[], None],
) -> list[_Measured | AudioError]:
    """Return the measurements of each clip, or the error of one that cannot be read."""
    rate = _sample_rate(classifier)

    def choose(example: Example) -> tuple[_Measured, list[Samples]]:
        notes = list[str]()
        part = example.start_s, example.end_s, example.channel
        frames, own_rate = read_native(example.path, *part, on_note=notes.append)
        with naming_errors(str(example.path)):
            mono = to_mono(frames, on_note=notes.append)
        clip = as_clip(resample(mono, own_rate, rate))
        samples = clip.samples
        sound = Sound(clip.digest, fingerprint(samples, rate))
        windows = [classifier.window(samples).samples] if classifier else []
        traits = file_traits(example.path)
        levels = measure(frames, mono, own_rate)
        return _Measured(levels, sound, traits, tuple(notes)), windows

    classifiers = [classifier] if classifier else []
    outcomes = classify_examples(classifiers, examples, choose, jobs, _BATCH_SIZE, on_clip)
    return [
        dataclasses.replace(outcome.kept, probabilities=next(iter(outcome.probabilities), None))
        if isinstance(outcome, Classified)
        else outcome
        for outcome in outcomes
        if outcome is not None
    ]


def _find_unreadable(outcomes: Sequence[_Measured | AudioError]) -> list[Finding]:
    """Return the clips that are empty or cannot be read."""
    return [
        Finding(i, "empty" if isinstance(outcome, EmptyError) else "unreadable", 0.0, str(outcome))
        for i, outcome in enumerate(outcomes)
        if isinstance(outcome, AudioError)
    ]


def _check_noise(dataset: Dataset) -> list[str]:
    """Return a line for each recording of background noise that cannot be read."""
    return read_recordings(dataset.noise, lambda path: len(read_native(path)[0]))[1]


def _by_level(examples: Sequence[Example], measured: Mapping[int, _Measured]) -> list[Finding]:
    """Return the findings from the levels of each clip, worst first."""
    usual_s = float(np.median([one.levels.duration_s for one in measured.values()]))
    [(usual_rate, _)] = Counter(one.levels.sample_rate for one in measured.values()).most_common(1)
    findings = [
        Finding(i, fault.kind, fault.value, fault.detail)
        for i, one in measured.items()
        for fault in faults_of(one.levels, usual_s, usual_rate)
        if not (fault.kind == "silent" and examples[i].label == SILENCE)
    ]
    low_is_bad = ("short", "silent")
    return sorted(findings, key=lambda f: f.value if f.kind in low_is_bad else -abs(f.value))


def _mended(measured: Mapping[int, _Measured]) -> list[Finding]:
    """Return what was mended in reading each clip."""
    return [Finding(i, "mended", 0.0, note) for i, one in measured.items() for note in one.notes]


def _find_long_takes(
    examples: Sequence[Example], measured: Mapping[int, _Measured], sample_rate: int
) -> LongTakes | None:
    """Return what is known of clips that are much longer than the window that training chooses."""
    if not measured:
        return None
    kept = [examples[i] for i in measured]
    durations_s = np.array([one.levels.duration_s for one in measured.values()])

    def read(index: int) -> Samples:
        return read_example(kept[index], sample_rate).samples

    return find_long_takes(kept, durations_s, choose_window_s(durations_s, read, sample_rate))


def _giveaways(examples: Sequence[Example], measured: Mapping[int, _Measured]) -> list[str]:
    """Return a line for each trait of the recordings that tells labels apart."""
    words = {i: one for i, one in measured.items() if examples[i].label != SILENCE}
    levels, traits = [one.levels for one in words.values()], [one.traits for one in words.values()]
    return find_giveaways(
        [examples[i].label for i in words],
        {
            "the sample rate": [f"{each.sample_rate} Hz" for each in levels],
            "the number of channels": [f"{each.n_channels} ch" for each in levels],
            "the format": [each.codec for each in traits],
            "the recording device or program": [each.device for each in traits],
        },
        [each.loudest_db for each in levels],
    )


def _find_label_errors(
    examples: Sequence[Example], measured: Mapping[int, _Measured], classifier: Classifier
) -> _Result:
    """Return the clips whose label is probably wrong, the most probable first."""
    labels, clips, rows, given = classifier.labels, [], [], []
    strangers, result = set(), _Result()
    for i, one in measured.items():
        label = map_label(examples[i].label, labels)
        if label is None:
            strangers.add(examples[i].label)
        elif one.probabilities is not None and not one.levels.is_silent:
            clips.append(i)
            rows.append(one.probabilities)
            given.append(labels.index(label))
    if strangers:
        result.notes.append(
            f"the model knows no label {', '.join(sorted(strangers))} and has no _unknown_:"
            " their labels are not checked"
        )
    if not clips:
        return result
    if not {examples[i].label for i in clips} & set(labels):
        result.notes.append(
            f"the model knows none of these labels (it has {', '.join(labels)}): no label"
            " is checked"
        )
        return result
    known = split_of_digests(load_split(classifier.artifact))
    if n_trained := sum(known.get(measured[i].sound.digest) == "train" for i in clips):
        result.notes.append(
            f"the model was trained on {n_trained} of these clips: where their labels were wrong"
            " then, it may have learnt the errors and not report them"
        )
    result.findings = [
        Finding(
            clips[error.clip],
            "doubtful",
            error.margin,
            f"more likely {labels[error.likely]}, by {error.margin:.2f}",
            likely=labels[error.likely],
        )
        for error in find_label_errors(np.stack(rows), np.array(given, dtype=np.int64))
    ]
    return result


@dataclass(frozen=True)
class _Split:
    """The split of each clip in a training."""

    names: dict[int, str]
    """By index of the clip; where the data cannot be trained on, only the splits given in it."""
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Why the data cannot be trained on."""


def _split(dataset: Dataset, measured: Mapping[int, _Measured], has_noise: bool) -> _Split:
    """Return the split that training would make of the clips."""
    examples, clips = dataset.examples, list(measured)
    given = {i: split for i in clips if (split := examples[i].split)}
    if {example.split for example in examples} <= {"validation", "test"}:
        return _Split(given, ["the data has no training split: it is treated as held-out data"])
    try:
        words = {example.label for example in examples} | set(dataset.empty_labels)
        labels = choose_labels(words, (), has_noise, rejects=True)  # as a training by default
        require_clips(dataset, labels, {examples[i].label for i in clips}, makes_unknown=True)
        splits = assign_splits(
            [examples[i] for i in clips],
            [examples[i].label for i in clips],
            [measured[i].sound.digest for i in clips],
        )
    except DatasetError as error:
        return _Split(given, refusals=[str(error)])
    return _Split(dict(zip(clips, splits.names, strict=True)), splits.warnings)


def _speakers_in_two_splits(examples: Sequence[Example]) -> list[Finding]:
    """Return the clips of speakers in two splits that are not in the split where most are."""
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        if example.speaker and example.split:
            splits[example.speaker][example.split] += 1
    findings = []
    for i, example in enumerate(examples):
        if not example.speaker or not example.split or len(splits[example.speaker]) == 1:
            continue
        counts = splits[example.speaker]
        home = max(counts, key=lambda split: (counts[split], split))
        if example.split != home:
            others = f"{counts[home]} others of {example.speaker} in {home}"
            detail = f"in {example.split}, {others}"
            findings.append(Finding(i, "speaker-splits", float(counts[home]), detail))
    return findings


def _note_balance(result: CheckResult) -> list[str]:
    """Return notes on labels with too few clips, too many, or none, and on dominant speakers."""
    dataset = result.dataset
    notes = [f"{label}: a label folder without a recording" for label in dataset.empty_labels]
    good = [dataset.examples[i] for i in result.good_clips()]
    counts = Counter({example.label: 0 for example in dataset.examples})
    counts.update(example.label for example in good)
    ranked = counts.most_common()
    if few := [label for label, n in ranked if n < FEW_CLIPS]:
        notes.append(f"fewer than {FEW_CLIPS} good clips of {', '.join(few)}: record more")
    (most, n_most), (least, n_least) = ranked[0], ranked[-1]
    if n_most > IMBALANCE_RATIO * n_least:
        notes.append(
            f"unbalanced: {n_most} good clips of {most}, {n_least} of {least};"
            " train on the required words only, or record more of the rare ones"
        )
    speakers = Counter(example.speaker for example in good if example.speaker)
    if len(speakers) > 1:
        [(speaker, n_clips)] = speakers.most_common(1)
        if n_clips > MAX_SPEAKER_RATIO * len(good):
            notes.append(f"speaker {speaker} has {n_clips} of {len(good)} clips")
    return notes
