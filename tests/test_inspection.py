"""Gradients by name, and how they flow back: against central differences, loops of their own, and closed forms."""

import pickle

import numpy as np
import pytest
from _gradcheck import assert_gradient
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS
from skrnn._core.losses import REGRESSION_LOSSES
from skrnn.inspection import gradient_flow, loss_gradient

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_cell = pytest.mark.parametrize("cell", CELLS)
each_target = pytest.mark.parametrize("return_sequences", [False, True], ids=["one target", "every step"])
each_raggedness = pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])

LENGTHS = (6, 3, 1, 4, 6, 5, 2)


def make_data(Estimator, return_sequences, ragged, seed=0):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(T, 2)) for T in (LENGTHS if ragged else (5,) * len(LENGTHS))]
    y = [rng.integers(0, 3, len(x)) if Estimator is RNNClassifier else rng.normal(size=len(x)) for x in X]
    if Estimator is RNNClassifier:
        y[0][:] = np.arange(len(y[0])) % 3
        y[1][0], y[3][0], y[-1][-1], y[-2][-1], y[0][-1] = 0, 1, 2, 1, 0
    if not return_sequences:
        y = np.array([a[-1] for a in y])
    return (X, y) if ragged else (np.stack(X), np.stack(y))


def weights_of(estimator):
    return {**estimator.coefs_, **estimator.intercepts_}


def randomize(estimator, rng, scale=0.7):
    """Weights of which none is zero or like another."""
    for weights in weights_of(estimator).values():
        weights[...] = rng.normal(scale=scale, size=weights.shape)
    return estimator


def new(Estimator, **parameters):
    return Estimator(**{"hidden_layer_sizes": 3, "max_iter": 1, "learning_rate": "constant", "random_state": 0, **parameters})


def random_network(Estimator, X, y, seed=0, **parameters):
    return randomize(new(Estimator, **parameters).fit(X, y), np.random.default_rng(seed))


def flat(gradient):
    return np.concatenate([g.ravel() for g in gradient.values()])


def assert_gradient_of_its_loss(estimator, X, y, sample_weight=None, seed=0, *, every_coordinate=False):
    """Compare with central differences over the weights, all of them, written through ``coefs_`` and ``intercepts_``."""
    loss, gradient = loss_gradient(estimator, X, y, sample_weight)
    views = weights_of(estimator)
    assert {name: g.shape for name, g in gradient.items()} == {name: w.shape for name, w in views.items()}
    at = flat(views)

    def loss_at(point):
        start = 0
        for weights in views.values():
            weights[...] = point[start : start + weights.size].reshape(weights.shape)
            start += weights.size
        return loss_gradient(estimator, X, y, sample_weight)[0]

    vector = flat({name: gradient[name] for name in views})
    assert_gradient(loss_at, at, vector, np.random.default_rng(seed), every_coordinate=every_coordinate)
    assert loss_at(at) == loss


# -------------------------------------------------------------------- the gradient


@each_estimator
@each_cell
@each_target
@each_raggedness
@pytest.mark.parametrize(
    "parameters",
    [{}, {"hidden_layer_sizes": (3, 2), "pooling": ("last", "mean"), "bidirectional": True}],
    ids=["one layer", "two layers in two directions"],
)
def test_the_gradient_is_that_of_the_loss(Estimator, cell, return_sequences, ragged, parameters, global_random_seed):
    X, y = make_data(Estimator, return_sequences, ragged, global_random_seed)
    estimator = random_network(
        Estimator, X, y, global_random_seed, cell=cell, return_sequences=return_sequences, alpha=0.5, **parameters
    )
    assert_gradient_of_its_loss(estimator, X, y, every_coordinate=not parameters)


@each_estimator
@each_raggedness
@pytest.mark.parametrize(("return_sequences", "kind"), [(False, "sequences"), (True, "sequences"), (True, "steps")])
def test_the_gradient_of_the_weighted_loss(Estimator, return_sequences, ragged, kind, global_random_seed):
    X, y = make_data(Estimator, return_sequences, ragged, global_random_seed)
    rng = np.random.default_rng(global_random_seed)
    weight = rng.uniform(0, 3, len(X)) if kind == "sequences" else [rng.uniform(0, 3, len(x)) for x in X]
    weight[1] = 0 if kind == "sequences" else np.zeros(len(X[1]))
    estimator = random_network(Estimator, X, y, global_random_seed, return_sequences=return_sequences, alpha=0.5)
    assert_gradient_of_its_loss(estimator, X, y, weight)
    scaled = 7 * weight if kind == "sequences" else [7 * w for w in weight]
    estimator.set_params(alpha=0)
    assert_allclose(flat(loss_gradient(estimator, X, y, scaled)[1]), flat(loss_gradient(estimator, X, y, weight)[1]), rtol=1e-9)


