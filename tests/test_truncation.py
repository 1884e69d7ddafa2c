"""Truncated and checkpointed backpropagation through time, as the estimators offer them."""

import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS
from skrnn.inspection import loss_gradient
from skrnn.sequences import concatenate_steps

pytestmark = [
    pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:L-BFGS did not converge:sklearn.exceptions.ConvergenceWarning"),
]

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_cell = pytest.mark.parametrize("cell", CELLS)
each_target = pytest.mark.parametrize("return_sequences", [False, True], ids=["one target", "every step"])
each_raggedness = pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])

N_STEPS = 9
LENGTHS = (9, 4, 1, 7, 9, 6, 2, 8, 5, 3)


def make_data(Estimator, return_sequences, ragged, n_steps=N_STEPS, n=10):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(T, 2)) for T in (LENGTHS if ragged else (n_steps,) * n)]
    y = [x.cumsum(axis=0)[:, 0] / np.sqrt(1 + np.arange(len(x))) for x in X]
    if Estimator is RNNClassifier:
        y = [np.digitize(s, [-0.5, 0.5]) for s in y]
    if not return_sequences:
        y = np.array([s[-1] for s in y])
    if ragged:
        return X, y
    return np.stack(X), np.stack(y)


def new(Estimator, **parameters):
    defaults = {"hidden_layer_sizes": 4, "max_iter": 4, "batch_size": 4, "learning_rate_init": 0.03, "random_state": 0}
    return Estimator(**{**defaults, **parameters})


def partial_fit(estimator, X, y):
    """The first call, with the classes of ``make_data``."""
    options = {"classes": [0, 1, 2]} if isinstance(estimator, RNNClassifier) else {}
    return estimator.partial_fit(X, y, **options)


def flat(gradient):
    return np.concatenate([g.ravel() for g in gradient.values()])


# -------------------------------------------------------------------- truncation


@each_estimator
@each_cell
@each_target
@each_raggedness
@pytest.mark.parametrize("length", [N_STEPS, N_STEPS + 3, 10**6])
@pytest.mark.parametrize("sizes", [4, (4, 3)], ids=["one layer", "two layers"])
def test_a_length_of_all_steps_is_full_backpropagation_bit_for_bit(Estimator, cell, return_sequences, ragged, length, sizes):
    X, y = make_data(Estimator, return_sequences, ragged)
    estimator = new(Estimator, cell=cell, return_sequences=return_sequences, hidden_layer_sizes=sizes)
    full = clone(estimator).fit(X, y)
    truncated = clone(estimator).set_params(truncation_length=length).fit(X, y)
    assert_array_equal(truncated._theta, full._theta)
    assert truncated.loss_curve_ == full.loss_curve_
    assert truncated._training_state["n_updates"] == full._training_state["n_updates"]


@each_estimator
@each_cell
@each_target
@each_raggedness
def test_every_length_learns_another_model(Estimator, cell, return_sequences, ragged):
    X, y = make_data(Estimator, return_sequences, ragged)
    estimator = new(Estimator, cell=cell, return_sequences=return_sequences)
    thetas = [clone(estimator).set_params(truncation_length=length).fit(X, y)._theta for length in (1, 2, 5, 8, None)]
    for i, theta in enumerate(thetas):
        assert all(abs(theta - other).max() > 1e-5 for other in thetas[:i])


@each_estimator
@each_cell
@each_raggedness
def test_truncation_leaves_what_does_not_reach_back_as_it_is(Estimator, cell, ragged):
    """The loss and the readout's gradient are the same, the recurrent gradient is not."""
    X, y = make_data(Estimator, return_sequences=False, ragged=ragged)
    estimator = new(Estimator, cell=cell, pooling=("last", "mean", "max")).fit(X, y)
    loss, gradient = loss_gradient(estimator, X, y)
    truncated_loss, truncated = loss_gradient(estimator.set_params(truncation_length=3), X, y)
    assert_allclose(truncated_loss, loss, rtol=1e-12)
    for name in gradient:
        same = np.allclose(truncated[name], gradient[name], rtol=1e-9, atol=1e-12)
        assert same is (name.startswith("readout")), name


def loss_of_steps(estimator, X, y, state=None):
    """The sum of the losses of targets, by the predictions from a state."""
    if isinstance(estimator, RNNRegressor):
        return 0.5 * np.square(estimator.predict(X, state) - y).sum()
    return -np.take_along_axis(estimator.predict_log_proba(X, state), np.asarray(y)[..., None], axis=-1).sum()


