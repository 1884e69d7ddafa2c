"""What a thread keeps of an estimator from call to call changes no result, and is neither shared, copied nor stored."""

import copy
import gc
import pickle
import threading
import warnings
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skrnn import RNNClassifier, RNNRegressor, _kept
from skrnn._core.cells import CELLS
from skrnn._core.workspace import Tape
from skrnn._kept import kept_of
from skrnn._network import Network

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
N, T, F = 6, 5, 3


def new(Estimator=RNNRegressor, **parameters):
    return Estimator(
        **{"hidden_layer_sizes": (4, 3), "max_iter": 2, "learning_rate": "cosine", "random_state": 0, **parameters}
    )


def chunk(estimator, seed, n_sequences=N, n_steps=T):
    """Arguments of one ``partial_fit``."""
    rng = np.random.default_rng(seed)
    shape = (n_sequences, n_steps) if estimator.return_sequences else n_sequences
    X = rng.standard_normal((n_sequences, n_steps, F))
    if isinstance(estimator, RNNRegressor):
        return {"X": X, "y": rng.standard_normal(shape)}
    return {"X": X, "y": rng.permutation(np.arange(np.prod(shape)) % 3).reshape(shape), "classes": [0, 1, 2]}


def afresh(estimator):
    """The same estimator as a new process would load it, of which nothing is kept."""
    return pickle.loads(pickle.dumps(estimator))


def assert_same(estimator, other):
    assert_array_equal(estimator._theta, other._theta)
    assert estimator.loss_curve_ == other.loss_curve_
    for n_sequences in (2, N):
        X = chunk(estimator, 99, n_sequences, 3)["X"]
        assert_array_equal(estimator.predict(X), other.predict(X))


@both
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True, "stateful": True},
        {"return_sequences": True, "truncation_length": 3, "truncation_stride": 2},
        {"checkpoint_interval": 2, "pooling": ("last", "max", "mean")},
        {"bidirectional": True, "dtype": "float32"},
        {"shuffle": False, "solver": "sgd", "batch_size": 4},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_calls_in_one_process_are_calls_in_new_processes_bit_for_bit(Estimator, cell, options):
    estimator = new(Estimator, cell=cell, **options)
    other = clone(estimator)
    sizes = [(N, T), (N, T), (N, 2), (N, 9)] + ([] if estimator.stateful else [(2, T), (N, T)])
    for seed, size in enumerate(sizes):
        estimator.partial_fit(**chunk(estimator, seed, *size))
        other = afresh(other.partial_fit(**chunk(other, seed, *size)))
        assert_same(estimator, other)


@both
def test_estimators_that_take_turns_do_not_mix(Estimator):
    together = [new(Estimator, random_state=seed) for seed in range(3)]
    for seed in range(4):
        for estimator in together:
            estimator.partial_fit(**chunk(estimator, seed)).predict(chunk(estimator, seed)["X"][:1])
    for estimator in together:
        alone = clone(estimator)
        for seed in range(4):
            alone.partial_fit(**chunk(alone, seed))
        assert_same(estimator, alone)


@both
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, clone, afresh])
def test_nothing_is_copied_or_pickled(Estimator, copied):
    estimator = new(Estimator)
    estimator.partial_fit(**chunk(estimator, 0))
    before = pickle.dumps(estimator)
    estimator.predict(chunk(estimator, 1)["X"])
    assert pickle.dumps(estimator) == before
    assert not any(isinstance(value, Network) for value in vars(estimator).values())
    other = copied(estimator)
    assert id(other) not in _kept._kept_by_thread.estimators
    theta = estimator._theta.copy()
    other.partial_fit(**chunk(estimator, 2))
    assert kept_of(other).network is not kept_of(estimator).network
    assert_array_equal(estimator._theta, theta)


