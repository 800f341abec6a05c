"""The training loop on a corpus made by hand: learning, its average, what is kept and repeated."""

import copy
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from common_training import ALL_ON, CPU, NETWORK, PLAIN, build, make_corpus, train

from speechcls.config import NetworkConfig, TrainConfig
from speechcls.errors import ConfigError
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.networks.recogniser import Recogniser
from speechcls.training.batches import Batches
from speechcls.training.loop import choose_device, fit, set_feature_statistics
from speechcls.training.optimisation import (
    Epoch,
    Validation,
    learning_rate_factor,
    validate,
)


def test_it_learns() -> None:
    network = dataclasses.replace(NETWORK, hidden_size=16)
    _, history = train(
        make_corpus(("low", "mid", "high", "top")), network, lr=5e-3, label_smoothing=0.0, **PLAIN
    )
    assert history[0].loss > 1.0
    assert history[-1].loss < 0.5 * history[0].loss
    assert max(epoch.validation_accuracy for epoch in history) == 1.0


@pytest.mark.parametrize(("arch", "kind"), [("gru", "mfcc"), ("crnn", "log-mel")])
def test_one_seed_gives_the_same_weights_and_another_does_not(arch: str, kind: str) -> None:
    corpus = make_corpus(("a", "b", SILENCE, "cat", "dog"), ("a", UNKNOWN, "b", SILENCE))
    # Only log-mel has bands to be masked.
    features = dataclasses.replace(corpus.features, kind=kind)
    corpus = dataclasses.replace(corpus, features=features)
    network = NetworkConfig(arch, hidden_size=8, num_layers=2, dropout=0.3)
    first, again, other = (
        train(corpus, network, epochs=2, batch_size=32, seed=seed, **ALL_ON)[0]
        for seed in (1, 1, 2)
    )
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert not torch.equal(first.network.output.weight, other.network.output.weight)


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    train(make_corpus(), epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before)


# The running average


def follow(recogniser: Recogniser, **settings: object) -> tuple[list[dict], list[Epoch]]:
    """Train; return the state before the first step, after each step, and the epochs."""
    states = []

    def keep(state: dict) -> None:
        states.append(copy.deepcopy(state))

    config = TrainConfig(**{"batch_size": 16, "lr": 0.02, "epoch_clips": 1, **settings})  # type: ignore[arg-type]
    corpus = make_corpus()
    set_feature_statistics(recogniser, Batches(corpus, config, CPU))
    keep(recogniser.state_dict())
    result = fit(
        recogniser, corpus, config, CPU, on_step=lambda done: keep(recogniser.state_dict())
    )
    return states, result.history


@pytest.mark.parametrize("decay", [0.2, 0.9])
def test_the_model_is_the_running_average_of_the_weights(decay: float) -> None:
    recogniser = build(make_corpus(), NetworkConfig("crnn", hidden_size=8, num_layers=1))
    states, _ = follow(recogniser, epochs=1, ema_decay=decay)
    assert len(states) == 4  # 48 clips by 16
    final = recogniser.state_dict()
    for name, average in states[0].items():
        if not average.is_floating_point():
            assert name.endswith("num_batches_tracked") and final[name] == 3
            continue
        # Of the start: 1/11 after the first step, 2/12 of that after the second, then 3/13.
        for step, weights in enumerate(states[1:], start=1):
            kept = min(decay, step / (10 + step))
            average = kept * average + (1 - kept) * weights[name]
        torch.testing.assert_close(final[name], average, atol=1e-6, rtol=1e-5)
    last = states[-1]["network.output.weight"]
    assert (final["network.output.weight"] - last).abs().max() > 1e-4


def test_without_an_average_the_model_is_the_weights() -> None:
    recogniser = build(make_corpus())
    states, _ = follow(recogniser, epochs=1, ema_decay=0.0)
    for name, weight in recogniser.state_dict().items():
        assert torch.equal(weight, states[-1][name]), name


