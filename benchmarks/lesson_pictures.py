"""Pictures of the lesson, drawn from networks that ``pictures`` has trained."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from speechcls.audio.samples import Samples
from speechcls.config import FeatureConfig
from speechcls.explain.recurrence import Array
from speechcls.features.mel import clip_features
from speechcls.networks.load import load_recogniser
from speechcls.networks.recurrent import Recurrent
from speechcls.render.figures import DIVERGING, GREY, PALETTE, SEQUENTIAL, new_figure
from speechcls.runtime.classifier import Classifier

CEPSTRA = 13
"""Coefficients that are drawn; the higher ones are small."""
BINS = (0.25, 0.5, 0.6, 0.7, 0.9, 1.01)
"""Limits of the probabilities that are counted together."""


def draw_sound(samples: Samples, word: str) -> Figure:
    """Return a clip as a waveform, as log-mel energies and as MFCCs.

    Parameters
    ----------
    samples : (n_samples,)
    """
    config = FeatureConfig(relative=False, duration_s=len(samples) / 16_000)
    end_s = len(samples) / config.sample_rate
    energies = clip_features(samples, "log-mel", config)
    cepstra = clip_features(samples, "mfcc", config)[:, :CEPSTRA]
    figure = new_figure(7.5, 6.0)
    above, middle, below = figure.subplots(3, 1, height_ratios=(1, 2, 2))
    times = np.arange(len(samples)) / config.sample_rate
    above.plot(times, samples, color=PALETTE[0], linewidth=0.7)
    above.set_xlim(0, end_s)
    above.set_title(f"waveform of “{word}”: {len(samples):,} numbers")
    top = energies.max()
    drawn = middle.imshow(
        energies.T,
        origin="lower",
        aspect="auto",
        cmap=SEQUENTIAL,
        extent=(0, end_s, 0, config.n_mels),
        vmin=top - 80,
        vmax=top,
    )
    middle.set_title(f"log-mel energies: {len(energies)} frames of {config.n_mels}")
    middle.set_ylabel("mel band")
    figure.colorbar(drawn, ax=middle, label="dB")
    standard = (cepstra - cepstra.mean(axis=0)) / cepstra.std(axis=0)
    drawn = below.imshow(
        standard.T,
        origin="lower",
        aspect="auto",
        cmap=DIVERGING,
        extent=(0, end_s, -0.5, CEPSTRA - 0.5),
        vmin=-3,
        vmax=3,
    )
    below.set_title(f"MFCCs: the first {CEPSTRA}, each in standard deviations from its mean")
    below.set_ylabel("coefficient")
    below.set_xlabel("seconds")
    figure.colorbar(drawn, ax=below, label="deviations")
    figure.colorbar(drawn, ax=above).ax.set_visible(False)  # so that the time axes are one
    return figure


def state_gradients(classifier: Classifier, samples: Samples) -> Array:
    """Return how far the highest logit depends on the whole state after each step.

    Parameters
    ----------
    samples : (n_samples,) of the model's window

    Returns
    -------
    (n_steps,) norms of the gradient by the state (by h and c of an LSTM); the last one is 1
    """
    recogniser = load_recogniser(classifier.artifact)
    network = recogniser.network
    assert isinstance(network, Recurrent)
    with torch.no_grad():
        inputs = network.recurrence_inputs(recogniser.extract_features(torch.tensor(samples)[None]))
    states: list[tuple[torch.Tensor, ...]] = []
    state = None
    for step in range(inputs.shape[1]):
        _, state = network.recurrence(inputs[:, step : step + 1], state)
        states.append(state if isinstance(state, tuple) else (state,))
        for part in states[-1]:
            part.retain_grad()
    network.output(states[-1][0][-1]).max().backward()
    norms = [
        sum(float(part.grad.square().sum()) for part in parts if part.grad is not None) ** 0.5
        for parts in states
    ]
    relative: Array = np.array(norms) / norms[-1]
    return relative


def draw_gradients(networks: Mapping[str, Classifier], clips: list[Path]) -> Figure:
    """Return how far the answer depends on the state after each moment, by architecture.

    Parameters
    ----------
    clips : recordings that trained none of the networks; their median is drawn
    """
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    for (arch, classifier), colour in zip(networks.items(), PALETTE, strict=False):
        norms = [
            state_gradients(classifier, classifier.read_window(clip).samples) for clip in clips
        ]
        median = np.median(norms, axis=0)
        network = load_recogniser(classifier.artifact).network
        config = classifier.artifact.features
        step_s = config.hop_length / config.sample_rate * network.frames_per_step
        before_s = step_s * np.arange(len(median))[::-1]
        step_ms = round(1000 * step_s)
        axes.semilogy(before_s, median, color=colour, label=f"{arch}, {step_ms} ms a step")
        print(f"{arch}: {median[0]:.2g} after {len(median) - 1} steps")
    axes.invert_xaxis()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("1e+00", "1"))
    axes.set_title("gradient of the answer by the state, beside that by the last state")
    axes.set_xlabel("seconds before the answer")
    axes.legend(loc="lower right")
    return figure


def draw_threshold(classifier: Classifier, own: Mapping[Path, str], others: list[Path]) -> Figure:
    """Return what a threshold accepts, and how often a probability is right.

    Parameters
    ----------
    own : recordings of the model's labels that did not train it, with their labels
    others : recordings of other words
    """
    answers = {path: classifier.predict(path) for path in [*own, *others]}
    is_right = np.array([answers[path].label == label for path, label in own.items()])
    highest = np.array([answers[path].probability for path in own])
    of_others = np.array([answers[path].probability for path in others])
    figure = new_figure(8.0, 3.4)
    left, right = figure.subplots(1, 2)
    thresholds = np.linspace(1 / len(classifier.labels), 1.0, 151)
    for values, text, colour in (
        (highest, f"its {len(classifier.labels)} words ({len(own)} clips)", PALETTE[0]),
        (of_others, f"other words ({len(others)} clips)", PALETTE[1]),
    ):
        accepted = [100 * float((values >= threshold).mean()) for threshold in thresholds]
        left.plot(thresholds, accepted, color=colour, label=text)
        at = ", ".join(f"{100 * (values >= t).mean():.0f} % at {t}" for t in (0.5, 0.9))
        print(f"{text}: {at}")
    left.axvline(0.5, color=GREY, linestyle=":")
    left.set_title("accepted as one of its words, %")
    left.set_xlabel("threshold")
    left.legend(loc="lower left")
    right.plot([0, 1], [0, 100], color=GREY, linewidth=0.8)
    for low, high in itertools.pairwise(BINS):
        inside = (highest >= low) & (highest < high)
        if inside.any():
            said, true = float(highest[inside].mean()), 100 * float(is_right[inside].mean())
            right.plot(said, true, "o", color=PALETTE[0])
            right.annotate(f"{inside.sum()}", (said, true), (0, -14), textcoords="offset points")
            print(f"{low} to {high}: {inside.sum()} clips, said {said:.2f}, right {true:.0f} %")
    right.set_xlim(0.2, 1.05)
    right.set_ylim(0, 108)
    right.set_title("right, %, of the clips with about this probability")
    right.set_xlabel("highest probability (the line: calibrated)")
    return figure
