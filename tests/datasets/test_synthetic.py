from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrnn.datasets import make_adding, make_copy_memory, make_temporal_order

TASKS = [make_adding, make_temporal_order, make_copy_memory]
all_tasks = pytest.mark.parametrize("make", TASKS)


def as_one_array(X):
    return np.concatenate(list(X))


def decode(sequence):
    """Return the symbols of one temporal order sequence as text."""
    return "".join("abcdXYEB"[symbol] for symbol in sequence.argmax(axis=1))


@all_tasks
def test_same_seed_same_data(make):
    (X, y), (X_again, y_again) = (make(20, random_state=7) for _ in range(2))
    assert_array_equal(as_one_array(X), as_one_array(X_again))
    assert_array_equal(y, y_again)


@all_tasks
def test_other_seed_other_data(make):
    (_, y), (_, y_other) = (make(20, random_state=seed) for seed in (7, 8))
    assert not np.array_equal(y, y_other)


@all_tasks
def test_random_state_instance_moves_on(make):
    rng = np.random.RandomState(7)
    _, y = make(20, random_state=rng)
    _, y_next = make(20, random_state=rng)
    assert_array_equal(y, make(20, random_state=7)[1])
    assert not np.array_equal(y, y_next)


@all_tasks
def test_default_number_of_sequences(make):
    X, y = make(random_state=0)
    assert len(X) == len(y) == 1000


@pytest.mark.parametrize(("make", "min_timesteps"), [(make_adding, 2), (make_temporal_order, 10), (make_copy_memory, 1)])
def test_shortest_sequences(make, min_timesteps):
    X, y = make(1, min_timesteps, random_state=0)
    assert len(X) == len(y) == 1
    message = rf"The 'n_timesteps' parameter of {make.__name__} must be .* \[{min_timesteps}, inf\)"
    with pytest.raises(ValueError, match=message):
        make(1, min_timesteps - 1)


@all_tasks
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_sequences", 0),
        ("n_sequences", 2.5),
        ("n_timesteps", 99.0),
        ("n_timesteps", None),
        ("random_state", "seed"),
    ],
)
def test_parameter_errors(make, name, value):
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of {make.__name__} must be"):
        make(**{name: value})


@pytest.mark.parametrize("n_timesteps", [2, 3, 10, 101])
def test_adding_protocol(n_timesteps):
    X, y = make_adding(2000, n_timesteps, random_state=0)
    assert X.shape == (2000, n_timesteps, 2)
    assert y.shape == (2000,)
    assert X.dtype == y.dtype == np.float64
    values, markers = X[:, :, 0], X[:, :, 1]
    assert 0.0 <= values.min() < 0.01 < 0.99 < values.max() < 1.0

    assert set(np.unique(markers)) <= {0.0, 1.0}
    half = n_timesteps // 2
    assert_array_equal(markers[:, :half].sum(axis=1), 1.0)
    assert_array_equal(markers[:, half:].sum(axis=1), 1.0)
    # Uniform within its half: every step is marked in some sequence.
    assert (markers.sum(axis=0) > 0).all()
    assert_allclose(y, (values * markers).sum(axis=1), rtol=1e-15)


def test_adding_baseline():
    X, y = make_adding(200_000, 10, random_state=0)
    assert_allclose(np.mean((y - 1.0) ** 2), 1 / 6, rtol=0.01)
    # The second value alone leaves the variance of the first, 1/12.
    second = (X[:, 5:, 0] * X[:, 5:, 1]).sum(axis=1)
    assert_allclose(np.mean((y - 0.5 - second) ** 2), 1 / 12, rtol=0.01)


def test_temporal_order_form():
    X, y = make_temporal_order(200, random_state=0)
    assert X.dtype == object
    assert X.shape == y.shape == (200,)
    assert all(x.shape == (len(x), 8) and x.dtype == np.float64 for x in X)
    steps = as_one_array(X)
    assert_array_equal(np.sort(steps, axis=1), np.eye(8)[[7] * len(steps)])


@pytest.mark.parametrize(
    ("n_timesteps", "lengths", "t1", "t2"),
    [
        (100, range(100, 111), range(10, 21), range(50, 61)),  # Hochreiter & Schmidhuber (1997), Task 6a
        (25, range(25, 28), range(2, 5), range(12, 15)),
        (10, range(10, 12), range(1, 3), range(5, 7)),
    ],
)
def test_temporal_order_protocol(n_timesteps, lengths, t1, t2):
    X, y = make_temporal_order(2000, n_timesteps, random_state=0)
    texts = [decode(x) for x in X]
    positions = np.array([[t for t, symbol in enumerate(text) if symbol in "XY"] for text in texts])
    assert positions.shape == (2000, 2)
    assert {len(text) for text in texts} == set(lengths)
    assert set(positions[:, 0]) == set(t1)
    assert set(positions[:, 1]) == set(t2)

    for text, label, (first, second) in zip(texts, y, positions, strict=True):
        assert text[0] == "E"
        assert text[-1] == "B"
        assert ["XX", "XY", "YX", "YY"][label] == text[first] + text[second]
        assert set(text[1:first] + text[first + 1 : second] + text[second + 1 : -1]) <= set("abcd")


def test_temporal_order_is_balanced():
    X, y = make_temporal_order(20_000, 10, random_state=0)
    assert_allclose(np.bincount(y) / len(y), 0.25, atol=0.02)
    counts = as_one_array(X)[:, :4].sum(axis=0)
    assert_allclose(counts / counts.sum(), 0.25, atol=0.02)


@pytest.mark.parametrize("n_timesteps", [1, 2, 100])
def test_copy_memory_protocol(n_timesteps):
    X, y = make_copy_memory(500, n_timesteps, random_state=0)
    assert X.shape == (500, n_timesteps + 20, 10)
    assert y.shape == (500, n_timesteps + 20)
    assert_array_equal(np.sort(X, axis=2)[:, :, -2:], np.broadcast_to([0.0, 1.0], (*y.shape, 2)))

    categories = X.argmax(axis=2)
    copied = categories[:, :10]
    assert set(np.unique(copied)) == set(range(8))
    assert_array_equal(categories[:, 10 : n_timesteps + 9], 8)
    assert_array_equal(categories[:, n_timesteps + 9], 9)
    assert_array_equal(categories[:, n_timesteps + 10 :], 8)
    assert np.issubdtype(y.dtype, np.integer)
    assert_array_equal(y[:, : n_timesteps + 10], 8)
    assert_array_equal(y[:, n_timesteps + 10 :], copied)


def test_copy_memory_memoryless_floor():
    n_timesteps = 30
    _, y = make_copy_memory(20_000, n_timesteps, random_state=0)
    # The best prediction that knows the step but not the sequence: the share of each category at that step.
    shares = (y[:, :, np.newaxis] == np.arange(9)).mean(axis=0)
    entropy = -np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares)))
    assert_allclose(entropy / (n_timesteps + 20), 10 * np.log(8) / (n_timesteps + 20), rtol=1e-3)
    assert_allclose(shares.max(axis=1).mean(), (n_timesteps + 11.25) / (n_timesteps + 20), rtol=1e-2)
