"""Units by habit: the clips and moments of a data set that excite each unit most.

``run_clips`` runs the model on as many clips of each label, ``find_habits`` ranks moments by the
states, ``compare_states`` finds moments and clips alike.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from speechcls.artifact.store import load_split
from speechcls.audio.samples import FloatArray as Array
from speechcls.audio.samples import Samples
from speechcls.data.packing import make_reader
from speechcls.data.splits import sample_evenly, split_of_digests
from speechcls.errors import ConfigError, DatasetError
from speechcls.evaluation.held_out import NEW, classify_examples, silent_examples, split_in_training
from speechcls.evaluation.significance import agreement_chance
from speechcls.explain.recurrence import EQUATIONS
from speechcls.explain.trace import frame_and_step_times, with_prefix
from speechcls.explain.unroll import run_recurrence
from speechcls.layouts.examples import Dataset, Example
from speechcls.networks.load import load_recogniser
from speechcls.networks.recogniser import Recogniser
from speechcls.networks.recurrent import Recurrent
from speechcls.runtime.classifier import Classifier, Window

Indices = npt.NDArray[np.intp]
_BATCH = 16
"""Clips that are run at once."""
STILL = 1e-6
"""Largest change of the state of a unit that never changes."""
_LEVEL = 5e-5
"""Difference of two states that look the same with 4 decimals."""
_LAG_S = 0.2
"""How much later or earlier two clips may have the same pattern."""


@dataclass(frozen=True)
class HabitSettings:
    """What is chosen and ranked."""

    n_clips: int = 160
    """Clips, of each label as many as of any other one where there are so many."""
    n_top: int = 8
    """Moments of a list, at most one of each clip."""
    n_similar: int = 6
    """Moments, and clips, that are shown for a moment."""
    n_moments: int = 50
    """Moments of a clip, at most, for which similar ones are found, and points of a mean curve."""
    n_curves: int = 40
    """Labels, at most, whose mean state is drawn."""
    played_s: float = 0.3
    """Sound around a moment that is played."""
    false_ratio: float = 0.05
    """Lists, at most, that agree by chance among those that are said to agree on a label."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.n_clips < 2:
            raise ConfigError(f"{self.n_clips} is not possible; 2 or more", field="n_clips")


@dataclass(frozen=True)
class HabitClip:
    """One clip that the model was run on."""

    example: Example
    name: str
    """File, relative to the data."""
    split: str
    """Of the model's training, or ``new``; empty of a clip that is none of the data."""
    window: Window
    notes: tuple[str, ...]
    predicted: str
    probability: float


@dataclass(frozen=True)
class Run:
    """A model's states on clips."""

    classifier: Classifier
    clips: list[HabitClip]
    step_times_s: Array
    """(n_steps,) from the beginning of the window."""
    states: dict[tuple[int, str], Array]
    """By layer, 1 is the lowest, and direction: (n_clips, n_steps, n_units) float32, h."""
    is_sound: npt.NDArray[np.bool_]
    """(n_clips, n_steps) whether a step is in the clip, not in the silence around it."""
    bad: list[str]
    """One line for each clip that could not be read."""
    query: int | None
    """Index of a clip that is compared with the others, and is none of the data."""
    n_left: int
    """Clips of the data set that can be read, as far as is known, and were not run."""

    @property
    def labels(self) -> list[str]:
        """Of the data's clips, the most frequent first."""
        return [
            label for label, _ in Counter(clip.example.label for clip in self.own).most_common()
        ]

    @property
    def own(self) -> list[HabitClip]:
        """The clips of the data; the query is the last of ``clips``."""
        return self.clips[: self.query]

    def __str__(self) -> str:
        """Return which clips were run, and what was left out, in words."""
        names = {NEW: "new to the model", "train": "that it was trained on"}
        splits = Counter(clip.split for clip in self.own)
        parts = ", ".join(
            f"{n} {names.get(name, f'of its {name} split')}" for name, n in splits.items()
        )
        text = f"{len(self.own)} clips of {len(self.labels)} labels ({parts})"
        return f"{text}; {self.n_left} more are left out" if self.n_left else text


