"""Process-wide settings are given back: BLAS threads, and the handler of Ctrl-C."""

import json
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

from skrnn import RNNClassifier, RNNRegressor, _runtime
from skrnn._network import Network
from skrnn._runtime import computing, deferred_interrupt

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X, y = rng.normal(size=(20, 5, 2)), np.arange(20) % 2


def new(Estimator=RNNRegressor, **parameters):
    return Estimator(**{"hidden_layer_sizes": 4, "max_iter": 3, "random_state": 0, **parameters})


def blas_threads():
    """Number of threads of every BLAS of the process."""
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def all_threads():
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """The number of BLAS threads that the user has chosen."""
    with threadpool_limits(request.param):
        before = all_threads()
        assert set(blas_threads().values()) == {request.param}
        yield before
        assert all_threads() == before


@pytest.fixture
def seen(monkeypatch):
    """BLAS threads at every evaluation of a network."""
    record = []

    def observe(name):
        original = getattr(Network, name)

        def observed(*arguments):
            record.append(set(blas_threads().values()))
            return original(*arguments)

        monkeypatch.setattr(Network, name, observed)

    for name in ("loss_and_gradient", "raw_predictions", "hidden_states"):
        observe(name)
    return record


# -------------------------------------------------------------------- threads of BLAS


@pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
def test_blas_has_one_thread_during_computation_and_those_of_before_after(Estimator, threads, seen):
    estimator = new(Estimator, early_stopping=True, validation_fraction=0.2).fit(X, y)
    assert all_threads() == threads
    estimator.set_params(early_stopping=False).partial_fit(X, y)
    assert all_threads() == threads
    estimator.predict(X)
    estimator.hidden_states(X)
    assert all_threads() == threads
    assert seen
    assert all(numbers == {1} for numbers in seen)


def test_threads_are_given_back_after_an_error(threads, monkeypatch):
    monkeypatch.setattr(Network, "updates", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        new().fit(X, y)
    assert all_threads() == threads


def test_limits_may_be_nested(threads):
    with computing():
        with computing():
            assert set(blas_threads().values()) == {1}
        assert set(blas_threads().values()) == {1}
    assert all_threads() == threads


def test_limits_that_overlap_in_several_threads_are_given_back_by_the_last(threads):
    entered, left = threading.Event(), threading.Event()

    def other():
        with computing():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=other)
    with computing():
        thread.start()
        assert entered.wait(10)
    assert set(blas_threads().values()) == {1}  # the other thread is not done
    left.set()
    thread.join(10)
    assert all_threads() == threads


@pytest.mark.parametrize("when", range(12))
def test_threads_are_given_back_after_an_interrupt_at_any_call_of_a_library(when, monkeypatch):
    """Ctrl-C is raised as soon as a call has returned."""
    n_threads, calls = {"one": 4, "another": 3, "own": 2}, []

    def library(name):
        def interrupted(result=None):
            calls.append(name)
            if len(calls) == when + 1:
                raise KeyboardInterrupt
            return result

        def set_threads(n):
            n_threads[name] = n
            interrupted()

        return _runtime._Blas(lambda: interrupted(n_threads[name]), set_threads)

    monkeypatch.setattr(_runtime, "_libraries", lambda: ([library("one"), library("another")], [library("own")]))
    interrupted = False
    try:
        with computing():
            assert n_threads == {"one": 1, "another": 1, "own": 1}
    except KeyboardInterrupt:
        interrupted = True
    assert interrupted == (when < 9)  # three libraries: their numbers are asked for, set and set back
    assert n_threads == {"one": 4, "another": 3, "own": 2}
    assert not _runtime._users


def in_another_thread(function):
    """The result of a call in a new thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(30)
    return results[0]


def test_a_fit_in_another_thread_computes_with_one_thread_of_blas(threads, seen):
    # threadpoolctl 3.8 lets one Python thread set limits, here the main one, and silently ignores others
    in_another_thread(lambda: new(learning_rate="cosine").fit(X, y).predict(X))
    assert all_threads() == threads
    assert all(numbers == {1} for numbers in seen)


@pytest.mark.skipif(max(blas_threads().values()) == 1, reason="needs a BLAS with several threads")
def test_limits_of_the_user_work_in_other_threads_after_a_fit():
    # in a process of its own: in this one, other tests may hold the right to set limits
    code = """
import threading
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from skrnn import RNNRegressor

def limited():
    with threadpool_limits(1):
        print([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"])

RNNRegressor(learning_rate="cosine", max_iter=2).fit(np.ones((4, 3, 1)), np.arange(4))
thread = threading.Thread(target=limited)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(json.loads(done.stdout)) == {1}


def test_fits_in_several_threads_give_the_threads_of_blas_back(threads):
    results, start = {}, threading.Barrier(4)

    def fit(i):
        start.wait(10)
        with warnings.catch_warnings():
            results[i] = new(max_iter=20 + 5 * i, learning_rate="cosine").fit(X, y)

    workers = [threading.Thread(target=fit, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert all_threads() == threads
    for i, estimator in results.items():
        assert_array_equal(estimator._theta, new(max_iter=20 + 5 * i, learning_rate="cosine").fit(X, y)._theta)
    assert not _runtime._users


def test_no_other_setting_of_numpy_is_changed():
    with np.errstate(over="raise", divide="print"):
        before = np.geterr()
        new().fit(X, y).predict(X)
        assert np.geterr() == before


def test_the_global_generator_is_not_drawn_from_with_a_seed():
    before = np.random.get_state()[1:3]  # noqa: NPY002  # the global generator is what this is about
    new().fit(X, y).predict(X)
    after = np.random.get_state()[1:3]  # noqa: NPY002
    assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


# -------------------------------------------------------------------- Ctrl-C


@pytest.fixture
def handler():
    """A handler of the user's that notes the interrupts it gets."""
    received = []

    def note(*_):
        received.append(None)

    note.received = received
    previous = signal.signal(signal.SIGINT, note)
    yield note
    signal.signal(signal.SIGINT, previous)


def test_an_interrupt_is_noted_and_the_handler_given_back():
    with deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_second_interrupt_is_raised():
    with deferred_interrupt():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_is_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError), deferred_interrupt():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_user_is_called_and_training_goes_on(handler):
    with deferred_interrupt() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert not interrupted()
    assert len(handler.received) == 1


def test_an_interrupt_that_is_ignored_stays_ignored():
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_handler_that_was_not_set_from_python_is_left_alone(monkeypatch):
    # an application that embeds Python may have its own, which signal.getsignal shows as None, and which can't be given back
    calls = []
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *arguments: calls.append(arguments))
    new(learning_rate="cosine").fit(X, y)
    assert not calls


def test_nothing_is_changed_outside_the_main_thread(handler):
    seen = []

    def other():
        with deferred_interrupt() as interrupted:
            seen.append((interrupted(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    assert seen == [(False, handler)]


def test_fit_works_outside_the_main_thread():
    estimator = new(learning_rate="cosine")
    elsewhere = in_another_thread(lambda: estimator.fit(X, y)._theta)
    assert_array_equal(elsewhere, estimator.fit(X, y)._theta)