@each_estimator
@each_cell
@each_target
@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 3), (4, 3), (5, 2), (8, 8), (7, 1)])
@pytest.mark.parametrize("sizes", [3, (3, 2)], ids=["one layer", "two layers"])
def test_the_truncated_gradient_is_that_of_the_last_steps_from_a_state_that_is_held(
    Estimator, cell, return_sequences, length, stride, sizes, global_random_seed
):
    """Every window's losses, as a function of the weights in the ``length`` steps before its end alone."""
    X, y = make_data(Estimator, return_sequences, ragged=False)
    estimator = new(
        Estimator, cell=cell, return_sequences=return_sequences, hidden_layer_sizes=sizes, alpha=0, truncation_length=length,
        truncation_stride=stride,
    ).fit(X, y)  # fmt: skip
    rng = np.random.default_rng(global_random_seed)
    theta = rng.normal(scale=0.7, size=estimator._theta.size)
    estimator._theta[...] = theta
    stops = [*range(stride, N_STEPS, stride), N_STEPS] if return_sequences else [N_STEPS]
    windows, start = [], 0
    for stop in stops:
        first = max(stop - length, 0)
        state = estimator.predict(X[:, :first], return_state=True)[1] if first else None
        windows.append((start, first, stop, state))
        start = stop

    def loss(point):
        """The losses of all windows."""
        estimator._theta[...] = point
        total = 0.0
        for start, first, stop, state in windows:
            if return_sequences:
                total += loss_of_steps(estimator, X[:, first:stop], y[:, first:stop], state)
                if start > first:  # the steps before are part of earlier windows
                    total -= loss_of_steps(estimator, X[:, first:start], y[:, first:start], state)
            else:
                total += loss_of_steps(estimator, X[:, first:stop], y, state)
        return total / y.size

    _, gradient = loss_gradient(estimator, X, y)
    vector = np.zeros_like(theta)
    network = estimator._fitted_network()
    for part, named in zip(network.named(vector), (estimator.coefs_, estimator.intercepts_), strict=True):
        for name in named:
            part[name][...] = gradient[name]
    for _ in range(3):
        direction = rng.choice([-1.0, 1.0], theta.size) / np.sqrt(theta.size)
        difference = (loss(theta + 1e-5 * direction) - loss(theta - 1e-5 * direction)) / 2e-5
        assert abs(difference - vector @ direction) < 1e-7 * np.linalg.norm(vector)


@each_estimator
@each_cell
@each_target
@pytest.mark.parametrize(("length", "stride"), [(3, 3), (4, 3), (5, 2), (8, 4), (6, 1)])
def test_the_truncated_gradient_of_ragged_sequences_is_that_of_each_of_them(Estimator, cell, return_sequences, length, stride):
    """Each reaches as far back from its own end as if it were alone."""
    X, y = make_data(Estimator, return_sequences, ragged=True)
    estimator = new(Estimator, cell=cell, return_sequences=return_sequences, hidden_layer_sizes=(4, 3), alpha=0)
    estimator.fit(X, y).set_params(truncation_length=length, truncation_stride=stride)
    shares = np.array(LENGTHS if return_sequences else [1] * len(X)) / (sum(LENGTHS) if return_sequences else len(X))
    parts = [share * flat(loss_gradient(estimator, [x], [a])[1]) for share, x, a in zip(shares, X, y, strict=True)]
    assert_allclose(flat(loss_gradient(estimator, X, y)[1]), sum(parts), rtol=1e-9, atol=1e-12)


# -------------------------------------------------------------------- updates


@each_estimator
@pytest.mark.parametrize(
    ("length", "stride", "n_windows"), [(3, None, 3), (4, None, 3), (8, None, 2), (4, 1, 9), (5, 2, 5), (9, 3, 3), (20, 4, 3)]
)
def test_there_is_an_update_at_every_stride_and_at_the_end(Estimator, length, stride, n_windows):
    X, y = make_data(Estimator, return_sequences=True, ragged=False)
    parameters = {"truncation_length": length, "truncation_stride": stride}
    estimator = new(Estimator, return_sequences=True, batch_size=4, max_iter=2, **parameters).fit(X, y)
    assert estimator._training_state["n_updates"] == 2 * 3 * n_windows  # epochs, batches of 4, 4 and 2
    assert estimator._training_state["solver_state"]["n_updates"] == 2 * 3 * n_windows
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 2
    assert estimator.t_ == 20
    pooled = new(Estimator, batch_size=4, max_iter=2, **parameters).fit(X, y[:, -1])
    assert pooled._training_state["n_updates"] == 6