class Ranking(NamedTuple):
    """The moments with the largest, or the smallest, state of each unit, one a clip."""

    clips: Indices  # (n_units, n_top)
    steps: Indices  # (n_units, n_top)
    values: Array  # (n_units, n_top)
    label: Indices  # (n_units,) index of the most frequent label among these clips
    n_agree: Indices  # (n_units,) how many are of it
    chance: Array  # (n_units,) probability that as many random clips agree on a label as much
    n_level: Indices  # (n_units,) clips that come as far as the last of these, to 4 decimals
    agrees: npt.NDArray[np.bool_]  # (n_units,) whether its clips agree more than by chance


class Habit(NamedTuple):
    """What the units of one layer and direction respond to."""

    highest: Ranking
    lowest: Ranking
    means: Array  # (n_units, n_labels, n_steps), the mean state over the clips of a label
    moves: Array  # (n_units,) largest less smallest state over all moments of all clips


class Similar(NamedTuple):
    """For each of some moments of each clip the most similar ones of others, and whole clips."""

    at: Indices  # (n_moments,) steps for which there are similar ones
    clips: Indices  # (n_clips, n_moments, n_similar), other clips, the most similar first
    steps: Indices  # (n_clips, n_moments, n_similar)
    cosines: Array  # (n_clips, n_moments, n_similar)
    whole: Indices  # (n_clips, n_similar), other clips whose states go alike all the time
    whole_cosines: Array  # (n_clips, n_similar)


def run_clips(
    classifier: Classifier,
    dataset: Dataset,
    settings: HabitSettings,
    query: tuple[str, Window] | None = None,
    on_clip: Callable[[], None] = lambda: None,
) -> Run:
    """Return a model's states on clips of a data set, and on one more clip if it is given.

    Parameters
    ----------
    query : name and window of the clip that the others are compared with
    on_clip : called after each clip of the data

    Raises
    ------
    ConfigError
        When the network has no recurrent layers whose equations are known.
    DatasetError
        When fewer than two clips can be read.
    """
    recogniser = load_recogniser(classifier.artifact)
    network = recogniser.network
    if not isinstance(network, Recurrent) or network.cell.name not in EQUATIONS:
        arch = classifier.artifact.network.arch
        raise ConfigError(f"{arch} has no recurrent layers that are known", field="model")
    silent = silent_examples(classifier, dataset)
    splits = {row.path: row.split for row in load_split(classifier.artifact)}
    everything = dataset.examples + silent.examples
    ranks = {"test": 0, "validation": 0, "train": 2}
    chosen = sample_evenly(
        everything,
        lambda each: ranks.get(splits.get(dataset.relative_name(each.path), each.split or ""), 1),
        settings.n_clips,
        settings.seed,
    )
    clips, bad = _read(classifier, dataset, chosen, on_clip)
    own = query[1].samples if query else np.empty(0)  # which would be most like itself
    clips = [clip for clip in clips if not np.array_equal(clip.window.samples, own)]
    n_left = len(everything) - len(clips) - len(bad)
    bad = [*dataset.problems, *silent.bad, *bad]
    if len(clips) < 2:
        raise DatasetError(f"{dataset.source}: fewer than two clips can be read", bad[:5])
    index = None if query is None else len(clips)
    if query is not None:
        name, window = query
        answer = _answer(classifier, classifier.probabilities(window.samples[None])[0])
        clips.append(HabitClip(Example(Path(name), ""), name, "", window, window.notes, *answer))
    states = _states(recogniser, network, [clip.window.samples for clip in clips])
    n_steps = next(iter(states.values())).shape[1]
    _, times_s = frame_and_step_times(classifier.artifact.features, network, n_steps)
    bounds = np.array([_sound_s(clip.window, classifier) for clip in clips])
    is_sound = (times_s >= bounds[:, :1] - 1e-6) & (times_s <= bounds[:, 1:] + 1e-6)
    is_sound[~is_sound.any(axis=1)] = True  # shorter than a step
    return Run(classifier, clips, times_s, states, is_sound, bad, index, n_left)


