"""Divergence: real explosions, of which the last finite weights and the state of the solver are left, and one warning."""

import copy
import math
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skrnn import RNNClassifier, RNNRegressor, _training
from skrnn._core.cells import CELLS
from skrnn._optim.clipping import clip
from skrnn._optim.solvers import SOLVERS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:. is not scaled:sklearn.exceptions.ConvergenceWarning"),
]

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_solver = pytest.mark.parametrize("solver", SOLVERS)


def new(Estimator, **parameters):
    defaults = {"hidden_layer_sizes": 4, "max_iter": 5, "learning_rate_init": 0.01, "learning_rate": "constant"}
    return Estimator(**{**defaults, "random_state": 0, **parameters})


def make_data(n=40, n_steps=5):
    """Sequences around a level that depends on their class, and the classes."""
    y = np.arange(n) % 2
    return np.random.default_rng(0).normal(y[:, None, None] - 0.5, 0.5, (n, n_steps, 2)), y


def caught_in(function, *arguments, **options):
    """The warnings of divergence that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **options)
    return [warning for warning in caught if "non-finite" in str(warning.message)]


def assert_finite(estimator, X):
    """Weights, state, curves and predictions."""
    state = estimator._training_state["solver_state"] or {}
    vectors = [value for value in state.values() if isinstance(value, np.ndarray)]
    outputs = estimator.predict_proba(X) if isinstance(estimator, RNNClassifier) else estimator.predict(X)
    for values in (estimator._theta, estimator.loss_curve_, outputs, *vectors):
        assert np.isfinite(values).all()


def assert_same_step(one, other):
    """The same weights, state of the solver and counts of updates, bit for bit."""
    assert_array_equal(one._theta, other._theta)
    states = [estimator._training_state["solver_state"] for estimator in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert_array_equal(value, states[1][name], err_msg=name)
    assert one._training_state["n_updates"] == other._training_state["n_updates"]


# -------------------------------------------------------------------- explosions

#: name -> parameters, and the factor on X
EXPLOSIONS = {
    "learning rate 1e6": ({"learning_rate_init": 1e6}, 1),
    "learning rate 1e6, not clipped": ({"learning_rate_init": 1e6, "clip_norm": None}, 1),
    "learning rate 1e200": ({"learning_rate_init": 1e200}, 1),
    "inputs of 1e15": ({}, 1e15),
    "inputs of 1e150": ({}, 1e150),
    "inputs of 1e200, not clipped": ({"clip_norm": None}, 1e200),
    "early stopping": ({"learning_rate_init": 1e6, "early_stopping": True}, 1),
    "dropout": ({"learning_rate_init": 1e6, "dropout": 0.3, "recurrent_dropout": 0.3}, 1),
}
NETWORKS = [(cell, "tanh") for cell in CELLS] + [("rnn", "relu"), ("rnn", "identity")]
each_network = pytest.mark.parametrize(("cell", "activation"), NETWORKS)


#: those that go together
CALLS = [
    *((solver, "fit", name) for solver in SOLVERS for name in EXPLOSIONS),
    *((solver, "partial_fit", name) for solver in SOLVERS for name in EXPLOSIONS if name != "early stopping"),
    *(("lbfgs", "fit", name) for name in EXPLOSIONS if EXPLOSIONS[name][1] > 1),
]


@each_estimator
@each_network
@pytest.mark.parametrize(("solver", "method", "name"), CALLS)
def test_explosions_leave_finite_weights_and_one_warning_or_raise_before_any(Estimator, cell, activation, solver, method, name):
    parameters, factor = EXPLOSIONS[name]
    X, y = make_data(n_steps=20)
    for dtype in ("float32", "float64"):
        if dtype == "float32" and factor > 1e100:
            continue
        estimator = new(Estimator, cell=cell, activation=activation, solver=solver, dtype=dtype, batch_size=16, **parameters)
        options = {"classes": [0, 1]} if (Estimator, method) == (RNNClassifier, "partial_fit") else {}
        try:
            caught = caught_in(getattr(estimator, method), X * factor, y, **options)
        except ValueError as error:
            assert re.search("not finite .*Scale X and y|not finite .*scale X and y", str(error))  # noqa: PT017  # either is fine
            assert not hasattr(estimator, "_theta")
            continue
        assert len(caught) <= 1
        assert_finite(estimator, X * factor)


@each_estimator
@each_solver
@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("truncation_length", [None, 60])
def test_a_spectral_radius_of_3(Estimator, solver, truncation_length, stateful):
    parameters = {"truncation_length": truncation_length, "return_sequences": True, "solver": solver, "clip_norm": None}
    X, y = make_data(n_steps=400)
    y = np.repeat(y[:, None], 400, axis=1)
    estimator = new(Estimator, cell="rnn", activation="identity", stateful=stateful, batch_size=40, **parameters)
    options = {"classes": [0, 1]} if Estimator is RNNClassifier else {}
    caught_in(estimator.partial_fit, 0 * X[:, :8], y[:, :8], **options)
    (recurrent,) = (view for name, view in estimator.coefs_.items() if name.endswith(".recurrent"))
    recurrent *= 3 / np.abs(np.linalg.eigvals(recurrent)).max()
    before = copy.deepcopy(estimator)
    (warning,) = caught_in(estimator.partial_fit, X, y)
    assert warning.category is ConvergenceWarning
    assert "non-finite in epoch 2, batch 1" in str(warning.message)
    assert np.isfinite(estimator._theta).all()
    if truncation_length is None:  # there was no window before
        assert_same_step(estimator, before)
    if stateful:
        assert_array_equal(estimator.state_, before.state_)


@pytest.mark.parametrize(
    ("Estimator", "solver", "rate"),
    [(RNNClassifier, "sgd", 1e-3), (RNNRegressor, "sgd", 1e-3), (RNNClassifier, "adam", 100.0), (RNNRegressor, "adam", 3.0)],
)
def test_weights_that_led_to_an_overflow_are_taken_back(Estimator, solver, rate):
    """What is left is what a run leaves that ends before, bit for bit, and has a finite loss and finite predictions."""
    X, y = make_data(n_steps=60)
    parameters = {"cell": "rnn", "activation": "identity", "solver": solver, "clip_norm": None, "learning_rate_init": rate}
    estimator = new(Estimator, batch_size=40, max_iter=40, n_iter_no_change=40, **parameters)
    (warning,) = caught_in(estimator.fit, X, y)
    n_updates = estimator._training_state["n_updates"]
    assert f"non-finite in epoch {n_updates + 2}, batch 1" in str(warning.message)
    assert len(estimator.loss_curve_) == n_updates + 1
    assert_finite(estimator, X)
    shorter = new(Estimator, batch_size=40, max_iter=n_updates, n_iter_no_change=40, **parameters)
    caught_in(shorter.fit, X, y)
    assert_same_step(estimator, shorter)
    assert estimator.clip_fraction_ == shorter.clip_fraction_


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_lbfgs_keeps_the_last_finite_iteration(activation):
    X, y = make_data(n_steps=20)
    huge = 1e152 * X
    estimator = new(RNNRegressor, cell="rnn", activation=activation, solver="lbfgs", warm_start=True)
    with pytest.raises(ValueError, match=r"not finite in iteration 1, .* before any update. Scale X and y"):
        estimator.fit(huge, y)
    assert not hasattr(estimator, "_theta")
    caught_in(estimator.fit, X, y)
    before = copy.deepcopy(estimator)
    (warning,) = caught_in(estimator.fit, huge, y)
    assert "non-finite in iteration 6, of all data in one batch; the last finite weights" in str(warning.message)
    assert_array_equal(estimator._theta, before._theta)
    assert estimator.loss_curve_ == before.loss_curve_
    assert_finite(estimator, X)


@each_estimator
@each_solver
def test_a_refused_update_leaves_the_state_of_the_solver(Estimator, solver):
    X, y = make_data()
    estimator = new(Estimator, solver=solver, shuffle=False, batch_size=40, max_iter=2)
    caught_in(estimator.fit, X, y)
    before = copy.deepcopy(estimator)
    (warning,) = caught_in(estimator.set_params(learning_rate_init=1e300).partial_fit, X, y)
    assert "non-finite in epoch 3, batch 1" in str(warning.message)
    assert_same_step(estimator, before)
    going_on = [copy.deepcopy(e).set_params(learning_rate_init=0.01).partial_fit(X, y) for e in (estimator, before)]
    assert_same_step(*going_on)


@pytest.mark.parametrize("n", [3, 1000])
def test_a_gradient_of_1e200_is_clipped_exactly(n):
    direction = np.random.default_rng(0).normal(size=n)
    grad = 1e200 * direction
    with np.errstate(over="ignore"):
        length, before, clipped = clip(grad, None, 1.0)
    assert (length, clipped) == (1.0, True)
    assert_allclose(before, 1e200 * np.linalg.norm(direction), rtol=1e-13)
    assert_allclose(grad, direction / np.linalg.norm(direction), rtol=1e-13)


def test_the_warning_points_at_the_call():
    X, y = make_data()
    reg = new(RNNRegressor)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as caught:
        reg.fit(X, y)
    assert caught[0].filename == __file__
    pipeline = make_pipeline(FunctionTransformer(), reg)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as caught:
        pipeline.fit(X, y)
    assert caught[0].filename.endswith("pipeline.py")


# -------------------------------------------------------------------- what divergence is, and what is left


@each_estimator
def test_overflow_before_any_update_is_an_error(Estimator):
    X, y = make_data(n_steps=60)
    with pytest.raises(ValueError, match="not finite in epoch 1, batch 1, before any update"):
        new(Estimator, cell="rnn", activation="identity").fit(X / np.abs(X).max() * 1.7e308, y)


@each_estimator
def test_a_later_batch_that_overflows_keeps_the_weights(Estimator):
    X, y = make_data(n_steps=60)
    estimator = new(Estimator, cell="rnn", activation="identity").fit(X, y)
    before = estimator._theta.copy()
    (warning,) = caught_in(estimator.partial_fit, X / np.abs(X).max() * 1.7e308, y)
    assert "epoch 6, batch 1" in str(warning.message)
    assert_array_equal(estimator._theta, before)
    assert estimator.n_iter_ == 5


@pytest.mark.parametrize("solver", [*SOLVERS, "lbfgs"])
def test_huge_targets_are_refused_or_give_finite_weights(solver):
    X, y = make_data()
    with pytest.raises(ValueError, match=r"(?i)scale X and y"):
        new(RNNRegressor, solver=solver).fit(X, 1e200 * y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_gradient_whose_squares_overflow_is_not_used(solver, monkeypatch):
    monkeypatch.setattr(_training, "LARGEST_LOSS", math.inf)
    X, y = make_data()
    with pytest.raises(ValueError, match="not finite in epoch 1, batch 1"):
        new(RNNRegressor, solver=solver, clip_norm=None).fit(X, 2e153 * y)
    assert np.isfinite(new(RNNRegressor, solver=solver).fit(X, 2e153 * y).loss_)  # clipped, it is


def test_a_loss_beyond_all_bounds_is_divergence():
    X, y = make_data()
    with pytest.raises(ValueError, match="not finite in epoch 1, batch 1"):
        new(RNNClassifier, cell="rnn", activation="relu").fit(np.asarray(X) * 1e200, y > np.median(y))


def test_divergence_keeps_the_last_finite_weights_and_leaves_the_state_as_it_was():
    X, _ = make_data(3, n_steps=24)
    y = X[:, :, 0]
    reg = new(RNNRegressor, return_sequences=True, stateful=True, truncation_length=4, clip_norm=None)
    reg.partial_fit(X[:, :8], y[:, :8])
    state = reg.state_
    expected = copy.deepcopy(reg).partial_fit(X[:, 8:12], y[:, 8:12])
    huge = y.copy()
    huge[1, 17] = 1e300  # in the third window; the update after the second is taken back
    (warning,) = caught_in(reg.partial_fit, X[:, 8:], huge[:, 8:])
    assert "non-finite" in str(warning.message)
    assert_array_equal(reg.state_, state)
    assert_array_equal(reg._theta, expected._theta)
    reg.partial_fit(X[:, 8:], y[:, 8:])
    assert (reg.state_ != state).any()


def test_a_score_that_is_not_finite_is_divergence():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(y[:, None, None] - 0.5, 0.5, (40, 60, 2))
    reg = RNNRegressor(
        cell="rnn", activation="identity", solver="sgd", clip_norm=None, learning_rate_init=0.01, early_stopping=True,
        validation_fraction=0.3, batch_size=40, max_iter=30, hidden_layer_sizes=4, random_state=0,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning, match="score on the validation share became non-finite in epoch 2, its last batch"):
        reg.fit(X, y)
    assert np.isfinite(reg.validation_scores_).all()
    assert len(reg.validation_scores_) == len(reg.loss_curve_) == reg.n_iter_
    assert np.isfinite(reg.predict(X)).all()
