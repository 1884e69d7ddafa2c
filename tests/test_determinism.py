"""The same bits at every fit: again, in other processes and threads, under other BLAS settings, and after pickling."""

import pickle

import numpy as np
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ["adam", "sgd", "rmsprop", "lbfgs"]
each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def new(Estimator, **parameters):
    """A network whose products are large enough for several BLAS threads, if there were any."""
    return Estimator(**{"hidden_layer_sizes": (40, 8), "max_iter": 3, "random_state": 0, **parameters})


def make_data(dtype=np.float64, n=50):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(T, 3)).astype(dtype) for T in rng.integers(1, 20, n)], np.arange(n) % 3


def make_steps(Estimator, dtype=np.float64, n=50):
    """A target at every step."""
    X, _ = make_data(dtype, n)
    y = [x.cumsum(axis=0)[:, 0] for x in X]
    return X, [(s > 0).astype(int) for s in y] if Estimator is RNNClassifier else y


def assert_same_bits(estimators):
    """Are all estimators, and what they predict, the same bit for bit?"""
    X, _ = make_data(estimators[0]._theta.dtype)
    for other in estimators[1:]:
        assert_array_equal(other._theta, estimators[0]._theta)
        assert other.loss_curve_ == estimators[0].loss_curve_
        for one, another in zip(other.predict(X), estimators[0].predict(X), strict=True):
            assert_array_equal(one, another)


@each_estimator
@each_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_refit_gives_the_same_bits(Estimator, dtype, cell, solver):
    X, y = make_data(dtype)
    estimator = new(Estimator, cell=cell, solver=solver, bidirectional=True, pooling=("last", "mean", "max"))
    other = clone(estimator).fit(X, y)
    assert_same_bits([other, clone(estimator).fit(X, y), estimator.fit(X, y)])
    first = estimator._theta
    assert_array_equal(estimator.fit(X, y)._theta, first)
    assert not np.shares_memory(estimator._theta, first)


@each_estimator
def test_another_seed_gives_other_bits(Estimator):
    X, y = make_data()
    assert (new(Estimator).fit(X, y)._theta != new(Estimator, random_state=1).fit(X, y)._theta).any()


@each_estimator
@each_dtype
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_every_backend_of_joblib_gives_the_same_bits(Estimator, dtype, solver, backend):
    X, y = make_data(dtype)
    estimator = new(Estimator, solver=solver, early_stopping=True, validation_fraction=0.2)
    fitted = Parallel(n_jobs=2, backend=backend)(delayed(clone(estimator).fit)(X, y) for _ in range(3))
    assert_same_bits([clone(estimator).fit(X, y), *fitted])


@each_estimator
@each_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_every_number_of_blas_threads_gives_the_same_bits(Estimator, dtype, cell):
    X, y = make_data(dtype, n=300)
    estimator = new(Estimator, cell=cell, batch_size=300, max_iter=2, early_stopping=True)
    fitted, predicted = [], []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fitted.append(clone(estimator).fit(X, y))
            predicted.append(fitted[-1].hidden_states(X))
    assert_same_bits(fitted)
    for one, other in zip(*predicted, strict=True):
        assert_array_equal(one, other)


@each_estimator
@each_dtype
def test_training_after_pickling_gives_the_same_bits(Estimator, dtype):
    X, y = make_data(dtype)
    uninterrupted = new(Estimator, batch_size=8).fit(X, y).partial_fit(X, y)
    resumed = pickle.loads(pickle.dumps(new(Estimator, batch_size=8).fit(X, y))).partial_fit(X, y)
    assert_same_bits([uninterrupted, resumed])


@each_estimator
def test_training_after_pickling_gives_the_same_bits_in_another_process(Estimator):
    X, y = make_data()
    estimator = new(Estimator, batch_size=8).fit(X, y)
    (elsewhere,) = Parallel(n_jobs=2, backend="loky")([delayed(estimator.partial_fit)(X, y)])
    assert_same_bits([estimator.partial_fit(X, y), elsewhere])


@each_estimator
@each_dtype
def test_predictions_do_not_depend_on_the_company_but_for_rounding(Estimator, dtype):
    X, y = make_data(dtype, n=300)
    estimator = new(Estimator).fit(X, y)
    name = "predict_proba" if Estimator is RNNClassifier else "predict"
    whole = getattr(estimator, name)(X)
    parts = np.concatenate([getattr(estimator, name)(X[i : i + 7]) for i in range(0, 300, 7)])
    np.testing.assert_allclose(parts, whole, atol=1e-12 if dtype == np.float64 else 1e-5)


