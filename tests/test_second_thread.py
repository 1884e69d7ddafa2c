"""``n_jobs``: weight gradients in a second thread give the same bits, and leave nothing behind."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core import bptt, workspace
from skrnn._core.cells import CELLS


@pytest.fixture
def any_size(monkeypatch):
    """Use the second thread for networks of any size, in several blocks."""
    monkeypatch.setattr(workspace, "LEAST_STATE", 0)
    monkeypatch.setattr(workspace, "LEAST_OPERATIONS", 0)
    monkeypatch.setattr(workspace, "PRODUCT_COLUMNS", 1)
    monkeypatch.setattr(workspace, "BLOCK_STEPS", 3)


@pytest.fixture
def names_of_threads(monkeypatch):
    """Names of the threads that added weight gradients."""
    names, original = set(), bptt.add_weight_gradient

    def noted(*arguments):
        names.add(threading.current_thread().name)
        original(*arguments)

    monkeypatch.setattr(bptt, "add_weight_gradient", noted)
    return names


def make_data(ragged=False, every_step=False, dtype=np.float64, n=12):
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 15, n) if ragged else np.full(n, 14)
    X = [rng.normal(size=(length, 2)).astype(dtype) for length in lengths]
    y = [x.sum(axis=1) for x in X] if every_step else np.array([x.sum() for x in X])
    if ragged:
        return X, y
    return np.array(X), np.array(y)


def new(**parameters):
    defaults = {"hidden_layer_sizes": 5, "max_iter": 3, "learning_rate": "cosine", "batch_size": 6, "random_state": 0}
    return RNNRegressor(**{**defaults, **parameters})


@pytest.mark.usefixtures("any_size")
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"hidden_layer_sizes": (5, 4), "pooling": ("mean", "max")},
        {"bidirectional": True, "hidden_layer_sizes": (4, 3)},
        {"checkpoint_interval": 4},
        {"truncation_length": 5},
        {"return_sequences": True, "truncation_length": 6, "truncation_stride": 4},
        {"solver": "lbfgs"},
    ],
    ids=str,
)
def test_the_bits_are_those_of_one_thread(cell, ragged, dtype, parameters, names_of_threads):
    X, y = make_data(ragged, parameters.get("return_sequences", False), dtype)
    one = new(cell=cell, **parameters)
    two = clone(one).set_params(n_jobs=2)
    one.fit(X, y)
    two.fit(X, y)
    assert_array_equal(two._theta, one._theta)
    assert two.loss_curve_ == one.loss_curve_
    assert len(names_of_threads) == 2


@pytest.mark.usefixtures("any_size")
def test_a_stream_and_a_classifier_have_the_same_bits_too():
    X, y = make_data(every_step=True)
    one = RNNClassifier(5, return_sequences=True, stateful=True, truncation_length=4, random_state=0)
    two = clone(one).set_params(n_jobs=-1 if joblib.cpu_count() > 1 else 2)
    for part in (slice(0, 8), slice(8, 14)):
        for estimator in (one, two):
            estimator.partial_fit(X[:, part], y[:, part] > 0, classes=[False, True])
    assert_array_equal(two._theta, one._theta)
    assert_array_equal(two.state_, one.state_)


@pytest.mark.usefixtures("any_size")
def test_no_thread_outlives_fit_and_none_begins_for_one_job(names_of_threads):
    X, y = make_data()
    before = threading.enumerate()
    new(n_jobs=2).fit(X, y)
    assert threading.enumerate() == before
    assert len(names_of_threads) == 1
    assert threading.current_thread().name not in names_of_threads
    names_of_threads.clear()
    for n_jobs in (None, 1):
        new(n_jobs=n_jobs).fit(X, y)
    assert names_of_threads == {threading.current_thread().name}


def test_small_networks_do_without(names_of_threads):
    X, y = make_data()
    new(n_jobs=2).fit(X, y)
    assert names_of_threads == {threading.current_thread().name}


@pytest.mark.usefixtures("any_size")
def test_the_number_of_jobs_may_come_from_the_context_of_joblib(names_of_threads):
    X, y = make_data()
    with joblib.parallel_config(n_jobs=2):
        new().fit(X, y)
    assert threading.current_thread().name not in names_of_threads


@pytest.mark.usefixtures("any_size")
def test_an_error_in_the_second_thread_is_raised_and_leaves_the_estimator_as_it_was(monkeypatch):
    X, y = make_data()
    reg = new(n_jobs=2, warm_start=True).fit(X, y)
    before, threads = pickle.dumps(reg), threading.enumerate()
    monkeypatch.setattr(bptt, "add_weight_gradient", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reg.fit(X, y)
    assert pickle.dumps(reg) == before
    assert threading.enumerate() == threads


@pytest.mark.parametrize("n_jobs", [0, 1.5, "all"])
def test_bad_numbers_of_jobs_are_refused(n_jobs):
    X, y = make_data()
    with pytest.raises(ValueError, match="n_jobs"):
        new(n_jobs=n_jobs).fit(X, y)


@pytest.mark.usefixtures("any_size")
def test_where_no_thread_can_begin_the_first_does_all_the_work(monkeypatch):
    X, y = make_data()
    expected = new().fit(X, y)
    submit, calls = ThreadPoolExecutor.submit, []

    def refuse_later(executor, *arguments):
        calls.append(None)
        if len(calls) > 3:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        return submit(executor, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse_later)
    assert_array_equal(new(n_jobs=2).fit(X, y)._theta, expected._theta)
    assert len(calls) > 4