@each_estimator
def test_the_longest_sequence_of_a_batch_determines_the_updates(Estimator):
    X, y = make_data(Estimator, return_sequences=True, ragged=True)
    estimator = new(Estimator, return_sequences=True, shuffle=False, batch_size=5, max_iter=1, truncation_length=3)
    batches = [max(LENGTHS[:5]), max(LENGTHS[5:])]
    assert estimator.fit(X, y)._training_state["n_updates"] == sum(-(-T // 3) for T in batches)
    weight = [np.zeros(len(x)) for x in X]
    for w in weight:
        w[-1] = 1
    last = clone(estimator).fit(X, y, weight)
    of_batches = [{(T - 1) // 3 for T in part} for part in (LENGTHS[:5], LENGTHS[5:])]
    assert last._training_state["n_updates"] == sum(map(len, of_batches))  # none in windows without a target that counts


@each_estimator
@each_raggedness
@pytest.mark.parametrize("weights_of", [None, "sequences", "steps"])
def test_the_loss_of_an_epoch_is_the_weighted_mean_over_its_updates(Estimator, ragged, weights_of):
    X, y = make_data(Estimator, return_sequences=True, ragged=ragged)
    rng = np.random.default_rng(1)
    weight = {
        None: None,
        "sequences": rng.uniform(0.1, 3, len(X)),
        "steps": [rng.uniform(0.1, 3, len(x)) for x in X],
    }[weights_of]
    estimator = new(Estimator, return_sequences=True, learning_rate_init=1e-12, max_iter=1, alpha=0.5)
    estimator.set_params(truncation_length=4, truncation_stride=2, batch_size=len(X)).fit(X, y, weight)
    assert_allclose(estimator.loss_, loss_gradient(estimator, X, y, weight)[0], rtol=1e-9)
    full = clone(estimator).set_params(truncation_length=None, truncation_stride=None).fit(X, y, weight)
    assert_allclose(estimator.loss_, full.loss_, rtol=1e-9)


@each_estimator
def test_a_cosine_falls_with_every_update(Estimator):
    X, y = make_data(Estimator, return_sequences=True, ragged=False)
    parameters = {"return_sequences": True, "truncation_length": 3, "batch_size": 10, "max_iter": 1, "clip_norm": None}
    estimator = new(Estimator, learning_rate="cosine", solver="sgd", momentum=0, learning_rate_init=1e-6, alpha=0, **parameters)
    annealed = clone(estimator).fit(X, y)
    start = clone(estimator).set_params(learning_rate_init=1e-30).fit(X, y)
    loss = loss_gradient(start, X, y)[1]
    assert loss.keys() == annealed.coefs_.keys() | annealed.intercepts_.keys()
    # at weights that hardly move, the update of window k of 3 is cos^2(pi / 2 * k / 3) of that without annealing
    sums = []
    for k in range(3):
        weight = np.zeros((10, 9))
        weight[:, 3 * k : 3 * k + 3] = 1
        sums.append(flat(loss_gradient(start, X, y, weight)[1]))
    expected = -1e-6 * sum(np.cos(np.pi / 2 * k / 3) ** 2 * g for k, g in enumerate(sums))
    moved = flat({n: annealed.coefs_[n] - start.coefs_[n] for n in start.coefs_}
                 | {n: annealed.intercepts_[n] - start.intercepts_[n] for n in start.intercepts_})  # fmt: skip
    assert_allclose(moved, expected, rtol=1e-4, atol=1e-10)


@each_estimator
@each_target
@each_raggedness
def test_parameters_may_change_between_calls_of_partial_fit(Estimator, return_sequences, ragged):
    X, y = make_data(Estimator, return_sequences, ragged)
    estimator = partial_fit(new(Estimator, return_sequences=return_sequences, truncation_length=2), X, y)
    copied = pickle.loads(pickle.dumps(estimator))
    estimator.set_params(truncation_length=None).partial_fit(X, y)
    copied.set_params(truncation_length=N_STEPS).partial_fit(X, y)
    assert_array_equal(estimator._theta, copied._theta)
    estimator.set_params(truncation_length=5, truncation_stride=2, checkpoint_interval=2).partial_fit(X, y)
    copied.set_params(truncation_length=5, truncation_stride=None).partial_fit(X, y)
    assert (estimator._theta != copied._theta).any() if return_sequences else (
        np.allclose(estimator._theta, copied._theta, atol=1e-12)
    )  # fmt: skip


@each_raggedness
def test_of_one_target_the_stride_makes_no_difference(ragged):
    X, y = make_data(RNNRegressor, return_sequences=False, ragged=ragged)
    estimator = new(RNNRegressor, truncation_length=5)
    assert_array_equal(clone(estimator).set_params(truncation_stride=2).fit(X, y)._theta, estimator.fit(X, y)._theta)


# -------------------------------------------------------------------- checkpoints


@each_estimator
@each_cell
@each_target
@each_raggedness
@pytest.mark.parametrize("interval", [1, 2, 4, 8, 9, 100])
def test_checkpoints_change_nothing_but_roundings(Estimator, cell, return_sequences, ragged, interval):
    X, y = make_data(Estimator, return_sequences, ragged)
    estimator = new(Estimator, cell=cell, return_sequences=return_sequences, hidden_layer_sizes=(4, 3))
    checkpointed = clone(estimator).set_params(checkpoint_interval=interval).fit(X, y)
    estimator.fit(X, y)
    assert_allclose(checkpointed._theta, estimator._theta, atol=1e-9)
    assert_allclose(checkpointed.loss_curve_, estimator.loss_curve_, rtol=1e-9)
    loss, gradient = loss_gradient(estimator, X, y)
    other_loss, other = loss_gradient(estimator.set_params(checkpoint_interval=interval), X, y)
    assert_allclose(other_loss, loss, rtol=1e-12)
    assert_allclose(flat(other), flat(gradient), rtol=1e-12, atol=1e-14)


@each_cell
@each_raggedness
@pytest.mark.parametrize("interval", [1, 3, 7])
@pytest.mark.parametrize("pooling", ["mean", "max", ("last", "max", "mean")], ids=str)
@pytest.mark.parametrize("length", [None, 5])
def test_checkpoints_of_every_pooling(cell, ragged, interval, pooling, length):
    X, y = make_data(RNNClassifier, return_sequences=False, ragged=ragged)
    clf = new(RNNClassifier, cell=cell, pooling=pooling, hidden_layer_sizes=(4, 3), truncation_length=length).fit(X, y)
    _, gradient = loss_gradient(clf, X, y)
    _, other = loss_gradient(clf.set_params(checkpoint_interval=interval), X, y)
    assert_allclose(flat(other), flat(gradient), rtol=1e-12, atol=1e-14)


@each_cell
@each_target
def test_the_interval_that_is_chosen_changes_nothing_but_roundings(cell, return_sequences):
    X, y = make_data(RNNRegressor, return_sequences, ragged=False, n_steps=300, n=3)
    reg = new(RNNRegressor, cell=cell, return_sequences=return_sequences, max_iter=1).fit(X, y)
    _, gradient = loss_gradient(reg, X, y)
    _, other = loss_gradient(reg.set_params(checkpoint_interval="auto"), X, y)
    assert_allclose(flat(other), flat(gradient), rtol=1e-9, atol=1e-13)


@each_estimator
def test_lbfgs_takes_checkpoints(Estimator):
    X, y = make_data(Estimator, return_sequences=False, ragged=True)
    estimator = new(Estimator, solver="lbfgs", max_iter=3)
    plain = clone(estimator).fit(X, y)
    assert_allclose(estimator.set_params(checkpoint_interval=2).fit(X, y)._theta, plain._theta, atol=1e-9)


@each_target
def test_with_checkpoints_memory_hardly_grows_with_the_length(return_sequences):
    def peak(n_steps, interval):
        """Bytes, at most, while a gradient is computed."""
        X = np.random.default_rng(0).normal(size=(8, n_steps, 1)).astype(np.float32)
        y = X[:, :, 0] if return_sequences else X[:, 0, 0]
        reg = RNNRegressor(
            hidden_layer_sizes=48, cell="lstm", return_sequences=return_sequences, checkpoint_interval=interval, random_state=0
        )
        reg.partial_fit(X[:, :3], y[:, :3] if return_sequences else y)
        tracemalloc.start()
        try:
            loss_gradient(reg, X, y)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    plain, checkpointed = ([peak(n, interval) for n in (1000, 4000)] for interval in (None, "auto"))
    assert plain[1] / plain[0] > 3.5
    assert checkpointed[1] / checkpointed[0] < 2.6
    assert checkpointed[1] < plain[1] / 8


@each_estimator
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_numbers_of_steps_may_be_of_any_integer_type(Estimator, dtype):
    X, y = make_data(Estimator, return_sequences=True, ragged=True)
    parameters = {"truncation_length": 4, "truncation_stride": 2, "checkpoint_interval": 3}
    expected = new(Estimator, return_sequences=True, **parameters).fit(X, y)
    other = new(Estimator, return_sequences=True, **{name: dtype(value) for name, value in parameters.items()}).fit(X, y)
    assert_array_equal(other._theta, expected._theta)
    assert_array_equal(concatenate_steps(other.predict(X)), concatenate_steps(expected.predict(X)))
