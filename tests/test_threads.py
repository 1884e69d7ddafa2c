"""``n_jobs``: the same bits with any number of threads, in training and prediction, and nothing is left behind."""

import gc
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakSet

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skrnn import RNNClassifier, RNNRegressor, _data, _network, _prediction
from skrnn._core import bptt, workspace
from skrnn._core.cells import CELLS
from skrnn._runtime import threads
from skrnn.sequences import Batch, Sequences


@pytest.fixture
def second_thread(monkeypatch):
    """Use a second thread for the weight gradients of networks of any size, in several blocks."""
    monkeypatch.setattr(bptt, "LEAST_OPERATIONS", 0)
    monkeypatch.setattr(workspace, "PRODUCT_COLUMNS", 1)
    monkeypatch.setattr(workspace, "PRODUCT_OPERATIONS", 1)
    monkeypatch.setattr(workspace, "BLOCK_STEPS", 3)


@pytest.fixture
def parts(monkeypatch):
    """Divide minibatches of any size into parts."""
    monkeypatch.setattr(_network, "PART_SEQUENCES", 16)
    monkeypatch.setattr(_network, "PART_ELEMENTS", 1)
    monkeypatch.setattr(_data, "CHUNK_SIZE", 40)
    for name in ("LARGE_STATE", "LARGE_CALL"):
        monkeypatch.setattr(_prediction, name, 0)


@pytest.fixture
def names_of_threads(monkeypatch):
    """Names of the threads that added weight gradients."""
    names, original = set(), workspace.WeightGradients.add

    def noted(*arguments):
        names.add(threading.current_thread().name)
        original(*arguments)

    monkeypatch.setattr(workspace.WeightGradients, "add", noted)
    return names