# -------------------------------------------------------------------- windows of time

#: how gradients go back
UNROLLING = {
    "full": {},
    "truncated": {"truncation_length": 5},
    "overlapping": {"truncation_length": 8, "truncation_stride": 3},
    "checkpoints": {"checkpoint_interval": 4},
}
each_unrolling = pytest.mark.parametrize("unrolling", UNROLLING.values(), ids=UNROLLING)


@each_estimator
@each_dtype
@each_unrolling
@pytest.mark.parametrize("cell", CELLS)
def test_targets_at_every_step_give_the_same_bits_for_every_number_of_blas_threads(Estimator, dtype, cell, unrolling):
    X, y = make_steps(Estimator, dtype, n=100)
    estimator = new(Estimator, cell=cell, return_sequences=True, batch_size=100, max_iter=2, early_stopping=True, **unrolling)
    fitted = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fitted.append(clone(estimator).fit(X, y))
    assert_same_bits([*fitted, clone(estimator).fit(X, y)])


@each_estimator
@each_unrolling
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_targets_at_every_step_give_the_same_bits_in_every_backend_of_joblib(Estimator, unrolling, backend):
    X, y = make_steps(Estimator)
    estimator = new(Estimator, return_sequences=True, **unrolling)
    fitted = Parallel(n_jobs=2, backend=backend)(delayed(clone(estimator).fit)(X, y) for _ in range(2))
    assert_same_bits([clone(estimator).fit(X, y), *fitted])


@each_estimator
@each_dtype
@each_unrolling
def test_a_stream_gives_the_same_bits_in_another_process(Estimator, dtype, unrolling):
    X = np.random.default_rng(0).normal(size=(20, 24, 3)).astype(dtype)
    y = (X[:, :, 0] > 0).astype(int)
    options = {"classes": [0, 1]} if Estimator is RNNClassifier else {}
    estimator = new(Estimator, return_sequences=True, stateful=True, **unrolling).partial_fit(X[:, :15], y[:, :15], **options)
    (elsewhere,) = Parallel(n_jobs=2, backend="loky")([delayed(estimator.partial_fit)(X[:, 15:], y[:, 15:])])
    assert_same_bits([estimator.partial_fit(X[:, 15:], y[:, 15:]), elsewhere])
    assert_array_equal(elsewhere.state_, estimator.state_)
    again = new(Estimator, return_sequences=True, stateful=True, **unrolling)
    again.partial_fit(X[:, :15], y[:, :15], **options).partial_fit(X[:, 15:], y[:, 15:])
    assert_same_bits([again, estimator])


def test_threads_that_predict_at_the_same_time_do_not_disturb_each_other():
    """Small predictions reuse buffers."""
    X = np.random.default_rng(0).normal(size=(64, 4, 3))
    estimator = new(RNNRegressor, return_sequences=True, max_iter=1).fit(X, X[:, :, 0])
    expected = [estimator.predict(X[i : i + 2], return_state=True) for i in range(0, 64, 2)]
    for _ in range(5):
        results = Parallel(n_jobs=4, backend="threading")(
            delayed(estimator.predict)(X[i : i + 2], return_state=True) for i in range(0, 64, 2)
        )
        for one, other in zip(results, expected, strict=True):
            assert_array_equal(one[0], other[0])
            assert_array_equal(one[1], other[1])


def test_small_predictions_follow_the_weights_and_the_network():
    """What is kept of a network between calls is not its weights, and nothing of another architecture or precision."""
    X = np.random.default_rng(0).normal(size=(6, 4, 3))
    estimator = new(RNNRegressor, max_iter=1)
    for parameters in ({}, {"cell": "lstm"}, {"hidden_layer_sizes": 5}, {"dtype": "float32"}, {"pooling": "mean"}):
        estimator.set_params(**parameters).fit(X, X[:, 0, 0])
        expected = clone(estimator).fit(X, X[:, 0, 0])
        assert_array_equal(estimator.predict(X), expected.predict(X))
        before = estimator.predict(X)
        estimator.intercepts_["readout.bias"][...] += 1
        np.testing.assert_allclose(estimator.predict(X), before + 1, rtol=1e-5)
        assert_array_equal(estimator.predict(X[:2]), estimator.predict(X[:2].copy()))
