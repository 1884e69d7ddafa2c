"""Streams: ``partial_fit`` that goes on with the states it ended with, and predictions from a state."""

import copy
import io
import pickle
import tracemalloc
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS
from skrnn._optim.solvers import SOLVERS, Solver

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_cell = pytest.mark.parametrize("cell", CELLS)
each_depth = pytest.mark.parametrize("sizes", [4, (4, 3)], ids=["one layer", "two layers"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

METHODS = {RNNClassifier: ["predict", "predict_proba", "predict_log_proba"], RNNRegressor: ["predict"]}
N_STEPS = 24
#: truncation, and lengths of calls, which are multiples of its stride
WINDOWS = [
    ({"truncation_length": 4}, (4, 8, 12)),
    ({"truncation_length": 6, "truncation_stride": 2}, (2, 10, 4, 8)),
    ({"truncation_length": 7, "truncation_stride": 3}, (3, 3, 6, 12)),
    ({"truncation_length": 20, "truncation_stride": 4}, (4, 4, 4, 8, 4)),
    ({"truncation_length": 3, "truncation_stride": 1}, (1, 1, 2, 5, 15)),
    ({"truncation_length": 8, "truncation_stride": 4, "checkpoint_interval": 1}, (4, 12, 8)),
]
each_window = pytest.mark.parametrize(("truncation", "calls"), WINDOWS, ids=str)


def make_data(Estimator, dtype=np.float64, n=3, n_steps=N_STEPS):
    X = np.random.default_rng(0).normal(size=(n, n_steps, 2)).astype(dtype)
    y = X[:, :, 0] + np.pad(X[:, :-1, 1], ((0, 0), (1, 0)))
    return X, np.digitize(y, [-0.5, 0.5]) if Estimator is RNNClassifier else y


def new(Estimator, **parameters):
    defaults = {"hidden_layer_sizes": 4, "return_sequences": True, "stateful": True, "learning_rate_init": 0.03}
    return Estimator(**{**defaults, "random_state": 0, **parameters})


def parts_of(calls):
    stops = np.cumsum(calls).tolist()
    return [slice(stop - n, stop) for n, stop in zip(calls, stops, strict=True)]


def partial_fit(estimator, X, y, **options):
    if isinstance(estimator, RNNClassifier):
        options["classes"] = [0, 1, 2]
    return estimator.partial_fit(X, y, **options)


def stream(estimator, X, y, calls, reload=lambda estimator: estimator, **options):
    """Train on consecutive parts of the sequences."""
    for part in parts_of(calls):
        estimator = reload(partial_fit(estimator, X[:, part], y[:, part], **options))
    return estimator


def assert_same_stream(one, other):
    """Are two estimators at the same point of the same stream, bit for bit?"""
    assert_array_equal(one._theta, other._theta)
    assert_array_equal(one.state_, other.state_)
    a, b = one._training_state["solver_state"], other._training_state["solver_state"]
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert_array_equal(value, b[name], err_msg=name)
    assert one._training_state["n_updates"] == other._training_state["n_updates"]
    assert one.clip_fraction_ == other.clip_fraction_


def caught_in(function, *arguments):
    """The warnings that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    return caught


# -------------------------------------------------------------------- one call or many


@each_estimator
@each_cell
@each_depth
@each_dtype
@each_window
def test_several_calls_are_one_long_call_bit_for_bit(Estimator, cell, sizes, dtype, truncation, calls):
    X, y = make_data(Estimator, dtype)
    estimator = new(Estimator, cell=cell, hidden_layer_sizes=sizes, **truncation)
    whole = partial_fit(clone(estimator), X, y)
    parts = stream(clone(estimator), X, y, calls)
    assert whole._theta.dtype == dtype
    assert whole._training_state["n_updates"] == N_STEPS // (
        truncation.get("truncation_stride") or truncation["truncation_length"]
    )
    assert_same_stream(parts, whole)
    assert_array_equal(parts.predict(X), whole.predict(X))
    if "checkpoint_interval" in truncation:
        assert_same_stream(stream(clone(estimator).set_params(checkpoint_interval=None), X, y, calls), whole)
    without = stream(clone(estimator).set_params(stateful=False), X, y, calls)
    assert (without._theta != whole._theta).any()


@pytest.mark.parametrize("solver", SOLVERS)
@each_window
def test_several_calls_are_one_long_call_for_every_solver(solver, truncation, calls):
    X, y = make_data(RNNRegressor)
    reg = new(RNNRegressor, solver=solver, learning_rate="invscaling", clip_norm=0.1, cell="lstm", **truncation)
    assert_same_stream(stream(clone(reg), X, y, calls), partial_fit(clone(reg), X, y))


@each_estimator
def test_several_calls_are_one_long_call_with_weights_of_sequences(Estimator):
    X, y = make_data(Estimator)
    estimator = new(Estimator, truncation_length=6, truncation_stride=3, alpha=0.1)
    weight = np.array([0.5, 0.0, 2.0])
    whole = partial_fit(clone(estimator), X, y, sample_weight=weight)
    assert_same_stream(stream(clone(estimator), X, y, (3, 6, 15), sample_weight=weight), whole)
    assert (whole._theta != partial_fit(clone(estimator), X, y)._theta).any()


@each_estimator
def test_a_long_memory_by_chrono_is_that_of_the_truncation_length(Estimator):
    """How long a stream will be is not known when it begins."""
    X, y = make_data(Estimator)
    estimator = new(Estimator, cell="lstm", forget_bias="chrono", truncation_length=8, truncation_stride=4)
    assert_same_stream(stream(clone(estimator), X, y, (4, 8, 12)), partial_fit(clone(estimator), X, y))


def test_a_longer_history_is_used_where_the_truncation_length_grows():
    """Gradients reach back over calls as far as the steps that the last call had to keep."""
    X, y = make_data(RNNRegressor)
    thetas = []
    for length in (4, 6, 8):
        reg = stream(new(RNNRegressor, truncation_length=8, truncation_stride=4), X[:, :12], y[:, :12], (4, 8))
        thetas.append(reg.set_params(truncation_length=length).partial_fit(X[:, 12:16], y[:, 12:16])._theta)
    assert (thetas[0] != thetas[1]).any()
    assert (thetas[1] != thetas[2]).any()
    reg = stream(new(RNNRegressor, truncation_length=4), X[:, :12], y[:, :12], (4, 8))
    other = copy.deepcopy(reg)
    for each, length in ((reg, 4), (other, 100)):  # nothing was kept
        each.set_params(truncation_length=length).partial_fit(X[:, 12:16], y[:, 12:16])
    assert_array_equal(other._theta, reg._theta)


@each_cell
@pytest.mark.parametrize("length", [4, 5, 6, 7])
def test_a_truncation_length_that_shrinks_uses_the_end_of_what_was_kept(cell, length):
    X, y = make_data(RNNRegressor)
    parameters = {"cell": cell, "truncation_stride": 4, "solver": "sgd", "momentum": 0, "learning_rate_init": 1e-30}
    reg, expected = (
        stream(new(RNNRegressor, truncation_length=n, **parameters), X[:, :12], y[:, :12], (4, 8)) for n in (8, length)
    )
    for each in (reg, expected):
        each.set_params(truncation_length=length, learning_rate_init=0.1).partial_fit(X[:, 12:], y[:, 12:])
    assert_array_equal(reg._theta, expected._theta)


# -------------------------------------------------------------------- interrupted by a file


def by_pickle(estimator, _path):
    return pickle.loads(pickle.dumps(estimator))


def by_deepcopy(estimator, _path):
    return copy.deepcopy(estimator)


def by_joblib(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path)


def by_memory_map(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path, mmap_mode="r")


def by_bytes_in_memory(estimator, _path):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, compress=3)
    buffer.seek(0)
    return joblib.load(buffer)


def by_skops(estimator, path):
    skops = pytest.importorskip("skops.io")
    skops.dump(estimator, path)
    name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    return skops.load(path, trusted=[name])


WAYS = [by_pickle, by_deepcopy, by_joblib, by_memory_map, by_bytes_in_memory, by_skops]


@each_estimator
@each_cell
@pytest.mark.parametrize(("truncation", "calls"), WINDOWS[::2], ids=str)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_stream_goes_on_after_a_file_as_if_there_had_been_none(Estimator, cell, truncation, calls, way, tmp_path):
    X, y = make_data(Estimator)
    estimator = new(Estimator, cell=cell, hidden_layer_sizes=(4, 3), **truncation)
    paths = (tmp_path / f"estimator{i}" for i in range(len(calls)))  # a file that is mapped must not be written over
    resumed = stream(clone(estimator), X, y, calls, reload=lambda estimator: way(estimator, next(paths)))
    assert_same_stream(resumed, partial_fit(clone(estimator), X, y))


@each_estimator
def test_a_copy_and_the_original_go_separate_ways(Estimator):
    X, y = make_data(Estimator)
    estimator = stream(new(Estimator, truncation_length=6, truncation_stride=3), X, y, (12,))
    state = estimator.state_
    for copied in (copy.deepcopy(estimator), copy.copy(estimator)):
        copied.partial_fit(X[:, 12:], y[:, 12:])
        assert (copied.state_ != state).any()
        assert_array_equal(estimator.state_, state)
    estimator.partial_fit(X[:, 12:], y[:, 12:])
    assert_same_stream(copied, estimator)


def test_a_clone_begins_anew():
    X, y = make_data(RNNRegressor)
    reg = new(RNNRegressor, truncation_length=4)
    copied = clone(partial_fit(reg, X, y))
    assert not hasattr(copied, "state_")
    assert_same_stream(partial_fit(copied, X, y), reg)


# -------------------------------------------------------------------- the state


@each_estimator
@each_cell
@each_dtype
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize(
    "truncation", [{}, {"truncation_length": 6, "truncation_stride": 2}, {"checkpoint_interval": 5}], ids=str
)
def test_the_state_is_that_after_the_last_step(Estimator, cell, dtype, return_sequences, truncation):
    X, y = make_data(Estimator, dtype)
    estimator = new(Estimator, cell=cell, hidden_layer_sizes=(4, 3), return_sequences=return_sequences, **truncation)
    estimator.set_params(learning_rate_init=1e-30)  # weights stay as they are
    for part in parts_of((10, 8, 6)):
        partial_fit(estimator, X[:, part], y[:, part] if return_sequences else y[:, part][:, -1])
        _, state = estimator.predict(X[:, : part.stop], return_state=True)
        assert estimator.state_.shape == (3, 14 if cell == "lstm" else 7)
        assert estimator.state_.dtype == dtype
        assert_allclose(
            estimator.state_, state, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6 if dtype == np.float32 else 0
        )
        last = slice(-6, -3) if cell == "lstm" else slice(-3, None)
        assert_allclose(state[:, last], estimator.hidden_states(X[:, : part.stop])[:, -1], rtol=1e-5)
    assert np.abs(state).min() > 0


@each_cell
def test_the_state_holds_the_hidden_state_of_each_layer_and_of_an_lstm_its_cell_state(cell):
    """A network that is not trained, whose first layer is that of a network of one layer."""
    X, y = make_data(RNNRegressor)
    deep = partial_fit(new(RNNRegressor, cell=cell, hidden_layer_sizes=(4, 3), learning_rate_init=1e-30), X, y)
    flat = partial_fit(new(RNNRegressor, cell=cell, learning_rate_init=1e-30), X, y)
    for views, others in ((flat.coefs_, deep.coefs_), (flat.intercepts_, deep.intercepts_)):
        for name in views:
            if name.startswith("layer0"):
                views[name][...] = others[name]
    flat_state, deep_state = (each.predict(X, return_state=True)[1] for each in (flat, deep))
    assert_array_equal(deep_state[:, : flat_state.shape[1]], flat_state)
    assert_allclose(flat_state[:, :4], flat.hidden_states(X)[:, -1], rtol=1e-12)
    if cell == "lstm":
        assert (np.abs(flat_state[:, :4]) < np.abs(np.tanh(flat_state[:, 4:]))).all()  # h = o tanh(c)


@each_estimator
def test_there_is_a_state_only_where_one_was_carried_on(Estimator):
    X, y = make_data(Estimator)
    estimator = new(Estimator, truncation_length=6, truncation_stride=3)
    assert not hasattr(estimator, "state_")
    with pytest.raises(AttributeError, match="partial_fit with stateful=True"):
        _ = estimator.state_
    partial_fit(estimator, X, y)
    assert hasattr(estimator, "state_")
    estimator.fit(X, y)
    assert not hasattr(estimator, "state_")
    partial_fit(estimator, X, y)
    assert hasattr(estimator, "state_")
    partial_fit(estimator.set_params(stateful=False), X, y)
    assert not hasattr(estimator, "state_")


@each_estimator
def test_the_state_is_a_copy(Estimator):
    X, y = make_data(Estimator)
    estimator = partial_fit(new(Estimator, truncation_length=4), X, y)
    expected = estimator.state_
    estimator.state_[...] = 7
    assert_array_equal(estimator.state_, expected)
    assert expected.flags.c_contiguous


@each_estimator
@pytest.mark.parametrize("truncation", [{}, {"truncation_length": 6, "truncation_stride": 3}], ids=str)
def test_the_first_call_and_fit_begin_with_zero(Estimator, truncation):
    X, y = make_data(Estimator)
    estimator = new(Estimator, max_iter=2, **truncation)
    first = partial_fit(clone(estimator), X, y)
    assert_array_equal(partial_fit(clone(estimator), X, y).reset_state()._theta, first._theta)
    expected = clone(estimator).set_params(stateful=False).fit(X, y)
    assert_array_equal(clone(estimator).fit(X, y)._theta, expected._theta)
    assert_array_equal(first.fit(X, y)._theta, expected._theta)


@each_estimator
@pytest.mark.parametrize("truncation", [{}, {"truncation_length": 6, "truncation_stride": 3}], ids=str)
def test_reset_state_begins_new_sequences_and_changes_nothing_else(Estimator, truncation):
    X, y = make_data(Estimator)
    estimator = partial_fit(new(Estimator, learning_rate="constant", **truncation), X, y)
    goes_on, stateless = copy.deepcopy(estimator), copy.deepcopy(estimator).set_params(stateful=False)
    theta = estimator._theta.copy()
    assert estimator.reset_state() is estimator
    assert not hasattr(estimator, "state_")
    assert_array_equal(estimator._theta, theta)
    for each in (estimator, goes_on, stateless):
        each.set_params(batch_size=3, shuffle=False).partial_fit(X, y)
    assert_array_equal(estimator._theta, stateless._theta)
    assert (estimator._theta != goes_on._theta).any()


@each_estimator
def test_reset_state_of_an_estimator_that_is_not_fitted_does_not_make_it_fitted(Estimator):
    X, _ = make_data(Estimator)
    with pytest.raises(NotFittedError):
        new(Estimator).reset_state().predict(X)


@each_estimator
@pytest.mark.parametrize("n", [2, 4])
def test_another_number_of_sequences_is_refused_and_leaves_the_estimator_as_it_was(Estimator, n):
    X, y = make_data(Estimator)
    estimator = partial_fit(new(Estimator, truncation_length=6, truncation_stride=3), X, y)
    before = pickle.dumps(estimator)
    X, y = make_data(Estimator, n=n)
    with pytest.raises(ValueError, match=rf"X has {n} sequences, but with stateful=True it continues 3.*reset_state\(\)"):
        estimator.partial_fit(X, y)
    assert pickle.dumps(estimator) == before
    estimator.reset_state().partial_fit(X, y)
    assert estimator.state_.shape == (n, 4)


BAD_CALLS = {
    "NaN in X": lambda X, y: (np.where(X[0, 0, 0] == X, np.nan, X), y),
    "infinity in y": lambda X, y: (X, np.where(y == y[0, 0], np.inf, y)),
    "another number of features": lambda X, y: (X[:, :, :1], y),
    "another number of steps in y": lambda X, y: (X[:, 1:], y),
    "one target each": lambda X, y: (X, y[:, 0]),
    "unequal lengths": lambda X, y: [[a[:n] for a, n in zip(each, (5, 6, 7), strict=True)] for each in (X, y)],
}  # fmt: skip


@pytest.mark.parametrize("change", BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_call_that_raises_leaves_the_stream_as_it_was(change):
    X, y = make_data(RNNRegressor)
    reg = new(RNNRegressor, truncation_length=6, truncation_stride=3)
    stream(reg, X, y, (9,))
    before = pickle.dumps(reg)
    with pytest.raises(ValueError, match=r"NaN|infinity|features|steps|value for every step|equal length"):
        reg.partial_fit(*change(X[:, 9:], y[:, 9:]))
    assert pickle.dumps(reg) == before
    reg.partial_fit(X[:, 9:], y[:, 9:])
    assert_same_stream(reg, partial_fit(clone(reg), X, y))


# -------------------------------------------------------------------- what is trained on


@each_estimator
@each_cell
def test_sequences_and_steps_of_weight_zero_carry_their_state(Estimator, cell):
    X, y = make_data(Estimator)
    estimator = new(Estimator, cell=cell, truncation_length=4, learning_rate_init=1e-30)
    weight = np.array([0.0, 1.0, 0.0])
    stream(estimator, X, y, (8, 16), sample_weight=weight)
    assert_allclose(estimator.state_, estimator.predict(X, return_state=True)[1], rtol=1e-12)
    estimator.reset_state()
    of_steps = np.zeros(y.shape)
    of_steps[0, 3] = of_steps[1, 20] = 1
    stream(estimator, X, y, (8, 16), sample_weight=1)
    estimator.reset_state()
    for part in parts_of((8, 16)):
        n_updates = estimator._training_state["n_updates"]
        partial_fit(estimator, X[:, part], y[:, part], sample_weight=of_steps[:, part])
        assert estimator._training_state["n_updates"] == n_updates + 1  # of the one window with a target that counts
    assert_allclose(estimator.state_, estimator.predict(X, return_state=True)[1], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:. is not scaled")
@each_estimator
@each_window
def test_the_target_of_a_step_of_weight_zero_does_not_matter(Estimator, truncation, calls):
    X, y = make_data(Estimator)
    estimator = new(Estimator, alpha=0, **truncation)
    weight = np.random.default_rng(1).integers(0, 2, y.shape).astype(float)
    weight[0] = 1
    other = np.where(weight == 0, 2 if Estimator is RNNClassifier else 1e6, y)
    models = [clone(estimator) for _ in range(3)]
    for part in parts_of(calls):
        for each, targets in zip(models, (y, other, other), strict=True):
            partial_fit(each, X[:, part], targets[:, part], sample_weight=None if each is models[2] else weight[:, part])
    assert_same_stream(models[1], models[0])
    assert (models[2]._theta != models[0]._theta).any()
    assert_same_stream(models[0], partial_fit(clone(estimator), X, other, sample_weight=weight))


@each_estimator
@pytest.mark.parametrize("first", [4, 8])
def test_a_stream_may_begin_with_windows_without_a_target(Estimator, first):
    X, y = make_data(Estimator)
    weight = np.ones(y.shape)
    weight[:, :first] = 0
    estimator = new(Estimator, truncation_length=4, alpha=0)
    whole = partial_fit(clone(estimator), X, y, sample_weight=weight)
    assert np.isfinite(whole._theta).all()
    assert whole._training_state["n_updates"] == (N_STEPS - first) // 4
    parts = clone(estimator)
    for part in parts_of((first + 4, N_STEPS - first - 4)):
        partial_fit(parts, X[:, part], y[:, part], sample_weight=weight[:, part])
    assert_same_stream(parts, whole)


@pytest.mark.parametrize(
    ("length", "stride", "n_steps"), [(4, None, 10), (8, 4, 10), (4, None, 3), (50, None, 10), (50, 20, 7)]
)
def test_a_stream_begins_at_the_base_rate_of_its_first_window(length, stride, n_steps):
    X, y = make_data(RNNRegressor, n_steps=n_steps)
    reg = new(RNNRegressor, truncation_length=length, truncation_stride=stride, learning_rate_init=1e-30)
    weight = np.random.default_rng(0).uniform(0.1, 2, y.shape)
    partial_fit(reg, X, y, sample_weight=weight)
    first = slice(0, stride or length)
    assert_allclose(reg.intercepts_["readout.bias"], np.average(y[:, first], weights=weight[:, first]), rtol=1e-12)


@each_estimator
@each_cell
@pytest.mark.parametrize("truncation", [{}, {"truncation_length": 3}, {"checkpoint_interval": 2}], ids=str)
@pytest.mark.parametrize("pooling", ["last", ("last", "mean")], ids=str)
def test_one_target_a_call_is_learned_from_a_state_that_is_carried_on(Estimator, cell, truncation, pooling):
    """Where the weights do not move, the loss of a call is that of predictions from the state before it."""
    X, y = make_data(Estimator)
    estimator = new(
        Estimator, cell=cell, return_sequences=False, pooling=pooling, alpha=0, learning_rate_init=1e-30, **truncation
    )
    method, state = METHODS[Estimator][-1], None
    for part in parts_of((6, 10, 8)):
        targets = y[:, part.stop - 1]
        partial_fit(estimator, X[:, part], targets)
        predicted, after = getattr(estimator, method)(X[:, part], state, return_state=True)
        if Estimator is RNNRegressor:
            expected = 0.5 * np.mean(np.square(predicted - targets))
        else:
            expected = -np.mean(predicted[np.arange(3), targets])
        assert_allclose(estimator.loss_, expected, rtol=1e-9)
        assert_allclose(estimator.state_, after, rtol=1e-9)
        same = np.allclose(predicted, getattr(estimator, method)(X[:, : part.stop]), rtol=1e-9)
        assert same is (pooling == "last" or part.start == 0)
        state = after
    assert estimator._training_state["n_updates"] == 3


def test_what_lies_in_an_earlier_call_is_learned():
    """The sign of the last step of a call is the target of the next: neither the state nor the gradient alone is enough."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (20, 60))
    X = np.zeros((20, 300, 1))
    X[:, 4::5, 0] = 2 * bits - 1
    y = np.repeat(np.concatenate([np.zeros((20, 1), int), bits[:, :-1]], axis=1), 5, axis=1)
    scores = []
    for stateful, length in ((True, 10), (True, 5), (False, 10)):
        clf = new(RNNClassifier, hidden_layer_sizes=8, cell="rnn", stateful=stateful, truncation_length=length, batch_size=20)
        clf.set_params(truncation_stride=5)
        for _ in range(3):
            clf.reset_state()
            for start in range(0, 300, 5):
                clf.partial_fit(X[:, start : start + 5], y[:, start : start + 5], classes=[0, 1])
        scores.append(clf.score(X, y))
    assert scores[0] > 0.9
    assert max(scores[1:]) < 0.8


@each_estimator
def test_the_rows_of_a_call_are_one_minibatch_in_their_order(Estimator):
    X, y = make_data(Estimator, n=50)
    estimator = new(Estimator, truncation_length=12)
    partial_fit(estimator, X, y)
    assert estimator._training_state["n_updates"] == 2
    other = partial_fit(new(Estimator, truncation_length=12, batch_size=7, shuffle=True), X, y)
    assert_same_stream(other, estimator)
    at_once = partial_fit(new(Estimator), X, y)
    assert_array_equal(at_once._theta, partial_fit(new(Estimator, stateful=False, batch_size=50, shuffle=False), X, y)._theta)
    assert (at_once._theta != partial_fit(new(Estimator, stateful=False), X, y)._theta).any()


@each_estimator
def test_sequences_of_equal_length_may_come_in_any_form(Estimator):
    X, y = make_data(Estimator)
    estimator = new(Estimator, truncation_length=6, truncation_stride=3, n_features_per_step=2)
    expected = stream(clone(estimator), X, y, (9, 15))
    lists, rows = clone(estimator), clone(estimator)
    for part in parts_of((9, 15)):
        partial_fit(lists, list(X[:, part]), list(y[:, part]))
    assert_same_stream(lists, expected)
    for part in parts_of((12, 12)):  # rows must have the same number of columns in every call
        partial_fit(rows, X[:, part].reshape(3, -1), y[:, part])
    assert_same_stream(rows, stream(clone(estimator), X, y, (12, 12)))


# -------------------------------------------------------------------- what goes wrong on the way


@each_estimator
def test_a_piece_without_any_weight_carries_the_state_on(Estimator):
    X, y = make_data(Estimator)
    weight = np.ones(X.shape[:2])
    weight[:, 8:16] = 0
    parameters = {"truncation_length": 4, "alpha": 0}
    whole = partial_fit(new(Estimator, **parameters), X, y, sample_weight=weight)
    pieces = stream(new(Estimator, **parameters), X, y, (8,))
    theta, losses = pieces._theta.copy(), len(pieces.loss_curve_)
    pieces.partial_fit(X[:, 8:16], y[:, 8:16], sample_weight=weight[:, 8:16])
    assert_array_equal(pieces._theta, theta)
    assert len(pieces.loss_curve_) == losses
    pieces.partial_fit(X[:, 16:], y[:, 16:], sample_weight=weight[:, 16:])
    assert_same_stream(pieces, whole)


def test_the_first_piece_needs_a_weight():
    X, y = make_data(RNNRegressor)
    with pytest.raises(ValueError, match="at least one non-zero"):
        new(RNNRegressor).partial_fit(X, y, sample_weight=np.zeros(y.shape))


def test_pieces_shorter_than_a_window_reach_back_over_those_before():
    X, y = make_data(RNNRegressor)
    parameters = {"truncation_length": 6, "alpha": 0}
    by_steps = stream(new(RNNRegressor, **parameters), X, y, (1,) * N_STEPS)
    expected = new(RNNRegressor, **parameters, truncation_stride=1).partial_fit(X, y)
    assert_allclose(by_steps._theta, expected._theta, rtol=1e-9, atol=1e-12)


def test_an_error_in_the_middle_leaves_everything_as_it_was(monkeypatch):
    X, y = make_data(RNNRegressor)
    reg = stream(new(RNNRegressor, truncation_length=8, truncation_stride=4), X, y, (8,))
    before, step, calls = pickle.dumps(reg), Solver.step, []

    def failing_step(*arguments):
        calls.append(None)
        if len(calls) == 3:
            raise MemoryError
        return step(*arguments)

    monkeypatch.setattr(Solver, "step", failing_step)
    with pytest.raises(MemoryError):
        reg.partial_fit(X[:, 8:], y[:, 8:])
    assert pickle.dumps(reg) == before


# -------------------------------------------------------------------- predictions from a state


def fitted(Estimator, cell, dtype=np.float64, **parameters):
    X, y = make_data(Estimator, dtype)
    estimator = new(Estimator, cell=cell, hidden_layer_sizes=(4, 3), stateful=False, max_iter=2, **parameters)
    return estimator.fit(X, y if estimator.return_sequences else y[:, -1])


each_method = pytest.mark.parametrize(("Estimator", "method"), [(E, name) for E, names in METHODS.items() for name in names])


@each_method
@each_cell
@each_dtype
@pytest.mark.parametrize("calls", [(24,), (8, 8, 8), (5, 1, 18), (1,) * 24], ids=str)
def test_predictions_of_parts_are_those_of_the_whole(Estimator, method, cell, dtype, calls):
    estimator = fitted(Estimator, cell, dtype)
    X, _ = make_data(Estimator, dtype)
    predict = getattr(estimator, method)
    state, parts = None, []
    for part in parts_of(calls):
        predicted, state = predict(X[:, part], initial_state=state, return_state=True)
        assert state.shape == (3, 14 if cell == "lstm" else 7)
        assert state.dtype == dtype
        parts.append(predicted)
    whole, last = predict(X, return_state=True)
    tolerance = 1e-12 if dtype == np.float64 else 2e-6
    assert_allclose(np.concatenate(parts, axis=1), whole, rtol=tolerance, atol=tolerance)
    assert_allclose(state, last, rtol=tolerance, atol=tolerance)
    assert_array_equal(predict(X), whole)
    assert_array_equal(predict(X, np.zeros_like(state)), whole)


@each_method
@each_cell
@pytest.mark.parametrize("pooling", ["last", "max"])
def test_one_target_is_predicted_from_the_state_that_an_earlier_part_left(Estimator, method, cell, pooling):
    estimator = fitted(Estimator, cell, return_sequences=False, pooling=pooling)
    X, _ = make_data(Estimator)
    predict = getattr(estimator, method)
    _, state = predict(X[:, :10], return_state=True)
    later, last = predict(X[:, 10:], state, return_state=True)
    whole, expected = predict(X, return_state=True)
    assert_allclose(last, expected, rtol=1e-12)
    assert np.allclose(later, whole, rtol=1e-9) is (pooling == "last") or method == "predict"


@each_method
@each_cell
@pytest.mark.parametrize("return_sequences", [False, True])
def test_ragged_sequences_are_predicted_from_their_states_as_one_by_one(Estimator, method, cell, return_sequences):
    estimator = fitted(Estimator, cell, return_sequences=return_sequences)
    rng = np.random.default_rng(1)
    X = [rng.normal(size=(T, 2)) for T in (5, 1, 24, 5, 7, 1)]
    predict = getattr(estimator, method)
    before = rng.normal(size=(6, 14 if cell == "lstm" else 7))
    predicted, after = predict(X, before, return_state=True)
    alone = [predict([x], s[None], return_state=True) for x, s in zip(X, before, strict=True)]
    assert_allclose(after, np.concatenate([s for _, s in alone]), rtol=1e-12)
    for one, (other, _) in zip(predicted, alone, strict=True):
        if method == "predict" and Estimator is RNNClassifier:
            assert_array_equal(one, other[0])
        else:
            assert_allclose(one, other[0], rtol=1e-12)
    assert not np.allclose(after, predict(X, return_state=True)[1])
    with_zero, after_zero = predict(X, np.zeros_like(before), return_state=True)
    expected, after = predict(X, return_state=True)
    assert_array_equal(after_zero, after)
    assert predicted.shape == with_zero.shape == expected.shape


@each_estimator
def test_a_long_prediction_ends_with_the_same_state(Estimator):
    """Of more steps than one window of prediction, and of more sequences than one chunk."""
    estimator = fitted(Estimator, "lstm")
    X = np.random.default_rng(0).normal(size=(300, 700, 2))
    whole, state = estimator.predict(X, return_state=True)
    first, middle = estimator.predict(X[:, :311], return_state=True)
    second, last = estimator.predict(X[:, 311:], middle, return_state=True)
    assert_allclose(last, state, rtol=1e-9, atol=1e-12)
    assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-9, atol=1e-12)


@each_estimator
def test_prediction_leaves_the_stream_and_the_given_state_as_they_are(Estimator):
    X, y = make_data(Estimator)
    estimator = partial_fit(new(Estimator, truncation_length=6, truncation_stride=3), X, y)
    before, given = pickle.dumps(estimator), estimator.state_
    _, after = estimator.predict(X, given, return_state=True)
    assert_array_equal(given, estimator.state_)
    assert not np.shares_memory(after, given)
    assert pickle.dumps(estimator) == before
    kept = after.copy()
    estimator.predict(X[:, :5], given, return_state=True)
    assert_array_equal(after, kept)
    method = getattr(estimator, METHODS[Estimator][-1])
    assert (method(X, given) != method(X)).any()  # which begins with zero


@each_estimator
def test_initial_states_may_be_lists_and_of_another_precision(Estimator):
    estimator, (X, _) = fitted(Estimator, "gru"), make_data(Estimator)
    state = np.random.default_rng(0).integers(-2, 3, (3, 7)).astype(float)
    expected = estimator.predict(X, state)
    for same in (state.tolist(), state.astype(np.float32), state.astype(int), np.asfortranarray(state)):
        assert_array_equal(estimator.predict(X, same), expected)


@each_method
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros((2, 7)), r"initial_state has shape \(2, 7\), but \(n_sequences, n_state_units\) = \(3, 7\) is required"),
        (np.zeros((3, 6)), r"initial_state has shape \(3, 6\)"),
        (np.zeros((7, 3)), r"initial_state has shape \(7, 3\)"),
        (np.zeros(7), r"initial_state has shape \(7,\)"),
        (np.full((3, 7), np.nan), "Input initial_state contains NaN"),
        (np.full((3, 7), np.inf), "Input initial_state contains infinity"),
        ("x", r"initial_state has shape \(\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(Estimator, method, state, message):
    estimator, (X, _) = fitted(Estimator, "gru"), make_data(Estimator)
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(X, initial_state=state)


@each_method
@pytest.mark.parametrize("options", [{"initial_state": np.zeros((3, 8))}, {"return_state": True}], ids=["given", "returned"])
def test_two_directions_have_no_state_to_go_on_from(Estimator, method, options):
    X, y = make_data(Estimator)
    estimator = new(Estimator, stateful=False, bidirectional=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="initial_state and return_state can't be used with bidirectional=True"):
        getattr(estimator, method)(X, **options)


@each_estimator
def test_states_need_a_fitted_estimator(Estimator):
    X, _ = make_data(Estimator)
    with pytest.raises(NotFittedError):
        new(Estimator).predict(X, return_state=True)


@each_estimator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_whose_sum_overflows_are_predicted_without_a_warning(Estimator, dtype):
    X, _ = make_data(Estimator, dtype)
    X[:, :, 0] = np.finfo(dtype).max
    predicted = fitted(Estimator, "gru", dtype).predict(X)
    assert np.isfinite(predicted).all()


# -------------------------------------------------------------------- longer than memory


def test_a_memory_map_of_two_million_steps_is_never_read_as_a_whole(tmp_path):
    n, n_steps, n_call = 8, 250_000, 10_000
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n, n_steps, 2))
    y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (n, n_steps))
    rng = np.random.default_rng(0)
    for start in range(0, n_steps, n_call):
        part = slice(start, start + n_call)
        X[:, part] = rng.normal(size=(n, n_call, 2))
        y[:, part] = X[:, part, 0] - 0.5 * X[:, part, 1]
    X.flush()
    y.flush()
    size = X.nbytes
    del X, y
    X, y = (np.load(tmp_path / name, mmap_mode="r") for name in ("X.npy", "y.npy"))
    reg = RNNRegressor(
        hidden_layer_sizes=4, cell="rnn", return_sequences=True, stateful=True, truncation_length=200,
        learning_rate_init=0.01, random_state=0,
    )  # fmt: skip
    tracemalloc.start()
    try:
        for start in range(0, n_steps, n_call):
            reg.partial_fit(X[:, start : start + n_call], y[:, start : start + n_call])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 4
    assert reg._training_state["n_updates"] == n_steps // 200
    assert reg.loss_curve_[-1] < 0.02 * reg.loss_curve_[0]
    assert reg.score(X[:, -2000:], y[:, -2000:]) > 0.9


@each_estimator
def test_a_memory_map_in_one_call_is_the_array_in_one_call(Estimator, tmp_path):
    X, y = make_data(Estimator)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    estimator = new(Estimator, truncation_length=6, truncation_stride=3)
    assert_same_stream(partial_fit(clone(estimator), mapped, y), partial_fit(clone(estimator), X, y))
    assert_same_stream(stream(clone(estimator), mapped, y, (9, 15)), partial_fit(clone(estimator), X, y))


def test_a_target_of_weight_zero_may_be_anything_where_there_is_one_a_piece():
    X = np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32)
    y, weight = X.sum(axis=(1, 2)), [1, 0, 2]
    filled = y.copy()
    filled[1] = 1e25  # its square overflows
    expected, reg = (new(RNNRegressor, return_sequences=False) for _ in range(2))
    expected.partial_fit(X, y, weight).partial_fit(X, y, weight)
    reg.partial_fit(X, filled, weight).partial_fit(X, filled, weight)
    assert_same_stream(reg, expected)