@each_target
@each_raggedness
def test_the_gradient_of_labels_that_are_independent(return_sequences, ragged, global_random_seed):
    X, y = make_data(RNNClassifier, return_sequences, ragged, global_random_seed)
    y = [np.stack([a == 0, a > 0, a == 1], axis=-1).astype(int) for a in y]
    clf = random_network(RNNClassifier, X, y, global_random_seed, return_sequences=return_sequences)
    assert_gradient_of_its_loss(clf, X, y)


@each_target
def test_the_gradient_of_two_classes(return_sequences, global_random_seed):
    X, y = make_data(RNNClassifier, return_sequences, ragged=False, seed=global_random_seed)
    clf = random_network(RNNClassifier, X, np.array(["no", "yes"])[(y > 0).astype(int)], return_sequences=return_sequences)
    assert_gradient_of_its_loss(clf, X, np.array(["no", "yes"])[(y > 0).astype(int)])


@each_target
@pytest.mark.parametrize("loss", sorted(set(REGRESSION_LOSSES) - {"absolute_error", "quantile"}))
def test_the_gradient_of_every_smooth_loss(return_sequences, loss, global_random_seed):
    X, y = make_data(RNNRegressor, return_sequences, ragged=True, seed=global_random_seed)
    y = [np.stack([np.exp(a), np.abs(a)], axis=-1) for a in y]
    reg = random_network(RNNRegressor, X, y, global_random_seed, return_sequences=return_sequences, loss=loss)
    assert_gradient_of_its_loss(reg, X, y)


@each_cell
@each_target
def test_with_a_truncation_that_is_long_enough_it_is_still_the_gradient(cell, return_sequences):
    X, y = make_data(RNNRegressor, return_sequences, ragged=True)
    reg = random_network(RNNRegressor, X, y, cell=cell, return_sequences=return_sequences)
    _, full = loss_gradient(reg, X, y)
    _, truncated = loss_gradient(reg.set_params(truncation_length=6), X, y)
    assert_array_equal(flat(truncated), flat(full))
    loss, truncated = loss_gradient(reg.set_params(truncation_length=2), X, y)
    assert_allclose(loss, loss_gradient(reg.set_params(truncation_length=None), X, y)[0], rtol=1e-12)
    assert abs(flat(truncated) - flat(full)).max() > 1e-3


@each_cell
@pytest.mark.parametrize(("length", "stride"), [(2, 2), (4, 2), (3, 1)])
def test_the_truncated_gradient_is_the_sum_over_the_windows(cell, length, stride):
    X, y = make_data(RNNRegressor, return_sequences=True, ragged=False)
    reg = random_network(
        RNNRegressor, X, y, cell=cell, return_sequences=True, alpha=0, truncation_length=length, truncation_stride=stride
    )
    parts = []
    for start in range(0, 5, stride):
        weight = np.zeros(y.shape)
        weight[:, start : start + stride] = 1
        share = weight.sum() / weight.size
        parts.append(share * flat(loss_gradient(reg, X, y, weight)[1]))
    assert_allclose(flat(loss_gradient(reg, X, y)[1]), sum(parts), rtol=1e-9, atol=1e-12)


