"""Changes of sound do exactly what they say: speed, equaliser, room, colours of noise."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from common_training import generator
from torch import Tensor

from speechcls.augmentation.noise import babble, coloured_noise
from speechcls.augmentation.speed import change_speed, play_by_cubics, play_by_transforms
from speechcls.augmentation.transforms import equalise, reverberate

RATE = 16_000  # Hz


def tones(n_cycles: int, n_samples: int, n_clips: int = 1) -> Tensor:
    """Clips (n_clips, n_samples) of one cosine with whole cycles."""
    phase = 2 * math.pi * n_cycles * torch.arange(n_samples).double() / n_samples
    return phase.cos().float().repeat(n_clips, 1)


def pitch(clips: Tensor) -> Tensor:
    """The strongest frequency (n_clips,) of clips, cycles a sample."""
    n_fft = 2**16
    window = torch.hann_window(clips.shape[1])
    return torch.fft.rfft(clips * window, n=n_fft).abs().argmax(dim=1) / n_fft


def decibels(power: Tensor) -> Tensor:
    return 10 * torch.log10(power)


def test_one_seed_one_result() -> None:
    clips = torch.randn(10, 800, generator=generator()) * 0.1
    for change in (
        lambda g: change_speed(clips, 0.15, g),
        lambda g: equalise(clips, 0.5, 6.0, g),
        lambda g: reverberate(clips, 0.5, 1_000, g),
        lambda g: coloured_noise(500, g),
    ):
        before = clips.clone()
        assert torch.equal(change(generator(1)), change(generator(1)))
        assert not torch.equal(change(generator(1)), change(generator(2)))
        assert torch.equal(clips, before)  # what came in is left alone


# Speed


@pytest.mark.parametrize("n_samples", [2_000, 15_999, 16_000])
@pytest.mark.parametrize("seed", range(4))
def test_a_tone_is_played_faster_or_slower_about_its_middle(n_samples: int, seed: int) -> None:
    n_cycles = n_samples // 40
    speed = 1 + 0.15 * (2 * float(torch.rand(1, generator=generator(seed))) - 1)
    (played,) = change_speed(tones(n_cycles, n_samples), 0.15, generator(seed))
    fast = [n for n in range(2, 2 * n_samples, 2) if (2 * 3 * 5 * 7 * 11 * 13) ** 15 % n == 0]
    length = min([n_samples, *fast], key=lambda n: abs(n - n_samples / speed))
    assert n_samples / length == pytest.approx(speed, rel=0.01)
    # Where sample i comes from, its middle being that of the clip.
    start = (n_samples - length) // 2
    place = torch.arange(n_samples).double() - start
    expected = (2 * math.pi * n_cycles * place / length).cos()
    expected[(place < 0) | (place >= length)] = 0.0
    assert len(played) == n_samples
    torch.testing.assert_close(played.double(), expected, atol=2e-3, rtol=0)
    frequency = pitch(played[None])
    assert float(frequency) == pytest.approx(n_cycles / length, abs=2**-15)


def test_eight_clips_share_a_speed_and_the_next_eight_have_another() -> None:
    frequency = pitch(change_speed(tones(100, 2_000, n_clips=20), 0.2, generator()))
    groups = [set(part.tolist()) for part in frequency.split(8)]
    assert [len(group) for group in groups] == [1, 1, 1]
    assert len(set.union(*groups)) == 3


def test_speeds_are_uniform_within_their_range() -> None:
    clips = tones(400, 4_000, n_clips=8 * 150)
    speeds = pitch(change_speed(clips, 0.2, generator())[::8]) / 0.1
    # The length is rounded to one of a fast transform: 0.8 % either way at most.
    assert 0.79 < speeds.min() < 0.82 and 1.18 < speeds.max() < 1.21
    assert speeds.mean() == pytest.approx(1.0, abs=0.03)
    assert speeds.std() == pytest.approx(0.4 / math.sqrt(12), abs=0.015)


def test_interpolation_on_cuda_plays_the_same() -> None:
    clips = torch.cumsum(torch.randn(40, 8_000, generator=generator()), dim=1)  # as brown as speech
    clips -= clips.mean(dim=1, keepdim=True)
    clips *= torch.hann_window(8_000)
    lengths = [6_860, 7_500, 8_000, 8_400, 9_408]
    expected = play_by_transforms(clips, lengths)
    torch.testing.assert_close(play_by_transforms(clips, [8_000] * 5), clips, atol=1e-4, rtol=0)
    difference = play_by_cubics(clips, lengths) - expected
    assert difference.square().mean().sqrt() < 1e-3 * expected.square().mean().sqrt()


def test_the_middle_stays_and_the_rest_moves_towards_it_or_away() -> None:
    n_samples = 8_000
    at = torch.arange(n_samples)
    bumps = torch.stack([torch.exp(-(((at - c) / 40) ** 2) / 2) for c in (2_400, 4_000, 5_600)])
    for seed in range(6):
        early, middle, late = change_speed(bumps, 0.3, generator(seed)).argmax(dim=1).tolist()
        assert abs(middle - 4_000) <= 1
        assert abs((4_000 - early) - (late - 4_000)) <= 2  # the same either way
        speed = 1 + 0.3 * (2 * float(torch.rand(1, generator=generator(seed))) - 1)
        assert late - 4_000 == pytest.approx(1_600 / speed, rel=0.01)


@pytest.mark.parametrize("n_samples", [80, 1_999, 16_000])
def test_no_change_of_speed_changes_nothing(n_samples: int) -> None:
    clips = torch.rand(9, n_samples, generator=generator()) * 2 - 1
    torch.testing.assert_close(change_speed(clips, 0.0, generator()), clips, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_samples", [1, 37, 79, 400, 1_999, 2_001, 11_025])
def test_any_length_is_kept_and_silence_stays(n_samples: int) -> None:
    clips = torch.ones(3, n_samples) * torch.tensor([[0.0], [0.5], [-0.5]])
    for seed in range(3):
        silent, high, low = change_speed(clips, 0.3, generator(seed))
        assert len(silent) == n_samples
        assert not silent.any()
        # A constant is one at any speed, with zeros where a shorter one has ended.
        is_zero = high.abs() < 1e-4
        torch.testing.assert_close(high, torch.where(is_zero, 0.0, 0.5), atol=1e-4, rtol=0)
        torch.testing.assert_close(high, -low, atol=1e-5, rtol=0)
        assert (~is_zero).sum() >= n_samples / 1.3 - 41
        assert not is_zero[n_samples // 2]


# Equaliser


def gain_db(changed: Tensor, clips: Tensor) -> Tensor:
    """The gain (batch, n_bins) of each frequency."""
    ratio = torch.fft.rfft(changed.double()) / torch.fft.rfft(clips.double())
    assert ratio.imag.abs().max() < 1e-3  # nothing is moved in time
    assert ratio.real.min() > 0
    return 20 * torch.log10(ratio.real)


def test_the_equaliser_is_lines_between_eight_frequencies() -> None:
    clips = torch.zeros(400, 9_800)
    clips[:, 3_000] = 0.9  # of all frequencies alike
    gains = gain_db(equalise(clips, 1.0, 6.0, generator()), clips)
    # 4900 is half the sample rate: (i / 7)**2 of it is 100 i**2.
    points = gains[:, [0, 100, 400, 900, 1_600, 2_500, 3_600, 4_900]]
    place = np.sqrt(np.arange(4_901) / 100)
    expected = [np.interp(place, np.arange(8), own.numpy()) for own in points]
    np.testing.assert_allclose(gains, np.stack(expected), atol=2e-3)
    # The points are uniform up to 6 dB either way and draw one by one.
    assert -6.001 < points.min() < -5.95 and 5.95 < points.max() < 6.001
    assert points.mean() == pytest.approx(0.0, abs=0.25)
    together = torch.corrcoef(points.T) - torch.eye(8, dtype=torch.float64)
    assert together.abs().max() < 0.25


@pytest.mark.parametrize(("n_cycles", "below", "above"), [(37, 0, 100), (250, 100, 400)])
def test_the_gain_of_a_tone_lies_between_those_of_its_points(
    n_cycles: int, below: int, above: int
) -> None:
    clips = torch.zeros(60, 9_800)
    clips[:, 0] = 1.0
    points = gain_db(equalise(clips, 1.0, 9.0, generator()), clips)[:, [below, above]]
    before = 0.1 * tones(n_cycles, 9_800, n_clips=60)
    after = equalise(before, 1.0, 9.0, generator())
    gain = decibels(after.square().mean(dim=1) / before.square().mean(dim=1))
    assert (gain > points.amin(dim=1) - 1e-3).all() and (gain < points.amax(dim=1) + 1e-3).all()
    assert 3 < gain.abs().max() < 9.001
    # It remains the tone: nothing but its level changes.
    scaled = before * (10 ** (gain / 20)).unsqueeze(1)
    torch.testing.assert_close(after, scaled, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_samples", [2_001, 2, 3])
def test_the_equaliser_takes_any_length(n_samples: int) -> None:
    clips = torch.randn(5, n_samples, generator=generator())
    for most_db in (0.0, 6.0):
        changed = equalise(clips, 1.0, most_db, generator())
        assert changed.shape == clips.shape
        is_same = torch.allclose(changed, clips, atol=1e-5)
        assert is_same == (most_db == 0.0)


Change = Callable[[Tensor, float, torch.Generator], Tensor]
of_some_clips = pytest.mark.parametrize(
    "change",
    [
        lambda clips, share, g: equalise(clips, share, 6.0, g),
        lambda clips, share, g: reverberate(clips, share, 400, g),
    ],
    ids=["equalise", "reverberate"],
)


@of_some_clips
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_share_of_clips_is_changed_and_no_other(change: Change, share: float) -> None:
    clips = torch.randn(2_000, 100, generator=generator(1))
    changed = change(clips, share, generator())
    is_same = (changed == clips).all(dim=1)
    assert 1 - is_same.float().mean() == pytest.approx(share, abs=0.04)
    assert (changed - clips).abs().amax(dim=1)[~is_same].min() > 1e-3


@of_some_clips
def test_a_batch_of_which_no_clip_is_chosen_stays_as_it_is(change: Change) -> None:
    clips = torch.randn(3, 100, generator=generator(1))
    assert torch.equal(change(clips, 0.0, generator()), clips)


# Room


@pytest.fixture(scope="module")
def responses() -> Tensor:
    """What 200 rooms make of an impulse (200, 8000) at 16 kHz, from the impulse on."""
    clips = torch.zeros(200, 10_000)
    clips[:, 1_500] = 1.0
    heard = reverberate(clips, 1.0, RATE, generator())
    assert heard.shape == clips.shape
    assert heard[:, :1_500].abs().max() < 1e-6  # nothing before the sound
    assert heard[:, 9_500:].abs().max() < 1e-6  # nor more than half a second after it
    return heard[:, 1_500:9_500]


def test_the_direct_sound_is_1_and_the_tail_0_to_20_db_below(responses: Tensor) -> None:
    tails = responses.clone()
    tails[:, 0] -= 1.0
    ratio_db = -decibels(tails.square().sum(dim=1))
    assert -0.01 < ratio_db.min() < 0.5 and 19.5 < ratio_db.max() < 20.01
    assert ratio_db.mean() == pytest.approx(10.0, abs=1.7)  # 5.8 / sqrt(200) = 0.41
    # Noise falls on either side of zero: the direct sound is 1 but for its first sample.
    assert (responses[:, 0] - 1).abs().max() < 0.5
    assert (responses[:, 0] - 1).mean() == pytest.approx(0.0, abs=0.02)
    assert (tails[:, :800] > 0).float().mean() == pytest.approx(0.5, abs=0.01)


def test_the_tail_falls_by_60_db_in_a_tenth_to_half_a_second(responses: Tensor) -> None:
    blocks = responses[:, 160:].reshape(200, 49, 160).square().sum(dim=2)  # of 10 ms
    level_db = decibels(blocks.clamp(min=1e-30)).numpy()
    decays_s = []
    for levels in level_db:
        # Further down is rounding.
        n_blocks = next((i for i, own in enumerate(levels) if own < levels[0] - 45), 49)
        slope, _ = np.polyfit(0.01 * np.arange(n_blocks), levels[:n_blocks], 1)  # dB a second
        decays_s.append(-60 / slope)
    assert 0.095 < min(decays_s) < 0.115 and 0.485 < max(decays_s) < 0.515
    assert np.mean(decays_s) == pytest.approx(0.3, abs=0.04)  # 0.115 / sqrt(200) = 0.008


def test_a_room_adds_up_what_it_makes_of_each_sample() -> None:
    responses = reverberate(torch.eye(1, 300), 1.0, 400, generator())  # of 200 samples
    clip = torch.randn(1, 300, generator=generator(1))
    expected = np.convolve(clip[0].numpy(), responses[0, :200].numpy())[:300]
    heard = reverberate(clip, 1.0, 400, generator())
    np.testing.assert_allclose(heard[0].numpy(), expected, atol=1e-5)
    assert responses[0, 200:].abs().max() < 1e-6


def test_what_comes_later_does_not_sound_before() -> None:
    clips = torch.randn(4, 2_000, generator=generator(1))
    others = clips.clone()
    others[:, 1_200:] = torch.randn(4, 800, generator=generator(2))
    one, other = (reverberate(own, 1.0, RATE, generator()) for own in (clips, others))
    torch.testing.assert_close(one[:, :1_200], other[:, :1_200], atol=1e-5, rtol=0)
    assert (one[:, 1_200:] - other[:, 1_200:]).abs().max() > 0.1
    last = torch.zeros(1, 2_000)
    last[0, -1] = 1.0  # its tail must not come round to the start
    assert reverberate(last, 1.0, RATE, generator())[0, :-1].abs().max() < 1e-6


# Colours


@pytest.mark.parametrize(
    ("place", "slope"), [(0, 1.0), (1, 0.0), (2, -1.0), (3, -2.0)],
    ids=["blue", "white", "pink", "brown"],
)  # fmt: skip
def test_the_spectrum_of_each_colour(place: int, slope: float) -> None:
    n_samples = 200_000
    noise = coloured_noise(n_samples, generator())
    assert noise.shape == (4 * n_samples,)
    part = noise.reshape(4, n_samples)[place].double()
    assert part.square().mean().sqrt() == pytest.approx(0.05, rel=1e-5)
    power = torch.fft.rfft(part).abs().square().numpy()
    edges = np.geomspace(250, 100_000, 31).astype(int)  # flat is below a 400th of 100 000
    levels = [np.log(power[low:high].mean()) for low, high in pairwise(edges)]
    centres = np.log(np.sqrt(edges[:-1] * edges[1:]))
    assert np.polyfit(centres, levels, 1)[0] == pytest.approx(slope, abs=0.03)
    low, high = power[1:125].mean(), power[125:250].mean()
    assert low / high == pytest.approx(1.0, abs=0.5)  # and not 2**slope


@pytest.mark.parametrize("n_samples", [100, 101])
def test_little_noise_is_noise_too(n_samples: int) -> None:
    parts = coloured_noise(n_samples, generator()).reshape(4, n_samples)
    torch.testing.assert_close(
        parts.square().mean(dim=1).sqrt(), torch.full((4,), 0.05), atol=1e-6, rtol=0
    )


def test_voices_of_babble_are_equally_loud_and_speak_in_turns_of_their_own() -> None:
    clips = torch.zeros(7, 400)  # two voices with three clips each; one clip is left over
    clips[:3] = 0.9 * tones(40, 400)
    clips[3:6] = 0.01 * tones(80, 400)
    clips[:, 200:] = 0.0
    clips[1] = 0.0  # digital silence is no reason to divide by zero
    noise = babble(clips, 2)
    assert noise.shape == (3 * 400,)
    assert noise.square().mean().sqrt().item() == pytest.approx(0.05)
    spectrum = torch.fft.rfft(noise).abs().square()
    low, high = spectrum[100:140].sum(), spectrum[220:260].sum()
    assert (low / high).item() == pytest.approx(2 / 3, rel=0.05)  # of two clips and of three
    halves = noise.reshape(6, 200).abs().amax(dim=1)
    # The second voice is half a clip later, where the first one pauses.
    assert (halves[:2] > 0).all() and halves[2] == 0 and (halves[3:] > 0).all()
