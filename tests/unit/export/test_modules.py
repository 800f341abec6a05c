"""What exporters of every format share."""

import math

import numpy as np
import pytest

from speechcls.export.modules import TOLERANCE, excess_difference


def test_a_difference_within_the_tolerance_is_none() -> None:
    expected = np.array([[0.25, 0.75]])
    assert excess_difference(expected + 0.5 * TOLERANCE, expected) is None


def test_the_largest_difference_beyond_the_tolerance_is_returned() -> None:
    difference = excess_difference(np.array([0.2, 0.8]), np.array([0.25, 0.75001]))
    assert difference == pytest.approx(0.05)


def test_nan_is_never_within_the_tolerance() -> None:
    difference = excess_difference(np.array([math.nan, 0.5]), np.array([0.5, 0.5]))
    assert difference is not None and math.isnan(difference)