@each_estimator
@each_cell
@each_target
@each_raggedness
@pytest.mark.parametrize("parameters", [{}, {"truncation_length": 3}, {"checkpoint_interval": 2}], ids=str)
def test_a_step_of_plain_gradient_descent_follows_it(Estimator, cell, return_sequences, ragged, parameters):
    """``learning_rate_init`` times the gradient, subtracted: nothing else happens in training."""
    if return_sequences and "truncation_length" in parameters:
        parameters = {"truncation_length": 6, "truncation_stride": 6}  # one update
    X, y = make_data(Estimator, return_sequences, ragged)
    estimator = new(
        Estimator, cell=cell, return_sequences=return_sequences, solver="sgd", momentum=0, learning_rate_init=0.125,
        clip_norm=None, batch_size=len(X), shuffle=False, alpha=0.5, **parameters,
    )  # fmt: skip
    randomize(estimator.fit(X, y), np.random.default_rng(0))
    weight = np.random.default_rng(1).uniform(0.5, 2, len(X))
    loss, gradient = loss_gradient(estimator, X, y, weight)
    expected = {name: weights - 0.125 * gradient[name] for name, weights in weights_of(estimator).items()}
    estimator.partial_fit(X, y, sample_weight=weight)
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if ragged else {"rtol": 0}  # chunks of similar lengths are added up
    for name, weights in weights_of(estimator).items():
        assert_allclose(weights, expected[name], err_msg=name, **tolerance)
    assert_allclose(estimator.loss_, loss, rtol=1e-12)


def documented_loss(estimator, X, y, weight):
    """The weighted mean of the losses of targets, from predictions, plus the penalty."""
    if isinstance(estimator, RNNClassifier):
        losses = -np.take_along_axis(estimator.predict_log_proba(X), y[..., None], axis=-1)[..., 0]
    else:
        losses = 0.5 * np.square(estimator.predict(X) - y)
    squares = sum(np.square(coefs).sum() for coefs in estimator.coefs_.values())
    of_sequences = weight if weight.ndim == 1 else weight.mean(axis=1)
    per_target = np.broadcast_to(
        weight.reshape(len(weight), *(1,) * (losses.ndim - 1)) if weight.ndim == 1 else weight, losses.shape
    )
    return np.average(losses, weights=per_target) + estimator.alpha / 2 * squares / of_sequences.sum()


@each_estimator
@each_target
@pytest.mark.parametrize("kind", ["sequences", "steps"])
def test_the_loss_is_the_documented_one(Estimator, return_sequences, kind):
    X, y = make_data(Estimator, return_sequences, ragged=False)
    weight = np.random.default_rng(1).uniform(0, 3, y.shape if kind == "steps" else len(X))
    estimator = random_network(Estimator, X, y, return_sequences=return_sequences, alpha=0.7)
    assert_allclose(loss_gradient(estimator, X, y, weight)[0], documented_loss(estimator, X, y, weight), rtol=1e-9)


@each_estimator
@each_target
def test_many_sequences_are_one_batch(Estimator, return_sequences, monkeypatch):
    """However they are cut into chunks of bounded memory."""
    X, y = make_data(Estimator, return_sequences, ragged=True)
    estimator = random_network(Estimator, X, y, return_sequences=return_sequences, alpha=0.5)
    loss, gradient = loss_gradient(estimator, X, y)
    monkeypatch.setattr("skrnn._data.CHUNK_STEPS", 6)
    other_loss, other = loss_gradient(estimator, X, y)
    assert_allclose(other_loss, loss, rtol=1e-12)
    assert_allclose(flat(other), flat(gradient), rtol=1e-9, atol=1e-14)


def test_a_classifier_need_not_see_every_class():
    X, y = make_data(RNNClassifier, return_sequences=False, ragged=True)
    clf = random_network(RNNClassifier, X, y)
    loss, _ = loss_gradient(clf, X[:1], y[:1])
    penalty = clf.alpha / 2 * sum(np.square(coefs).sum() for coefs in clf.coefs_.values())
    assert_allclose(loss, -clf.predict_log_proba(X[:1])[0, y[0]] + penalty, rtol=1e-9)
    with pytest.raises(ValueError, match=r"y has classes \[3\]"):
        loss_gradient(clf, X[:1], [3])


def test_the_precision_is_that_of_the_estimator():
    X, y = make_data(RNNRegressor, return_sequences=True, ragged=False)
    reg = new(RNNRegressor, return_sequences=True, dtype="float32").fit(X, y)
    loss, gradient = loss_gradient(reg, X, y)
    assert isinstance(loss, float)
    assert {g.dtype for g in gradient.values()} == {np.dtype("float32")}


# -------------------------------------------------------------------- what both functions leave alone