def _read(
    classifier: Classifier, dataset: Dataset, examples: list[Example], on_clip: Callable[[], None]
) -> tuple[list[HabitClip], list[str]]:
    """Return the clips that can be read with what the model says of them, and a line per other."""
    read = make_reader(dataset.root, classifier.sample_rate)
    known = split_of_digests(load_split(classifier.artifact))

    def choose(example: Example) -> tuple[tuple[str, Window, tuple[str, ...]], list[Samples]]:
        clip = read(example)
        window = classifier.window(clip.samples)
        split = split_in_training(clip.digest, example, known)
        return (split, window, clip.notes), [window.samples]

    clips, bad = [], []
    outcomes = classify_examples(
        [classifier], examples, choose, classifier.jobs, classifier.batch_size, on_clip
    )
    for example, outcome in zip(examples, outcomes, strict=True):
        if isinstance(outcome, Exception):
            bad.append(str(outcome))
        elif outcome is not None:
            split, window, notes = outcome.kept
            answer = _answer(classifier, outcome.probabilities[0])
            name = dataset.relative_name(example.path)
            clips.append(HabitClip(example, name, split, window, notes, *answer))
    return clips, bad


def _answer(classifier: Classifier, probabilities: Array) -> tuple[str, float]:
    """Return the likeliest label and its probability."""
    best = int(probabilities.argmax())
    return classifier.labels[best], float(probabilities[best])


@torch.no_grad()
def _states(
    recogniser: Recogniser, network: Recurrent, windows: list[Samples]
) -> dict[tuple[int, str], Array]:
    """Return h of every layer and direction, see ``Run``."""
    weights = with_prefix(
        {name: tensor.numpy() for name, tensor in network.state_dict().items()}, "recurrence."
    )
    parts: dict[tuple[int, str], list[Array]] = {}
    for start in range(0, len(windows), _BATCH):
        batch = torch.from_numpy(np.stack(windows[start : start + _BATCH]))
        features = recogniser.extract_features(batch)
        inputs = network.recurrence_inputs(features).double().numpy()  # (batch, n_steps, n_inputs)
        trace = run_recurrence(network.cell.name, weights, inputs)
        for number, layer in enumerate(trace.layers, start=1):
            for way, direction in layer.items():
                parts.setdefault((number, way), []).append(direction.hidden.astype(np.float32))
    return {key: np.concatenate(arrays) for key, arrays in parts.items()}


def _sound_s(window: Window, classifier: Classifier) -> tuple[float, float]:
    """Return where in the window, in seconds, the clip begins and ends."""
    n_samples = len(window.samples)
    n_own = min(n_samples, round(window.clip_duration_s * classifier.sample_rate))
    start = (n_samples - n_own) // 2
    return start / classifier.sample_rate, (start + n_own) / classifier.sample_rate


def find_habits(run: Run, settings: HabitSettings) -> dict[tuple[int, str], Habit]:
    """Return what each unit of each layer and direction responds to, over the clips of the data."""
    labels = run.labels
    label_of = np.array([labels.index(clip.example.label) for clip in run.own])
    counts = np.bincount(label_of).tolist()
    n_own, n_top = len(label_of), min(settings.n_top, len(label_of))
    chances = np.array([agreement_chance(counts, n_top, n) for n in range(n_top + 1)])
    # Clips with the same state are in no order of their own, least of all that of the labels.
    shuffled = np.random.default_rng(settings.seed).permutation(n_own)
    is_sound = run.is_sound[shuffled, :, None]

    def rank(states: Array, sign: int) -> Ranking:
        signed = np.where(is_sound, sign * states[shuffled], -np.inf)  # (n_clips, n_steps, n_units)
        best = signed.max(axis=1)
        order = (-best).argsort(axis=0, kind="stable")[:n_top].T  # (n_units, n_top)
        steps = np.take_along_axis(signed.argmax(axis=1).T, order, axis=1)
        values = sign * np.take_along_axis(best.T, order, axis=1)
        clips = shuffled[order]
        votes = (label_of[clips][:, :, None] == np.arange(len(labels))).sum(axis=1)
        most = votes.max(axis=1)
        n_level = (sign * values[:, -1:] - _LEVEL < best.T).sum(axis=1)
        return Ranking(
            clips, steps, values, votes.argmax(axis=1), most, chances[most], n_level, most < 0
        )

    habits = {}
    for key, every in run.states.items():
        states = every[:n_own]
        means = np.stack([states[label_of == i].mean(axis=0) for i in range(len(labels))])
        own = states[run.is_sound[:n_own]]  # (n_moments, n_units)
        moves = own.max(axis=0) - own.min(axis=0)
        habits[key] = Habit(rank(states, 1), rank(states, -1), means.transpose(2, 0, 1), moves)
    return _judge(habits, settings.false_ratio)


