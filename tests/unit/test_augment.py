"""Every augmentation does exactly what it says."""

import pytest
import torch

from speechcls.augment import add_noise, cut_noise, fade_noise, mask_time, shift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_seed_one_result() -> None:
    clips, noise = torch.randn(5, 400, generator=generator()), torch.randn(900)
    for change in (
        lambda g: shift(clips, 50, g),
        lambda g: add_noise(clips, noise, 0.5, (0, 30), g),
        lambda g: cut_noise(noise, 4, 100, g),
        lambda g: fade_noise(clips, g),
        lambda g: mask_time(clips.reshape(5, 40, 10), 2, 9, g),
    ):
        assert torch.equal(change(generator(1)), change(generator(1)))
        assert not torch.equal(change(generator(1)), change(generator(2)))


def test_shift_moves_samples_by_every_whole_number_up_to_the_most() -> None:
    clips = torch.arange(1.0, 21.0).repeat(600, 1)
    moved = shift(clips, 3, generator())
    offsets = []
    for clip in moved:
        offset = next(
            n for n in range(-3, 4)
            if torch.equal(clip, torch.nn.functional.pad(clips[0], (3, 3))[3 - n : 23 - n])
        )  # fmt: skip
        offsets.append(offset)
    counts = torch.bincount(torch.tensor(offsets) + 3)
    assert len(counts) == 7 and counts.min() > 50  # 600 / 7 = 86 each


def test_shift_by_nothing() -> None:
    clips = torch.randn(3, 10)
    assert torch.equal(shift(clips, 0, generator()), clips)


def test_noise_has_the_asked_for_ratio() -> None:
    clips = torch.randn(50, 8_000, generator=generator(1)) * torch.rand(50, 1) * 0.3
    noise = torch.randn(20_000, generator=generator(2)) * 0.01
    added = add_noise(clips, noise, 1.0, (7.0, 7.0), generator()) - clips
    ratio_db = 10 * torch.log10(clips.square().mean(1) / added.square().mean(1))
    torch.testing.assert_close(ratio_db, torch.full((50,), 7.0), atol=0.01, rtol=0)


def test_noise_ratio_covers_its_range_and_share() -> None:
    clips = torch.randn(2_000, 200, generator=generator(1))
    noise = torch.randn(5_000, generator=generator(2))
    added = add_noise(clips, noise, 0.25, (0.0, 30.0), generator()) - clips
    power = added.square().mean(1)
    is_noisy = power > 0
    assert is_noisy.float().mean() == pytest.approx(0.25, abs=0.03)
    ratio_db = 10 * torch.log10(clips.square().mean(1) / power)[is_noisy]
    assert -0.1 < ratio_db.min() < 1 and 29 < ratio_db.max() < 30.1
    assert ratio_db.mean() == pytest.approx(15, abs=1.2)


def test_digital_silence_stays_silent() -> None:
    assert not add_noise(torch.zeros(4, 50), torch.ones(60), 1.0, (0, 0), generator()).any()


def test_silent_noise_does_no_harm() -> None:
    clips = torch.randn(4, 50)
    assert torch.equal(add_noise(clips, torch.zeros(60), 1.0, (0, 0), generator()), clips)


def test_noise_is_cut_at_any_place_and_goes_round() -> None:
    cuts = cut_noise(torch.arange(50.0), 2_000, 70, generator())  # longer than the noise
    assert set(cuts[:, 0].int().tolist()) == set(range(50))
    expected = (cuts[:, :1] + torch.arange(70)) % 50
    assert torch.equal(cuts, expected)


def test_faded_noise_has_levels_uniform_in_decibels() -> None:
    levels = fade_noise(torch.ones(4_000, 3), generator())
    assert (levels == levels[:, :1]).all()
    assert (levels[:, 0] == 0).float().mean() == pytest.approx(0.1, abs=0.02)
    gain_db = 20 * torch.log10(levels[:, 0][levels[:, 0] > 0])
    assert -30 <= gain_db.min() < -29.5 and -0.5 < gain_db.max() <= 0
    assert gain_db.mean() == pytest.approx(-15, abs=0.6)


def test_masks_cover_whole_frames_of_every_length_up_to_the_most() -> None:
    features = torch.ones(4_000, 20, 3)
    masked = mask_time(features, 1, 5, generator())
    assert (masked == masked[..., :1]).all()  # all features of a frame or none
    lengths, starts = [], []
    for frames in masked[..., 0]:
        zeros = (frames == 0).nonzero().flatten()
        lengths.append(len(zeros))
        if len(zeros):
            assert zeros[-1] - zeros[0] + 1 == len(zeros)  # one stretch
            starts.append(int(zeros[0]))
    counts = torch.bincount(torch.tensor(lengths))
    assert len(counts) == 6 and counts.min() > 550  # 4000 / 6 = 667 each
    assert min(starts) == 0 and max(starts) == 19


def test_several_masks_and_none() -> None:
    features = torch.ones(500, 30, 2)
    assert torch.equal(mask_time(features, 0, 5, generator()), features)
    assert (mask_time(features, 3, 4, generator()) == 0)[..., 0].sum(1).max() > 8
    assert (mask_time(features, 1, 99, generator()) == 0)[..., 0].sum(1).max() == 30