@each_estimator
@each_cell
@each_target
@each_raggedness
@pytest.mark.parametrize("function", [loss_gradient, gradient_flow])
@pytest.mark.parametrize("stateful", [False, True])
def test_the_estimator_stays_as_it_is(Estimator, cell, return_sequences, ragged, function, stateful):
    X, y = make_data(Estimator, return_sequences, ragged=False)
    estimator = new(Estimator, cell=cell, return_sequences=return_sequences, stateful=stateful)
    options = {"classes": [0, 1, 2]} if Estimator is RNNClassifier else {}
    estimator.partial_fit(X, y, **options)
    before, attributes = pickle.dumps(estimator), dict(vars(estimator))
    X, y = make_data(Estimator, return_sequences, ragged)
    function(estimator, X, y)
    function(estimator, X[:4], y[:4])
    assert pickle.dumps(estimator) == before
    assert vars(estimator).keys() == attributes.keys()
    assert all(vars(estimator)[name] is value for name, value in attributes.items())


BAD = {
    "another number of features": (lambda X, y: (X[:, :, :1], y), {}, "1 features"),
    "NaN": (lambda X, y: (np.where(X > 0, np.nan, X), y), {}, "NaN"),
    "targets that are too few": (lambda X, y: (X, y[:-1]), {}, "inconsistent numbers of samples"),
    "targets of steps": (lambda X, _: (X, np.zeros((7, 5, 2))), {}, "Set return_sequences=True"),
    "other layers": (lambda X, y: (X, y), {"hidden_layer_sizes": 4}, "hidden_layer_sizes changed since the last fit"),
    "another cell": (lambda X, y: (X, y), {"cell": "rnn"}, "cell changed since the last fit"),
    "what can't go together": (lambda X, y: (X, y), {"truncation_stride": 2, "truncation_length": 1}, "not be greater than"),
}