def test_what_is_validated_is_the_average() -> None:
    recogniser = build(make_corpus())
    states, (epoch,) = follow(recogniser, epochs=1, ema_decay=0.9)
    batches = Batches(make_corpus(), TrainConfig(), CPU)
    own = validate(recogniser, batches)
    assert epoch.validation_loss == pytest.approx(own.loss, rel=1e-5)
    assert epoch.validation_balanced_accuracy == own.balanced_accuracy
    assert epoch.validation_accuracy == own.accuracy
    recogniser.load_state_dict(states[-1])
    assert abs(validate(recogniser, batches).loss - own.loss) > 1e-3


def test_validation_sums_the_words_of_a_label() -> None:
    corpus = make_corpus(("a", "cat", "dog"), ("a", UNKNOWN))
    recogniser = build(corpus)
    batches = Batches(corpus, TrainConfig(batch_size=7), CPU)
    held_out = corpus.split == "validation"
    with torch.no_grad():
        samples = torch.from_numpy(corpus.windows[held_out]).float() / 32_768.0
        words = (
            recogniser.network(recogniser.eval().extract_features(samples)).softmax(dim=1).numpy()
        )
    labels = np.stack([words[:, 0], words[:, 1] + words[:, 2]], axis=1)
    truth = corpus.label_index[held_out]
    own = validate(recogniser, batches)
    assert own.loss == pytest.approx(-np.log(labels[np.arange(len(truth)), truth]).mean(), rel=1e-4)
    is_right = labels.argmax(axis=1) == truth
    assert own.accuracy == pytest.approx(is_right.mean())
    recalls = [is_right[truth == label].mean() for label in (0, 1)]
    assert own.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert own.command_recall == pytest.approx(recalls[0])
    n_wrong = [int((~is_right[truth == label]).sum()) for label in (0, 1)]
    worst = int(np.argmin(recalls))
    pair = corpus.labels[worst], corpus.labels[1 - worst]
    assert own.confused == ((*pair, n_wrong[worst]) if n_wrong[worst] else None)


# What is kept


def test_the_best_epoch_is_kept_not_the_last() -> None:
    corpus = make_corpus()
    states = []
    recogniser = build(corpus)
    # So high that it gets worse again.
    config = TrainConfig(epochs=6, epoch_clips=200, batch_size=16, lr=0.3, ema_decay=0.0)

    def keep(epoch: Epoch) -> None:
        states.append(recogniser.network.output.weight.clone())

    result = fit(recogniser, corpus, config, CPU, keep)
    key = [(-e.validation_balanced_accuracy, e.validation_loss) for e in result.history]
    assert result.best == result.history[key.index(min(key))] != result.history[-1]
    assert torch.equal(recogniser.network.output.weight, states[result.best.epoch - 1])
    assert not recogniser.training


def test_the_best_epoch_has_the_highest_balanced_accuracy_then_the_lowest_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = [  # the first predicts the most frequent label for everything
        Validation(0.5, balanced_accuracy=0.1, command_recall=0.0, accuracy=0.8),
        Validation(0.9, balanced_accuracy=0.6, command_recall=0.5, accuracy=0.7),
        Validation(0.8, balanced_accuracy=0.6, command_recall=0.5, accuracy=0.7),
        Validation(0.1, balanced_accuracy=0.5, command_recall=0.9, accuracy=0.9),
    ]
    told = iter(scores)
    monkeypatch.setattr("speechcls.training.optimisation.validate", lambda *arguments: next(told))
    result = fit(build(make_corpus()), make_corpus(), TrainConfig(epochs=4, epoch_clips=1), CPU)
    assert [epoch.is_best for epoch in result.history] == [True, True, True, False]
    assert result.best == result.history[2]
    assert [epoch.validation_command_recall for epoch in result.history] == [0.0, 0.5, 0.5, 0.9]


def test_patience_ends_training() -> None:
    corpus = make_corpus()
    recogniser = build(corpus)
    config = TrainConfig(epochs=50, epoch_clips=1, lr=0.5, patience=3)
    result = fit(recogniser, corpus, config, CPU)
    assert result.best is not None
    assert len(result.history) == result.best.epoch + 3 < 50


