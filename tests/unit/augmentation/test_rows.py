"""The rows of a shared batch are those that one process would make."""

import pytest
import torch
from common_training import ALL_ON, FEATURES, generator

from speechcls.augmentation.draws import Rows
from speechcls.augmentation.transforms import (
    TRANSFORMS,
    AugmentationContext,
    augment,
    mask_features,
)
from speechcls.config import TrainConfig

CONFIG = TrainConfig(**ALL_ON)
N, PARTS = 21, [(0, 5), (5, 6), (6, 21)]


@pytest.mark.parametrize("first, last", PARTS)
def test_each_part_of_a_batch_is_that_of_the_whole(first, last):
    clips = torch.randn(N, 2_000, generator=generator(1)) * 0.1
    noise = torch.randn(5_000, generator=generator(2)) * 0.05
    context = AugmentationContext(CONFIG, noise, FEATURES.sample_rate)
    rows = Rows.between(generator(), N, first, last)
    whole, part = augment(clips, context, generator()), augment(clips[first:last], context, rows)
    torch.testing.assert_close(part, whole[first:last], atol=1e-6, rtol=0)
    assert not torch.equal(whole, clips)
    for name, transform in TRANSFORMS.items():  # what comes after draws the same too
        one, other = generator(), generator()
        transform.apply(clips, context, one)
        transform.apply(clips[first:last], context, Rows.between(other, N, first, last))
        assert torch.equal(one.get_state(), other.get_state()), name


@pytest.mark.parametrize("first, last", PARTS)
def test_masks_of_a_part_are_those_of_the_whole(first, last):
    features = torch.randn(N, FEATURES.n_frames, FEATURES.n_features, generator=generator(1))
    whole = mask_features(features, FEATURES, CONFIG, generator())
    rows = Rows.between(generator(), N, first, last)
    part = mask_features(features[first:last], FEATURES, CONFIG, rows)
    assert torch.equal(part, whole[first:last])
    assert not torch.equal(whole, features)


def test_some_of_the_rows_are_found_among_the_own_ones():
    rows = Rows(generator(), 6, torch.tensor([2, 3, 4]))
    among, places = rows.among(torch.tensor([5, 4, 0, 2]))
    assert among.n == 4
    assert among.own(torch.tensor([50, 40, 0, 20])).tolist() == [40, 20]
    assert places.tolist() == [2, 0]