@each_estimator
@pytest.mark.parametrize("function", [loss_gradient, gradient_flow])
@pytest.mark.parametrize(("change", "parameters", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused(Estimator, function, change, parameters, message):
    X, y = make_data(Estimator, return_sequences=False, ragged=False)
    estimator = new(Estimator).fit(X, y).set_params(**parameters)
    before = pickle.dumps(estimator)
    with pytest.raises(ValueError, match=message):
        function(estimator, *change(X, y))
    assert pickle.dumps(estimator) == before


@each_estimator
@pytest.mark.parametrize("function", [loss_gradient, gradient_flow])
def test_an_estimator_must_be_fitted(Estimator, function):
    with pytest.raises(NotFittedError):
        function(new(Estimator), *make_data(Estimator, return_sequences=False, ragged=False))


# -------------------------------------------------------------------- the flow of the gradient


DIRECTIONS = ("forward", "reverse")
POOLINGS = {"last": lambda hs: hs[-1], "mean": lambda hs: np.mean(hs, axis=0), "max": lambda hs: np.max(hs, axis=0)}


def states_of(estimator, weights, x, shift, at):
    """Hidden states of an Elman network, one sequence and one step at a time, by layer and direction; and the outputs.

    ``shift`` is added to the state of ``at``, (layer, direction, number of the step in the order of the direction).
    """
    inputs, states = list(x), {}
    for layer, size in enumerate(estimator.hidden_layer_sizes):
        outputs = []
        for direction in range(1 + estimator.bidirectional):
            W, U, b = (weights[f"layer{layer}.{DIRECTIONS[direction]}.h.{kind}"] for kind in ("recurrent", "input", "bias"))
            h, hs = np.zeros(size), []
            for k, u in enumerate(inputs[::-1] if direction else inputs):
                h = np.tanh(W @ h + U @ u + b)
                if (layer, direction, k) == at:
                    h = h + shift
                hs.append(h)
            states[layer, direction] = hs
            outputs.append(hs[::-1] if direction else hs)
        inputs = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    return states, inputs


def loss_of_sequence(estimator, weights, x, y, shift, at):
    """The loss of the sequence; with targets at every step that of the last step in the order of the direction of ``at``."""
    states, outputs = states_of(estimator, weights, x, shift, at)
    if estimator.return_sequences:
        last = -1 if at[1] == 0 else 0
        pooled, target = outputs[last], y[last]
    else:
        top = len(estimator.hidden_layer_sizes) - 1
        directions = [states[top, direction] for direction in range(1 + estimator.bidirectional)]
        pooled, target = np.concatenate([POOLINGS[name](hs) for name in estimator.pooling for hs in directions]), y
    raw = weights["readout"] @ pooled + weights["readout.bias"]
    if isinstance(estimator, RNNRegressor):
        return 0.5 * np.mean(np.square(raw - target))
    return np.log(np.exp(raw).sum()) - raw[target]


def least_lead(estimator, X):
    """By how much, at least, a state of the last layer at its maximum is larger than at any other step."""
    states = [states_of(estimator, weights_of(estimator), x, 0, None)[0] for x in X if len(x) > 1]
    top = len(estimator.hidden_layer_sizes) - 1
    ordered = [np.sort(hs, axis=0) for of_layers in states for (layer, _), hs in of_layers.items() if layer == top]
    return min((hs[-1] - hs[-2]).min() for hs in ordered)


def flow_by_differences(estimator, X, y):
    """Central differences with respect to every state of every sequence, collected by lag."""
    squares, weights = {}, weights_of(estimator)
    for x, target in zip(X, y, strict=True):
        for layer, size in enumerate(estimator.hidden_layer_sizes):
            for direction in range(1 + estimator.bidirectional):
                of_lags = squares.setdefault(f"layer{layer}.{DIRECTIONS[direction]}", np.zeros(max(map(len, X))))
                for k in range(len(x)):
                    at = layer, direction, k
                    for unit in np.eye(size):
                        up, down = (loss_of_sequence(estimator, weights, x, target, s * unit, at) for s in (1e-5, -1e-5))
                        of_lags[len(x) - 1 - k] += ((up - down) / 2e-5 / len(X)) ** 2
    return {name: np.sqrt(of_lags) for name, of_lags in squares.items()}


@each_estimator
@each_raggedness
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("return_sequences", "pooling"), [(False, ("last",)), (False, ("last", "mean", "max")), (True, ("last",))]
)
def test_the_flow_is_the_gradient_with_respect_to_every_state(
    Estimator, return_sequences, ragged, bidirectional, pooling, global_random_seed
):
    X, y = make_data(Estimator, return_sequences, ragged, global_random_seed)
    estimator = new(
        Estimator, cell="rnn", hidden_layer_sizes=(3, 2), bidirectional=bidirectional, pooling=pooling,
        return_sequences=return_sequences,
    ).fit(X, y)  # fmt: skip
    rng = np.random.default_rng(global_random_seed)
    randomize(estimator, rng)
    while least_lead(estimator, X) < 1e-4:  # a maximum that changes its step has no central difference
        randomize(estimator, rng)
    flow, expected = gradient_flow(estimator, X, y), flow_by_differences(estimator, X, y)
    assert flow.keys() == expected.keys()
    assert len(flow) == (4 if bidirectional else 2)
    for name, norms in expected.items():
        assert flow[name].shape == (max(map(len, X)),)
        assert flow[name].dtype == np.float64
        assert_allclose(flow[name], norms, rtol=1e-6, atol=1e-9, err_msg=name)
        assert norms[:2].all()


@each_estimator
@each_cell
@each_target
def test_the_flow_of_every_cell_is_that_of_predictions_from_a_shifted_state(
    Estimator, cell, return_sequences, global_random_seed
):
    X, y = make_data(Estimator, return_sequences, ragged=False, seed=global_random_seed)
    estimator = random_network(Estimator, X, y, global_random_seed, cell=cell, return_sequences=return_sequences)
    target = y[:, -1] if return_sequences else y

    def losses(t, unit, shift):
        """Of every sequence, with a shift of one hidden state after step ``t``."""
        _, state = estimator.predict(X[:, :t], return_state=True)
        state[:, unit] += shift
        if isinstance(estimator, RNNRegressor):
            predicted = estimator.predict(X[:, t:], state)
            return 0.5 * np.square((predicted[:, -1] if return_sequences else predicted) - target)
        predicted = estimator.predict_log_proba(X[:, t:], state)
        return -(predicted[:, -1] if return_sequences else predicted)[np.arange(len(X)), target]

    (flow,) = gradient_flow(estimator, X, y).values()
    for lag in range(1, 5):
        gradient = [(losses(5 - lag, unit, 1e-5) - losses(5 - lag, unit, -1e-5)) / 2e-5 / len(X) for unit in range(3)]
        assert_allclose(flow[lag], np.linalg.norm(gradient), rtol=1e-6)


@each_estimator
@each_cell
def test_truncation_checkpoints_and_streams_leave_the_flow_as_it_is(Estimator, cell):
    X, y = make_data(Estimator, return_sequences=False, ragged=True)
    estimator = random_network(Estimator, X, y, cell=cell, hidden_layer_sizes=(3, 2))
    expected = gradient_flow(estimator, X, y)
    for parameters in ({"truncation_length": 2}, {"checkpoint_interval": 2}, {"stateful": True}, {"alpha": 7.0}):
        flow = gradient_flow(estimator.set_params(**parameters), X, y)
        for name in expected:
            assert_array_equal(flow[name], expected[name])


@each_target
def test_many_sequences_flow_together(return_sequences, monkeypatch):
    X, y = make_data(RNNClassifier, return_sequences, ragged=True)
    clf = random_network(RNNClassifier, X, y, bidirectional=True, return_sequences=return_sequences)
    expected = gradient_flow(clf, X, y)
    monkeypatch.setattr("skrnn._data.CHUNK_STEPS", 6)
    for name, norms in gradient_flow(clf, X, y).items():
        assert_allclose(norms, expected[name], rtol=1e-12)


def identity_network(n_units, radius, T, return_sequences=False, residual=1.0):
    """A linear network at rest, with singular values of ``radius`` in the recurrent weights and a residual at the readout."""
    X = np.zeros((3, T, 1))
    reg = new(RNNRegressor, cell="rnn", activation="identity", hidden_layer_sizes=n_units, return_sequences=return_sequences)
    reg.fit(X[:, :2], np.zeros((3, 2)) if return_sequences else np.zeros(3))
    randomize(reg, np.random.default_rng(0))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(n_units, n_units)))[0]
    reg.coefs_["layer0.forward.h.recurrent"][...] = radius * rotation
    reg.intercepts_["layer0.forward.h.bias"][...] = 0
    reg.intercepts_["readout.bias"][...] = residual
    return reg, X, np.zeros((3, T)) if return_sequences else np.zeros(3)


