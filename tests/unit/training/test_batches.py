"""What the training loop is dealt: which clips, how changed, and with which targets."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from common_training import CPU, FEATURES, PLAIN, make_corpus

from speechcls.augmentation.transforms import mask_features
from speechcls.config import NetworkConfig, TrainConfig
from speechcls.features.mel import MFCC
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.networks.recogniser import build_recogniser
from speechcls.training import batches as module
from speechcls.training.batches import Batches

LABELS = ("a", UNKNOWN, "b", SILENCE)
WORDS = ("a", "b", SILENCE, "cat", "dog")  # 0, 2, 3, 1 and 1 of the labels


def clip_numbers(samples: torch.Tensor) -> list[int]:
    return [round(float(value) * 32_768) for value in samples[:, 0]]


def test_an_epoch_holds_every_training_clip_once_in_a_new_order() -> None:
    corpus = make_corpus()
    batches = Batches(corpus, TrainConfig(batch_size=7, **PLAIN), CPU)
    orders = []
    for epoch in (1, 2):
        seen = [n for samples, _ in batches.training_samples(epoch) for n in clip_numbers(samples)]
        assert sorted(seen) == np.flatnonzero(corpus.split == "train").tolist()
        orders.append(seen)
    assert orders[0] != orders[1]
    assert batches.n_steps == 7  # 48 clips by 7
    repeated = Batches(corpus, TrainConfig(batch_size=7, **PLAIN | {"epoch_clips": 97}), CPU)
    seen = [n for samples, _ in repeated.training_samples(1) for n in clip_numbers(samples)]
    assert sorted(seen) == sorted(3 * np.flatnonzero(corpus.split == "train").tolist())
    for samples, targets in batches.training_samples(1):
        assert targets.tolist() == [corpus.label_index[n] for n in clip_numbers(samples)]


def test_a_clip_is_drawn_as_often_as_it_is_repeated() -> None:
    corpus = make_corpus(LABELS, n_each=40)
    training = [
        np.flatnonzero((corpus.split == "train") & (corpus.label_index == i)) for i in (0, 1)
    ]
    mistakes = [training[0][3], training[1][0], training[1][5]]
    corpus.repeats[mistakes] = 10
    corpus.repeats[corpus.split == "validation"] = 7  # has no effect
    config = TrainConfig(batch_size=16, unknown_ratio=3.0, **PLAIN)
    batches = Batches(corpus, config, CPU)
    drawn = [batches.clips_of(1, step) for step in range(batches.n_steps)]
    counts = np.bincount(np.concatenate(drawn), minlength=len(corpus.split))
    expected = np.where((corpus.split == "train") & (corpus.label_index != 3), corpus.repeats, 0)
    # _unknown_ is drawn as often as all of it with its repeats, below three times a command.
    assert counts[corpus.label_index != 3].tolist() == expected[corpus.label_index != 3].tolist()
    # Where _unknown_ is cut short, its mistakes have their greater share of it.
    few = Batches(corpus, dataclasses.replace(config, unknown_ratio=0.5), CPU)
    epochs = [few.clips_of(epoch, step) for epoch in range(50) for step in range(few.n_steps)]
    counts = np.bincount(np.concatenate(epochs), minlength=len(corpus.split))[training[1]]
    assert counts.sum() == 50 * 16  # of 50 = 30 clips once, and two of them ten times
    assert counts[[0, 5]].min() > 100 and counts[[0, 5]].max() < 220  # 160 on average
    assert np.delete(counts, [0, 5]).max() < 40  # 16 on average


def test_unknown_is_sampled_anew_and_silence_is_cut_each_epoch() -> None:
    corpus = make_corpus(LABELS, n_each=40)
    # 32 training clips a label; cut short, so that _unknown_ has more than its share
    config = TrainConfig(batch_size=16, unknown_ratio=0.5, silence_ratio=1.5, **PLAIN)
    corpus.split[corpus.label_index == 3] = "unused"
    batches = Batches(corpus, config, CPU)
    drawn = []
    for epoch in (1, 2):
        targets = torch.cat([targets for _, targets in batches.training_samples(epoch)])
        assert torch.bincount(targets).tolist() == [32, 16, 32, 48]
        drawn.append(
            {n for s, t in batches.training_samples(epoch) for n in clip_numbers(s[t == 1])}
        )
    assert drawn[0] != drawn[1]
    assert drawn[0] | drawn[1] <= set(np.flatnonzero(corpus.label_index == 1).tolist())


def test_targets_are_words_in_training_and_labels_in_validation() -> None:
    corpus = make_corpus(WORDS, LABELS, n_each=40)
    corpus.split[corpus.word_index == 2] = "unused"  # _silence_ is cut from noise alone
    config = TrainConfig(batch_size=16, unknown_ratio=1.0, silence_ratio=0.5, **PLAIN)
    batches = Batches(corpus, config, CPU)
    n_seen = np.zeros(5, dtype=int)
    for samples, targets in batches.training_samples(1):
        n_seen += np.bincount(targets, minlength=5)
        spoken = targets != 2
        numbers = clip_numbers(samples[spoken])
        assert targets[spoken].tolist() == corpus.word_index[numbers].tolist()
    # 32 of each command, as many of _unknown_ together, half as many of silence.
    assert n_seen[:3].tolist() == [32, 32, 16]
    assert n_seen[3] + n_seen[4] == 32 and min(n_seen[3:]) > 5
    assert batches.n_steps == math.ceil(112 / 16)
    held_out = np.flatnonzero(corpus.split == "validation")
    found = [targets for _, targets in batches.validation()]
    assert torch.cat(found).tolist() == corpus.label_index[held_out].tolist()
    assert set(corpus.label_index[held_out]) == {0, 1, 2}


def test_scrambled_commands_are_a_word_of_their_own() -> None:
    words = ("a", "b", "_scrambled_", "cat")
    corpus = make_corpus(words, ("a", UNKNOWN, "b"), n_each=40)
    corpus.split[corpus.word_index == 2] = "unused"  # nobody records them
    config = TrainConfig(batch_size=16, unknown_ratio=1.0, scramble_ratio=1.5, **PLAIN)
    batches = Batches(corpus, config, CPU)
    original = torch.from_numpy(corpus.windows).float() / 32_768.0
    n_seen = np.zeros(4, dtype=int)
    for samples, targets in batches.training_samples(1):
        n_seen += np.bincount(targets, minlength=4)
        for clip, target in zip(samples, targets, strict=True):
            assert (clip == original).all(dim=1).any() == (target != 2)
    assert n_seen.tolist() == [32, 32, 48, 32]
    assert corpus.labels[int(batches._labels[corpus.word_index == 2][0])] == UNKNOWN


def test_speech_and_silence_alone_train_without_a_command_to_scramble() -> None:
    corpus = make_corpus((SILENCE, "_scrambled_", UNKNOWN), (UNKNOWN, SILENCE), n_each=40)
    corpus.split[corpus.word_index < 2] = "unused"
    batches = Batches(corpus, TrainConfig(batch_size=16, **PLAIN), CPU)
    targets = torch.cat([targets for _, targets in batches.training_samples(1)])
    assert torch.bincount(targets).tolist() == [32, 0, 32]


def test_silence_is_the_word_of_that_name_and_noise_alone() -> None:
    corpus = make_corpus(WORDS, LABELS)
    corpus.split[corpus.word_index == 2] = "unused"
    corpus.windows[:] = 30_000  # what is said is far louder than the noise
    batches = Batches(corpus, TrainConfig(batch_size=16, **PLAIN), CPU)
    for samples, targets in batches.training_samples(1):
        is_loud = samples.abs().amax(dim=1) > 0.9
        assert torch.equal(is_loud, targets != WORDS.index(SILENCE))


def test_noise_is_what_was_recorded_and_four_pure_colours() -> None:
    with_noise, without = make_corpus(WORDS, LABELS), make_corpus(("a", "b"))
    for corpus in (with_noise, without):
        noise = Batches(corpus, TrainConfig(), CPU)._noise
        recorded, pure = noise[: len(corpus.noise)], noise[len(corpus.noise) :]
        assert recorded.tolist() == corpus.noise.tolist()
        assert pure.shape == (4 * 10 * FEATURES.sample_rate,)  # 10 s each
        levels = pure.reshape(4, -1).square().mean(dim=1).sqrt()
        torch.testing.assert_close(levels, torch.full((4,), 0.05), atol=1e-6, rtol=0)


def test_without_recorded_noise_nothing_is_silence() -> None:
    corpus = make_corpus(("a", "b"))
    config = TrainConfig(batch_size=16, silence_ratio=2.0, **PLAIN)
    targets = torch.cat(
        [targets for _, targets in Batches(corpus, config, CPU).training_samples(1)]
    )
    assert torch.bincount(targets).tolist() == [24, 24]


@pytest.mark.parametrize(
    "settings",
    [
        {"speed_max": 0.2},
        {"shift_max": 0.2},
        {"equaliser_prob": 1.0, "equaliser_db": 6.0},
        {"reverb_prob": 1.0},
        {"noise_prob": 1.0, "snr_low_db": 0.0, "snr_high_db": 0.0},
        {"gain_db": 6.0},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_each_setting_changes_training_clips_and_no_validation_clip(
    settings: dict[str, float],
) -> None:
    corpus = make_corpus(("a", "b", SILENCE), n_each=40)
    original = torch.from_numpy(corpus.windows).float() / 32_768.0
    plain = Batches(corpus, TrainConfig(batch_size=64, **PLAIN), CPU)
    changed = Batches(corpus, TrainConfig(batch_size=64, **{**PLAIN, **settings}), CPU)
    unchanged, _ = next(plain.training_samples(1))
    samples, targets = next(changed.training_samples(1))
    spoken = targets < 2
    assert spoken.sum() > 30
    # The first batch holds the same clips, since the order is drawn first.
    differs = (samples - unchanged)[spoken].abs().amax(dim=1) > 1e-3
    assert differs.float().mean() > 0.9
    for clip in unchanged[spoken]:
        assert (clip == original).all(dim=1).any()
    validation = torch.cat([features for features, _ in changed.validation()])
    assert torch.equal(validation, MFCC(FEATURES)(original[corpus.split == "validation"]))


def test_a_shift_brings_zeros_in_and_noise_does_not() -> None:
    corpus = make_corpus(("a", "b"), n_each=40)
    shifts = {"shift_max": 0.2, "noise_prob": 0.0}
    noise = {"shift_max": 0.0, "noise_prob": 1.0}
    for settings, is_shift in ((shifts, True), (noise, False)):
        batches = Batches(corpus, TrainConfig(batch_size=16, **{**PLAIN, **settings}), CPU)
        samples, _ = next(batches.training_samples(1))
        assert bool((samples[:, :50] == 0).all(dim=1).any()) == is_shift


@pytest.mark.parametrize("kind", ["mfcc", "log-mel"])
def test_frames_are_masked_in_any_features_and_bands_only_where_there_are_some(kind: str) -> None:
    features = dataclasses.replace(FEATURES, kind=kind)
    recogniser = build_recogniser(features, NetworkConfig("gru", 8, 1), range(2), seed=0)
    ones = torch.ones(300, 20, 10)

    def masked(**settings: float) -> torch.Tensor:
        config = TrainConfig(**{**PLAIN, **settings})  # type: ignore[arg-type]
        return (
            mask_features(
                ones, recogniser.features.config, config, torch.Generator().manual_seed(0)
            )
            == 0
        )

    by_time = masked(time_masks=1, time_mask_max=0.3)
    assert by_time.all(dim=2).sum(dim=1).max() == 6  # 0.3 of 20 frames
    assert torch.equal(by_time.all(dim=2), by_time.any(dim=2))
    by_band = masked(frequency_masks=1, frequency_mask_max=0.4)
    n_bands = by_band.all(dim=1).sum(dim=1)
    assert n_bands.max() == (4 if kind == "log-mel" else 0)
    assert torch.equal(by_band.all(dim=1), by_band.any(dim=1))


# What is kept, and where


def make_all_kinds(**settings: object) -> Batches:
    """Batches of clips as they are, scrambled ones and noise."""
    corpus = make_corpus(("a", "b", SILENCE, "_scrambled_"), ("a", "b", SILENCE, UNKNOWN))
    corpus.split[corpus.word_index > 1] = "unused"
    config = TrainConfig(
        **{"batch_size": 16, "silence_ratio": 0.5, "scramble_ratio": 0.5} | settings
    )  # type: ignore[arg-type]
    return Batches(corpus, config, CPU)


@pytest.mark.parametrize("settings", [PLAIN, {}], ids=["unchanged", "standard"])
def test_clips_on_the_host_make_the_same_batches(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = make_all_kinds(**settings)
    monkeypatch.setattr(module, "_fits", lambda n_bytes, device: False)
    on_host = make_all_kinds(**settings)
    assert resident._resident is not None and on_host._resident is None
    pairs = list(zip(resident.training_samples(1), on_host.training_samples(1), strict=True))
    assert len(pairs) == resident.n_steps > 4
    for (samples, targets), (same_samples, same_targets) in pairs:
        assert torch.equal(samples, same_samples) and torch.equal(targets, same_targets)
    for there, here in zip(resident.validation(), on_host.validation(), strict=True):
        assert torch.equal(there[0], here[0]) and torch.equal(there[1], here[1])


def count_clips(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the number of clips is added whenever features are computed."""
    counts: list[int] = []
    compute = batches._features.forward

    def counted(samples: torch.Tensor, *precision: torch.dtype) -> torch.Tensor:
        counts.append(len(samples))
        return compute(samples, *precision)

    monkeypatch.setattr(batches._features, "forward", counted)
    return counts


