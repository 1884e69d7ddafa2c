"""Other processes, and how much is used of this one: forks, pools, nested jobs, and nothing that is left behind."""

import gc
import multiprocessing
import os
import pickle
import select
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

from skrnn import RNNClassifier, RNNRegressor, _network, _prediction
from skrnn._core import bptt
from skrnn._network import Network
from skrnn._runtime import computing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning"),
]

rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 5, 2)), np.arange(40) % 2
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this platform has no /proc")


def new(Estimator=RNNRegressor, **parameters):
    return Estimator(**{"hidden_layer_sizes": 4, "max_iter": 3, "learning_rate": "cosine", "random_state": 0, **parameters})


def use_threads_always(patch):
    """Small networks would not."""
    for module, name, value in (
        (bptt, "LEAST_OPERATIONS", 0),
        (_network, "PART_SEQUENCES", 16),
        (_network, "PART_ELEMENTS", 1),
        (_prediction, "LARGE_STATE", 0),
        (_prediction, "LARGE_CALL", 0),
    ):
        patch.setattr(module, name, value)


@pytest.fixture
def always_threads(monkeypatch):
    use_threads_always(monkeypatch)


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def threads_of_fits():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("skrnn")]


# -------------------------------------------------------------------- fork


def in_child(function, seconds=20):
    """What a function returns in a forked child."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(theirs, "wb") as pipe:
                pickle.dump(function(), pipe)
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        try:
            assert select.select([pipe], [], [], seconds)[0], "the child hangs"
            return pickle.load(pipe)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def fit_and_predict(**parameters):
    reg = new(**parameters).fit(X, y)
    return reg._theta, reg.predict(X), blas_threads()


def assert_same_results(results, others):
    for one, other in zip(results, others, strict=True):
        assert_array_equal(one, other)


@needs_fork
@pytest.mark.usefixtures("always_threads")
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("of_child", [None, 2])
def test_a_fork_after_a_fit_and_a_prediction_does_not_hang(n_jobs, of_child):
    expected = fit_and_predict(n_jobs=n_jobs)
    for _ in range(3):
        assert_same_results(in_child(lambda: fit_and_predict(n_jobs=of_child)), expected)


@needs_fork
def test_a_fork_during_fits_of_other_threads_does_not_hang_and_has_the_threads_of_blas():
    """The others hold the lock for a moment, and BLAS at one thread: neither lasts in the child."""
    done = threading.Event()

    def fit():
        with warnings.catch_warnings():
            while not done.is_set():
                new().fit(X, y)

    with threadpool_limits(2, user_api="blas"):
        expected = fit_and_predict()
        assert set(expected[-1]) == {2}
        others = [threading.Thread(target=fit) for _ in range(2)]
        for other in others:
            other.start()
        try:
            for _ in range(25):
                assert_same_results(in_child(fit_and_predict), expected)
        finally:
            done.set()
            for other in others:
                other.join(30)
        assert_same_results(in_child(fit_and_predict), expected)
        assert set(blas_threads()) == {2}


@needs_fork
def test_a_fork_of_what_computes_goes_on_with_one_thread_of_blas():
    """As a callback might: the child is inside the same ``fit``."""
    with threadpool_limits(2, user_api="blas"):
        with computing():
            assert set(in_child(blas_threads)) == {1}

            def leave():
                with computing():
                    pass
                return blas_threads()

            assert set(in_child(leave)) == {1}
        assert set(blas_threads()) == {2}


# -------------------------------------------------------------------- pools, and jobs within jobs


def observed_fit(n_jobs):
    """What a fit in this process uses: its threads, and those of BLAS; and what it warns of."""
    threads, blas, updates = set(), set(), Network.updates

    def observed(*arguments, **options):
        for update in updates(*arguments, **options):
            threads.update(threads_of_fits())
            blas.update(blas_threads())
            yield update

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use_threads_always(patch)
        patch.setattr(Network, "updates", observed)
        theta = new(n_jobs=n_jobs, batch_size=40).fit(X, y)._theta
    return theta, len(threads), blas, [str(warning.message) for warning in caught]


@pytest.mark.usefixtures("always_threads")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_of_processes_gives_the_same_bits_with_one_thread_each(method):
    theta, n_threads, blas, caught = observed_fit(2)
    assert n_threads > 0
    assert (blas, caught) == ({1}, [])
    with multiprocessing.get_context(method).Pool(2) as pool:
        for of_worker in pool.map_async(observed_fit, [None, 1, 2, -1], chunksize=1).get(60):
            assert_array_equal(of_worker[0], theta)
            assert of_worker[1:] == (0, {1}, [])


class Observed(RNNRegressor):
    """Notes what its fit used."""

    def fit(self, X, y):
        super().fit(X, y)
        _, self.n_threads, (self.blas,), caught = observed_fit(self.n_jobs)
        assert not caught
        return self


def n_threads(estimator, _X, _y):
    return estimator.n_threads


def n_blas_threads(estimator, _X, _y):
    return estimator.blas


@pytest.mark.usefixtures("always_threads")
def test_fits_of_a_search_use_no_more_cores_than_it_has_jobs():
    grid = {"n_jobs": [None, 1, 2, -1], "hidden_layer_sizes": [2], "max_iter": [1]}
    scoring = {"threads": n_threads, "blas": n_blas_threads}
    search = GridSearchCV(Observed(), grid, cv=2, n_jobs=2, scoring=scoring, refit=False, error_score="raise")
    results = search.fit(X, y).cv_results_
    assert_array_equal(results["mean_test_threads"], 0)
    assert_array_equal(results["mean_test_blas"], 1)
    results = search.set_params(n_jobs=1).fit(X, y).cv_results_  # there, threads are used
    assert (results["mean_test_threads"][2:3] > 0).all()
    assert_array_equal(results["mean_test_threads"][:2], 0)


# -------------------------------------------------------------------- threads of the user


def in_threads(function, n=8):
    """Run ``function(i)`` in threads that begin together; raise what they raise."""
    start = threading.Barrier(n)

    def run(i):
        start.wait(10)
        return function(i)

    return Parallel(n_jobs=n, backend="threading")(delayed(run)(i) for i in range(n))


@pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"cell": "lstm", "bidirectional": True, "hidden_layer_sizes": (5, 3)}, {"cell": "rnn", "return_sequences": True}],
    ids=["gru", "lstm", "rnn"],
)
def test_eight_threads_that_predict_with_one_estimator_do_not_disturb_each_other(Estimator, parameters):
    """Small calls take buffers again, larger ones make their own."""
    of_sequences = [rng.normal(size=(n, 3)) for n in rng.integers(1, 30, 300)]
    inputs = [[x] for x in of_sequences[:6]] + [rng.normal(size=(2, 4, 3)), rng.normal(size=(5, 3, 3)), of_sequences]
    target = (lambda x: (x[:, 0] > 0).astype(int)) if parameters.get("return_sequences") else (lambda x: int(x[0, 0] > 0))
    estimator = new(Estimator, **parameters).fit(of_sequences[:40], [target(x) for x in of_sequences[:40]])
    names = ["predict", "hidden_states"] + ["predict_proba", "predict_log_proba"] * (Estimator is RNNClassifier)
    calls = [(getattr(estimator, name), Z) for name in names for Z in inputs]
    targets = [target(x) for x in of_sequences]
    expected, score = [list(method(Z)) for method, Z in calls], estimator.score(of_sequences, targets)

    def predict(i):
        order = np.random.default_rng(i).permutation(np.repeat(np.arange(len(calls)), 3))
        for k in order:
            method, Z = calls[k]
            assert_same_results(method(Z), expected[k])
        assert estimator.score(of_sequences, targets) == score

    in_threads(predict)


@pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
def test_a_prediction_while_another_thread_trains_is_that_of_some_moment_between_two_calls(Estimator):
    method = "predict_proba" if Estimator is RNNClassifier else "predict"
    estimator, other = (new(Estimator).fit(X, y) for _ in range(2))
    possible = [getattr(other.partial_fit(X, y) if i else other, method)(X[:6]).tobytes() for i in range(21)]
    assert len(set(possible)) == 21
    trained = threading.Event()

    def train_or_predict(i):
        if i == 0:
            for _ in range(20):
                estimator.partial_fit(X, y)
            trained.set()
            return
        latest = 0
        while not trained.is_set():
            latest_or_later = possible.index(getattr(estimator, method)(X[:6]).tobytes())
            assert latest_or_later >= latest
            latest = latest_or_later

    in_threads(train_or_predict, 4)
    assert_array_equal(estimator._theta, other._theta)


# -------------------------------------------------------------------- nothing is left behind


@needs_proc
@pytest.mark.usefixtures("always_threads")
def test_nothing_is_left_behind_by_two_hundred_fits():
    def in_use():
        gc.collect()
        return *(len(list(Path("/proc/self", of).iterdir())) for of in ("fd", "task")), blas_threads()

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def use(n_times):
        for i in range(n_times):
            estimator = new((RNNRegressor, RNNClassifier)[i % 2], n_jobs=2 if i % 4 == 0 else None, max_iter=1, batch_size=20)
            estimator.fit(X, y).predict(X)
            estimator.partial_fit(X[:4], y[:4]).predict(X[:2])
            with pytest.raises(ValueError, match="NaN"):
                estimator.fit(np.full_like(X, np.nan), y)

    use(50)
    before, memory = in_use(), resident()
    use(200)
    assert in_use() == before
    assert resident() - memory < 8 * 2**20
    assert "skrnn" not in " ".join(threads_of_fits())


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.usefixtures("always_threads")
def test_a_fit_that_is_left_half_way_leaves_no_thread_and_no_limit(n_jobs, monkeypatch):
    """The generator of updates is neither run to its end nor closed."""
    before, updates, kept = (threading.enumerate(), blas_threads()), Network.updates, []

    def leaving(*arguments, **options):
        generator = updates(*arguments, **options)
        kept.append(generator)
        yield next(generator)
        raise KeyboardInterrupt

    monkeypatch.setattr(Network, "updates", leaving)
    with pytest.raises(KeyboardInterrupt):
        new(n_jobs=n_jobs).fit(X, y)
    assert (threading.enumerate(), blas_threads()) == before
    assert kept
