"""Compare what was exported with the model that it was made of, on the same sound."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import Artifact
from speechcls.audio.samples import PCM, to_float, to_pcm
from speechcls.errors import ExportError
from speechcls.fields import Config
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import Probabilities
from speechcls.runtime.stream import PosteriorStream

if TYPE_CHECKING:
    from speechcls.layouts.examples import Dataset

_N_MADE = 64
"""Sounds that are made where no recordings are given."""
_SHORTEST_S, _LONGEST_S = 2.0, 120.0
"""Of the clips joined to a stream."""
_BATCH = 8


@dataclass(frozen=True)
class Limits(Config):
    """How far an export may be from its model; it is refused beyond."""

    clips_max: int = 2_000
    """Largest number of clips that it is compared on, spread evenly over those there are."""
    difference_max: float = 1e-3
    """Largest difference of a probability where the weights are the same."""
    equal_ratio_min: float = 0.95
    """Lowest ratio of equal answers where the weights are rounded."""
    accuracy_loss_max: float = 0.01
    """Highest loss of accuracy, on clips of known labels, where the weights are rounded."""


LIMITS = Limits()


@dataclass(frozen=True)
class Clips:
    """The sound that an export is compared on."""

    windows: PCM
    """(n, n_samples) at the model's rate."""
    truth: npt.NDArray[np.int64] | None
    """(n,) index of each label; None where it is not known."""
    about: str
    """Which they are, in words."""
    bad: tuple[str, ...] = ()
    """One line for each clip that could not be read."""

    def joined(self, sample_rate: int) -> PCM:
        """Return the clips one after the other, (n,), two seconds to two minutes of sound."""
        n_max = max(1, int(_LONGEST_S * sample_rate) // self.windows.shape[1])
        samples = self.windows[:n_max].reshape(-1)
        missing = max(0, int(_SHORTEST_S * sample_rate) - len(samples))
        return np.pad(samples, (0, missing))


@dataclass(frozen=True)
class Agreement:
    """How far an export and its model agree."""

    n_answers: int
    """Clips, or steps of a stream, that both answered."""
    largest_difference: float
    """Of any probability."""
    equal_ratio: float
    """Ratio of the answers whose likeliest label is the same."""
    accuracy: float | None = None
    """Of the export; None without clips of known labels."""
    model_accuracy: float | None = None
    """Of the model on the same clips."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        rounded = {"largest_difference": float(f"{self.largest_difference:.3g}")}
        ratios = {
            name: None if value is None else round(value, 6)
            for name in ("equal_ratio", "accuracy", "model_accuracy")
            for value in [getattr(self, name)]
        }
        return {"n_answers": self.n_answers, **rounded, **ratios}


def made_clips(artifact: Artifact, n: int = _N_MADE, seed: int = 0) -> Clips:
    """Return sounds made of nothing: silence, noise, tones, and vowels that glide.

    Their level, pitch and length differ, so that a model gives various answers.
    """
    features = artifact.features
    windows = _made_windows(features.sample_rate, features.n_samples, n, seed)
    return Clips(windows, None, f"{n} made sounds")


@functools.lru_cache(maxsize=4)
def _made_windows(rate: int, n_samples: int, n: int, seed: int) -> PCM:
    rng = np.random.default_rng(seed)
    makers = (_noise, _tone, _vowels, _vowels, _vowels)
    sounds = [np.zeros(n_samples)]
    while len(sounds) < n:
        sound = makers[len(sounds) % len(makers)](rng, n_samples, rate)
        background = 10 ** rng.uniform(-4, -2) * rng.standard_normal(n_samples)
        sounds.append(10 ** rng.uniform(-1.5, -0.1) * sound + background)
    windows = to_pcm(np.clip(np.stack(sounds), -1, 1).astype(np.float32))
    windows.setflags(write=False)  # others get them too
    return windows


Draw = npt.NDArray[np.float64]


def _envelope(rng: np.random.Generator, n: int) -> Draw:
    """Return the loudness (n,) of one sound within a window of silence."""
    centre, width = rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.25)
    return np.exp(-(((np.arange(n) / n - centre) / width) ** 4))


def _noise(rng: np.random.Generator, n: int, rate: int) -> Draw:
    return 0.3 * rng.standard_normal(n) * _envelope(rng, n)


def _tone(rng: np.random.Generator, n: int, rate: int) -> Draw:
    hz = _glide(rng, 200, rate / 5, n)
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hz) / rate) * _envelope(rng, n))


def _glide(rng: np.random.Generator, low: float, high: float, n: int) -> Draw:
    """Return a way (n,) from one random value within limits to another."""
    first, last = rng.uniform(low, high, 2).tolist()
    return np.linspace(first, last, n)


def _vowels(rng: np.random.Generator, n: int, rate: int) -> Draw:
    """Return harmonics under formants that move, as those of a diphthong do."""
    f0 = _glide(rng, 90, 260, n)
    phase = 2 * np.pi * np.cumsum(f0) / rate
    formants = [_glide(rng, low, high, n) for low, high in _FORMANTS_HZ]
    sound = np.zeros(n)
    for k in range(1, int(0.45 * rate / f0.max())):
        gain = sum(1 / (1 + ((k * f0 - formant) / 90) ** 2) for formant in formants)
        sound += gain / math.sqrt(k) * np.sin(k * phase)
    onset = rng.uniform(0, 0.6) * rng.standard_normal(n) * _envelope(rng, n)
    return np.asarray((sound / np.abs(sound).max() + onset) * _envelope(rng, n))


_FORMANTS_HZ = ((250, 850), (800, 2_400), (2_300, 3_200))


def clips_of(
    classifier: Classifier, dataset: "Dataset", on_clip: Callable[[], None] = lambda: None
) -> Clips:
    """Return the clips of a data set that the model was not trained on, as ``evaluate`` has them.

    Raises
    ------
    DatasetError
        When the data cannot be read, or have no clip to score.
    """
    # Late: what scores and decodes data sets is not there where models are only run.
    from speechcls.data.packing import make_reader
    from speechcls.evaluation.score import evaluate

    evaluation = evaluate(classifier, dataset, "auto", on_clip)
    n_all = len(evaluation.clips)
    n = min(n_all, LIMITS.clips_max)
    chosen = [evaluation.clips[i] for i in np.linspace(0, n_all - 1, n).round().astype(int)]
    read = make_reader(dataset.root, classifier.sample_rate)
    windows = [to_pcm(classifier.window(read(clip.example).samples).samples) for clip in chosen]
    truth = np.array([clip.truth for clip in chosen], dtype=np.int64)
    about = evaluation.scored if n == n_all else f"{n} of {evaluation.scored}"
    return Clips(np.stack(windows), truth, about, tuple(evaluation.bad))


def model_answers(classifier: Classifier, clips: Clips) -> Probabilities:
    """Return the model's own probabilities (n, n_labels) of clips."""
    batches = range(0, len(clips.windows), _BATCH)
    rows = [classifier.probabilities(to_float(clips.windows[i : i + _BATCH])) for i in batches]
    return np.concatenate(rows)


def model_stream(artifact: Artifact, samples: PCM) -> Probabilities:
    """Return the model's own posteriors (n_times, n_labels) of a stream of ``samples`` (n,)."""
    return PosteriorStream(artifact).feed(to_float(samples)).probabilities


def compare(
    found: Probabilities, expected: Probabilities, truth: npt.NDArray[np.int64] | None = None
) -> Agreement:
    """Return how far probabilities (n, n_labels) of an export agree with those of its model."""
    if found.shape != expected.shape:
        raise ExportError(
            f"the export gives {found.shape[0]} answers of {found.shape[-1]} labels, the model"
            f" {expected.shape[0]} of {expected.shape[-1]}; please report this"
        )
    answers, own = found.argmax(axis=1), expected.argmax(axis=1)
    scores = (None, None) if truth is None else (answers == truth, own == truth)
    return Agreement(
        len(found),
        float(np.abs(found - expected).max()),
        float((answers == own).mean()),
        *(None if score is None else float(score.mean()) for score in scores),
    )


def check_agreement(name: str, agreement: Agreement, is_rounded: bool) -> None:
    """Refuse an export that does not do what its model does.

    Parameters
    ----------
    is_rounded : whether its weights are those of the model, rounded to 8 bits

    Raises
    ------
    ExportError
        Saying how far it is from the model.
    """
    lost = (agreement.model_accuracy or 0.0) - (agreement.accuracy or 0.0)
    if not math.isfinite(agreement.largest_difference):
        raise ExportError(f"{name}: its probabilities are not finite; please report this")
    if not is_rounded and agreement.largest_difference > LIMITS.difference_max:
        raise ExportError(
            f"{name}: a probability differs from the model's by"
            f" {agreement.largest_difference:.2g}, and {LIMITS.difference_max:g} is allowed; please"
            " report this"
        )
    if is_rounded and agreement.equal_ratio < LIMITS.equal_ratio_min:
        raise ExportError(
            f"{name}: {100 * agreement.equal_ratio:.1f} % of its answers are the model's, and"
            f" {100 * LIMITS.equal_ratio_min:g} % is the least; export the model without rounding"
        )
    if is_rounded and lost > LIMITS.accuracy_loss_max:
        raise ExportError(
            f"{name}: it loses {100 * lost:.1f} % of accuracy, and"
            f" {100 * LIMITS.accuracy_loss_max:g} % is the most; export the model without rounding"
        )