def test_parameters_set_between_calls_are_validated_and_heeded():
    estimator = new().partial_fit(**chunk(new(), 0))
    other = afresh(estimator)
    for seed, parameters in enumerate(
        [{"learning_rate_init": 0.1}, {"alpha": 1.0}, {"loss": "huber"}, {"clip_norm": 1e-3}, {"solver": "sgd"}, {"n_jobs": 2}]
    ):
        estimator.set_params(**parameters).partial_fit(**chunk(estimator, seed))
        other = afresh(other.set_params(**parameters).partial_fit(**chunk(other, seed)))
        assert_same(estimator, other)
    for name, value in {"learning_rate_init": -0.1, "alpha": "much", "clip_norm": 0, "batch_size": 1.5}.items():
        valid = getattr(estimator, name)
        with pytest.raises(ValueError, match=name):
            estimator.set_params(**{name: value}).partial_fit(**chunk(estimator, 0))
        estimator.set_params(**{name: valid}).partial_fit(**chunk(estimator, 0))
    estimator.set_params(batch_size=4).partial_fit(**chunk(estimator, 0))
    with pytest.raises(ValueError, match="batch_size"):
        estimator.set_params(batch_size=4.0).partial_fit(**chunk(estimator, 0))


@both
def test_another_network_after_fit_is_not_mistaken_for_the_one_kept(Estimator):
    estimator = new(Estimator)
    for seed, sizes in enumerate([(4, 3), (3, 4), (7,)]):
        arguments = {name: value for name, value in chunk(estimator, seed).items() if name != "classes"}
        estimator.set_params(hidden_layer_sizes=sizes).fit(**arguments)
        other = afresh(clone(estimator).fit(**arguments))
        assert_same(estimator, other)
        estimator.partial_fit(**chunk(estimator, seed))
        other.partial_fit(**chunk(other, seed))
        assert_same(estimator, other)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_that_are_written_to_are_used(cell):
    estimator = new(cell=cell).partial_fit(**chunk(new(), 0))
    X = chunk(estimator, 1)["X"][:1]
    views = estimator.coefs_ | estimator.intercepts_
    before = estimator.predict(X)
    for view in views.values():
        view += 0.1
    assert (estimator.predict(X) != before).all()
    for sign in (-1, 1):
        view += sign * 0.1  # of one array alone
        assert_array_equal(estimator.predict(X), afresh(estimator).predict(X))
    other = afresh(estimator)
    assert_array_equal(estimator.predict(X), other.predict(X))
    assert_same(estimator.partial_fit(**chunk(estimator, 2)), other.partial_fit(**chunk(other, 2)))


