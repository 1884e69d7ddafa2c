"""Properties that hold whatever is drawn: shapes, lengths, parameters, layouts, weights; each is tried on random examples.

Hypothesis draws what there is and a seed, and NumPy the numbers. ``pytest --hypothesis-profile=hunt`` tries many more.
"""

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from _reference import Network as ReferenceNetwork
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from test_dropout import column_of
from test_network import CELLS_AND_ACTIVATIONS, LOSSES, Problem

from skrnn import RNNClassifier, RNNRegressor, _network, _passes
from skrnn._core.initializers import INIT_SCHEMES
from skrnn._core.losses import REGRESSION_LOSSES
from skrnn._core.pooling import POOLINGS
from skrnn._network import Network
from skrnn._optim.clipping import clip
from skrnn._optim.schedules import SCHEDULES
from skrnn._optim.solvers import SOLVERS
from skrnn._passes import Stream
from skrnn.inspection import loss_gradient
from skrnn.sequences import (
    Sequences,
    check_sequences,
    concatenate_steps,
    from_channels_first,
    from_long,
    from_nested,
    from_packed,
    from_padded,
    split_steps,
    to_channels_first,
    to_long,
    to_nested,
    to_packed,
    to_padded,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

seeds = st.integers(0, 2**32 - 1)
yes_or_no = st.booleans()
#: mostly short; some so long that padding prevails
n_steps = st.integers(1, 7) | st.sampled_from([1, 25])
all_lengths = st.one_of(
    st.lists(n_steps, min_size=1, max_size=5),
    st.tuples(st.integers(1, 5), st.integers(1, 9)).map(lambda pair: [pair[1]] * pair[0]),
)
poolings = st.lists(st.sampled_from(sorted(POOLINGS)), min_size=1, max_size=3).map(tuple)
rates = st.sampled_from([0, 0.4])
layer_sizes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@st.composite
def truncations(draw):
    """Length, stride and interval between checkpoints."""
    length = draw(st.none() | st.integers(1, 12))
    stride = draw(st.none() | st.integers(1, length or 5))
    return length, stride, draw(st.none() | st.just("auto") | st.integers(1, 8))


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------- the network, against naive loops


class RandomProblem(Problem):
    """With dropout, whose masks are the same at every call, with token ids or numbers, and with given initial states."""

    def __init__(self, *, rates, n_tokens, with_state, n_zero, order, seed, **options):
        super().__init__(seed=seed, **options)
        rng, plain = np.random.default_rng(seed + 1), self.network
        self.rates, self.order, self.seed = rates, np.array(order), seed % 2**32
        if n_tokens:
            F = plain.architecture.n_features
            self.sequences = Sequences(rng.integers(0, n_tokens, (sum(self.lengths), 1)), self.lengths, dtype=self.theta.dtype)
            self.theta = np.append(self.theta, rng.standard_normal(n_tokens * F)).astype(self.theta.dtype)
        architecture = plain.architecture._replace(n_tokens=n_tokens)
        self.network = Network(architecture, plain.loss, plain.alpha, plain.unrolling, *rates)
        self.initial = rng.standard_normal((self.network.n_state_units, len(self.lengths))) if with_state else None
        self.weight[rng.choice(len(self.weight), n_zero)] = 0
        self.weight[rng.integers(len(self.weight))] = 1.5

    def updates(self):
        """The sum of the losses and of the gradients of all updates, at fixed weights."""
        batch, grad, rng = self.batch(self.order), np.full_like(self.theta, np.nan), np.random.RandomState(self.seed)
        stream = None if self.initial is None else Stream(state=self.initial[:, self.order].copy())
        total = batch.total_weight(0, batch.n_steps)
        updates = self.network.updates(self.theta, batch, grad, total=total, stream=stream, rng=rng)
        return sum(update.loss for update in updates), grad

    def masks(self):
        """The masks of each sequence, in their own order."""
        batch, rng, masks = self.batch(self.order), np.random.RandomState(self.seed), {}
        if self.rates == (0, 0):
            return None
        parts = [batch] if self.initial is not None else batch.parts(self.network._n_parts(batch.n_sequences))
        for part in parts:
            of_part = self.network._draw_masks(rng, part.n_sequences, self.theta.dtype)
            masks |= {n: column_of(of_part, column) for column, n in enumerate(np.atleast_1d(part.index))}
        return [masks[n] for n in range(len(self.lengths))]

    def expected_updates(self):
        length, stride, _ = self.network.unrolling
        initial = None if self.initial is None else self.initial.T
        return self.reference().loss_and_gradient(
            self.loss, *self.of_sequences(), length, stride if length else None, initial, self.masks()
        )


@st.composite
def problems(draw, dtype=np.float64):
    cell, activation = draw(st.sampled_from(CELLS_AND_ACTIVATIONS))
    bidirectional = draw(yes_or_no)
    lengths = draw(all_lengths | st.just([1] * 130 + [2] * 30))
    length, stride, interval = (None, None, None) if bidirectional else draw(truncations())
    pooling = draw(st.none() | poolings)
    return RandomProblem(
        cell=cell, activation=activation, sizes=draw(layer_sizes), bidirectional=bidirectional, pooling=pooling,
        loss=draw(st.sampled_from(sorted(LOSSES))), alpha=draw(st.sampled_from([0, 0.1])), lengths=lengths,
        n_features=draw(st.integers(1, 3)), n_tokens=draw(st.none() | st.integers(1, 5)),
        length=length, stride=stride, interval=interval, rates=(draw(rates), draw(rates)),
        with_state=not bidirectional and len(set(lengths)) == 1 and draw(yes_or_no),
        step_weights=pooling is None and draw(yes_or_no), n_zero=draw(st.integers(0, 4)),
        order=draw(st.permutations(range(len(lengths)))), seed=draw(seeds), dtype=dtype,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_limits():
    """Checkpoints, parts of a minibatch and windows of prediction also where everything is small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_passes, "LEAST_INTERVAL", 1)
        patch.setattr(_network, "PART_ELEMENTS", 64)
        patch.setattr(_network, "WINDOW_ELEMENTS", 40)
        yield


@given(problems())
def test_loss_and_gradient_are_those_of_naive_loops(problem):
    (loss, grad), (expected_loss, expected) = problem.updates(), problem.expected_updates()
    assert_allclose(loss, expected_loss, rtol=1e-10, atol=1e-14)
    assert abs(grad - expected).max() <= 1e-10 * abs(expected).max()


def assert_predictions_are_those_of_naive_loops(problem, tolerance):
    batch, network = problem.batch(problem.order), problem.network
    raw = np.full((network.architecture.n_raw, problem.y.shape[-1]), np.nan, problem.theta.dtype)
    initial = None if problem.initial is None else problem.initial[:, problem.order].astype(raw.dtype)
    last = network.raw_predictions(problem.theta, batch, raw, initial)
    reference = problem.reference()
    initial = itertools.repeat(None) if problem.initial is None else problem.initial.T
    passes = [reference.passes(xs, state) for xs, state in zip(problem.members(), initial, strict=False)]
    expected = np.vstack([reference.raw_predictions(steps) for steps in passes]).T
    assert_allclose(raw, expected, rtol=tolerance, atol=tolerance * abs(expected).max())
    if problem.initial is not None:
        expected = np.array([reference.last_state(passes[n]) for n in problem.order]).T
        assert_allclose(last, expected, rtol=tolerance, atol=tolerance * abs(expected).max())


@given(problems())
def test_predictions_and_last_states_are_those_of_naive_loops(problem):
    assert_predictions_are_those_of_naive_loops(problem, 1e-12)


@given(problems(np.float32))
def test_in_float32_too(problem):
    problem.theta = problem.theta.astype(np.float64).astype(np.float32)
    assert_predictions_are_those_of_naive_loops(problem, 2e-4)


# ---------------------------------------------------------------- estimators and their data


class Task:
    """An estimator that is not fitted, with sequences, targets and weights for it, and classes for a classifier."""

    def __init__(self, estimator, X, y, weight, classes):
        self.estimator, self.X, self.y, self.weight, self.classes = estimator, X, y, weight, classes
        self.more = {} if classes is None else {"classes": classes}

    def __repr__(self):
        return f"{self.estimator!r}, X={self.X}, y={self.y}, weight={self.weight}"

    def partial_fit(self, estimator=None, index=None, weight=None):
        """On all sequences, or some."""
        estimator = self.estimator if estimator is None else estimator
        index = range(len(self.X)) if index is None else index
        X, y = ([values[i] for i in index] for values in (self.X, self.y))
        return estimator.partial_fit(X, y, sample_weight=weight, **self.more)

    def fitted(self, seed):
        """After one pass, with other weights, that are not small."""
        self.partial_fit()
        self.estimator._theta[...] = 0.4 * normal(seed, self.estimator._theta.size)
        return self.estimator


@st.composite
def tasks(draw, *, lengths=all_lengths, random=True, **fixed):
    """``random=False`` leaves out what draws random numbers in training, and parameters ``fixed`` are as they are."""
    drawn = {
        "return_sequences": yes_or_no, "bidirectional": yes_or_no, "hidden_layer_sizes": layer_sizes, "pooling": poolings,
        "embedding_dim": st.sampled_from([None, None, 2]), "init_scheme": st.sampled_from(sorted(INIT_SCHEMES)),
        "forget_bias": st.sampled_from([1.0, "chrono"]), "clip_norm": st.sampled_from([None, 1e-3, 1.0]),
        "clip_value": st.sampled_from([None, 0.01]), "solver": st.sampled_from(sorted(SOLVERS)),
        "alpha": st.sampled_from([0.0, 0.1]), "learning_rate": st.sampled_from(sorted(SCHEDULES)),
        "learning_rate_init": st.sampled_from([1e-3, 0.05]), "max_iter": st.integers(1, 4), "nesterovs_momentum": yes_or_no,
        "n_iter_no_change": st.integers(1, 2), "random_state": st.integers(0, 9),
    }  # fmt: skip
    if random:
        drawn |= {
            "dropout": st.sampled_from([0.0, 0.3]), "recurrent_dropout": st.sampled_from([0.0, 0.3]), "shuffle": yes_or_no,
            "batch_size": st.sampled_from(["auto", 1, 2]),
        }  # fmt: skip
    parameters = {name: draw(values) for name, values in drawn.items() if name not in fixed}
    parameters["cell"], parameters["activation"] = draw(st.sampled_from(CELLS_AND_ACTIVATIONS))
    parameters |= fixed
    if not parameters["bidirectional"] and "truncation_length" not in fixed:
        names = "truncation_length", "truncation_stride", "checkpoint_interval"
        parameters |= dict(zip(names, draw(truncations()), strict=True))
    is_classifier, lengths, rng = draw(yes_or_no), draw(lengths), np.random.default_rng(draw(seeds))
    of_steps, n, n_outputs = parameters["return_sequences"], len(lengths), draw(st.integers(1, 3))
    if parameters["embedding_dim"]:
        parameters["n_tokens"] = 4
        X = [rng.integers(0, 4, (T, 1)) for T in lengths]
    else:
        F = draw(st.integers(1, 3))
        X = [rng.standard_normal((T, F)) for T in lengths]
    shapes = [(T,) if of_steps else () for T in lengths]
    if not is_classifier:
        parameters |= {"loss": draw(st.sampled_from(sorted(REGRESSION_LOSSES))), "quantile": draw(st.sampled_from([0.3, 0.5]))}
        shapes = shapes if n_outputs == 1 else [(*shape, n_outputs) for shape in shapes]
        if parameters["loss"] == "poisson":
            parameters["activation"] = "tanh"  # others may explode, and their exponentials all the more
        estimator, y, classes = RNNRegressor(**parameters), [rng.uniform(0.1, 3, shape) for shape in shapes], None
    elif draw(yes_or_no):
        names = np.array(["a", "b", "c", "d"][: n_outputs + 1])
        estimator, y, classes = RNNClassifier(**parameters), [rng.choice(names, shape) for shape in shapes], names
    else:
        y, classes = [rng.integers(0, 2, (*shape, n_outputs + 1)) for shape in shapes], np.arange(n_outputs + 1)
        estimator = RNNClassifier(**parameters)
    weight = rng.choice([0, 0.5, 2], n)
    weight[rng.integers(n)] = 1
    return Task(estimator, X, y, weight, classes)


def probabilities_or_targets(estimator, X, *arguments, **options):
    predict = estimator.predict_proba if hasattr(estimator, "classes_") else estimator.predict
    return predict(X, *arguments, **options)


def flat(predictions):
    """Of ragged predictions those of all steps."""
    return concatenate_steps(predictions) if predictions.dtype == object else predictions


def assert_same(one, other, path="estimator"):
    """Are two values, and all that they hold, the same bits?"""
    assert type(one) is type(other), path
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), path
        assert one.tobytes() == other.tobytes(), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{path}[{i}]")
    else:
        assert one == other or (one != one and other != other), path


# ---------------------------------------------------------------- estimators, against naive loops


@given(tasks(), seeds)
def test_estimators_predict_and_derive_what_naive_loops_do(task, seed):
    estimator = task.fitted(seed)
    reference = ReferenceNetwork(estimator._fitted_network(), estimator._theta)
    passes = [reference.passes(x) for x in task.X]
    raw = [reference.raw_predictions(steps) for steps in passes]
    expected = np.vstack(raw)
    if task.classes is None:
        expected = np.exp(expected) if estimator.loss == "poisson" else expected
        expected = expected[:, 0] if np.ndim(task.y[0]) == estimator.return_sequences else expected
    elif estimator._multilabel:
        expected = expit(expected)
    else:
        expected = np.hstack([expit(-expected), expit(expected)]) if len(task.classes) == 2 else softmax(expected, axis=1)
    predictions = probabilities_or_targets(estimator, task.X)
    assert_allclose(flat(predictions), expected, rtol=1e-12, atol=1e-13)
    if task.classes is None and estimator.loss == "quantile" and estimator.quantile != 0.3:
        return  # the reference has one quantile
    if task.classes is None:
        loss, y = estimator.loss, [np.reshape(y, (-1, estimator.n_outputs_)) for y in task.y]
    elif estimator._multilabel:
        loss, y = "multilabel_log_loss", [np.reshape(y, (-1, estimator.n_outputs_)) for y in task.y]
    else:
        loss = "multiclass_log_loss" if len(task.classes) > 2 else "binary_log_loss"
        y = [np.searchsorted(task.classes, np.ravel(y)) for y in task.y]
        y = [of_one[:, None] for of_one in y] if len(task.classes) == 2 else y
    weight = [np.full(len(x), w) for x, w in zip(task.X, task.weight, strict=True)]
    if not estimator.return_sequences:
        y, weight = [of_one[0] for of_one in y], task.weight
    reference.network.alpha = estimator.alpha / task.weight.sum()
    length, stride = estimator.truncation_length, estimator.truncation_stride if estimator.truncation_length else None
    expected_loss, expected = reference.loss_and_gradient(loss, task.X, y, weight, length, stride)
    before = copy.deepcopy(vars(estimator))
    loss, gradient = loss_gradient(estimator, task.X, task.y, task.weight)
    assert_same(vars(estimator), before)
    assert_allclose(loss, expected_loss, rtol=1e-10, atol=1e-13)
    weights, biases = reference.network.named(expected)
    for name, of_name in (weights | biases).items():
        assert abs(gradient[name] - of_name).max() <= 1e-10 * abs(expected).max(), name


#: the same numbers in memory in other ways
LAYOUTS = {
    "Fortran": np.asfortranarray,
    "negative strides": lambda a: np.flip(np.ascontiguousarray(np.flip(a))),
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "objects": lambda a: a.astype(object),
    "lists": lambda a: a.tolist(),
    "arrays": list,
    "as it is": lambda a: a,
}
DTYPES = [np.float64, np.longdouble, np.float16, np.int8, np.uint32, np.int64, bool]


@given(
    st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS)), st.sampled_from(DTYPES), st.sampled_from(DTYPES),
    st.tuples(*[st.integers(1, 4)] * 3), yes_or_no, yes_or_no, yes_or_no, seeds,
)  # fmt: skip
def test_layouts_and_dtypes_make_no_difference(of_X, of_y, dtype, dtype_of_y, shape, classify, of_steps, is_flat, seed):
    X, y = (3 * normal(seed, *shape)).astype(dtype), np.abs(2 * normal(seed, *shape)[:, :, 0]).astype(dtype_of_y)
    y, weight = y if of_steps else y[:, 0], np.abs(normal(seed, shape[0])) + 0.1
    if is_flat:
        X = X.reshape(len(X), -1)
    if classify and y.dtype.kind == "f":
        y = np.rint(y)
    options = {"n_features_per_step": shape[2], "return_sequences": of_steps, "max_iter": 1, "hidden_layer_sizes": 2}
    estimator = (RNNClassifier if classify else RNNRegressor)(random_state=0, **options)
    plain = X.astype(np.float64)
    expected = copy.deepcopy(estimator).fit(plain, y if classify else y.astype(np.float64), weight)
    given_X, given_y = LAYOUTS[of_X](X), LAYOUTS[of_y](y)
    given_weight = LAYOUTS[of_y](weight)
    assume(not (is_flat and of_X == "arrays"))  # which would be sequences
    assume(not (classify and of_y in ("objects", "arrays")))  # objects are no labels
    for a in (given_X, given_y, given_weight):
        if isinstance(a, np.ndarray):
            a.flags.writeable = False
    before = pickle.dumps((given_X, given_y, given_weight))
    estimator.fit(given_X, given_y, given_weight)
    assert_array_equal(estimator._theta, expected._theta)
    assert estimator._theta.dtype == np.float64
    assert_array_equal(
        flat(estimator.predict(given_X)),
        flat(expected.predict(list(plain) if of_X in ("arrays", "lists") and X.ndim == 3 else plain)),
    )
    assert pickle.dumps((given_X, given_y, given_weight)) == before


# ---------------------------------------------------------------- files and copies at any time

WAYS = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: pickle.loads(pickle.dumps(x, protocol=2))]


@given(tasks(), st.lists(st.tuples(st.none() | st.sampled_from(WAYS), seeds), min_size=2, max_size=4))
def test_a_copy_or_file_at_any_call_changes_no_bit(task, calls):
    expected = copy.deepcopy(task.estimator)
    estimator = task.estimator
    for way, seed in calls:
        index = np.random.default_rng(seed).choice(len(task.X), len(task.X))
        for each in (expected, estimator):
            task.partial_fit(each, index)
        assert_same(vars(estimator), vars(expected))
        if way is not None:
            estimator = way(estimator)
    assert_same(vars(estimator), vars(expected))
    assert_array_equal(flat(estimator.predict(task.X)), flat(expected.predict(task.X)))


@given(
    tasks(
        lengths=st.integers(1, 4).map(lambda n: [12] * n), stateful=True, bidirectional=False, return_sequences=True,
        random=False, truncation_length=6, truncation_stride=3,
    ),
    st.sets(st.sampled_from([3, 6, 9])), st.none() | st.sampled_from(WAYS),
)  # fmt: skip
def test_a_stream_may_be_cut_and_saved_anywhere(task, cuts, way):
    X, y = np.stack(task.X), np.stack(task.y)
    whole = copy.deepcopy(task.estimator).partial_fit(X, y, sample_weight=task.weight, **task.more)
    estimator = task.estimator
    for start, stop in itertools.pairwise([0, *sorted(cuts), 12]):
        estimator.partial_fit(X[:, start:stop], y[:, start:stop], sample_weight=task.weight, **task.more)
        estimator = estimator if way is None else way(estimator)
    assert_same(estimator._theta, whole._theta)
    assert_same(estimator.state_, whole.state_)
    assert_same(estimator._training_state["solver_state"], whole._training_state["solver_state"])


# ---------------------------------------------------------------- what changes in the data change, and what not


@given(tasks(), seeds)
def test_sequences_are_predicted_alike_in_any_order_and_alone(task, seed):
    estimator = task.fitted(seed)
    of_all = probabilities_or_targets(estimator, task.X)
    order = np.random.default_rng(seed).permutation(len(task.X))
    permuted = probabilities_or_targets(estimator, [task.X[i] for i in order])
    for place, i in enumerate(order):
        assert_allclose(permuted[place], of_all[i], rtol=1e-12, atol=1e-12)
        (alone,) = probabilities_or_targets(estimator, [task.X[i]])
        assert_allclose(alone, of_all[i], rtol=1e-12, atol=1e-12)


@given(tasks(random=False, batch_size=100, shuffle=False, epsilon=1e-3), seeds)
def test_a_weight_is_repetition_and_zero_is_absence(task, seed):
    """With the default ``epsilon`` Adam makes steps of gradients that are zero but for rounding."""
    assume(getattr(task.estimator, "loss", None) not in ("absolute_error", "quantile"))  # on their kinks, rounding decides
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 4, len(task.X))
    weight[rng.integers(len(weight))] = 2
    repeated = rng.permutation(np.repeat(np.arange(len(weight)), weight))
    other = copy.deepcopy(task.estimator)
    for _ in range(3):
        task.partial_fit(weight=weight)
        task.partial_fit(other, repeated)
    theta, expected = task.estimator._theta, other._theta
    assert_allclose(theta, expected, rtol=1e-7, atol=1e-7 * abs(expected).max())
    assert_allclose(task.estimator.loss_curve_, other.loss_curve_, rtol=1e-7, atol=1e-9)


@given(tasks(bidirectional=True, hidden_layer_sizes=(3,), return_sequences=True), seeds)
def test_reversed_time_is_the_other_direction(task, seed):
    estimator = task.fitted(seed)
    mirrored = copy.deepcopy(estimator)
    for get in ("coefs_", "intercepts_"):
        ours, theirs = getattr(estimator, get), getattr(mirrored, get)
        for name, array in ours.items():
            swaps = {"forward": "reverse", "reverse": "forward"}
            theirs[".".join(swaps.get(part, part) for part in name.split("."))][...] = array
    mirrored.coefs_["readout"][...] = np.roll(estimator.coefs_["readout"], 3, axis=1)
    backwards = [x[::-1] for x in task.X]
    states, of_mirrored = estimator.hidden_states(task.X), mirrored.hidden_states(backwards)
    outputs, mirrored_outputs = probabilities_or_targets(estimator, task.X), probabilities_or_targets(mirrored, backwards)
    for i in range(len(task.X)):
        assert_allclose(of_mirrored[i][::-1], np.roll(states[i], 3, axis=1), rtol=1e-12, atol=1e-12)
        assert_allclose(mirrored_outputs[i][::-1], outputs[i], rtol=1e-12, atol=1e-12)


@given(
    tasks(lengths=st.integers(1, 4).map(lambda n: [9] * n), bidirectional=False, return_sequences=True),
    st.sets(st.integers(1, 8)), seeds,
)  # fmt: skip
def test_predictions_in_pieces_are_those_of_the_whole(task, cuts, seed):
    estimator, X = task.fitted(seed), np.stack(task.X)
    initial = normal(seed, len(X), estimator._fitted_network().n_state_units)
    whole, last = probabilities_or_targets(estimator, X, initial, return_state=True)
    pieces, state = [], initial
    for start, stop in itertools.pairwise([0, *sorted(cuts), 9]):
        piece, state = probabilities_or_targets(estimator, X[:, start:stop], state, return_state=True)
        pieces.append(piece)
    assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-12, atol=1e-12)
    assert_allclose(state, last, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- containers and other layouts

members_dtypes = st.sampled_from([np.float64, np.float32, np.int16, np.complex64, bool, "U3", "M8[s]", object])


@st.composite
def members(draw, dtypes=members_dtypes):
    F, rng, dtype = draw(st.integers(1, 3)), np.random.default_rng(draw(seeds)), draw(dtypes)
    return [rng.integers(0, 99, (T, F)).astype("i8" if dtype == "M8[s]" else dtype).astype(dtype) for T in draw(all_lengths)]


def assert_same_members(given, expected):
    assert len(given) == len(expected)
    for a, b in zip(given, expected, strict=True):
        assert_array_equal(a, b, strict=True)


@given(members(), seeds)
def test_a_container_gives_back_what_it_holds(X, seed):
    values, lengths, rng = np.concatenate(X), np.array([len(x) for x in X]), np.random.default_rng(seed)
    sequences = Sequences(values, lengths, ragged=True)
    assert_same_members(sequences.in_form_of_input(values), X)
    assert_same_members(split_steps(concatenate_steps(X), lengths), X)
    index = rng.choice(len(X), rng.integers(1, 2 * len(X) + 1))
    taken = sequences.take(index)
    assert_same_members(taken.in_form_of_input(taken.values), [X[i] for i in index])
    assert taken.longest == max(len(X[i]) for i in index)
    once = sequences.take(index).take(np.arange(len(index))[:1])
    assert_same_members(once.in_form_of_input(once.values), [X[index[0]]])


@given(members(), st.sampled_from(["post", "pre"]))
def test_converters_undo_each_other(X, padding):
    assert_same_members(from_channels_first(to_channels_first(X)), X)
    assert_same_members(from_packed(to_packed(X)), X)
    if X[0].dtype.kind not in "UM":  # pandas has its own text and times
        assert_same_members(from_nested(to_nested(X)), X)
    dtype, lengths = X[0].dtype, [len(x) for x in X]
    value = {"U": "", "M": np.datetime64("NaT"), "b": False, "i": -1}.get(dtype.kind, np.nan)
    padded, of_padded = to_padded(X, value, padding=padding)
    assert_array_equal(of_padded, lengths)
    assert_same_members(from_padded(padded, lengths=lengths, padding=padding), X)
    if dtype.kind != "b":  # no boolean is left for padding
        assert_same_members(from_padded(padded, value, padding=padding), X)


@given(members(st.sampled_from([np.float64, np.float32, np.int16])), st.sampled_from(["pandas", "polars"]), seeds)
def test_long_frames_come_back_in_any_order_of_rows(X, library, seed):
    frame = to_long(X, library=library)
    order = np.random.default_rng(seed).permutation(len(frame))
    shuffled = frame.iloc[order] if isinstance(frame, pd.DataFrame) else frame[order]
    back = from_long(shuffled, *frame.columns[:2])
    found = back[0] if isinstance(back, tuple) else back
    assert_same_members(sorted(found, key=lambda x: x.tobytes()), sorted(X, key=lambda x: x.tobytes()))


@given(tasks(embedding_dim=None), seeds)
def test_padding_that_is_taken_off_makes_no_difference(task, seed):
    estimator = task.fitted(seed)
    expected = flat(probabilities_or_targets(estimator, task.X))
    for padding in ("post", "pre"):
        padded, _ = to_padded(task.X, padding=padding)
        assert_array_equal(flat(probabilities_or_targets(estimator, from_padded(padded, padding=padding))), expected)
    assert_array_equal(check_sequences(estimator, task.X, reset=False).values, np.concatenate(task.X))


# ---------------------------------------------------------------- clipping and solvers

dtypes = st.sampled_from([np.float32, np.float64])


@st.composite
def gradients(draw, n, exponent):
    """``n`` gradients of one dtype, of magnitudes up to ten to the ``exponent`` of its largest number's exponent."""
    dtype, size, rng = draw(dtypes), draw(st.integers(1, 6)), np.random.default_rng(draw(seeds))
    limit = int(exponent * np.log10(np.finfo(dtype).max))
    scale = draw(st.integers(-limit, limit))
    spread = draw(st.sampled_from([0, 3, limit]))
    power = np.clip(scale + rng.uniform(-spread, spread, (n, size)), -limit, limit)
    grads = (rng.choice([-1, 1], (n, size)) * 10.0**power).astype(dtype)
    grads[rng.uniform(size=(n, size)) < draw(st.sampled_from([0, 0.3]))] = 0
    return grads


limits = st.none() | st.floats(-30, 30).map(lambda power: 10.0**power)


@given(gradients(1, 0.99), limits, limits, st.sampled_from([None, 0.9995, 1.0005, 1e-42]))
def test_clipping_bounds_elements_and_norm_and_keeps_the_direction(grads, value, norm, near):
    grad, exact = grads[0], grads[0].astype(np.longdouble)
    before, eps = np.sqrt(np.sum(exact**2)), np.finfo(grad.dtype).eps
    clipped = exact if value is None else np.clip(exact, -np.longdouble(grad.dtype.type(value)), grad.dtype.type(value))
    length = np.sqrt(np.sum(clipped**2))
    if near is not None and length > 0:
        norm = max(float(near * length), 1e-300)
    if norm is not None and length > norm:
        clipped = clipped * (norm / length)
    given = grad.copy()
    with np.errstate(over="ignore"):
        left, first, acted = clip(grad, value, norm)
    assert_allclose(first, float(before), rtol=20 * eps)
    assert_allclose(grad, clipped.astype(grad.dtype), rtol=50 * eps, atol=float(np.finfo(grad.dtype).smallest_subnormal))
    assert_allclose(left, float(min(length, np.inf if norm is None else norm)), rtol=50 * eps)
    if value is not None:
        assert abs(grad).max() <= grad.dtype.type(value)
    if not acted:
        assert_array_equal(grad, given)


def naive_solver(name, grads, rate, options):
    """What is to be subtracted at each update by the published formulae, in extended precision."""
    one, theta = np.longdouble(1), np.zeros(grads.shape[1], np.longdouble)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    path = []
    for t, g in enumerate(grads.astype(np.longdouble), start=1):
        if name == "sgd":
            m = options["momentum"] * m + g
            step = g + options["momentum"] * m if options["nesterov"] else m
        elif name == "rmsprop":
            v = options["beta_2"] * v + (1 - one * options["beta_2"]) * g**2
            step = g / (np.sqrt(v) + options["epsilon"])
        else:
            beta_1, beta_2 = one * options["beta_1"], one * options["beta_2"]
            m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
            step = m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + options["epsilon"])
        path.append(rate * step)
    return path


betas = st.sampled_from([0.0, 0.5, 0.9, 0.999])


@given(
    st.sampled_from(sorted(SOLVERS)), gradients(12, 0.45), st.sampled_from([1e-3, 1.0]), betas, betas,
    st.sampled_from([1e-8, 1e-3]), yes_or_no, st.integers(0, 11),
)  # fmt: skip
def test_solvers_follow_the_published_formulae(name, grads, rate, beta_1, beta_2, epsilon, nesterov, pause):
    every = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon, "momentum": beta_1, "nesterov": nesterov}
    taken = {"sgd": ("momentum", "nesterov"), "rmsprop": ("beta_2", "epsilon"), "adam": ("beta_1", "beta_2", "epsilon")}[name]
    options, dtype, size = {option: every[option] for option in taken}, grads.dtype, grads.shape[1]
    solver = SOLVERS[name](size, dtype, **options)
    # terms may cancel
    paths = naive_solver(name, grads, rate, options), naive_solver(name, abs(grads), rate, options)
    for t, (grad, expected, size_of_terms) in enumerate(zip(grads, *paths, strict=True)):
        if t == pause:
            solver = SOLVERS[name](size, dtype, pickle.loads(pickle.dumps(solver.state)), **options)
        theta = np.zeros(size, dtype)
        with np.errstate(over="ignore"):
            made = solver.step(theta, grad.copy(), rate)
        if not made:  # whose squares overflow is not made
            assert np.sum(expected**2) > 0.99 * np.finfo(dtype).max
            return
        assert (abs(theta + expected) <= 200 * np.finfo(dtype).eps * size_of_terms + np.finfo(dtype).tiny).all()
        assert theta.dtype == dtype
        assert {key: np.shape(part) for key, part in solver.state.items()} == {
            "n_updates": (), **dict.fromkeys(solver.vectors, (size,)),
        }  # fmt: skip
        assert solver.n_updates == t + 1
        if name == "adam":
            past = np.arange(t, -1, -1)
            of_mean, of_square = (np.power(beta, past) / np.sum(np.power(beta, past)) for beta in (beta_1, beta_2))
            used = of_square > 0
            if used[of_mean > 0].all():  # Cauchy and Schwarz
                assert abs(theta).max() <= 1.001 * rate * np.sqrt(np.sum(of_mean[used] ** 2 / of_square[used]))


@given(st.sampled_from(sorted(SOLVERS)), gradients(2, 0.45), st.sampled_from([np.nan, np.inf, -np.inf]), seeds)
def test_no_solver_makes_an_update_that_is_not_finite(name, grads, bad, seed):
    solver, theta = SOLVERS[name](grads.shape[1], grads.dtype), grads[0].copy()
    grads[1, seed % grads.shape[1]] = bad
    with np.errstate(all="ignore"):
        made = solver.step(theta, grads[1].copy(), 1.0)
    if not made:
        assert_array_equal(theta, grads[0])
    assert np.isfinite(theta).all()
