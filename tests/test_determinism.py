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


def assert_same_bits(estimators):
    """Are all estimators, and what they predict, the same bit for bit?"""
    X, _ = make_data(estimators[0]._theta.dtype)
    for other in estimators[1:]:
        assert_array_equal(other._theta, estimators[0]._theta)
        assert other.loss_curve_ == estimators[0].loss_curve_
        assert_array_equal(other.predict(X), estimators[0].predict(X))


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
