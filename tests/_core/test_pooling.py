"""Pooling over windows of padded states, and its adjoint."""

import numpy as np
import pytest
from _gradcheck import assert_gradient, entries_of
from numpy.testing import assert_allclose, assert_array_equal

from skrnn._core.pooling import POOLINGS

LENGTHS = (7, 5, 5, 1)
T, H, N = 7, 3, 4
DIRECT = {"last": lambda own: own[-1], "mean": lambda own: own.mean(axis=0), "max": lambda own: own.max(axis=0)}
every_pooling = pytest.mark.parametrize("name", POOLINGS)
all_lengths = pytest.mark.parametrize("lengths", [LENGTHS, (T,) * N], ids=["ragged", "equal"])


def new_states(lengths, shift=0.0):
    """Random states (T, H, N), zero in the padding."""
    h = np.random.default_rng(0).standard_normal((T, H, N)) + shift
    h *= np.arange(T)[:, None, None] >= T - np.array(lengths)
    return h


def pool(name, h, lengths, window=T):
    pooling, pooled = POOLINGS[name], np.full((H, N), np.nan)
    pooling.start(pooled)
    for start in range(0, T, window):
        entries = [(max(step - start, 0), columns) for step, columns in entries_of(lengths)]
        pooling.add(h[start : start + window], entries, pooled)
    pooling.finish(np.array(lengths), pooled)
    return pooled


@every_pooling
@all_lengths
@pytest.mark.parametrize("window", [1, 2, 3, T])
@pytest.mark.parametrize("shift", [0.0, -5.0])  # states below zero: padding must not be their maximum
def test_pooling_in_windows_is_over_the_sequence_s_own_steps(name, lengths, window, shift):
    h = new_states(lengths, shift)
    before = h.copy()
    expected = [DIRECT[name](h[T - length :, :, n]) for n, length in enumerate(lengths)]
    assert_allclose(pool(name, h, lengths, window), np.transpose(expected), rtol=1e-14)
    assert_array_equal(h, before)


@every_pooling
@all_lengths
@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_the_adjoint_agrees_with_central_differences(name, lengths, shift):
    rng = np.random.default_rng(1)
    h, dpooled, own = new_states(lengths, shift), rng.standard_normal((H, N)), new_states(lengths) != 0
    dy = np.zeros_like(h)
    POOLINGS[name].adjoint(h, np.array(lengths), dpooled, dy)

    def value(point):
        return float(np.sum(dpooled * pool(name, point.reshape(h.shape) * own, lengths)))

    assert_gradient(value, h.ravel(), (dy * own).ravel(), rng, every_coordinate=True)


@every_pooling
def test_the_adjoint_is_added_to_what_is_there(name):
    h, dpooled = new_states(LENGTHS), np.random.default_rng(1).standard_normal((H, N))
    alone, added = np.zeros_like(h), np.ones_like(h)
    POOLINGS[name].adjoint(h, np.array(LENGTHS), dpooled, alone)
    POOLINGS[name].adjoint(h, np.array(LENGTHS), dpooled, added)
    assert_array_equal(added, 1 + alone)


def test_the_gradient_of_a_maximum_goes_to_the_first_step_that_attains_it():
    h = np.zeros((3, 1, 2))
    h[:, 0, 0] = [1, 2, 2]  # zeros in column 1: its one step of padding is as large as its own
    dy = np.zeros_like(h)
    POOLINGS["max"].adjoint(h, np.array([3, 2]), np.array([[5.0, 7.0]]), dy)
    assert_array_equal(dy[:, 0], [[0, 0], [5, 7], [0, 0]])


def test_only_the_last_state_is_known_at_the_end():
    assert [name for name, pooling in POOLINGS.items() if pooling.at_end] == ["last"]
