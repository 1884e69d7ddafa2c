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


def windows(lengths, size):
    """``(start, stop, entries)`` of consecutive windows."""
    for start in range(0, T, size):
        yield start, min(start + size, T), [(max(step - start, 0), columns) for step, columns in entries_of(lengths)]


def new_pooling(name, h, lengths, window=T, **options):
    """A pooling that has taken in all states."""
    pooling = POOLINGS[name](np.full((H, N), np.nan), **options)
    pooling.start()
    for start, stop, entries in windows(lengths, window):
        pooling.add(h[start:stop], entries, start)
    pooling.finish(np.array(lengths))
    return pooling


def pool(name, h, lengths, window=T, **options):
    return new_pooling(name, h, lengths, window, **options).pooled


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
def test_pooling_starts_anew_with_new_sequences(name):
    h = new_states(LENGTHS)
    pooling = new_pooling(name, h + 10, (T,) * N)
    pooling.start()
    pooling.add(h, entries_of(LENGTHS), 0)
    pooling.finish(np.array(LENGTHS))
    assert_array_equal(pooling.pooled, pool(name, h, LENGTHS))


@pytest.mark.parametrize("name", [name for name, pooling in POOLINGS.items() if not pooling.at_end])
@all_lengths
@pytest.mark.parametrize("window", [1, 2, 3, T])
@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_the_adjoint_agrees_with_central_differences(name, lengths, window, shift):
    """It is taken window by window, last first, as with checkpoints."""
    rng = np.random.default_rng(1)
    h, dpooled, own = new_states(lengths, shift), rng.standard_normal((H, N)), new_states(lengths) != 0
    dy, pooling = np.zeros_like(h), new_pooling(name, h, lengths, window)
    for start, stop, _ in reversed(list(windows(lengths, window))):
        pooling.adjoint(start, np.array(lengths), dpooled, dy[start:stop])

    def value(point):
        return float(np.sum(dpooled * pool(name, point.reshape(h.shape) * own, lengths)))

    assert_gradient(value, h.ravel(), (dy * own).ravel(), rng, every_coordinate=True)


@every_pooling
def test_the_adjoint_is_added_to_what_is_there(name):
    h, dpooled = new_states(LENGTHS), np.random.default_rng(1).standard_normal((H, N))
    alone, added, pooling = np.zeros_like(h), np.ones_like(h), new_pooling(name, h, LENGTHS)
    pooling.adjoint(0, np.array(LENGTHS), dpooled, alone)
    pooling.adjoint(0, np.array(LENGTHS), dpooled, added)
    assert_array_equal(added, 1 + alone)


def test_the_adjoint_of_the_last_state_is_left_to_the_loop_over_time():
    dy = np.zeros((T, H, N))
    new_pooling("last", new_states(LENGTHS), LENGTHS).adjoint(0, np.array(LENGTHS), np.ones((H, N)), dy)
    assert not dy.any()
    assert [name for name, pooling in POOLINGS.items() if pooling.at_end] == ["last"]


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_gradient_of_a_maximum_goes_to_the_first_step_that_attains_it(window):
    h = np.zeros((3, 1, 2))
    h[:, 0, 0] = [1, 2, 2]  # zeros in column 1: its one step of padding is as large as its own
    pooling, dy = POOLINGS["max"](np.empty((1, 2))), np.zeros_like(h)
    pooling.start()
    entries = [(0, slice(0, 1)), (1, slice(1, 2))]
    for start in range(0, 3, window):
        here = [(max(step - start, 0), columns) for step, columns in entries]
        pooling.add(h[start : start + window], here, start)
    for start in range(0, 3, window):
        pooling.adjoint(start, np.array([3, 2]), np.array([[5.0, 7.0]]), dy[start : start + window])
    assert_array_equal(dy[:, 0], [[0, 0], [5, 7], [0, 0]])


@every_pooling
@all_lengths
@pytest.mark.parametrize("window", [1, 3, T])
def test_prediction_pools_as_training_does_bit_for_bit(name, lengths, window):
    h = new_states(lengths, shift=-1.0)
    assert_array_equal(pool(name, h, lengths, window, training=False), pool(name, h, lengths, window))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("window", [1, 2, T])
def test_a_maximum_over_states_that_have_become_nan_is_nan(window, training):
    h = new_states((T,) * N)
    h[4:, :, 2] = np.nan
    pooled = pool("max", h, (T,) * N, window, training=training)
    assert np.isnan(pooled[:, 2]).all()
    assert np.isfinite(np.delete(pooled, 2, axis=1)).all()