PARAMETERS = pytest.mark.parametrize(
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


@pytest.mark.usefixtures("second_thread")
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@PARAMETERS
def test_the_bits_are_those_of_one_thread(cell, ragged, dtype, parameters, names_of_threads):
    X, y = make_data(ragged, parameters.get("return_sequences", False), dtype)
    one = new(cell=cell, **parameters)
    two = clone(one).set_params(n_jobs=2)
    one.fit(X, y)
    assert names_of_threads == {threading.current_thread().name}
    two.fit(X, y)
    assert_array_equal(two._theta, one._theta)
    assert two.loss_curve_ == one.loss_curve_
    assert len(names_of_threads) > 1


@pytest.mark.usefixtures("parts")
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("ragged", [False, True])
@PARAMETERS
def test_the_bits_of_divided_minibatches_are_those_of_one_thread(cell, ragged, parameters, names_of_threads):
    every_step = parameters.get("return_sequences", False)
    X, y = make_data(ragged, every_step, n=53)
    one = new(cell=cell, batch_size=40, early_stopping=True, validation_fraction=0.3, **parameters)
    if "solver" in parameters:
        one.set_params(early_stopping=False)
    several = [clone(one).set_params(n_jobs=n_jobs) for n_jobs in (2, 3)]
    one.fit(X, y)
    assert names_of_threads == {threading.current_thread().name}
    for estimator in several:
        estimator.fit(X, y)
        assert_array_equal(estimator._theta, one._theta)
        assert estimator.loss_curve_ == one.loss_curve_
        assert estimator.validation_scores_ == one.validation_scores_
        for of_sequence, expected in zip(estimator.predict(X), one.predict(X), strict=True):
            assert_array_equal(of_sequence, expected)
    assert len(names_of_threads) > 1


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("ragged", [False, True])
@PARAMETERS
def test_a_divided_minibatch_has_the_gradient_of_the_whole(cell, ragged, parameters, monkeypatch):
    every_step = parameters.get("return_sequences", False)
    X, y = make_data(ragged, every_step, n=53)
    weight = np.random.default_rng(1).uniform(0, 2, 53)
    divided = new(cell=cell, batch_size=53, max_iter=2, alpha=0.1, **parameters | {"solver": "sgd"}).fit(X, y, weight)
    monkeypatch.setattr(_network, "PART_SEQUENCES", 10**9)
    whole = clone(divided).fit(X, y, weight)
    assert_allclose(divided._theta, whole._theta, rtol=1e-10, atol=1e-13)
    assert_allclose(divided.loss_curve_, whole.loss_curve_, rtol=1e-12)
    assert not np.array_equal(divided._theta, whole._theta)  # it was divided


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("ragged", [False, True])
def test_states_of_predictions_in_threads_belong_to_their_sequences(ragged):
    X, y = make_data(ragged, n=53)
    reg = new(cell="lstm").fit(X, y)
    expected, states = reg.predict(X, return_state=True)
    again, again_states = reg.set_params(n_jobs=3).predict(X, return_state=True)
    assert_array_equal(again, expected)
    assert_array_equal(again_states, states)
    expected, states = reg.set_params(n_jobs=None).predict(X, initial_state=states, return_state=True)
    again, again_states = reg.set_params(n_jobs=3).predict(X, initial_state=again_states, return_state=True)
    assert_array_equal(again, expected)
    assert_array_equal(again_states, states)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_minibatches_are_divided_only_if_each_part_has_enough_to_do(n_jobs, monkeypatch):
    sizes = []
    monkeypatch.setattr(Batch, "parts", lambda batch, number: sizes.append(number) or [batch])
    rng = np.random.default_rng(0)
    for n_sequences, n_hidden in ((64, 512), (128, 255), (128, 256), (300, 200), (1024, 64)):
        reg = new(n_jobs=n_jobs, hidden_layer_sizes=(3, n_hidden), batch_size=n_sequences, max_iter=1)
        reg.fit(rng.normal(size=(n_sequences, 1, 1)), rng.normal(size=n_sequences))
    assert sizes == [1, 1, 2, 3, 4]


@pytest.mark.parametrize(("n_sequences", "number", "expected"), [(128, 2, [64, 64]), (200, 3, [64, 64, 72]), (300, 1, [300])])
def test_parts_are_of_almost_the_same_size_from_the_longest_sequences_to_the_shortest(n_sequences, number, expected):
    lengths = np.random.default_rng(0).integers(1, 9, n_sequences)
    batch = Batch(Sequences(np.zeros((lengths.sum(), 1)), lengths), np.arange(n_sequences))
    parts = batch.parts(number)
    assert [part.n_sequences for part in parts] == expected
    assert_array_equal(np.concatenate([part.index for part in parts]), batch.index)
    assert_array_equal(np.concatenate([part.lengths for part in parts]), np.sort(lengths)[::-1])


@pytest.mark.usefixtures("second_thread")
def test_a_stream_and_a_classifier_have_the_same_bits_too():
    X, y = make_data(every_step=True)
    one = RNNClassifier(5, return_sequences=True, stateful=True, truncation_length=4, random_state=0)
    two = clone(one).set_params(n_jobs=-1 if joblib.cpu_count() > 1 else 2)
    for part in (slice(0, 8), slice(8, 14)):
        for estimator in (one, two):
            estimator.partial_fit(X[:, part], y[:, part] > 0, classes=[False, True])
    assert_array_equal(two._theta, one._theta)
    assert_array_equal(two.state_, one.state_)


@pytest.mark.usefixtures("second_thread")
def test_no_thread_outlives_fit_and_none_begins_for_one_job(names_of_threads):
    X, y = make_data()
    before = threading.enumerate()
    new(n_jobs=2).fit(X, y)
    assert threading.enumerate() == before
    assert names_of_threads
    assert threading.current_thread().name not in names_of_threads
    names_of_threads.clear()
    for n_jobs in (None, 1):
        new(n_jobs=n_jobs).fit(X, y)
    assert names_of_threads == {threading.current_thread().name}


def test_small_networks_do_without(names_of_threads):
    X, y = make_data()
    new(n_jobs=2).fit(X, y)
    assert names_of_threads == {threading.current_thread().name}


@pytest.mark.usefixtures("second_thread")
def test_the_number_of_jobs_may_come_from_the_context_of_joblib(names_of_threads):
    X, y = make_data()
    with joblib.parallel_config(n_jobs=2):
        new().fit(X, y)
    assert threading.current_thread().name not in names_of_threads


@pytest.mark.parametrize("how", ["second_thread", "parts"])
def test_an_error_in_another_thread_is_raised_and_leaves_the_estimator_as_it_was(how, monkeypatch, request):
    request.getfixturevalue(how)
    X, y = make_data(n=40)
    reg = new(n_jobs=2, warm_start=True, batch_size=40).fit(X, y)
    before, threads = pickle.dumps(reg), threading.enumerate()
    monkeypatch.setattr(workspace.WeightGradients, "add", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reg.fit(X, y)
    assert pickle.dumps(reg) == before
    assert threading.enumerate() == threads


@pytest.mark.parametrize("n_jobs", [0, 1.5, "all"])
def test_bad_numbers_of_jobs_are_refused(n_jobs):
    X, y = make_data()
    with pytest.raises(ValueError, match="n_jobs"):
        new(n_jobs=n_jobs).fit(X, y)


@pytest.mark.parametrize("how", ["second_thread", "parts"])
def test_where_no_thread_can_begin_the_first_does_all_the_work(how, monkeypatch, request):
    request.getfixturevalue(how)
    X, y = make_data(n=40)
    expected = new(batch_size=40).fit(X, y)
    submit, calls = ThreadPoolExecutor.submit, []

    def refuse_later(executor, *arguments):
        calls.append(None)
        if len(calls) > 3:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        return submit(executor, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse_later)
    assert_array_equal(new(n_jobs=2, batch_size=40).fit(X, y)._theta, expected._theta)
    assert len(calls) > 4


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("n_threads", [0, 1])
def test_work_is_not_done_twice_if_fewer_threads_can_begin(n_threads, monkeypatch):
    """``submit`` of an executor has taken the work in before it fails to start a thread for it."""
    X, y = make_data(n=40)
    expected = new(batch_size=40).fit(X, y)
    start, begun = threading.Thread.start, []

    def start_no_more(thread):
        if len(begun) == n_threads:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_no_more)
    reg = new(n_jobs=2, batch_size=40).fit(X, y)
    assert len(begun) == n_threads
    assert_array_equal(reg._theta, expected._theta)
    assert reg.loss_curve_ == expected.loss_curve_


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_buffers_go_with_the_last_reference_to_their_network(n_jobs):
    X, y = make_data()
    tapes = WeakSet()
    original = workspace.Tape.__init__

    def noted(tape, *arguments, **options):
        original(tape, *arguments, **options)
        tapes.add(tape)

    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workspace.Tape, "__init__", noted)
            new(n_jobs=n_jobs).fit(X, y)
        assert not tapes
    finally:
        gc.enable()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_there_is_one_thread_in_a_worker_of_joblib(backend):
    assert joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(has_threads)(2) for _ in range(2)) == [False, False]
    assert has_threads(2)


def has_threads(n_jobs):
    with threads(n_jobs) as submit:
        return submit is not None


@pytest.mark.usefixtures("parts")
def test_an_error_in_prediction_leaves_the_rest_undone(monkeypatch):
    X, y = make_data(n=4000)  # 100 chunks
    reg = new(n_jobs=2).fit(X[:20], y[:20])
    chunks, original = [], _network.Network.raw_predictions

    def fail_later(*arguments):
        chunks.append(None)
        time.sleep(0.01)  # longer than it takes to notice the error of another chunk
        if len(chunks) >= 2:
            raise MemoryError
        return original(*arguments)

    monkeypatch.setattr(_network.Network, "raw_predictions", fail_later)
    with pytest.raises(MemoryError):
        reg.predict(X)
    assert len(chunks) < 50
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skrnn")]
