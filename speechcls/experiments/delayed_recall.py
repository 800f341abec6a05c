"""Delayed recall: classify a word seconds after its end."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from speechcls.audio.speech import find_speech
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.data.clips import ClipStore, read_clips
from speechcls.data.splits import assign_splits
from speechcls.errors import ConfigError, DatasetError
from speechcls.features.mel import MFCC
from speechcls.layouts.examples import Dataset, Example
from speechcls.networks.frontends import BlockFrontEnd, FrontEnd
from speechcls.networks.recurrent import Recurrent, plain_network
from speechcls.networks.size import count_parameters, widest_below
from speechcls.networks.zoo import NETWORKS
from speechcls.training.optimisation import learning_rate_factor

WORD_S = 1.0
"""Every word ends at the end of a window of so many seconds."""
NOISE_DB = -40.0
"""Level of the faint white noise before, in and after the word, against the word's peak, dB."""
FRONTS: dict[int, type[FrontEnd] | None] = {10: None, 40: BlockFrontEnd}
"""Front end by the duration of a step of the recurrence, ms."""

# Absolute energies: those relative to the clip's mean would reveal how long the gap is.
_FEATURES = FeatureConfig(kind="mfcc", n_mfcc=20, relative=False, duration_s=WORD_S)
_N_GAPS = 64  # pieces of noise that gaps are taken from
_WIDTHS = range(4, 513, 4)
_TEST_BATCH = 512


@dataclass(frozen=True)
class DelayedRecallConfig:
    """Budget of each network, the same for all."""

    max_gap_s: float = 3.0
    """Longest gap between the end of the word and the prediction, in training and in the test."""
    max_parameters: int = 20_000
    """Number of trainable parameters that each network stays below."""
    steps: int = 1_500
    """Batches in training."""
    batch_size: int = 32
    """Words in a batch, all with the same random gap."""
    lr: float = 3e-3
    """Highest learning rate of AdamW; it falls as a cosine."""
    max_per_word: int = 120
    """Largest number of clips per word."""

    @property
    def gaps_s(self) -> list[float]:
        """Gaps that are tested, seconds."""
        ratios = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
        return [round(ratio * self.max_gap_s, 2) for ratio in ratios]


@dataclass(frozen=True)
class Words:
    """Spoken words as features, each ending with its last frame, and noise to append to them."""

    labels: tuple[str, ...]
    training: Tensor
    """(n, n_frames, n_features), standardised."""
    training_labels: Tensor
    """(n,) indices into ``labels``."""
    held_out: Tensor
    """The same of other speakers."""
    held_out_labels: Tensor
    gaps: Tensor
    """(n_gaps, n_gap_frames, n_features)."""
    bad: tuple[str, ...]
    """One line for each clip that could not be read."""

    @property
    def chance(self) -> float:
        """Majority-class accuracy on the held-out clips."""
        return float(self.held_out_labels.bincount().max() / len(self.held_out_labels))


@dataclass(frozen=True)
class DelayedRecallRun:
    """One trained network, and its accuracy after each gap."""

    arch: str
    step_ms: int
    seed: int
    n_parameters: int
    accuracy: dict[float, float] = field(default_factory=dict)
    """By the seconds between the end of the word and the prediction."""


def prepare_words(dataset: Dataset, config: DelayedRecallConfig, seed: int = 0) -> Words:
    """Return the words of a data set, with speakers held out as in any training.

    Raises
    ------
    DatasetError
        When there are fewer than two labels, or nothing to hold out.
    """
    examples = _choose(dataset.examples, config.max_per_word)
    labels = tuple(sorted({example.label for example in examples}))
    if len(labels) < 2:
        raise DatasetError(f"{dataset.source}: {len(labels)} label; there must be two or more")
    store = read_clips(examples, _FEATURES.sample_rate)
    names = [example.label for example in store.examples]
    splits = assign_splits(store.examples, names, store.digests)
    is_training = torch.tensor([name == "train" for name in splits.names])
    is_held_out = torch.tensor([name in ("validation", "test") for name in splits.names])
    generator = torch.Generator().manual_seed(seed)
    extract = MFCC(_FEATURES)
    words = extract(_align(store) + _white_noise(len(names), WORD_S, generator))
    gaps = extract(_white_noise(_N_GAPS, config.max_gap_s + 1.0, generator))
    mean = words[is_training].mean(dim=(0, 1))
    # A coefficient that never changes must not be divided by zero.
    deviation = words[is_training].std(dim=(0, 1)).clamp(min=1e-3)
    words, gaps = (words - mean) / deviation, (gaps - mean) / deviation
    index = torch.tensor([labels.index(name) for name in names])
    return Words(
        labels,
        words[is_training],
        index[is_training],
        words[is_held_out],
        index[is_held_out],
        gaps[:, 2:-2],  # without the edges, where frames are padded with zeros
        (*dataset.problems, *store.bad),
    )


def _choose(examples: Sequence[Example], max_per_word: int) -> list[Example]:
    """Return the first ``max_per_word`` clips of each word, speaker after speaker."""
    chosen: list[Example] = []
    for label in sorted({example.label for example in examples}):
        chosen += [example for example in examples if example.label == label][:max_per_word]
    return chosen