def test_weights_that_were_loaded_in_part_are_loaded_again(monkeypatch):
    estimator = new().partial_fit(**chunk(new(), 0))
    X, load, n_loaded = chunk(estimator, 1)["X"][:1], Tape.load, []
    estimator.predict(X)
    estimator.partial_fit(**chunk(estimator, 1))

    def interrupted(tape, weights):
        load(tape, weights)
        n_loaded.append(tape)
        raise KeyboardInterrupt

    monkeypatch.setattr(Tape, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimator.predict(X)
    monkeypatch.undo()
    assert len(n_loaded) == 1
    assert_array_equal(estimator.predict(X), afresh(estimator).predict(X))


@both
def test_a_call_that_fails_half_way_leaves_no_trace(Estimator, monkeypatch):
    estimator = new(Estimator, batch_size=2)
    estimator.partial_fit(**chunk(estimator, 0))
    other, updates = afresh(estimator), Network.updates

    def failing(*arguments, **options):
        yield from updates(*arguments, **options)
        raise MemoryError

    monkeypatch.setattr(Network, "updates", failing)
    with pytest.raises(MemoryError):
        estimator.partial_fit(**chunk(estimator, 1))
    monkeypatch.undo()
    for seed in (2, 3):
        assert_same(estimator.partial_fit(**chunk(estimator, seed)), other.partial_fit(**chunk(other, seed)))


def test_a_generator_of_another_kind_goes_on():
    estimator = new(random_state=np.random.RandomState(np.random.PCG64(0)))
    other = new(random_state=np.random.RandomState(np.random.PCG64(0)))
    for seed in range(3):
        estimator.partial_fit(**chunk(estimator, seed))
        other = afresh(other.partial_fit(**chunk(other, seed)))
        assert_same(estimator, other)


def test_one_estimator_predicts_in_several_threads_at_a_time():
    estimator = new(cell="lstm", hidden_layer_sizes=16).partial_fit(**chunk(new(), 0))
    inputs = [chunk(estimator, seed, 1, 4)["X"] for seed in range(4)]
    expected, results, start = [estimator.predict(X) for X in inputs], {}, threading.Barrier(4)

    def predict(i):
        start.wait(10)
        results[i] = np.concatenate([estimator.predict(inputs[i]) for _ in range(300)])

    in_threads(predict, 4)
    for i in range(4):
        assert_array_equal(results[i], np.repeat(expected[i], 300))


@both
def test_estimators_are_trained_in_several_threads_at_a_time(Estimator):
    estimators, start = [new(Estimator, random_state=seed) for seed in range(4)], threading.Barrier(4)

    def train(i):
        start.wait(10)
        with warnings.catch_warnings():
            for seed in range(20):
                estimators[i].partial_fit(**chunk(estimators[i], seed))

    in_threads(train, 4)
    for estimator in estimators:
        alone = clone(estimator)
        for seed in range(20):
            alone.partial_fit(**chunk(alone, seed))
        assert_same(estimator, alone)


def in_threads(function, n_threads):
    threads = [threading.Thread(target=function, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_what_is_kept_goes_with_the_estimator():
    estimator = new().partial_fit(**chunk(new(), 0))
    network = weakref.ref(kept_of(estimator).network)
    assert network() is not None
    del estimator
    gc.collect()
    assert network() is None


def test_what_is_kept_is_bounded():
    estimators = [new().partial_fit(**chunk(new(), 0)) for _ in range(_kept.MAX_KEPT + 3)]
    assert len(_kept._kept_by_thread.estimators) <= _kept.MAX_KEPT
    assert_array_equal(estimators[0].predict(chunk(new(), 1)["X"]), estimators[-1].predict(chunk(new(), 1)["X"]))
    large = new(hidden_layer_sizes=64)
    large.partial_fit(**chunk(large, 0, 64, 1 + _kept.SMALL_CHUNK // 64 // 64))
    assert kept_of(large).network is None


def test_buffers_are_made_once_for_chunks_of_one_size():
    estimator = new().partial_fit(**chunk(new(), 0))
    (workspace,) = kept_of(estimator).network._workspaces[0].values()
    estimator.partial_fit(**chunk(estimator, 1))
    assert list(kept_of(estimator).network._workspaces[0].values()) == [workspace]


@pytest.mark.parametrize("labels", [[0, 1, 2], [False, True], ["a", "b", "c"]], ids=["int", "bool", "str"])
def test_labels_may_come_in_another_form_in_the_next_call(labels):
    X, y = chunk(new(), 0)["X"], np.array(labels)[np.arange(N) % len(labels)]
    estimator, other = (new(RNNClassifier).partial_fit(X, y, classes=labels) for _ in range(2))
    assert_same(estimator.partial_fit(X, y), other.partial_fit(X, y.tolist()))
    for wrong in (y[:-1], np.array([*y[:-1], "d"])):
        with pytest.raises(ValueError, match=r"inconsistent numbers|y has classes"):
            estimator.partial_fit(X, wrong)
    assert_same(estimator, other)


@pytest.mark.parametrize("wrong", [[0, 1, 2, 3, 4, 5], [-1, 0, 1, 2, 0, 1]])
def test_an_unknown_class_is_refused_in_later_calls(wrong):
    estimator = new(RNNClassifier)
    estimator.partial_fit(**chunk(estimator, 0))
    with pytest.raises(ValueError, match="y has classes"):
        estimator.partial_fit(chunk(estimator, 0)["X"], np.array(wrong))


def test_a_subclass_with_equality_and_no_hash_can_be_used():
    class Equal(RNNClassifier):
        __hash__ = None

        def __eq__(self, other):
            return True

    first, second = (Equal(3, max_iter=1, learning_rate="cosine", random_state=seed) for seed in range(2))
    X, y = np.random.default_rng(0).normal(size=(6, 4, 2)), np.arange(6) % 2
    for estimator in (first, second):
        estimator.partial_fit(X, y, classes=[0, 1])
    expected = [RNNClassifier(**estimator.get_params()).partial_fit(X, y, classes=[0, 1]) for estimator in (first, second)]
    for estimator, other in zip((first, second, first), (*expected, expected[0]), strict=True):
        assert_array_equal(estimator.predict_proba(X), other.predict_proba(X))


def test_buffers_of_few_chunks_are_kept():
    reg = RNNRegressor(hidden_layer_sizes=8)
    for n in range(2, 10):
        reg.partial_fit(np.ones((n, 5, 1)), np.ones(n))
        reg.predict(np.ones((n, 5, 1)))
    assert len(kept_of(reg).network._workspaces[0]) <= 2
