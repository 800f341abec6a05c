"""What is wrong with a data set, found before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechcls.artifact.store import load_split
from speechcls.audio.decode import naming_errors, read_native
from speechcls.audio.samples import resample, to_float, to_mono, to_pcm
from speechcls.config import FeatureConfig
from speechcls.data.clips import digest_of
from speechcls.data.corpus import require_clips
from speechcls.data.examples import Dataset, Example
from speechcls.data.splits import assign_splits
from speechcls.data_quality.duplicates import Sound, find_copies
from speechcls.data_quality.findings import BAD, KINDS, Checkup, Finding
from speechcls.data_quality.fingerprint import fingerprint
from speechcls.data_quality.label_errors import find_label_errors
from speechcls.data_quality.signal import Levels, faults_of, measure
from speechcls.errors import AudioError, DatasetError, EmptyError
from speechcls.labels import SILENCE, choose_labels, map_label
from speechcls.parallel import default_jobs, map_batches
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import Probabilities

IMBALANCED = 10
"""How many times as many clips one label may have as another."""
FEW_CLIPS = 10
MOST_OF_ONE = 0.5
"""Share of the clips that one speaker of several may have spoken."""
_BATCH_SIZE = 8


@dataclass
class _Measured:
    """What is kept of a clip that was read: about 1 kB."""

    levels: Levels
    sound: Sound
    probabilities: Probabilities | None = None


def check(
    dataset: Dataset,
    classifier: Classifier | None = None,
    jobs: int | None = None,
    on_clip: Callable[[], None] = lambda: None,
) -> Checkup:
    """Return what is wrong with the clips of a data set and with the set as a whole.

    Clips are read once, those that may be copies a second time; none is kept or changed.

    Parameters
    ----------
    classifier : a model that may doubt the labels
    jobs : threads that read and compute (default: all cores)
    on_clip : called after each clip
    """
    rate = classifier.sample_rate if classifier else FeatureConfig().sample_rate
    outcomes: list[_Measured | AudioError] = []

    def work(batch: list[Example]) -> list[_Measured | AudioError]:
        return _measure(batch, rate, classifier)

    for answers in map_batches(dataset.examples, work, jobs or default_jobs(), _BATCH_SIZE):
        for answer in answers:
            outcomes.append(answer)
            on_clip()
    heard = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, _Measured)}
    examples, bad_noise = dataset.examples, _check_noise(dataset)
    has_noise = len(bad_noise) < len(dataset.noise)
    notes, refusals = list[str](), list[str]()
    findings = [
        Finding(i, "empty" if isinstance(outcome, EmptyError) else "unreadable", 0.0, str(outcome))
        for i, outcome in enumerate(outcomes)
        if isinstance(outcome, AudioError)
    ]
    if heard:
        findings += _by_level(examples, heard)
        if classifier:
            findings += _doubts(examples, heard, classifier, notes)
        bad = {finding.clip for finding in findings if finding.kind in BAD}
        sounds = {
            i: one.sound
            for i, one in heard.items()
            if one.sound.fingerprint.any() and examples[i].label != SILENCE
        }
        findings += find_copies(
            dataset, sounds, rate, _splits(dataset, heard, has_noise, notes, refusals), bad
        )
    findings += _straddling_speakers(examples)
    order = list(KINDS)
    findings.sort(key=lambda finding: order.index(finding.kind))  # stable: worst first within each
    levels = [heard[i].levels if i in heard else None for i in range(len(outcomes))]
    checkup = Checkup(dataset, levels, findings, notes, refusals, bad_noise)
    notes += _balance(checkup)
    return checkup


def _measure(
    batch: Sequence[Example], rate: int, classifier: Classifier | None
) -> list[_Measured | AudioError]:
    """Return what is kept of each clip of a batch, or why it cannot be read."""
    outcomes: list[_Measured | AudioError] = []
    readable, windows = [], []
    for example in batch:
        try:
            frames, own_rate = read_native(example.path, example.start_s, example.end_s)
            with naming_errors(str(example.path)):
                mono = to_mono(frames)
        except AudioError as error:
            outcomes.append(error)
            continue
        pcm = to_pcm(resample(mono, own_rate, rate))
        samples = to_float(pcm)
        sound = Sound(digest_of(pcm), fingerprint(samples, rate))
        one = _Measured(measure(frames, own_rate), sound)
        outcomes.append(one)
        if classifier:
            readable.append(one)
            windows.append(classifier.window(samples).samples)
    if classifier and windows:
        answers = classifier.probabilities(np.stack(windows))
        for one, answer in zip(readable, answers, strict=True):
            one.probabilities = answer
    return outcomes


def _check_noise(dataset: Dataset) -> list[str]:
    """Return a line for each recording of background noise that cannot be read."""
    notes = []
    for path in dataset.noise:
        try:
            read_native(path)
        except AudioError as error:
            notes.append(str(error))
    return notes


def _by_level(examples: Sequence[Example], heard: Mapping[int, _Measured]) -> list[Finding]:
    """Return what the levels say of each clip, worst first."""
    usual_s = float(np.median([one.levels.duration_s for one in heard.values()]))
    [(usual_rate, _)] = Counter(one.levels.sample_rate for one in heard.values()).most_common(1)
    findings = [
        Finding(i, fault.kind, fault.value, fault.detail)
        for i, one in heard.items()
        for fault in faults_of(one.levels, usual_s, usual_rate)
        if not (fault.kind == "silent" and examples[i].label == SILENCE)
    ]
    low_is_bad = ("short", "silent")
    return sorted(findings, key=lambda f: f.value if f.kind in low_is_bad else -abs(f.value))


def _doubts(
    examples: Sequence[Example],
    heard: Mapping[int, _Measured],
    classifier: Classifier,
    notes: list[str],
) -> list[Finding]:
    """Return the clips whose label the model doubts, most doubted first."""
    labels, clips, rows, given = classifier.labels, [], [], []
    strangers = set()
    for i, one in heard.items():
        label = map_label(examples[i].label, labels)
        if label is None:
            strangers.add(examples[i].label)
        elif one.probabilities is not None and not one.levels.is_silent:
            clips.append(i)
            rows.append(one.probabilities)
            given.append(labels.index(label))
    if strangers:
        names = ", ".join(sorted(strangers))
        notes.append(f"the model knows no label {names} and has no _unknown_: not judged by it")
    if not clips:
        return []
    if not {examples[i].label for i in clips} & set(labels):
        notes.append(
            f"the model knows none of these labels (it has {', '.join(labels)}): it doubts none"
        )
        return []
    trained = {row.digest for row in load_split(classifier.artifact) if row.split == "train"}
    if n_known := sum(heard[i].sound.digest in trained for i in clips):
        notes.append(
            f"the model was trained on {n_known} of these clips: where their labels were wrong"
            " then, it may have learnt them and not doubt them"
        )
    return [
        Finding(
            clips[doubt.clip],
            "doubtful",
            doubt.margin,
            f"more likely {labels[doubt.likely]}, by {doubt.margin:.2f}",
            likely=labels[doubt.likely],
        )
        for doubt in find_label_errors(np.stack(rows), np.array(given, dtype=np.int64))
    ]


def _splits(
    dataset: Dataset,
    heard: Mapping[int, _Measured],
    has_noise: bool,
    notes: list[str],
    refusals: list[str],
) -> dict[int, str]:
    """Return the split of each clip in a training, the told ones alone where that is refused."""
    examples, clips = dataset.examples, list(heard)
    told = {example.split for example in examples}
    if told <= {"validation", "test"}:
        notes.append("the data says that none of it trains: it is judged as held-out data")
        return {i: str(examples[i].split) for i in clips}
    try:
        words = {example.label for example in examples} | set(dataset.empty_labels)
        labels = choose_labels(words, (), has_noise)
        require_clips(dataset, labels, {examples[i].label for i in clips}, [])
        splits = assign_splits(
            [examples[i] for i in clips],
            [examples[i].label for i in clips],
            [heard[i].sound.digest for i in clips],
        )
    except DatasetError as error:
        refusals.append(str(error))
        return {i: split for i in clips if (split := examples[i].split)}
    notes += splits.warnings
    return dict(zip(clips, splits.names, strict=True))


def _straddling_speakers(examples: Sequence[Example]) -> list[Finding]:
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


def _balance(checkup: Checkup) -> list[str]:
    """Say which labels have too few clips, too many, or none, and who speaks most of them."""
    dataset = checkup.dataset
    notes = [f"{label}: a label folder without a recording" for label in dataset.empty_labels]
    good = [dataset.examples[i] for i in checkup.good_clips()]
    counts = Counter({example.label: 0 for example in dataset.examples})
    counts.update(example.label for example in good)
    ranked = counts.most_common()
    if few := [label for label, n in ranked if n < FEW_CLIPS]:
        notes.append(f"fewer than {FEW_CLIPS} good clips of {', '.join(few)}: record more")
    (most, n_most), (least, n_least) = ranked[0], ranked[-1]
    if n_most > IMBALANCED * n_least:
        notes.append(
            f"unbalanced: {n_most} good clips of {most}, {n_least} of {least};"
            " name the words that matter with train --commands, or record more of the rare ones"
        )
    speakers = Counter(example.speaker for example in good if example.speaker)
    if len(speakers) > 1:
        [(speaker, n_clips)] = speakers.most_common(1)
        if n_clips > MOST_OF_ONE * len(good):
            notes.append(f"speaker {speaker} speaks {n_clips} of {len(good)} clips")
    return notes