def _align(store: ClipStore) -> Tensor:
    """Return windows (n_clips, n_samples) that end with the word, its peak at 0.5."""
    windows = torch.zeros(len(store.examples), _FEATURES.n_samples)
    for i, window in enumerate(windows):
        samples = store.read(i)
        end = int(find_speech(samples, store.sample_rate)[1])
        word = torch.from_numpy(samples[max(0, end - len(window)) : end])
        window[len(window) - len(word) :] = 0.5 * word / word.abs().max().clamp(min=1e-6)
    return windows


def _white_noise(n: int, seconds: float, generator: torch.Generator) -> Tensor:
    """Return white noise (n, n_samples) of ``NOISE_DB``."""
    n_samples = round(seconds * _FEATURES.sample_rate)
    level = 0.5 * 10 ** (NOISE_DB / 20)
    return level * torch.randn(n, n_samples, generator=generator)


def build_network(
    arch: str, step_ms: int, n_features: int, n_labels: int, max_parameters: int, seed: int = 0
) -> Recurrent:
    """Return the widest network of one layer below ``max_parameters``, with readout ``last``.

    Parameters
    ----------
    step_ms : duration of a step of the recurrence, instead of that in the zoo: 10 (frame by frame)
        or 40 (blocks of four frames), so that all have equally many steps to remember

    Raises
    ------
    ConfigError
        When there is no such architecture, it has more than one recurrent cell or a front end of
        its own, or its smallest network has ``max_parameters`` or more.
    """
    able = {
        name: network
        for name, network in NETWORKS.items()
        if issubclass(network, Recurrent) and network.front in FRONTS.values()
    }
    if arch not in able:
        raise ConfigError(f"{arch} is not one of {', '.join(able)}", field="archs")
    kind = plain_network(able[arch].cell, able[arch].bidirectional, FRONTS[step_ms])

    def build(width: int) -> Recurrent:
        config = NetworkConfig(arch, width, num_layers=1, dropout=0.0, readout="last")
        return kind(config, n_features, n_labels)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = widest_below(build, max_parameters, _WIDTHS)
        if width is None:
            raise ConfigError(
                f"{arch} has no form below {max_parameters:,} parameters", field="archs"
            )
        return build(width)


def run_delayed_recall(
    words: Words,
    arch: str,
    step_ms: int,
    seed: int,
    config: DelayedRecallConfig,
    on_step: Callable[[], None] = lambda: None,
) -> DelayedRecallRun:
    """Return the accuracy by gap of a network trained on words with random gaps after them.

    Nothing is chosen by the held-out words: they are scored with the last weights.

    Parameters
    ----------
    on_step : called after each batch of the training
    """
    n_features = words.training.shape[2]
    network = build_network(
        arch, step_ms, n_features, len(words.labels), config.max_parameters, seed
    )
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config.steps, 0.05)
    )
    network.train()
    for step in range(config.steps):
        chosen = torch.randint(len(words.training), (config.batch_size,), generator=generator)
        # The gaps grow during training: with long ones from the start, no network learns the words.
        max_gap_s = config.max_gap_s * min(1.0, 2 * step / config.steps)
        gap_s = max_gap_s * float(torch.rand(1, generator=generator))
        features = append_gap(words.training[chosen], words.gaps, gap_s, generator)
        loss = functional.cross_entropy(network(features), words.training_labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        on_step()
    accuracy = {gap_s: _accuracy(network, words, gap_s) for gap_s in config.gaps_s}
    return DelayedRecallRun(arch, step_ms, seed, count_parameters(network), accuracy)


def _accuracy(network: Recurrent, words: Words, gap_s: float) -> float:
    """Return the accuracy on the held-out words after a gap."""
    network.eval()
    generator = torch.Generator().manual_seed(0)  # the same noise for every network
    n_right = 0
    with torch.no_grad():
        for start in range(0, len(words.held_out), _TEST_BATCH):
            part = words.held_out[start : start + _TEST_BATCH]
            logits = network(append_gap(part, words.gaps, gap_s, generator))
            truth = words.held_out_labels[start : start + _TEST_BATCH]
            n_right += int((logits.argmax(dim=1) == truth).sum())
    return n_right / len(words.held_out)


def append_gap(words: Tensor, gaps: Tensor, gap_s: float, generator: torch.Generator) -> Tensor:
    """Return words (batch, n_frames, n_features), each followed by ``gap_s`` seconds of noise."""
    n_frames = round(gap_s * _FEATURES.sample_rate / _FEATURES.hop_length)
    chosen = torch.randint(len(gaps), (len(words),), generator=generator)
    start = int(torch.randint(gaps.shape[1] - n_frames + 1, (1,), generator=generator))
    return torch.cat([words, gaps[chosen, start : start + n_frames]], dim=1)


def mean_curves(
    runs: Sequence[DelayedRecallRun],
) -> dict[tuple[int, str], dict[float, tuple[float, float]]]:
    """Return mean and standard deviation over seeds, by step, architecture and gap.

    The deviation of a single seed is NaN.
    """
    curves: dict[tuple[int, str], dict[float, tuple[float, float]]] = {}
    for run in runs:
        key = run.step_ms, run.arch
        if key in curves:
            continue
        accuracies = [other.accuracy for other in runs if (other.step_ms, other.arch) == key]
        curves[key] = {
            gap_s: (
                statistics.fmean(accuracy[gap_s] for accuracy in accuracies),
                statistics.stdev(accuracy[gap_s] for accuracy in accuracies)
                if len(accuracies) > 1
                else math.nan,
            )
            for gap_s in run.accuracy
        }
    return curves
