"""Dropout: the loss and gradient of the networks that it leaves, against naive loops, and what users see of it."""

import numpy as np
import pytest
from _gradcheck import assert_gradient
from numpy.testing import assert_allclose, assert_array_equal
from test_network import (
    CELLS_AND_ACTIVATIONS,
    LONGER,
    Problem,
    assert_close,
    assert_same_bits,
    both_targets,
    each_cell,
    every_cell,
    every_depth,
    every_direction,
    every_target,
)

from skrnn import RNNClassifier, RNNRegressor, _network, _passes
from skrnn._core.cells import CELLS
from skrnn._stack import Masks
from skrnn.inspection import loss_gradient

RATES = [(0.4, 0.0), (0.0, 0.4), (0.3, 0.4)]
every_rate = pytest.mark.parametrize("rates", RATES, ids=["between", "recurrent", "both"])
every_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    """Without a least interval, as sequences are short here."""
    monkeypatch.setattr(_passes, "LEAST_INTERVAL", 1)


class DropoutProblem(Problem):
    """With dropout, whose masks are the same at every call."""

    def __init__(self, *arguments, rates, **options):
        super().__init__(*arguments, **options)
        self.network.dropout, self.network.recurrent_dropout = rates

    def updates(self, index=None, theta=None, total=None):
        theta, grad = self.theta if theta is None else theta, np.full_like(self.theta, np.nan)
        total = total or self.batch(index).total_weight(0, 10**6)
        updates = self.network.updates(theta, self.batch(index), grad, total=total, rng=np.random.RandomState(3))
        return sum(update.loss for update in updates), grad

    def value(self, theta):
        return self.updates(theta=theta)[0]

    def masks(self):
        """The masks of each sequence, in their own order."""
        masks = self.network._draw_masks(np.random.RandomState(3), len(self.lengths), self.theta.dtype)
        columns = np.argsort(self.batch().index)
        return [column_of(masks, column) for column in columns]

    def expected(self, length=None, stride=None):
        return self.reference().loss_and_gradient(self.loss, *self.of_sequences(), length, stride, masks=self.masks())


def column_of(masks, column):
    """The masks of one sequence."""

    def take(part):
        if isinstance(part, list):
            return [take(inner) for inner in part]
        return None if part is None else part[:, column]

    return Masks(*map(take, masks))


# ---------------------------------------------------------------- loss and gradient


@every_cell
@every_depth
@every_direction
@every_target
@every_rate
def test_loss_and_gradient_are_those_of_naive_loops(cell, activation, sizes, bidirectional, pooling, rates):
    problem = DropoutProblem(cell, activation, sizes, bidirectional, pooling, rates=rates)
    assert_close(problem.updates(), problem.expected())


@every_cell
@both_targets
@every_rate
def test_the_gradient_agrees_with_central_differences(cell, activation, pooling, rates):
    problem = DropoutProblem(cell, activation, pooling=pooling, rates=rates, seed=1)
    _, grad = problem.updates()
    assert_gradient(problem.value, problem.theta, grad, np.random.default_rng(2))


@each_cell
@every_depth
@both_targets
@every_rate
@pytest.mark.parametrize("truncation", [(1, 1), (4, 2), (3, 3), (7, 3), (20, 4)], ids=str)
def test_truncated_backpropagation_is_that_of_naive_loops(cell, sizes, pooling, rates, truncation):
    length, stride = truncation
    problem = DropoutProblem(cell, "tanh", sizes, False, pooling, lengths=LONGER, length=length, stride=stride, rates=rates)
    assert_close(problem.updates(), problem.expected(length, stride))


@each_cell
@both_targets
@every_rate
@pytest.mark.parametrize("interval", [1, 3, 7, "auto"])
def test_checkpoints_give_the_gradient_of_full_backpropagation(cell, pooling, rates, interval):
    full, problem = (
        DropoutProblem(cell, "tanh", (4, 3), False, pooling, lengths=LONGER, interval=k, rates=rates) for k in (None, interval)
    )
    assert_close(problem.updates(), full.updates())


@pytest.mark.parametrize(("cell", "activation"), CELLS_AND_ACTIVATIONS)
def test_a_corrupted_mask_is_seen_by_the_check(cell, activation, monkeypatch):
    problem = DropoutProblem(cell, activation, rates=(0.3, 0.4), seed=1)
    expected = problem.expected()
    draw = problem.network._draw_masks

    def corrupted(*arguments):
        masks = draw(*arguments)
        masks.recurrent[1][0][...] = 1
        return masks

    monkeypatch.setattr(problem.network, "_draw_masks", corrupted)
    with pytest.raises(AssertionError):
        assert_close(problem.updates(), expected)


@every_rate
def test_without_a_generator_there_is_no_dropout(rates):
    problem, without = DropoutProblem(rates=rates), Problem()
    problem.updates()  # which leaves masks in the buffers
    assert_same_bits(problem.loss_and_gradient(), without.loss_and_gradient())
    assert_array_equal(problem.predictions(), without.predictions())
    batch = problem.batch()
    for found, expected in zip(
        problem.network.state_gradients(problem.theta, batch, 1.0), without.network.state_gradients(without.theta, batch, 1.0),
        strict=True,
    ):  # fmt: skip
        for a, b in zip(found, expected, strict=True):
            assert_array_equal(a, b)


def test_predictions_after_checkpoints_are_without_dropout():
    """Both use buffers that keep no activations."""
    options = {"bidirectional": False, "lengths": LONGER, "interval": 3}
    problem, without = DropoutProblem(rates=(0.5, 0.0), **options), Problem(**options)
    problem.updates()
    assert_array_equal(problem.predictions(), without.predictions())


# ---------------------------------------------------------------- masks


