"""A target at every step: its forms, weights and errors, and that it is learned."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import model_selection
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score

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

LENGTHS = (4, 1, 6, 3, 6, 2, 5, 7, 1, 3, 5, 6)


def object_array(members):
    out = np.empty(len(members), dtype=object)
    out[:] = members
    return out


#: kind of target -> estimator, target of each step from a score and a noise of each step, shape of one target
KINDS = {
    "binary": (RNNClassifier, lambda s, _: (s > 0).astype(int), ()),
    "multiclass": (RNNClassifier, lambda s, _: np.digitize(s, [-0.5, 0.5]), ()),
    "strings": (RNNClassifier, lambda s, _: np.array(["down", "level", "up"])[np.digitize(s, [-0.5, 0.5])], ()),
    "multilabel": (RNNClassifier, lambda s, e: np.stack([s > 0, e > 0, s + e > 0], axis=-1).astype(int), (3,)),
    "real": (RNNRegressor, lambda s, _: s, ()),
    "several": (RNNRegressor, lambda s, e: np.stack([s, s + e], axis=-1), (2,)),
}
#: form -> are the sequences of equal length, the form of X, the form of y and of weights of steps
FORMS = {
    "3-D": (True, np.stack, np.stack),
    "rows": (True, lambda x: np.stack(x).reshape(len(x), -1), np.stack),
    "list": (False, list, list),
    "object array": (False, object_array, object_array),
    "list of equal lengths": (True, list, list),
    "object array of equal lengths": (True, object_array, object_array),
    "nested lists of targets": (False, list, lambda y: [a.tolist() for a in y]),
    "separate sequences, one array of targets": (True, object_array, np.stack),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_form = pytest.mark.parametrize("form", FORMS)
each_raggedness = pytest.mark.parametrize("form", ["3-D", "list"])


def make_steps(form, kind, seed=0):
    """Members of ``X`` and of ``y``; a target depends on this step and the one before."""
    rng = np.random.default_rng(seed)
    lengths = (5,) * len(LENGTHS) if FORMS[form][0] else LENGTHS
    xs = [rng.normal(size=(T, 2)) for T in lengths]
    scores = [x[:, 0] + np.r_[0, x[:-1, 1]] for x in xs]
    return xs, [KINDS[kind][1](s, x[:, 1]) for s, x in zip(scores, xs, strict=True)]


def make_data(form="3-D", kind="binary"):
    _, of_X, of_y = FORMS[form]
    xs, ys = make_steps(form, kind)
    return of_X(xs), of_y(ys)


def new(kind="binary", **parameters):
    Estimator = KINDS[kind][0] if isinstance(kind, str) else kind
    defaults = {"hidden_layer_sizes": 4, "max_iter": 3, "batch_size": 5, "learning_rate_init": 0.02, "random_state": 0}
    defaults["learning_rate"] = "constant"
    return Estimator(**{**defaults, "return_sequences": True, "n_features_per_step": 2, **parameters})


def assert_form(result, xs, form, shape):
    """Has the result one entry of a shape for each step of each sequence, in the form in which ``X`` came?"""
    assert type(result) is np.ndarray
    if FORMS[form][1] in (list, object_array):
        assert result.shape == (len(xs),)
        assert result.dtype == object
        assert [a.shape for a in result] == [(len(x), *shape) for x in xs]
    else:
        assert result.shape == (len(xs), len(xs[0]), *shape)
        assert result.dtype != object


def assert_same_bits(one, other):
    assert_array_equal(one._theta, other._theta)
    assert one.loss_curve_ == other.loss_curve_


# -------------------------------------------------------------------- forms


@each_form
@each_kind
@each_cell
def test_predictions_have_one_entry_for_each_step_in_the_form_of_the_input(form, kind, cell):
    X, y = make_data(form, kind)
    estimator, xs, shape = new(kind, cell=cell).fit(X, y), make_steps(form, kind)[0], KINDS[kind][2]
    assert_form(estimator.predict(X), xs, form, shape)
    steps = concatenate_steps(estimator.predict(X))
    if KINDS[kind][0] is RNNRegressor:
        assert steps.dtype == np.float64
        return
    n_classes = len(estimator.classes_)
    for name in ("predict_proba", "predict_log_proba"):
        assert_form(getattr(estimator, name)(X), xs, form, (n_classes,))
    probabilities = concatenate_steps(estimator.predict_proba(X))
    assert_allclose(np.log(probabilities), concatenate_steps(estimator.predict_log_proba(X)), rtol=1e-9)
    if kind == "multilabel":
        assert_array_equal(steps, probabilities > 0.5)
        assert not np.allclose(probabilities.sum(axis=1), 1)
    else:
        assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
        assert_array_equal(steps, estimator.classes_[probabilities.argmax(axis=1)])
        assert steps.dtype == estimator.classes_.dtype
    assert 0 < probabilities.min() < probabilities.max() < 1


@each_form
@each_kind
def test_the_form_of_the_input_changes_no_bit_of_the_model(form, kind):
    expected = new(kind).fit(*make_data("3-D" if FORMS[form][0] else "list", kind))
    assert_same_bits(new(kind).fit(*make_data(form, kind)), expected)


@each_kind
def test_targets_and_weights_may_be_frames_and_series_with_any_index(kind):
    X, y = make_data("3-D", kind)
    weight, index = np.random.default_rng(0).uniform(0.5, 2, y.shape[:2]), np.arange(len(y)) + 7
    expected = new(kind).fit(X, y, weight)
    series = [pd.Series(list(y), index=index), pd.Series(list(weight), index=index)]
    assert_same_bits(new(kind).fit(X, *series), expected)
    if y.ndim == 2:
        assert_same_bits(new(kind).fit(X, *(pd.DataFrame(a, index=index) for a in (y, weight))), expected)


@each_kind
@each_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_sequences_of_a_batch_are_predicted_as_one_by_one(kind, cell, bidirectional):
    X, y = make_data("list", kind)
    estimator = new(kind, cell=cell, bidirectional=bidirectional, hidden_layer_sizes=(4, 3)).fit(X, y)
    method = estimator.predict if KINDS[kind][0] is RNNRegressor else estimator.predict_proba
    alone = np.concatenate([method(x[None])[0] for x in X])
    assert_allclose(np.concatenate(method(X)), alone, rtol=1e-12, atol=1e-14)
    assert_allclose(np.concatenate(method(X[::-1])[::-1]), alone, rtol=1e-12, atol=1e-14)


@each_kind
def test_without_a_way_back_a_prediction_depends_on_the_steps_before_alone(kind):
    X, y = make_data("3-D", kind)
    estimator = new(kind, cell="lstm").fit(X, y)
    assert_array_equal(estimator.predict(X)[:, :3], estimator.predict(X[:, :3]))


def test_the_probability_of_a_step_is_the_readout_of_its_state():
    X, y = make_data("list", "multiclass")
    clf = new("multiclass", hidden_layer_sizes=(4, 3), bidirectional=True).fit(X, y)
    raw = np.concatenate(clf.hidden_states(X)) @ clf.coefs_["readout"].T + clf.intercepts_["readout.bias"]
    odds = np.exp(raw)
    assert_allclose(concatenate_steps(clf.predict_proba(X)), odds / odds.sum(axis=1, keepdims=True), rtol=1e-9)


def test_what_would_explode_in_the_padding_disturbs_nothing():
    """A state that triples at every step overflows after 650; the short sequences end before, the long one rests at zero."""
    X = [np.zeros((900, 1)), np.ones((3, 1)), np.full((5, 1), -1.0)]
    y = [np.zeros(len(x)) for x in X]
    reg = RNNRegressor(
        hidden_layer_sizes=2, cell="rnn", activation="identity", return_sequences=True, max_iter=1, random_state=0
    ).fit([x[:2] for x in X], [a[:2] for a in y])  # fmt: skip
    reg.coefs_["layer0.forward.h.recurrent"][...] = 3 * np.eye(2)
    for bias in reg.intercepts_.values():
        bias[...] = 0
    assert_allclose(np.concatenate(reg.predict(X)), np.concatenate([reg.predict([x])[0] for x in X]), rtol=1e-12)
    _, gradient = loss_gradient(reg, X, y)  # which takes sequences of similar length together
    expected = {name: weights - 1e-3 * gradient[name] for name, weights in {**reg.coefs_, **reg.intercepts_}.items()}
    reg.set_params(solver="sgd", momentum=0, learning_rate_init=1e-3, clip_norm=None, batch_size=3)
    for interval in (None, 30):
        trained = copy.deepcopy(reg).set_params(checkpoint_interval=interval).partial_fit(X, y)
        for name, weights in {**trained.coefs_, **trained.intercepts_}.items():
            assert_allclose(weights, expected[name], rtol=1e-9, atol=1e-12)


def test_pooling_has_no_part_in_targets_at_every_step():
    X, y = make_data("list")
    assert_same_bits(new(pooling=("mean", "max")).fit(X, y), new().fit(X, y))


def test_the_parameter_may_change_between_fit_and_predict():
    """What was fitted counts."""
    X, y = make_data()
    clf = new().fit(X, y)
    expected = clf.predict(X), clf.score(X, y)
    clf.set_params(return_sequences=False)
    assert_array_equal(clf.predict(X), expected[0])
    assert clf.score(X, y) == expected[1]
    pooled = new(return_sequences=False).fit(X, y[:, -1])
    expected = pooled.score(X, y[:, -1])
    assert pooled.set_params(return_sequences=True).score(X, y[:, -1]) == expected
    with pytest.raises(NotFittedError):
        new().score(X, y)


# -------------------------------------------------------------------- scores


@each_form
@each_kind
@pytest.mark.parametrize("weights_of", [None, "sequences", "steps"])
def test_the_score_is_the_metric_of_all_steps(form, kind, weights_of):
    X, y = make_data(form, kind)
    estimator, lengths = new(kind).fit(X, y), [len(x) for x in make_steps(form, kind)[0]]
    rng = np.random.default_rng(1)
    sample_weight = of_steps = None
    if weights_of == "sequences":
        sample_weight = rng.uniform(0.1, 3, len(lengths))
        of_steps = np.repeat(sample_weight, lengths)
    elif weights_of == "steps":
        parts = [rng.uniform(0.1, 3, T) for T in lengths]
        sample_weight, of_steps = FORMS[form][2](parts), np.concatenate(parts)
    metric = r2_score if KINDS[kind][0] is RNNRegressor else accuracy_score
    expected = metric(concatenate_steps(y), concatenate_steps(estimator.predict(X)), sample_weight=of_steps)
    assert_allclose(estimator.score(X, y, sample_weight), expected, rtol=1e-12)


# -------------------------------------------------------------------- what is learned


def make_parity(n, n_timesteps, seed):
    """Is the number of ones so far odd?"""
    X = np.random.default_rng(seed).integers(0, 2, (n, n_timesteps, 1)).astype(float)
    return X, X.cumsum(axis=1)[:, :, 0].astype(int) % 2


def make_delayed_copy(n, n_timesteps, seed, delay=3):
    """The symbol of three steps ago, in sequences of unequal length."""
    rng = np.random.default_rng(seed)
    symbols = [rng.integers(0, 3, T) for T in rng.integers(delay + 1, n_timesteps + 1, n)]
    labels = np.array(["a", "b", "c"])
    return [np.eye(3)[s] for s in symbols], [labels[np.r_[[0] * delay, s[:-delay]]] for s in symbols]


@each_cell
def test_the_running_parity_is_learned(cell):
    """Every target depends on all steps before it: on the last step alone it is a coin toss."""
    X, y = make_parity(256, 8, seed=0)
    clf = RNNClassifier(
        12, cell=cell, return_sequences=True, max_iter=150, learning_rate_init=0.03, learning_rate="cosine", random_state=0
    )
    clf.fit(X, y)
    X, y = make_parity(256, 16, seed=1)
    assert clf.score(X, y) > 0.95


@each_cell
def test_a_delayed_copy_is_learned(cell):
    clf = RNNClassifier(
        16, cell=cell, return_sequences=True, max_iter=80, learning_rate_init=0.02, learning_rate="cosine", random_state=0
    )
    clf.fit(*make_delayed_copy(200, 16, seed=0))
    assert clf.score(*make_delayed_copy(100, 20, seed=1)) > 0.99


@each_cell
def test_a_difference_of_past_steps_is_learned(cell):
    X = np.random.default_rng(0).uniform(-1, 1, (200, 10, 1))
    y = np.stack([X[:, :, 0], np.concatenate([X[:, :1], X[:, 1:] - X[:, :-1]], axis=1)[:, :, 0]], axis=2)
    reg = RNNRegressor(
        hidden_layer_sizes=16, cell=cell, return_sequences=True, max_iter=60, learning_rate_init=0.02, learning_rate="cosine",
        random_state=0,
    )  # fmt: skip
    assert reg.fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.99


def test_what_comes_later_is_learned_in_both_directions_only():
    X = np.random.default_rng(0).integers(0, 2, (150, 8, 1)).astype(float)
    y = np.concatenate([X[:, 2:, 0], X[:, :2, 0]], axis=1).astype(int)
    y[:, -2:] = 0
    parameters = {"return_sequences": True, "max_iter": 40, "learning_rate_init": 0.03, "learning_rate": "cosine"}
    scores = [
        RNNClassifier(12, bidirectional=both, random_state=0, **parameters).fit(X[:100], y[:100]).score(X[100:], y[100:])
        for both in (False, True)
    ]
    assert scores[0] < 0.7
    assert scores[1] > 0.99


@pytest.mark.parametrize("kind", ["binary", "multilabel", "real", "several"])
@each_raggedness
@pytest.mark.parametrize("parameters", [{}, {"bidirectional": True}, {"hidden_layer_sizes": (4, 3)}], ids=str)
def test_lbfgs_goes_downhill_on_the_same_objective(kind, form, parameters):
    X, y = make_data(form, kind)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    estimator = new(kind, solver="lbfgs", max_iter=40, alpha=0.1, **parameters).fit(X, y, weight)
    assert (np.diff(estimator.loss_curve_) <= 0).all()
    assert estimator.loss_ < 0.6 * estimator.loss_curve_[0]
    assert_allclose(estimator.loss_, loss_gradient(estimator, X, y, weight)[0], rtol=1e-12)
    of_steps = np.repeat(weight, [len(x) for x in X])
    assert_allclose(estimator.loss_, objective(estimator, X, y, of_steps, weight.sum()), rtol=1e-9)


# -------------------------------------------------------------------- the objective


def objective(estimator, X, y, of_steps, total_of_sequences):
    """The documented loss: the weighted mean over all steps, plus the penalty."""
    y = concatenate_steps(y)
    if isinstance(estimator, RNNRegressor):
        losses = 0.5 * np.square(concatenate_steps(estimator.predict(X)) - y).reshape(len(y), -1).mean(axis=1)
    else:
        p = concatenate_steps(estimator.predict_proba(X))
        if y.ndim == 1:
            losses = -np.log(p[np.arange(len(y)), np.searchsorted(estimator.classes_, y)])
        else:
            losses = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1)
    squares = sum(np.square(weights).sum() for weights in estimator.coefs_.values())
    return np.average(losses, weights=of_steps) + estimator.alpha / 2 * squares / total_of_sequences


@each_kind
@each_raggedness
@pytest.mark.parametrize("weights_of", [None, "sequences", "steps"])
def test_the_loss_of_an_epoch_is_the_documented_objective(kind, form, weights_of):
    X, y = make_data(form, kind)
    lengths = np.array([len(x) for x in X])
    parts = [np.ones(T) for T in lengths]
    rng = np.random.default_rng(1)
    if weights_of == "sequences":
        parts = [np.full(T, rng.uniform(0.1, 3)) for T in lengths]
    elif weights_of == "steps":
        parts = [rng.uniform(0.1, 3, T) for T in lengths]
    sample_weight = {None: None, "sequences": [p[0] for p in parts], "steps": FORMS[form][2](parts)}[weights_of]
    estimator = new(kind, alpha=0.3, learning_rate_init=1e-12, max_iter=1, batch_size=len(X)).fit(X, y, sample_weight)
    expected = objective(estimator, X, y, np.concatenate(parts), sum(p.mean() for p in parts))
    assert_allclose(estimator.loss_, expected, rtol=1e-9)


@each_kind
@each_raggedness
def test_training_begins_at_the_base_rate_of_the_weighted_steps(kind, form):
    X, y = make_data(form, kind)
    parts = [np.random.default_rng(i).integers(0, 3, len(x)).astype(float) for i, x in enumerate(X)]
    estimator = new(kind, learning_rate_init=1e-12, max_iter=1).fit(X, y, FORMS[form][2](parts))
    steps, weight = concatenate_steps(y), np.concatenate(parts)
    bias = estimator.intercepts_["readout.bias"]
    if KINDS[kind][0] is RNNRegressor or kind == "multilabel":
        rate = np.average(steps, axis=0, weights=weight)
        expected = rate if KINDS[kind][0] is RNNRegressor else np.log(rate / (1 - rate))
    else:
        rates = np.array([weight[steps == c].sum() for c in np.unique(steps)]) / weight.sum()
        expected = np.log(rates[1] / rates[0]) if kind == "binary" else np.log(rates)
    assert_allclose(bias, np.atleast_1d(expected), rtol=1e-9)


# -------------------------------------------------------------------- weights


@pytest.mark.filterwarnings("ignore:. is not scaled")
@each_kind
@each_raggedness
@each_cell
def test_the_target_of_a_step_of_weight_zero_does_not_matter(kind, form, cell):
    X, y = make_data(form, kind)
    rng = np.random.default_rng(3)
    weight = [rng.integers(0, 3, len(x)).astype(float) for x in X]
    other = [a.copy() for a in y]
    for a, b, w in zip(y, other, weight, strict=True):
        b[w == 0] = a[::-1][w == 0] if kind not in ("real", "several") else 1e6
    assert any((a != b).any() for a, b in zip(y, other, strict=True))
    of_y, estimator = FORMS[form][2], new(kind, cell=cell, hidden_layer_sizes=(4, 3), truncation_length=3)
    expected = clone(estimator).fit(X, y, of_y(weight))
    assert_same_bits(clone(estimator).fit(X, of_y(other), of_y(weight)), expected)
    assert (clone(estimator).fit(X, of_y(other))._theta != clone(estimator).fit(X, y)._theta).any()
    if kind in ("real", "several"):
        for each, targets in ((expected, y), (other_one := clone(estimator).fit(X, of_y(other), of_y(weight)), of_y(other))):
            each.partial_fit(X, targets, sample_weight=of_y(weight))
        assert_same_bits(other_one, expected)


@each_kind
@each_raggedness
def test_a_step_of_weight_zero_is_read(kind, form):
    X, y = make_data(form, kind)
    weight = [np.r_[np.zeros(len(x) - 1), 1.0] for x in X]
    changed = [np.concatenate([-x[:-1], x[-1:]]) for x in X]
    of_X, of_y = FORMS[form][1:]
    assert (new(kind).fit(of_X(changed), y, of_y(weight))._theta != new(kind).fit(X, y, of_y(weight))._theta).any()


@each_kind
@each_raggedness
@pytest.mark.parametrize("weights_of", ["sequences", "steps"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_sequence_of_weight_zero_is_as_if_it_were_not_there(kind, form, weights_of, solver):
    xs, ys = make_steps(form, kind)
    of_X, of_y = FORMS[form][1:]
    own = np.array([True, False, True, True, True, True, False, True, True, True, False, True])
    if KINDS[kind][0] is RNNClassifier:  # of which every class remains
        assert_array_equal(
            np.unique(np.concatenate([a for a, k in zip(ys, own, strict=True) if k])), np.unique(np.concatenate(ys))
        )
    xs = [x if keep else 1e3 * x for x, keep in zip(xs, own, strict=True)]
    weight = (
        own.astype(float)
        if weights_of == "sequences"
        else of_y([np.full(len(x), float(k)) for x, k in zip(xs, own, strict=True)])
    )
    estimator = new(kind, solver=solver)
    present = [[a for a, keep in zip(members, own, strict=True) if keep] for members in (xs, ys)]
    expected = clone(estimator).fit(of_X(present[0]), of_y(present[1]))
    fitted = clone(estimator).fit(of_X(xs), of_y(ys), weight)
    assert_same_bits(fitted, expected)
    assert fitted.t_ == expected.t_


@each_kind
@each_raggedness
@pytest.mark.parametrize("weights_of", ["sequences", "steps"])
def test_whole_weights_of_sequences_are_repetitions(kind, form, weights_of):
    xs, ys = make_steps(form, kind)
    of_X, of_y = FORMS[form][1:]
    times = np.array([1, 2, 3, 1, 2, 1, 1, 3, 1, 2, 1, 1])
    repeated = [[m for m, k in zip(members, times, strict=True) for _ in range(k)] for members in (xs, ys)]
    weight = times if weights_of == "sequences" else of_y([np.full(len(x), float(k)) for x, k in zip(xs, times, strict=True)])
    estimator = new(kind, batch_size=40, alpha=0.1, max_iter=8)
    expected = clone(estimator).fit(of_X(repeated[0]), of_y(repeated[1]))
    fitted = clone(estimator).fit(of_X(xs), of_y(ys), weight)
    assert_allclose(fitted._theta, expected._theta, atol=1e-9)
    assert (abs(fitted._theta - clone(estimator).fit(of_X(xs), of_y(ys))._theta) > 1e-4).any()


@each_raggedness
def test_one_weight_for_all_steps_of_a_sequence_is_the_weight_of_the_sequence(form):
    X, y = make_data(form)
    weight = np.arange(1.0, 13.0)
    of_steps = FORMS[form][2]([np.full(len(x), w) for x, w in zip(X, weight, strict=True)])
    assert_allclose(new().fit(X, y, of_steps)._theta, new().fit(X, y, weight)._theta, rtol=1e-9)


# -------------------------------------------------------------------- ways to train


@pytest.fixture
def held_out(monkeypatch):
    """Record of ``(held in, held out)`` of every validation split."""
    splits, split = [], model_selection.train_test_split

    def recording_split(index, **options):
        splits.append(split(index, **options))
        return splits[-1]

    monkeypatch.setattr(model_selection, "train_test_split", recording_split)
    return splits


@each_kind
@each_raggedness
@pytest.mark.parametrize("weights_of", [None, "sequences", "steps"])
def test_early_stopping_restores_the_weights_with_the_best_score_of_steps(kind, form, weights_of, held_out):
    xs, ys = make_steps(form, kind)
    of_X, of_y = FORMS[form][1:]
    parts = [np.random.default_rng(i).uniform(0.5, 2, len(x)) for i, x in enumerate(xs)]
    weight = {None: None, "sequences": np.array([p[0] for p in parts]), "steps": of_y(parts)}[weights_of]
    estimator = new(kind, early_stopping=True, validation_fraction=0.3, max_iter=12, learning_rate_init=0.3, clip_norm=None)
    estimator.fit(of_X(xs), of_y(ys), weight)
    ((_, out),) = held_out
    take = None if weight is None else (weight[out] if weights_of == "sequences" else of_y([parts[i] for i in out]))
    score = estimator.score(of_X([xs[i] for i in out]), of_y([ys[i] for i in out]), take)
    assert_allclose(score, estimator.best_validation_score_, rtol=1e-9)
    assert estimator.best_validation_score_ == max(estimator.validation_scores_) > min(estimator.validation_scores_)


@each_kind
@each_raggedness
@pytest.mark.parametrize(
    "parameters", [{}, {"truncation_length": 3, "truncation_stride": 2}, {"checkpoint_interval": 2}], ids=str
)
def test_fit_is_one_partial_fit_an_epoch_and_goes_on_with_a_warm_start(kind, form, parameters):
    X, y = make_data(form, kind)
    estimator = new(kind, max_iter=4, **parameters)
    whole = clone(estimator).fit(X, y)
    warm = clone(estimator).set_params(warm_start=True, max_iter=2)
    assert_same_bits(warm.fit(X, y).fit(X, y), whole)
    classes = {} if KINDS[kind][0] is RNNRegressor else {"classes": whole.classes_}
    parts = clone(estimator).partial_fit(X, y, **classes)
    for _ in range(3):
        pickled = pickle.loads(pickle.dumps(parts))
        assert_same_bits(pickled.partial_fit(X, y), parts.partial_fit(X, y))
    assert_same_bits(parts, whole)
    assert_array_equal(concatenate_steps(parts.predict(X)), concatenate_steps(whole.predict(X)))


@each_raggedness
def test_partial_fit_takes_classes_that_come_later(form):
    X, y = make_data(form, "strings")
    clf = new("strings").partial_fit(X, y, classes=["level", "down", "sideways", "up"])
    assert_array_equal(clf.classes_, ["down", "level", "sideways", "up"])
    assert concatenate_steps(clf.predict_proba(X)).shape[1] == 4
    clf.partial_fit(X[:1], [np.full(len(X[0]), "sideways")])
    assert clf.n_iter_ == 2


@each_kind
@each_form
def test_a_clone_is_unfitted_and_trains_alike(kind, form):
    X, y = make_data(form, kind)
    fitted = new(kind).fit(X, y)
    copied = clone(fitted)
    with pytest.raises(NotFittedError):
        copied.predict(X)
    assert_same_bits(copied.fit(X, y), fitted)


@pytest.mark.filterwarnings("ignore:. is not scaled")
@each_raggedness
@pytest.mark.parametrize("loss", ["absolute_error", "huber", "poisson", "quantile"])
def test_every_loss_of_the_regressor_falls(loss, form):
    X, y = make_data(form, "several")
    y = FORMS[form][2]([np.exp(a) for a in y])
    reg = new("several", loss=loss, max_iter=20).fit(X, y)
    assert reg.loss_ < 0.95 * reg.loss_curve_[0]


def test_a_poisson_model_goes_on_with_counts_of_zero():
    X, y = make_data("3-D", "binary")
    reg = new("real", loss="poisson")
    with pytest.raises(ValueError, match="poisson"):
        reg.partial_fit(X, np.zeros_like(y))
    reg.partial_fit(X, y).partial_fit(X, np.zeros_like(y))
    assert reg.n_iter_ == 2
    with pytest.raises(ValueError, match="poisson"):
        reg.partial_fit(X, -y)


# -------------------------------------------------------------------- errors


def state_of(estimator):
    return pickle.dumps(estimator)


def test_weights_of_steps_need_targets_of_steps():
    X, y = make_data()
    with pytest.raises(ValueError, match=r"(?i)sample.weights? must be 1D"):
        new(return_sequences=False).fit(X, y[:, 0], sample_weight=np.ones(y.shape))


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("strings", lambda y: np.where(y == "up", "sideways", y), "y has classes .*sideways"),
        ("binary", lambda y: y + 1, r"y has classes \[1 2\]"),
        ("multilabel", lambda y: y[:, :, :2], "y has classes"),
        ("multilabel", lambda y: y[:, :, 0], "back|classes"),
        ("binary", lambda y: np.stack([y, 1 - y], axis=2), "single labels to multilabel"),
    ],
)
def test_targets_of_another_kind_are_refused_when_training_goes_on(kind, change, message):
    X, y = make_data("3-D", kind)
    clf = new(kind).fit(X, y)
    before = state_of(clf)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, change(y))
    assert state_of(clf) == before


@each_estimator
def test_training_does_not_go_on_with_targets_of_sequences_after_those_of_steps(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y).set_params(return_sequences=False)
    before = state_of(estimator)
    with pytest.raises(ValueError, match="return_sequences changed since the last fit"):
        estimator.partial_fit(X, y[:, 0])
    assert state_of(estimator) == before


def test_a_target_of_weight_zero_may_be_anything():
    X = np.random.default_rng(0).normal(size=(5, 8, 2)).astype(np.float32)
    y, weight = X.sum(axis=2), np.ones((5, 8))
    weight[:, ::3] = 0
    expected = RNNRegressor(return_sequences=True, max_iter=2, learning_rate="cosine", random_state=0).fit(X, y, weight)
    filled = np.where(weight > 0, y, 1e25)
    reg = clone(expected).fit(X, filled, weight)
    assert_array_equal(reg.predict(X), expected.predict(X))
