"""Solvers: their formulas, their state, their precision, and updates that are not finite."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skrnn._optim.solvers import SOLVERS

each_solver = pytest.mark.parametrize("solver", SOLVERS)


def trajectory(solver, theta, grads, rate=0.1):
    theta = theta.copy()
    for grad in grads:
        solver.step(theta, grad.copy(), rate)
    return theta


@pytest.fixture
def problem(global_random_seed):
    """A starting point and the gradients of 20 updates."""
    rng = np.random.default_rng(global_random_seed)
    return rng.normal(size=7), rng.normal(size=(20, 7)) * np.logspace(-3, 2, 7)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_that_of_scikit_learn(problem, momentum, nesterov):
    theta, grads = problem
    expected = [theta.copy()]
    optimizer = SGDOptimizer(expected, 0.1, momentum=momentum, nesterov=nesterov)
    for grad in grads:
        optimizer.update_params(expected, [grad])
    solver = SOLVERS["sgd"](7, theta.dtype, momentum=momentum, nesterov=nesterov)
    assert_allclose(trajectory(solver, theta, grads), expected[0], rtol=1e-12)


def test_adam_is_that_of_scikit_learn_but_for_the_place_of_epsilon(problem):
    theta, grads = problem
    expected = [theta.copy()]
    optimizer = AdamOptimizer(expected, 0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-300)
    for grad in grads:
        optimizer.update_params(expected, [grad])
    solver = SOLVERS["adam"](7, theta.dtype, beta_1=0.8, beta_2=0.95, epsilon=1e-300)
    assert_allclose(trajectory(solver, theta, grads), expected[0], rtol=1e-12)


def test_adam_is_algorithm_1_of_its_paper(problem):
    theta, grads = problem
    expected, m, v = theta.copy(), 0, 0
    for t, grad in enumerate(grads, start=1):
        m, v = 0.8 * m + 0.2 * grad, 0.95 * v + 0.05 * grad**2
        expected -= 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-2)
    solver = SOLVERS["adam"](7, theta.dtype, beta_1=0.8, beta_2=0.95, epsilon=1e-2)
    assert_allclose(trajectory(solver, theta, grads), expected, rtol=1e-12)


def test_rmsprop_divides_by_the_root_of_the_mean_of_squares(problem):
    theta, grads = problem
    expected, v = theta.copy(), 0
    for grad in grads:
        v = 0.95 * v + 0.05 * grad**2
        expected -= 0.1 * grad / (np.sqrt(v) + 1e-2)
    solver = SOLVERS["rmsprop"](7, theta.dtype, beta_2=0.95, epsilon=1e-2)
    assert_allclose(trajectory(solver, theta, grads), expected, rtol=1e-12)


@each_solver
def test_a_solver_goes_on_from_its_state(problem, solver):
    theta, grads = problem
    expected = trajectory(SOLVERS[solver](7, theta.dtype), theta, grads)
    first = SOLVERS[solver](7, theta.dtype)
    half = trajectory(first, theta, grads[:8])
    state = copy.deepcopy(first.state)
    kept = first.state
    second = SOLVERS[solver](7, theta.dtype, kept)
    assert_array_equal(trajectory(second, half, grads[8:]), expected)
    assert state["n_updates"] == 8
    assert_array_equal(trajectory(first, half, grads[8:]), expected)  # which leaves the state that it gave before
    assert second.state["n_updates"] == 20
    for name in first.vectors:
        assert_array_equal(kept[name], state[name])


@each_solver
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_solver_works_in_place_and_keeps_the_precision(solver, dtype):
    theta, grad = np.ones(5, dtype), np.full(5, 0.5, dtype)
    instance = SOLVERS[solver](5, theta.dtype)
    assert all(instance.state[name].dtype == dtype for name in instance.vectors)
    view = theta[:]
    instance.step(theta, grad, 0.1)
    assert_array_equal(view, theta)
    assert (theta < 1).all()
    assert all(instance.state[name].dtype == dtype for name in instance.vectors)


@each_solver
def test_an_update_that_is_not_finite_changes_nothing(solver):
    instance, theta = SOLVERS[solver](3, np.dtype(np.float64)), np.arange(3.0)
    assert instance.step(theta, np.ones(3), 0.1)
    state, before = instance.state, theta.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        assert not instance.step(theta, np.full(3, 1e10), 1e308)
    assert_array_equal(theta, before)
    for name, value in instance.state.items():
        assert_array_equal(value, state[name])
    assert instance.step(theta, np.full(3, 1e10), 1e-12)
    assert (theta < before).all()


@each_solver
def test_a_step_that_is_undone_leaves_no_trace(solver):
    rng = np.random.default_rng(0)
    one, other = (SOLVERS[solver](5, np.dtype(np.float64)) for _ in range(2))
    thetas = np.ones(5), np.ones(5)
    for _ in range(3):
        grad = rng.normal(size=5)
        for instance, theta in zip((one, other), thetas, strict=True):
            assert instance.step(theta, grad.copy(), 0.1)
        assert one.step(thetas[0], rng.normal(size=5), 0.1)
        one.undo(thetas[0])
        assert_array_equal(*thetas)
        for name, value in one.state.items():
            assert_array_equal(value, other.state[name])


@pytest.mark.parametrize(
    ("solver", "defaults"),
    [
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("adam", {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}),
        ("rmsprop", {"beta_2": 0.99, "epsilon": 1e-8}),
    ],
)
def test_defaults_are_those_of_pytorch_with_momentum(problem, solver, defaults):
    theta, grads = problem
    grads = grads * 1e-6  # on a scale at which epsilon counts
    expected = trajectory(SOLVERS[solver](7, theta.dtype, **defaults), theta, grads)
    assert_array_equal(trajectory(SOLVERS[solver](7, theta.dtype), theta, grads), expected)


def of_sgd(grad):
    return np.float32(0.9) * grad + grad


def of_rmsprop(grad):
    return grad / (np.sqrt(grad * grad * np.float32(1 - 0.99)) + np.float32(1e-8))


@pytest.mark.parametrize(("solver", "direction"), [("sgd", of_sgd), ("rmsprop", of_rmsprop)])
def test_in_float32_the_arithmetic_is_that_of_float32(solver, direction):
    rng = np.random.default_rng(0)
    theta, grad = rng.normal(size=(2, 1000)).astype(np.float32)
    expected = theta - np.float32(0.1) * direction(grad)
    SOLVERS[solver](1000, theta.dtype).step(theta, grad, 0.1)
    assert_array_equal(theta, expected)
