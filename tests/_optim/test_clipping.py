"""Clipping: by value, then by the norm, at any scale."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrnn._optim.clipping import clip, norm

as_in_training = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # there under np.errstate


EXTREMES = [1.0, 1e-8, 1e-100, 1e-200, 1e-300, 1e8, 1e100, 1e153, 1e200, 1e307]


@as_in_training
@pytest.mark.parametrize("scale", EXTREMES)
def test_the_norm_is_exact_at_any_scale(scale):
    rng = np.random.default_rng(0)
    grad = rng.normal(size=100)
    assert_allclose(norm(grad * scale) / scale, np.linalg.norm(grad), rtol=1e-14)


@as_in_training
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-15, 1e15, 1e20, 1e37])
def test_the_norm_is_exact_at_any_scale_in_float32(scale):
    grad = np.array([3, 4], np.float32) * np.float32(scale)
    assert_allclose(norm(grad) / scale, 5, rtol=1e-6)


def test_the_norm_of_subnormal_gradients_is_exact():
    assert norm(np.array([3e-320, 4e-320])) == pytest.approx(5e-320, rel=1e-3)
    assert norm(np.array([5e-324, 0.0])) == 5e-324
    assert norm(np.zeros(3)) == 0


@as_in_training
@pytest.mark.parametrize("scale", EXTREMES)
@pytest.mark.parametrize("limit", [1e-200, 1e-3, 1.0])
def test_clipping_by_norm_keeps_the_direction_at_any_scale(scale, limit):
    grad = np.array([3.0, -4.0]) * scale
    length, before, clipped = clip(grad, None, limit)
    assert_allclose(before, 5 * scale, rtol=1e-14)
    assert clipped == (5 * scale > limit)
    assert_allclose(length, min(5 * scale, limit), rtol=1e-14)
    assert_allclose(grad, np.array([0.6, -0.8]) * min(5 * scale, limit), rtol=1e-14)


@as_in_training
def test_clipping_by_norm_is_exact_where_squares_overflow_in_float32():
    grad = np.array([3e30, -4e30], np.float32)
    clip(grad, None, 1.0)
    assert_allclose(grad, [0.6, -0.8], rtol=1e-6)


@as_in_training
def test_clipping_by_value_is_to_a_fixed_range():
    grad = np.array([0.1, -3.0, 1e200, 0.5])
    length, before, clipped = clip(grad, 0.5, None)
    assert before == 1e200
    assert_array_equal(grad, [0.1, -0.5, 0.5, 0.5])
    assert clipped
    assert_allclose(length, np.sqrt(0.76))


@pytest.mark.parametrize("grad", [[-3.0, 0.1], [-0.1, 3.0], [-3.0, -0.1], [0.1, 3.0]], ids=str)
def test_one_element_beyond_the_range_is_enough(grad):
    expected = np.clip(grad, -0.5, 0.5)
    grad = np.array(grad)
    assert clip(grad, 0.5, None)[2]
    assert_array_equal(grad, expected)


def test_values_are_clipped_before_the_norm():
    grad = np.array([100.0, 0.3])
    clip(grad, 0.4, 0.1)
    assert_allclose(grad, [0.08, 0.06])


def test_a_gradient_within_the_limits_is_not_touched():
    grad = np.array([0.3, -0.4])
    assert clip(grad, 0.4, 0.5) == (0.5, 0.5, False)
    assert clip(grad, None, None) == (0.5, 0.5, False)
    assert_array_equal(grad, [0.3, -0.4])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_left_as_it_is(bad):
    grad = np.array([1.0, bad, 2.0])
    length, _, clipped = clip(grad, 0.5, 0.5)
    assert not math.isfinite(length)
    assert not clipped
    assert_array_equal(grad, [1.0, bad, 2.0])