def test_masks_leave_out_their_share_and_keep_the_mean():
    network = Problem(sizes=(300, 200)).network
    network.dropout, network.recurrent_dropout = 0.25, 0.6
    masks = network._draw_masks(np.random.RandomState(0), 50, np.dtype(np.float32))
    assert [mask.shape for mask in masks.between] == [(600, 50)]
    assert [[mask.shape for mask in layer] for layer in masks.recurrent] == [[(300, 50)] * 2, [(200, 50)] * 2]
    assert masks.readout.shape == (1201, 50)
    assert_array_equal(masks.readout[-1], 1)  # of the bias
    for mask, rate in [(masks.between[0], 0.25), (masks.readout[:-1], 0.25), (masks.recurrent[1][1], 0.6)]:
        assert mask.dtype == np.float32
        assert_allclose(np.unique(mask), [0, 1 / (1 - rate)], rtol=1e-6)
        assert_allclose(np.mean(mask == 0), rate, atol=0.02)


def test_every_minibatch_has_other_masks_and_sequences_have_each_their_own():
    network = Problem(sizes=(30,)).network
    network.dropout = network.recurrent_dropout = 0.5
    rng = np.random.RandomState(0)
    first, second = (network._draw_masks(rng, 20, np.float64) for _ in range(2))
    assert (first.readout != second.readout).any()
    assert (first.recurrent[0][0] != first.recurrent[0][1]).any()
    assert len(np.unique(first.recurrent[0][0], axis=1).T) == 20


# ---------------------------------------------------------------- the estimators


def some_data(Estimator, n=40, n_steps=9, *, ragged=True):
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, n_steps, n) if ragged else [n_steps] * n
    X = np.empty(n, dtype=object)
    X[:] = [rng.standard_normal((length, 3)) for length in lengths]
    y = np.array([x[:, 0].mean() for x in X])
    return (X if ragged else np.stack(X)), (y > 0 if Estimator is RNNClassifier else y)


def new(Estimator, **parameters):
    defaults = {"hidden_layer_sizes": (8, 5), "max_iter": 4, "learning_rate": "cosine", "random_state": 0}
    return Estimator(**defaults | {"dropout": 0.3, "recurrent_dropout": 0.3} | parameters)


@every_estimator
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_training_is_reproducible_and_different_from_that_without(Estimator, cell, bidirectional):
    X, y = some_data(Estimator)
    options = {"cell": cell, "bidirectional": bidirectional}
    first, second = (new(Estimator, **options).fit(X, y) for _ in range(2))
    assert_array_equal(first._theta, second._theta)
    for other in ({"dropout": 0.0}, {"recurrent_dropout": 0.0}, {"dropout": 0.31}):
        assert (new(Estimator, **options | other).fit(X, y)._theta != first._theta).any()
    assert_array_equal(first.predict(X), first.predict(X))


def test_the_bits_are_the_same_for_every_number_of_threads(monkeypatch):
    monkeypatch.setattr(_network, "PART_SEQUENCES", 16)
    monkeypatch.setattr(_network, "PART_ELEMENTS", 1)
    X, y = some_data(RNNRegressor, 128)
    options = {"batch_size": 64, "hidden_layer_sizes": (8, 5)}
    thetas = [new(RNNRegressor, n_jobs=n, **options).fit(X, y)._theta for n in (1, 2, 3)]
    assert_array_equal(thetas[0], thetas[1])
    assert_array_equal(thetas[0], thetas[2])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("truncation", [(3, 3), (6, 2)], ids=str)
def test_a_stream_goes_on_from_its_state(cell, truncation):
    length, stride = truncation
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, 12, 3)), rng.standard_normal((4, 12))
    reg = new(
        RNNRegressor, cell=cell, stateful=True, return_sequences=True, truncation_length=length, truncation_stride=stride,
        learning_rate_init=1e-12,
    )  # fmt: skip
    reg.partial_fit(X[:, :6], y[:, :6])
    assert reg._stream["history"] == 0  # masks change, so losses don't reach back
    before = reg.state_
    reg.partial_fit(X[:, 6:], y[:, 6:])
    reg.set_params(dropout=0.0, recurrent_dropout=0.0, stateful=True)
    assert (reg.state_ != before).any()
    reg.reset_state().partial_fit(X[:, :6], y[:, :6])
    _, expected = reg.predict(X[:, :6], return_state=True)
    assert_allclose(reg.state_, expected, atol=1e-9)
    history = reg._stream["history"]
    assert history == length - stride if length > stride else history == 0
    reg.set_params(dropout=0.3, recurrent_dropout=0.3).partial_fit(X[:, 6:], y[:, 6:])
    assert reg._stream["history"] == 0


@every_estimator
def test_inspection_and_validation_are_without_dropout(Estimator):
    X, y = some_data(Estimator)
    est = new(Estimator, early_stopping=True, max_iter=3).fit(X, y)
    loss, gradient = loss_gradient(est, X, y)
    without = new(Estimator, dropout=0.0, recurrent_dropout=0.0).fit(X, y)
    without._theta[...] = est._theta
    expected_loss, expected = loss_gradient(without, X, y)
    assert loss == expected_loss
    for name, value in gradient.items():
        assert_array_equal(value, expected[name])


@every_estimator
@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
def test_lbfgs_refuses_dropout(Estimator, name):
    X, y = some_data(Estimator)
    with pytest.raises(ValueError, match=f"solver='lbfgs'.*{name}=0.2"):
        Estimator(solver="lbfgs", **{name: 0.2}).fit(X, y)


@every_estimator
@pytest.mark.parametrize("rate", [1.0, -0.1, "half"])
@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
def test_rates_are_checked(Estimator, name, rate):
    X, y = some_data(Estimator)
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        Estimator(**{name: rate}).fit(X, y)
