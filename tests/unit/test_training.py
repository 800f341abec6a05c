"""The training loop on a corpus made by hand."""

import numpy as np
import pytest
import torch

from speechcls.artifact import SplitRow
from speechcls.config import SILENCE, UNKNOWN, FeatureConfig, NetworkConfig, TrainConfig
from speechcls.corpus import Corpus
from speechcls.errors import ConfigError
from speechcls.networks import Recogniser, build_recogniser
from speechcls.training import (
    Epoch,
    _Batches,
    choose_device,
    fit,
    learning_rate_factor,
    set_feature_statistics,
)

FEATURES = FeatureConfig(
    sample_rate=8_000, duration_s=0.25, n_fft=256, win_length=200, hop_length=100, n_mels=20,
    n_mfcc=10, fmax=4_000.0,
)  # fmt: skip
NETWORK = NetworkConfig(arch="gru", hidden_size=8, num_layers=1, dropout=0.1)
CPU = torch.device("cpu")
PLAIN = {"shift_share": 0.0, "noise_share": 0.0, "time_masks": 0}


def make_corpus(labels: tuple[str, ...] = ("low", "high"), n_each: int = 30) -> Corpus:
    """Return tones whose pitch is the label; the clip number is the value of the first sample."""
    rng = np.random.default_rng(0)
    n, time = FEATURES.n_samples, np.arange(FEATURES.n_samples) / FEATURES.sample_rate
    label_index = np.repeat(np.arange(len(labels)), n_each)
    pitch = 300.0 * (1 + label_index) * rng.uniform(0.9, 1.1, len(label_index))
    windows = 8_000 * np.sin(2 * np.pi * pitch[:, None] * time) + rng.normal(0, 50, (1, n))
    windows = windows.astype(np.int16)
    windows[:, 0] = np.arange(len(windows))
    split = np.where(np.arange(len(windows)) % 5 == 0, "validation", "train")
    noise = np.zeros(0, np.int16)
    if SILENCE in labels:
        noise = rng.integers(-900, 900, 5 * n).astype(np.int16)
    rows = [SplitRow(f"{i}", "", "", str(s), 0.0, None, 1.0, "") for i, s in enumerate(split)]
    return Corpus(labels, FEATURES, windows, label_index, split, noise, rows, [], [])


def train(corpus: Corpus, **settings: object) -> tuple[Recogniser, list[Epoch]]:
    config = TrainConfig(**{"epochs": 8, "batch_size": 16, **settings})  # type: ignore[arg-type]
    recogniser = build_recogniser(FEATURES, NETWORK, len(corpus.labels), config.seed)
    result = fit(recogniser, corpus, config, CPU)
    return recogniser, result.history


def test_it_learns() -> None:
    _, history = train(
        make_corpus(("low", "mid", "high", "top")), lr=5e-3, label_smoothing=0.0, **PLAIN
    )
    assert history[0].loss > 1.0
    assert history[-1].loss < 0.5 * history[0].loss
    assert max(epoch.validation_accuracy for epoch in history) == 1.0


def test_one_seed_gives_the_same_weights_and_another_does_not() -> None:
    first, again, other = (train(make_corpus(), epochs=2, seed=seed)[0] for seed in (1, 1, 2))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert not torch.equal(first.network.output.weight, other.network.output.weight)


def test_the_best_epoch_is_kept_not_the_last() -> None:
    corpus = make_corpus()
    states = []
    recogniser = build_recogniser(FEATURES, NETWORK, 2, 0)
    config = TrainConfig(epochs=6, batch_size=16, lr=0.3)  # so high that it gets worse again

    def keep(epoch: Epoch) -> None:
        states.append(recogniser.network.output.weight.clone())

    result = fit(recogniser, corpus, config, CPU, keep)
    key = [(-e.validation_accuracy, e.validation_loss) for e in result.history]
    assert result.best == result.history[key.index(min(key))]
    assert torch.equal(recogniser.network.output.weight, states[result.best.epoch - 1])
    assert not recogniser.training


def test_patience_ends_training() -> None:
    corpus = make_corpus()
    recogniser = build_recogniser(FEATURES, NETWORK, 2, 0)
    result = fit(recogniser, corpus, TrainConfig(epochs=50, lr=0.5, patience=3), CPU)
    assert result.best is not None
    assert len(result.history) == result.best.epoch + 3 < 50