def test_ctrl_c_keeps_the_best_so_far() -> None:
    def stop_after_two(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    recogniser = build(make_corpus())
    config = TrainConfig(epochs=9, epoch_clips=1)
    result = fit(recogniser, make_corpus(), config, CPU, stop_after_two)
    assert result.interrupted
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert result.best is not None


def test_statistics_come_from_the_training_clips_alone() -> None:
    corpus = make_corpus()
    corpus.windows[corpus.split == "validation"] = 30_000
    recogniser = build(corpus)
    set_feature_statistics(recogniser, Batches(corpus, TrainConfig(), CPU))
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
    with pytest.raises(ConfigError, match=r"device: tpu is not on this machine; there is .*cpu"):
        choose_device("tpu")


# What ends a training


def test_a_loss_that_is_not_finite_ends_training(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, config = make_corpus(), TrainConfig(epochs=5, batch_size=16, ema_decay=0.0, **PLAIN)
    original, count = Batches.loss, itertools.count(1)

    def loss(self: Batches, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return original(self, logits, targets) * (math.nan if next(count) == 5 else 1)

    monkeypatch.setattr(Batches, "loss", loss)
    states: list[dict[str, torch.Tensor]] = []

    def keep(epoch: Epoch) -> None:
        states.append(copy.deepcopy(recogniser.state_dict()))

    recogniser = build(corpus)
    result = fit(recogniser, corpus, config, CPU, keep)
    lr = config.lr * learning_rate_factor(4, 15, config.warmup_ratio)
    clips = Batches(corpus, config, CPU).clips_of(2, 1)  # 48 clips by 16: the fifth batch
    assert result.diverged == (
        f"epoch 2, batch 2: the loss is nan, its gradient nan at a learning rate of {lr:.3g};"
        f" clips {clips[0]}, {clips[1]}, {clips[2]} and 13 more; choose a lower one"
    )
    assert result.history == [result.best]
    for name, weight in recogniser.state_dict().items():  # those of the best epoch
        assert torch.equal(weight, states[0][name]), name


def test_a_learning_rate_that_is_far_too_high_ends_training_before_a_model() -> None:
    config = TrainConfig(epochs=9, batch_size=16, lr=1e30)
    recogniser = build(make_corpus())
    result = fit(recogniser, make_corpus(), config, CPU)
    assert result.diverged is not None and result.diverged.startswith("epoch 1")
    assert result.best is None
    assert all(weight.isfinite().all() for weight in recogniser.state_dict().values())


def test_clips_of_a_batch_are_those_that_it_trains_on() -> None:
    corpus, config = make_corpus(), TrainConfig(batch_size=7, **PLAIN)
    batches = Batches(corpus, config, CPU)
    for step, (samples, _) in enumerate(batches.training_samples(3)):
        assert batches.clips_of(3, step) == [round(float(v) * 32_768) for v in samples[:, 0]]


def test_where_memory_is_short_batches_are_computed_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Batches.loss

    def loss(self: Batches, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(targets) > limit:
            raise torch.OutOfMemoryError
        return original(self, logits, targets)

    network = dataclasses.replace(NETWORK, dropout=0.0)
    settings = {"epochs": 1, "batch_size": 16, "ema_decay": 0.0, **PLAIN}
    _, (whole,) = train(make_corpus(), network, **settings)
    monkeypatch.setattr(Batches, "loss", loss)
    limit, warnings = 4, list[str]()
    recogniser = build(make_corpus(), network)
    config = TrainConfig(**settings)  # type: ignore[arg-type]
    result = fit(recogniser, make_corpus(), config, CPU, on_warning=warnings.append)
    assert warnings == [
        f"cpu: out of memory; batches of 16 are computed in {n} parts" for n in (2, 4)
    ]
    (epoch,) = result.history  # as of whole batches, but for BatchNorm
    assert epoch.loss == pytest.approx(whole.loss, rel=0.05)
    assert epoch.validation_loss == pytest.approx(whole.validation_loss, rel=0.05)
    limit = 0
    with pytest.raises(MemoryError, match="cpu: out of memory; choose smaller batches"):
        fit(build(make_corpus(), network), make_corpus(), config, CPU)
