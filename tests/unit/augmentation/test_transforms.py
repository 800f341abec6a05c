"""Every augmentation does exactly what it says: moves, levels and masks; sounds: test_effects."""

import pytest
import torch
from common_training import generator

from speechcls.augmentation.noise import cut_noise, random_gain_noise
from speechcls.augmentation.transforms import (
    add_noise,
    change_gain,
    make_non_words,
    mask,
    shift,
)


def test_one_seed_one_result() -> None:
    clips, noise = torch.randn(5, 400, generator=generator()), torch.randn(900)
    for change in (
        lambda g: shift(clips, 50, g),
        lambda g: change_gain(clips, 6.0, g),
        lambda g: add_noise(clips, noise, 0.5, (0, 30), g),
        lambda g: cut_noise(noise, 4, 100, g),
        lambda g: random_gain_noise(clips, g),
        lambda g: mask(clips.reshape(5, 40, 10), 1, 2, 9, g),
        lambda g: mask(clips.reshape(5, 40, 10), 2, 2, 9, g),
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
    levels = random_gain_noise(torch.ones(4_000, 3), generator())
    assert (levels == levels[:, :1]).all()
    assert (levels[:, 0] == 0).float().mean() == pytest.approx(0.1, abs=0.02)
    gain_db = 20 * torch.log10(levels[:, 0][levels[:, 0] > 0])
    assert -30 <= gain_db.min() < -29.5 and -0.5 < gain_db.max() <= 0
    assert gain_db.mean() == pytest.approx(-15, abs=0.6)


def test_masks_cover_whole_frames_of_every_length_up_to_the_most() -> None:
    features = torch.ones(4_000, 20, 3)
    masked = mask(features, 1, 1, 5, generator())
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
    assert torch.equal(mask(features, 1, 0, 5, generator()), features)
    assert (mask(features, 1, 3, 4, generator()) == 0)[..., 0].sum(1).max() > 8
    assert (mask(features, 1, 1, 99, generator()) == 0)[..., 0].sum(1).max() == 30


@pytest.mark.parametrize(("n_masks", "most"), [(1, 7), (2, 3), (3, 99), (0, 5), (2, 0)])
def test_masks_of_bands_are_masks_of_frames_turned_over(n_masks: int, most: int) -> None:
    features = torch.randn(50, 11, 17, generator=generator(1))
    by_band = mask(features, 2, n_masks, most, generator())
    by_frame = mask(features.transpose(1, 2), 1, n_masks, most, generator())
    assert torch.equal(by_band, by_frame.transpose(1, 2))
    assert bool((by_band == 0).any()) == (n_masks > 0 and most > 0)
    is_whole = (by_band == 0).all(dim=1) | (by_band != 0).all(dim=1)
    assert is_whole.all()  # all frames of a band or none


def test_gain_is_uniform_in_decibels_and_one_for_all_samples_of_a_clip() -> None:
    clips = torch.tensor([0.1, -0.05, 0.0]).repeat(3_000, 1)
    gains_db = 20 * torch.log10(change_gain(clips, 6.0, generator()) / clips)[:, :2]
    torch.testing.assert_close(gains_db[:, 0], gains_db[:, 1], atol=1e-4, rtol=0)
    gains_db = gains_db[:, 0]
    assert -6.001 < gains_db.min() < -5.95 and 5.95 < gains_db.max() < 6.001
    assert gains_db.mean() == pytest.approx(0.0, abs=0.25)
    # Uniform: a quarter of the clips in each quarter of the range.
    assert (gains_db < -3).float().mean() == pytest.approx(0.25, abs=0.03)


def test_gain_cuts_off_at_one_either_way() -> None:
    loud = torch.tensor([0.8, -0.8]).repeat(200, 1)
    changed = change_gain(loud, 6.0, generator())
    assert changed.max() == 1.0 and changed.min() == -1.0
    assert torch.equal(changed[:, 0], -changed[:, 1])
    # 0.8 reaches 1 by 1.94 dB: of +-6 dB uniform, a third is above that.
    assert (changed[:, 0] == 1.0).float().mean() == pytest.approx(0.338, abs=0.1)
    assert torch.equal(change_gain(loud, 0.0, generator()), loud)


# Scrambled words


def numbered_words(n_clips: int, start: int, first: int) -> torch.Tensor:
    """Return clips of 100 samples with a word of 60 at ``start``, of equal loudness throughout.

    Each sample tells its clip, counted from ``first``, and its place in the word.
    """
    clips = torch.zeros(n_clips, 100, dtype=torch.float64)
    signs = torch.where(torch.arange(60) % 2 == 0, 1.0, -1.0).double()
    number = torch.arange(60) * 1e-4 + (first + torch.arange(n_clips).unsqueeze(1)) * 1e-9
    clips[:, start : start + 60] = signs * (1 + number)
    return clips


def test_scrambled_words_are_spliced_backwards_or_exchanged() -> None:
    clips, others = numbered_words(500, 20, 0), -numbered_words(500, 30, 500)
    words = torch.arange(500)
    scrambled = make_non_words(clips, words, others, words + 500, generator())
    kinds = {"backwards": 0, "exchanged": 0, "clip first": 0, "clip last": 0}
    for clip, own, other in zip(scrambled, clips, others, strict=True):
        if torch.equal(clip, own.flip(0)):
            kinds["backwards"] += 1
        elif torch.equal(clip.sort().values, own.sort().values):
            kinds["exchanged"] += 1
            differs = (clip != own).nonzero()
            start, end = int(differs[0]), int(differs[-1]) + 1
            middle = int((own == clip[start]).nonzero()[0])
            parts = own[:start], own[middle:end], own[start:middle], own[end:]
            assert torch.equal(clip, torch.cat(parts))
            assert 38 <= middle <= 62  # 35 to 65 % of the energy have passed
            assert start <= 23 and end >= 77
        else:
            is_first = torch.equal(clip[:38], own[:38])
            kinds["clip first" if is_first else "clip last"] += 1
            first, second = (own, other) if is_first else (other, own)
            head = int((clip - first).abs().gt(1e-5).nonzero()[0])
            start = int((first != 0).nonzero()[0])
            assert 18 <= head - start <= 42  # 35 to 65 % of the energy have passed
            # The second word goes on where as much of its energy has passed.
            place = round((float(clip[head].abs()) - 1) * 1e4)
            assert abs(place - (head - start)) <= 1
            rest = clip[head : head + 60 - place]
            begin = int((second != 0).nonzero()[0]) + place
            torch.testing.assert_close(rest, second[begin : begin + len(rest)], atol=2e-6, rtol=0)
            assert not clip[head + len(rest) :].any()
    assert kinds["backwards"] + kinds["exchanged"] == pytest.approx(100, abs=30)  # a fifth
    assert min(kinds.values()) > 30


def test_a_companion_is_made_as_loud_as_the_clip() -> None:
    clips, others = 0.1 * numbered_words(200, 20, 0), 0.5 * numbered_words(200, 20, 200)
    scrambled = make_non_words(clips, torch.zeros(200), others, torch.ones(200), generator())
    level = scrambled.abs()
    assert level.amax() < 0.102 and level[level > 0].amin() > 0.098


def test_scrambled_silence_is_silence() -> None:
    silence, words = torch.zeros(9, 50), torch.arange(9)
    assert not make_non_words(silence, words, torch.randn(9, 50), words + 9, generator()).any()


def test_one_word_is_never_spliced_with_itself() -> None:
    clips, others = torch.randn(2, 200, 400, generator=generator(1))
    scrambled = make_non_words(clips, torch.zeros(200), others, torch.zeros(200), generator())
    # Every sample is one of the clip's own: no other clip comes in, and none stays as it is.
    assert torch.equal(scrambled.sort(dim=1).values, clips.sort(dim=1).values)
    assert not (scrambled == clips).all(dim=1).any()
