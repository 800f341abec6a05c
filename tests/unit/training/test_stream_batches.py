"""Clips in a row: where words are, where they are laid, and what is right at each step."""

import dataclasses

import numpy as np
import pytest
import torch
from common_training import CPU, FEATURES, NETWORK, PLAIN, generator, make_corpus
from torch import Tensor

from speechcls.audio.speech import find_speech
from speechcls.config import TrainConfig
from speechcls.networks.recogniser import build_recogniser
from speechcls.training.loop import fit
from speechcls.training.stream_batches import (
    CLIPS_PER_ROW,
    IGNORE_INDEX,
    StreamBatches,
    concatenate_clips,
)

RATE, STEP = 8_000, 320  # Hz, and samples of a step: 40 ms
HOLD = 8  # steps
LABELS = ("low", "high", "_silence_")
ON_STREAM = dataclasses.replace(FEATURES, kind="log-mel", running_s=1.0)


def word(start_s: float, end_s: float, duration_s: float = 1.0) -> Tensor:
    """A clip of faint noise with a tone in it."""
    times = torch.arange(round(duration_s * RATE)) / RATE
    tone = 0.5 * torch.sin(2 * torch.pi * 500 * times)
    faint = 0.001 * torch.randn(len(times), generator=generator())
    return torch.where((times >= start_s) & (times < end_s), tone, faint)


@pytest.mark.parametrize(("start_s", "end_s"), [(0.2, 0.6), (0.0, 0.3), (0.55, 0.95)])
def test_a_word_is_found_in_its_clip(start_s: float, end_s: float) -> None:
    first, last = find_speech(word(start_s, end_s)[None].numpy(), RATE)
    assert first.item() / RATE == pytest.approx(start_s, abs=0.03)
    assert last.item() / RATE == pytest.approx(end_s, abs=0.03)


def test_a_click_beside_a_word_moves_it_little() -> None:
    clip = word(0.3, 0.7)
    clip[7_600:7_680] = 0.5  # 10 ms of full level at 0.95 s
    first, last = find_speech(clip[None].numpy(), RATE)
    assert (first + last).item() / 2 / RATE == pytest.approx(0.5, abs=0.04)


def test_silence_has_bounds_too() -> None:
    first, last = find_speech(np.zeros((2, 8_000), np.float32), RATE)
    assert (first >= 0).all() and (last <= 8_000).all() and (first <= last).all()


def test_rows_hold_the_clips_in_their_order() -> None:
    clips = torch.stack([word(0.3, 0.7) * (1 + i) / 10 for i in range(10)])
    targets = torch.arange(10)
    rows, answers = concatenate_clips(clips, targets, 99, STEP, RATE, generator())
    assert rows.shape == (2, CLIPS_PER_ROW * 10_000)  # two clips fill no row
    assert answers.shape == (2, rows.shape[1] // STEP)
    slots = rows.reshape(8, 10_000)
    for i, slot in enumerate(slots):
        assert slot.abs().max() == pytest.approx(0.05 * (1 + i), rel=1e-3)
    # Each clip lies somewhere in its slot, faded in and out, with nothing around it.
    starts = (slots != 0).float().argmax(dim=1)
    assert (starts <= 2_001).all() and len(set(starts.tolist())) > 4
    for slot, clip, start in zip(slots, clips, starts.tolist(), strict=False):
        torch.testing.assert_close(slot[start + 300 : start + 7_700], clip[300:7_700])


def test_the_answer_is_the_word_that_has_just_ended() -> None:
    rows, answers = concatenate_clips(
        word(0.2, 0.6)[None], torch.tensor([5]), 99, STEP, RATE, generator(1)
    )
    start = (rows[0] != 0).float().argmax().item()
    ends = STEP * torch.arange(1, 1 + answers.shape[1]) - start  # samples into the clip

    def at(seconds: float) -> int:
        return int(answers[0, (ends >= seconds * RATE).nonzero()[0, 0]])

    assert [at(s) for s in (0.0, 0.25, 0.35)] == [99, 99, 99]  # before it and in its first half
    assert at(0.5) == IGNORE_INDEX
    assert [at(s) for s in (0.65, 0.75, 0.85)] == [5, 5, 5]
    assert (answers == 5).sum() == HOLD
    assert at(1.0) == IGNORE_INDEX


def test_background_is_silence_throughout() -> None:
    _, answers = concatenate_clips(
        torch.rand(4, 8_000), torch.full((4,), 3), 3, STEP, RATE, generator()
    )
    assert (answers == 3).all()


def batches(**settings: object) -> StreamBatches:
    corpus = make_corpus(LABELS, n_each=40)
    corpus = dataclasses.replace(corpus, features=ON_STREAM)
    config = TrainConfig(**{**PLAIN, "batch_size": 32, **settings})  # type: ignore[arg-type]
    return StreamBatches(corpus, config, CPU, frames_per_step=4)


def test_features_and_answers_go_together_step_by_step() -> None:
    for features, answers in batches().training(1):
        assert features.shape[1] == 4 * answers.shape[1]
        assert set(answers.unique().tolist()) <= {IGNORE_INDEX, 0, 1, 2}


def test_noise_lies_under_the_whole_row() -> None:
    quiet, noisy = (
        torch.cat([f.flatten() for f, _ in batches(noise_prob=share).training(1)])
        for share in (0.0, 1.0)
    )
    # Gaps are digital silence, 70 dB below the mean, unless there is noise in them.
    assert (quiet <= -69).float().mean() > 0.05
    assert (noisy <= -69).float().mean() < 0.01


def test_a_loss_counts_words_and_silence_alike() -> None:
    made = batches(label_smoothing=0.0)
    logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 3.0], [9.0, 0.0, 0.0]]])
    targets = torch.tensor([[0, 2, 2, IGNORE_INDEX]])
    of_word = np.log(np.exp(2) + 2) - 2
    of_silence = (np.log(np.exp(1) + 2) - 1 + np.log(np.exp(3) + 2) - 3) / 2
    assert made.loss(logits, targets).item() == pytest.approx(of_word + of_silence, rel=1e-5)
    only = made.loss(logits[:, :1], targets[:, :1]).item()
    assert only == pytest.approx(of_word, rel=1e-5)


def test_a_causal_network_learns_from_rows() -> None:
    corpus = dataclasses.replace(make_corpus(LABELS, n_each=40), features=ON_STREAM)
    network = dataclasses.replace(NETWORK, readout="stream")
    recogniser = build_recogniser(corpus.features, network, range(3), seed=0)
    config = TrainConfig(
        **{**PLAIN, "epochs": 12, "batch_size": 16, "lr": 0.01, "ema_decay": 0.0}  # type: ignore[arg-type]
    )
    history = fit(recogniser, corpus, config, CPU).history
    assert history[-1].loss < 0.7 * history[0].loss
    assert max(epoch.validation_accuracy for epoch in history) > 0.8