def test_ctrl_c_keeps_the_best_so_far() -> None:
    def stop_after_two(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    recogniser = build_recogniser(FEATURES, NETWORK, 2, 0)
    result = fit(recogniser, make_corpus(), TrainConfig(epochs=9), CPU, stop_after_two)
    assert result.interrupted
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert result.best is not None


def clip_numbers(samples: torch.Tensor) -> list[int]:
    return [round(float(value) * 32_768) for value in samples[:, 0]]


def test_an_epoch_holds_every_training_clip_once_in_a_new_order() -> None:
    corpus = make_corpus()
    batches = _Batches(corpus, TrainConfig(batch_size=7, **PLAIN), CPU)
    orders = []
    for epoch in (1, 2):
        seen = [n for samples, _ in batches.training(epoch) for n in clip_numbers(samples)]
        assert sorted(seen) == np.flatnonzero(corpus.split == "train").tolist()
        orders.append(seen)
    assert orders[0] != orders[1]
    assert batches.n_steps == 7  # 48 clips by 7
    for samples, targets in batches.training(1):
        assert targets.tolist() == [corpus.label_index[n] for n in clip_numbers(samples)]


def test_unknown_is_sampled_anew_and_silence_is_cut_each_epoch() -> None:
    corpus = make_corpus(("a", UNKNOWN, "b", SILENCE), n_each=40)
    # 32 training clips a label; cut-short, so that _unknown_ has more than its share
    config = TrainConfig(batch_size=16, unknown_share=0.5, silence_share=1.5, **PLAIN)
    is_silence = corpus.label_index == 3
    corpus.split[is_silence] = "unused"
    batches = _Batches(corpus, config, CPU)
    drawn = []
    for epoch in (1, 2):
        targets = torch.cat([targets for _, targets in batches.training(epoch)])
        assert torch.bincount(targets).tolist() == [32, 16, 32, 48]
        drawn.append({n for s, t in batches.training(epoch) for n in clip_numbers(s[t == 1])})
    assert drawn[0] != drawn[1]
    assert drawn[0] | drawn[1] <= set(np.flatnonzero(corpus.label_index == 1).tolist())


def test_training_clips_are_shifted_and_noisy_and_validation_clips_are_not() -> None:
    corpus = make_corpus(("a", "b", SILENCE), n_each=40)
    quiet = TrainConfig(batch_size=16, noise_share=0.0, shift_share=0.2)
    noisy = TrainConfig(
        batch_size=16, noise_share=1.0, shift_share=0.0, snr_low_db=0, snr_high_db=0
    )
    original = torch.from_numpy(corpus.windows).float() / 32_768.0
    for config, is_shift in ((quiet, True), (noisy, False)):
        batches = _Batches(corpus, config, CPU)
        samples, targets = next(batches.training(1))
        for clip in samples[targets < 2]:
            assert not any(torch.equal(clip, own) for own in original)
        has_edge = (samples[targets < 2][:, :50] == 0).all(dim=1)  # zeros come in by a shift later
        assert bool(has_edge.any()) == is_shift
        validation = torch.cat([samples for samples, _ in batches.validation()])
        assert torch.equal(validation, original[corpus.split == "validation"])


def test_statistics_come_from_the_training_clips_alone() -> None:
    corpus = make_corpus()
    corpus.windows[corpus.split == "validation"] = 30_000
    recogniser = build_recogniser(FEATURES, NETWORK, 2, 0)
    set_feature_statistics(recogniser, _Batches(corpus, TrainConfig(), CPU))
    training = torch.from_numpy(corpus.windows[corpus.split == "train"]).float() / 32_768.0
    frames = recogniser.features(training).flatten(0, 1)
    torch.testing.assert_close(recogniser.feature_mean, frames.mean(0), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        recogniser.feature_std, frames.std(0, correction=0), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize(("step", "factor"), [(0, 0.1), (9, 1.0), (10, 1.0), (55, 0.5), (100, 0.0)])
def test_learning_rate_rises_and_falls_as_a_cosine(step: int, factor: float) -> None:
    assert learning_rate_factor(step, 100, 0.1) == pytest.approx(factor, abs=1e-9)


def test_device_that_is_not_there() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match=r"--device tpu: not on this machine; there is .*cpu"):
        choose_device("tpu")