@each_target
@pytest.mark.parametrize("radius", [0.4, 0.5, 0.99, 1.0, 1.5, 2.5])
def test_gradients_vanish_and_explode_at_the_rate_of_the_recurrent_matrix(return_sequences, radius):
    """With all singular values ``r``, the norm at lag ``k`` is ``r ** k`` times that at lag 0: 1e-199 for 0.4 at 500."""
    reg, X, y = identity_network(8, radius, 501, return_sequences)
    (norms,) = gradient_flow(reg, X, y).values()
    expected = np.linalg.norm(reg.coefs_["readout"]) / np.sqrt(3) * radius ** np.arange(501.0)
    assert_allclose(norms, expected, rtol=1e-9)
    assert_allclose(norms[1:] / norms[:-1], radius, rtol=1e-12)


@pytest.mark.parametrize("radius", [0.5, 1.5])
def test_the_rate_of_a_product_of_matrices_that_do_not_commute(radius):
    """The gradient at lag ``k`` is the readout times ``W ** k``."""
    reg, X, y = identity_network(6, 1.0, 40)
    W = np.random.default_rng(2).normal(size=(6, 6))
    W *= radius / np.abs(np.linalg.eigvals(W)).max()
    reg.coefs_["layer0.forward.h.recurrent"][...] = W
    (norms,) = gradient_flow(reg, X, y).values()
    expected = [np.linalg.norm(reg.coefs_["readout"] @ np.linalg.matrix_power(W, k)) / np.sqrt(3) for k in range(40)]
    assert_allclose(norms, expected, rtol=1e-9)
    assert_allclose((norms[-1] / norms[19]) ** (1 / 20), radius, rtol=0.1)


def test_norms_whose_squares_overflow_or_underflow_are_added_up():
    for residual in (1e-200, 1e200):
        reg, X, y = identity_network(8, 1.0, 5, residual=residual)
        (norms,) = gradient_flow(reg, X, y).values()
        assert_allclose(norms, residual * np.linalg.norm(reg.coefs_["readout"]) / np.sqrt(3), rtol=1e-9)


def test_a_gradient_of_zero_has_norm_zero():
    reg, X, y = identity_network(4, 0.5, 6, residual=0.0)
    (norms,) = gradient_flow(reg, X, y).values()
    assert_array_equal(norms, np.zeros(6))