def _judge(
    habits: dict[tuple[int, str], Habit], false_ratio: float
) -> dict[tuple[int, str], Habit]:
    """Return the habits with which lists agree on a label, by Benjamini & Hochberg 1995."""
    from scipy.stats import false_discovery_control

    chances = [
        np.where(habit.moves > STILL, ranking.chance, 1.0)
        for habit in habits.values()
        for ranking in (habit.highest, habit.lowest)
    ]
    agrees = false_discovery_control(np.concatenate(chances)) <= false_ratio
    parts = iter(np.split(agrees, np.cumsum([len(each) for each in chances])[:-1]))
    return {
        key: habit._replace(
            highest=habit.highest._replace(agrees=next(parts)),
            lowest=habit.lowest._replace(agrees=next(parts)),
        )
        for key, habit in habits.items()
    }


def compare_states(run: Run, layer: int, settings: HabitSettings) -> Similar:
    """Return similar moments and clips by the states of a layer, of both directions together.

    Of each unit its mean over all moments of the data is taken away first: what is the same in
    all clips makes none of them alike. Similarity is the cosine. Of whole clips it is that of all
    states, the silence around the sound left out, at the lag at which it is largest, up to 0.2 s.
    """
    parts = [states for (number, _), states in run.states.items() if number == layer]
    states = np.concatenate(parts, axis=2)  # (n_clips, n_steps, n_units of both directions)
    n_own, n_steps = len(run.own), states.shape[1]
    centred = states - states[:n_own][run.is_sound[:n_own]].mean(axis=0)
    centred = np.where(run.is_sound[:, :, None], centred, 0)
    sizes = np.linalg.norm(centred, axis=2, keepdims=True)
    units = centred / np.maximum(sizes, 1e-12)
    at = spread(n_steps, settings.n_moments)
    n_similar = min(settings.n_similar, n_own - 1)
    rows = [_nearest(units, run.is_sound, at, i, n_own, n_similar) for i in range(len(units))]
    clips, steps, cosines = (np.stack(column) for column in zip(*rows, strict=True))
    n_lags = int((run.step_times_s - run.step_times_s[0] <= _LAG_S + 1e-6).sum()) - 1
    alike = lagged_cosines(centred, n_lags)[:, :n_own]
    np.fill_diagonal(alike, -np.inf)  # a clip is no other one
    whole = (-alike).argsort(axis=1, kind="stable")[:, :n_similar]
    return Similar(at, clips, steps, cosines, whole, np.take_along_axis(alike, whole, axis=1))


def spread(n_steps: int, n: int) -> Indices:
    """Return up to ``n`` steps, the first and the last among them, at like distances."""
    steps: Indices = np.unique(np.linspace(0, n_steps - 1, min(n_steps, n)).round().astype(np.intp))
    return steps


def _nearest(
    units: Array, is_sound: npt.NDArray[np.bool_], at: Indices, clip: int, n_own: int, n: int
) -> tuple[Indices, Indices, Array]:
    """Return clips, steps and cosines (n_moments, n) nearest to moments of one clip, one a clip."""
    of_clips, n_steps, size = units[:n_own], units.shape[1], units.shape[2]
    cosines = (units[clip, at] @ of_clips.reshape(-1, size).T).reshape(len(at), n_own, n_steps)
    cosines = np.where(is_sound[None, :n_own], cosines, -np.inf)
    best = cosines.max(axis=2)
    if clip < n_own:
        best[:, clip] = -np.inf
    nearest = (-best).argsort(axis=1, kind="stable")[:, :n]
    steps = np.take_along_axis(cosines.argmax(axis=2), nearest, axis=1)
    return nearest, steps, np.take_along_axis(best, nearest, axis=1)


def lagged_cosines(states: Array, n_lags: int) -> Array:
    """Return (n, n) the cosine of every two of ``states`` (n, n_steps, n_units), at the best lag.

    Parameters
    ----------
    n_lags : steps, at most, that one may be later than the other
    """
    n, n_steps, _ = states.shape
    best = np.full((n, n), -np.inf, states.dtype)
    for lag in range(n_lags + 1):
        products = states[:, lag:].reshape(n, -1) @ states[:, : n_steps - lag].reshape(n, -1).T
        np.maximum(best, np.maximum(products, products.T), out=best)
    sizes = np.maximum(np.linalg.norm(states.reshape(n, -1), axis=1), 1e-12)
    cosines: Array = best / sizes[:, None] / sizes
    return cosines