def test_features_of_clips_that_do_not_change_are_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = make_all_kinds(**PLAIN)
    n_training, n_made = 48, 12 + 12  # half of a mean command's 24 are scrambled, half are noise
    counts = count_clips(batches, monkeypatch)
    first = list(batches.training(1))
    assert sum(counts) == n_training + n_made
    statistics = torch.cat(list(batches.training_features()))
    assert sum(counts) == n_training + n_made
    again = list(batches.training(1))
    assert sum(counts) == n_training + 2 * n_made
    for (features, targets), (same, same_targets) in zip(first, again, strict=True):
        assert torch.equal(features, same) and torch.equal(targets, same_targets)

    monkeypatch.setattr(module, "KEPT_BYTES_MAX", 0)
    computed = make_all_kinds(**PLAIN)
    torch.testing.assert_close(torch.cat(list(computed.training_features())), statistics)
    for (features, targets), (fresh, fresh_targets) in zip(
        first, computed.training(1), strict=True
    ):
        assert torch.equal(targets, fresh_targets)
        spoken = targets < 2
        torch.testing.assert_close(features[spoken], fresh[spoken], atol=2e-2, rtol=0)
    assert sum(int((targets < 2).sum()) for _, targets in first) == n_training


def test_clips_that_change_are_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = make_all_kinds(**PLAIN | {"gain_db": 1.0})
    counts = count_clips(batches, monkeypatch)
    for epoch in (1, 2):
        list(batches.training(epoch))
        assert sum(counts) == epoch * (48 + 12 + 12)


@pytest.mark.parametrize("most", [2**29, 0])
def test_validation_is_kept_if_it_fits(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES_MAX", most)
    batches = make_all_kinds()
    counts = count_clips(batches, monkeypatch)
    first, second = list(batches.validation()), list(batches.validation())
    assert sum(counts) == (12 if most else 2 * 12)  # a fifth of 60 clips
    for (features, targets), (same, same_targets) in zip(first, second, strict=True):
        assert torch.equal(features, same) and torch.equal(targets, same_targets)