def test_a_lag_that_only_the_longest_sequence_has_is_its_own():
    reg, _, _ = identity_network(4, 0.5, 6)
    X = [np.zeros((6, 1)), np.zeros((2, 1)), np.zeros((2, 1))]
    (norms,) = gradient_flow(reg, X, np.zeros(3)).values()
    shares = np.sqrt([3, 3, 1, 1, 1, 1]) / 3
    assert_allclose(norms, np.linalg.norm(reg.coefs_["readout"]) * 0.5 ** np.arange(6) * shares, rtol=1e-9)


# -------------------------------------------------------------------- influence balancing

#: (truncation length, derivative with respect to theta)
INFLUENCES = [(1, 1.0), (2, 2.0), (9, 9.0), (10, 10.0), (40, 0.566), (41, -0.219), (60, None), (100, -6.0), (None, -6.0)]


def balancing_network(return_sequences, n_steps=600):
    """23 linear units with ``s <- A s + theta v`` at its steady state, of which the readout shows the first.

    A has 1/2 on and above the diagonal; v is 1 for the first 10 units and -1 for the 13 others.
    """
    X = np.zeros((1, n_steps, 1))
    y = np.ones((1, n_steps)) if return_sequences else np.ones(1)
    reg = RNNRegressor(
        cell="rnn", activation="identity", hidden_layer_sizes=23, alpha=0, return_sequences=return_sequences, max_iter=1,
        random_state=0,
    ).fit(X[:, :2], y[:, :2] if return_sequences else y)  # fmt: skip
    direction = np.repeat([1.0, -1.0], [10, 13])
    for weights in weights_of(reg).values():
        weights[...] = 0
    reg.coefs_["layer0.forward.h.recurrent"][...] = 0.5 * (np.eye(23) + np.eye(23, k=1))
    reg.intercepts_["layer0.forward.h.bias"][...] = -1 / 3 * direction
    reg.coefs_["readout"][0, 0] = 1
    last = np.zeros((1, n_steps))
    last[:, -1] = 1
    return reg, X, y, direction, last if return_sequences else None


@each_target
@pytest.mark.parametrize(("length", "expected"), INFLUENCES)
def test_truncation_turns_the_gradient_of_influence_balancing_around(return_sequences, length, expected):
    """Tallec & Ollivier, "Unbiasing truncated backpropagation through time" (2017), section 5.1.

    The true derivative is negative, but units near the readout have the opposite influence: truncated to less than 41 steps,
    gradient descent goes the wrong way, and away from the target.
    """
    reg, X, y, direction, weight = balancing_network(return_sequences)
    assert_allclose(reg.predict(X).ravel()[-1], 2, rtol=1e-9)
    strides = [None] if length is None or not return_sequences else sorted({1, length // 2 or 1, length})
    for stride in strides:
        if stride is not None and 600 % stride:
            stride = 1  # the last window must end a stride
        reg.set_params(truncation_length=length, truncation_stride=stride)
        loss, gradient = loss_gradient(reg, X, y, weight)
        derivative = gradient["layer0.forward.h.bias"] @ direction
        assert_allclose(loss, 0.5, rtol=1e-9)
        A = reg.coefs_["layer0.forward.h.recurrent"]
        influences = [np.linalg.matrix_power(A, k)[0] @ direction for k in range(600 if length is None else length)]
        assert_allclose(derivative, sum(influences), rtol=1e-6)
        if expected is not None:
            assert_allclose(derivative, expected, atol=5e-4)
        assert (derivative > 0) == (length is not None and length <= 40)


@pytest.mark.parametrize(("length", "approaches"), [(10, False), (40, False), (100, True), (None, True)])
def test_training_of_influence_balancing_goes_where_the_gradient_points(length, approaches):
    """Of theta alone, from beyond the target: by truncated gradients the state goes further away."""
    reg, X, y, direction, _ = balancing_network(return_sequences=False)
    reg.set_params(truncation_length=length, solver="sgd", momentum=0, learning_rate_init=1e-4, clip_norm=None)
    theta, distances = -1 / 3, [1.0]
    for _ in range(3):
        kept = {name: weights.copy() for name, weights in weights_of(reg).items()}
        reg.partial_fit(X, y)
        theta += (reg.intercepts_["layer0.forward.h.bias"] - kept["layer0.forward.h.bias"]) @ direction
        for name, weights in weights_of(reg).items():
            weights[...] = theta * direction if name == "layer0.forward.h.bias" else kept[name]
        distances.append(abs(reg.predict(X)[0] - 1))
    assert (np.diff(distances) < 0).all() if approaches else (np.diff(distances) > 0).all()
