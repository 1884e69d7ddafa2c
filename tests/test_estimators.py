"""Behaviour of the two estimators, apart from how they are trained."""

import copy
import inspect
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS
from skrnn._core.initializers import INIT_SCHEMES
from skrnn._core.losses import REGRESSION_LOSSES
from skrnn._optim.schedules import SCHEDULES
from skrnn._optim.solvers import SOLVERS
from skrnn.preprocessing import PerStep

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [RNNClassifier, RNNRegressor]
each_estimator = pytest.mark.parametrize("Estimator", ESTIMATORS)
each_cell = pytest.mark.parametrize("cell", CELLS)


def new(Estimator, **parameters):
    """A tiny network that trains in milliseconds."""
    return Estimator(**{"hidden_layer_sizes": 4, "max_iter": 3, "random_state": 0, **parameters})


def trained(Estimator, **parameters):
    """Parameters with which the tasks of this file are learned."""
    return new(Estimator, **{"hidden_layer_sizes": 8, "max_iter": 60, "learning_rate_init": 0.02, **parameters})


def at_start(Estimator, **parameters):
    """An estimator whose one update is too small to change any weight."""
    return new(Estimator, max_iter=1, learning_rate_init=1e-320, clip_norm=1e-10, solver="sgd", **parameters)


def make_members(n=30, n_classes=2, lengths=(5,), n_features=2, seed=0):
    """Sequences around a level that depends on their class, and the classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    lengths = rng.choice(lengths, n)
    return [rng.normal(c - (n_classes - 1) / 2, 0.2, (T, n_features)) for c, T in zip(y, lengths, strict=True)], y


def make_data(n=30, n_classes=2, **options):
    """The same as a 3-D array."""
    members, y = make_members(n, n_classes, **options)
    return np.stack(members), y


def object_array(members):
    out = np.empty(len(members), dtype=object)
    out[:] = members
    return out


#: forms of the same sequences of equal lengths
FORMS = {
    "3-D": np.stack,
    "list": list,
    "object array": object_array,
    "nested lists": lambda members: [x.tolist() for x in members],
    "2-D": lambda members: np.stack([x.ravel() for x in members]),
}
RAGGED_FORMS = {name: FORMS[name] for name in ("list", "object array", "nested lists")}
each_ragged_form = pytest.mark.parametrize("form", RAGGED_FORMS.values(), ids=RAGGED_FORMS)


def state_of(estimator):
    """A deep copy of all that an estimator holds."""
    return copy.deepcopy(estimator.__dict__)


def assert_same_state(one, other):
    """Compare nested dicts, lists and arrays bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same_state(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert_array_equal(one, other)
    else:
        assert one == other


# -------------------------------------------------------------------- labels


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_probabilities_are_in_the_order_of_classes_and_add_up_to_one(n_classes):
    X, y = make_data(n=10 * n_classes, n_classes=n_classes)
    clf = trained(RNNClassifier).fit(X, y)
    probabilities = clf.predict_proba(X)
    assert probabilities.shape == (len(X), n_classes)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    assert_array_equal(clf.classes_[probabilities.argmax(axis=1)], clf.predict(X))
    assert clf.n_outputs_ == (1 if n_classes == 2 else n_classes)
    assert clf.out_activation_ == ("logistic" if n_classes == 2 else "softmax")


def make_multilabel():
    X, y = make_data(n=40, n_classes=4)
    return X, np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]])[y]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, lambda y: y.astype(bool), lambda y: y.astype(np.int8)])
def test_multilabel_targets_are_learned_label_by_label(form):
    X, y = make_multilabel()
    clf = trained(RNNClassifier).fit(X, form(y))
    assert_array_equal(clf.classes_, [0, 1, 2])
    assert_array_equal(clf.predict(X), y)
    probabilities = clf.predict_proba(X)
    assert probabilities.shape == y.shape
    assert_array_equal(probabilities > 0.5, y)
    assert (clf.n_outputs_, clf.out_activation_, clf.score(X, y)) == (3, "logistic", 1)


def test_two_labels_are_not_two_classes():
    X, y = make_multilabel()
    assert new(RNNClassifier).fit(X, y[:, :2]).predict(X).shape == (40, 2)


def test_one_label_of_a_multilabel_problem_is_the_binary_problem():
    X, y = make_data()
    binary = new(RNNClassifier).fit(X, y)
    multilabel = new(RNNClassifier).fit(X, np.column_stack([y, y]))
    assert multilabel.predict_proba(X).shape == (30, 2)
    assert binary.predict_proba(X).shape == (30, 2)
    assert binary.n_outputs_ == 1
    assert multilabel.n_outputs_ == 2


def set_logit(clf, value):
    """Make the raw predictions of all sequences ``value``, through the views of the readout."""
    clf.coefs_["readout"][...] = 0
    clf.intercepts_["readout.bias"][...] = value


@pytest.mark.parametrize(("dtype", "logit"), [(np.float64, 700.0), (np.float64, 5000.0), (np.float32, 80.0)])
def test_log_probabilities_are_exact_where_the_probability_vanishes(dtype, logit):
    X, y = make_data(n_classes=3)
    X = X.astype(dtype)
    several, two, multilabel = (new(RNNClassifier).fit(X, y) for y in (y, y > 0, np.eye(3, dtype=int)[y]))
    set_logit(several, [-logit, 0, -logit / 2])
    assert_allclose(several.predict_log_proba(X[:1]), [[-logit, 0, -logit / 2]], rtol=1e-7, atol=1e-12)
    set_logit(two, logit)
    assert_allclose(two.predict_log_proba(X[:1]), [[-logit, 0]], rtol=1e-7, atol=1e-12)
    set_logit(multilabel, [-logit, logit, 0])
    assert_allclose(multilabel.predict_log_proba(X[:1]), [[-logit, 0, -np.log(2)]], rtol=1e-7, atol=1e-12)


def test_small_probabilities_do_not_vanish_in_float32():
    X, y = make_data()
    clf = new(RNNClassifier).fit(X.astype(np.float32), y)
    set_logit(clf, -40)
    assert_allclose(clf.predict_proba(X)[:, 1], np.exp(-40), rtol=1e-5)


def test_log_probabilities_are_the_log_softmax_of_the_readout():
    X, y = make_data(n_classes=3)
    clf = new(RNNClassifier).fit(X, y)
    raw = clf.hidden_states(X)[:, -1] @ clf.coefs_["readout"].T + clf.intercepts_["readout.bias"]
    assert_allclose(clf.predict_log_proba(X), log_softmax(raw, axis=1), rtol=1e-12)


# -------------------------------------------------------------------- real-valued targets


def test_predictions_have_the_form_of_the_targets():
    X, y = make_data()
    several = np.column_stack([y, -y, 2 * y]).astype(float)
    assert new(RNNRegressor).fit(X, y).predict(X).shape == (30,)
    assert new(RNNRegressor).fit(X, y[:, None]).predict(X).shape == (30, 1)
    assert new(RNNRegressor).fit(X, several).predict(X).shape == (30, 3)
    assert new(RNNRegressor).fit(X, several).n_outputs_ == 3


def test_one_column_is_the_same_problem_as_none():
    X, y = make_data()
    flat, column = new(RNNRegressor).fit(X, y), new(RNNRegressor).fit(X, y[:, None])
    assert_array_equal(flat.predict(X), column.predict(X)[:, 0])


def test_targets_may_be_of_any_numeric_kind():
    pd = pytest.importorskip("pandas")
    X, y = make_data()
    expected = new(RNNRegressor).fit(X, y.astype(float)).predict(X)
    kinds = [y.tolist(), y.astype(bool), y.astype(np.float32), y.astype(">f8"), pd.Series(y), pd.Series(y, dtype="Int8")]
    for kind in kinds:
        assert_array_equal(new(RNNRegressor).fit(X, kind).predict(X), expected)
    frame = pd.DataFrame({"a": y, "b": -y})
    assert_array_equal(new(RNNRegressor).fit(X, frame).predict(X), new(RNNRegressor).fit(X, frame.to_numpy()).predict(X))


def test_several_outputs_are_learned():
    X, y = make_data(n=60, n_classes=3)
    targets = np.column_stack([y, y**2, -y]).astype(float)
    assert trained(RNNRegressor, max_iter=200).fit(X, targets).score(X, targets) > 0.95


QUANTILE = 0.8


def huber(y, prediction):
    residual = np.abs(y - prediction)
    return np.where(residual <= 1, residual**2 / 2, residual - 0.5).mean()


#: loss -> (its metric, the constant that is best by it)
METRICS = {
    "squared_error": (mean_squared_error, np.mean),
    "absolute_error": (mean_absolute_error, np.median),
    "huber": (huber, np.median),
    "poisson": (mean_poisson_deviance, np.mean),
    "quantile": (lambda y, p: mean_pinball_loss(y, p, alpha=QUANTILE), lambda y: np.quantile(y, QUANTILE)),
}


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_every_loss_beats_the_best_constant_in_its_own_metric(loss, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = rng.normal(size=(100, 6, 1))
    y = np.exp(X.mean(axis=(1, 2)) * 2 + 0.1 * rng.normal(size=100))
    reg = trained(RNNRegressor, loss=loss, quantile=QUANTILE, random_state=global_random_seed).fit(X, y)
    metric, constant = METRICS[loss]
    assert metric(y, reg.predict(X)) < 0.6 * metric(y, np.full_like(y, constant(y)))


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_quantile_loss_has_its_share_of_targets_below(quantile):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3, 1))
    y = X[:, -1, 0] + rng.normal(size=300)
    reg = trained(RNNRegressor, loss="quantile", quantile=quantile).fit(X, y)
    assert abs((y < reg.predict(X)).mean() - quantile) < 0.05


def test_the_predictions_of_the_poisson_loss_are_positive_means():
    X, y = make_data()
    reg = trained(RNNRegressor, loss="poisson").fit(X, y)
    assert reg.out_activation_ == "exp"
    assert (reg.predict(X) > 0).all()
    assert_allclose(reg.predict(X), y, atol=0.2)


@pytest.mark.parametrize("y", [np.r_[-1e-9, np.ones(29)], np.zeros(30)], ids=["a negative", "only zeros"])
def test_targets_that_no_poisson_mean_can_have_are_refused(y):
    X, _ = make_data()
    with pytest.raises(ValueError, match="poisson"):
        new(RNNRegressor, loss="poisson").fit(X, y)


# -------------------------------------------------------------------- forms of X


@each_estimator
@each_cell
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_sequences_give_the_same_results_in_every_form(Estimator, cell, form):
    members, y = make_members()
    parameters = {"cell": cell, "n_features_per_step": 2, "batch_size": 7}
    expected = new(Estimator, **parameters).fit(np.stack(members), y)
    estimator = new(Estimator, **parameters).fit(form(members), y)
    assert_array_equal(estimator._theta, expected._theta)
    assert_array_equal(estimator.predict(form(members)), expected.predict(np.stack(members)))
    assert estimator.n_features_in_ == (10 if form is FORMS["2-D"] else 2)


@each_estimator
@each_ragged_form
def test_sequences_of_unequal_length_give_the_same_results_in_every_form(Estimator, form):
    members, y = make_members(lengths=range(1, 8))
    expected = new(Estimator, batch_size=7).fit(members, y)
    estimator = new(Estimator, batch_size=7).fit(form(members), y)
    assert_array_equal(estimator._theta, expected._theta)
    assert_array_equal(estimator.predict(form(members)), expected.predict(members))


def test_each_ragged_sequence_is_predicted_as_if_it_were_alone():
    members, y = make_members(n_classes=3, lengths=range(1, 8))
    clf = new(RNNClassifier, bidirectional=True, pooling=("last", "mean", "max")).fit(members, y)
    alone = np.concatenate([clf.predict_proba(x[None]) for x in members])
    assert_allclose(clf.predict_proba(members), alone, rtol=1e-12)


# -------------------------------------------------------------------- precision

DTYPES = [
    ("auto", np.float32, np.float32),
    *(("auto", kind, np.float64) for kind in (np.float64, np.float16, np.longdouble, np.int64, np.uint8, bool, ">f8")),
    *((dtype, np.float64, np.float32) for dtype in ("float32", np.float32, np.dtype("float32"))),
    *((dtype, np.float32, np.float64) for dtype in ("float64", np.float64, np.dtype("float64"))),
]


@pytest.mark.filterwarnings("ignore:. is not scaled")
@pytest.mark.parametrize(("dtype", "kind", "expected"), DTYPES)
@pytest.mark.parametrize("form", [np.stack, list], ids=["3-D", "list"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge:sklearn.exceptions.ConvergenceWarning")
def test_float32_stays_float32_and_everything_else_is_float64(dtype, kind, expected, form, solver):
    X, y = make_data()
    X = form((10 * X).astype(kind) if np.dtype(kind).kind in "fiu" else X > 0)
    clf = new(RNNClassifier, dtype=dtype, solver=solver).fit(X, y)
    reg = new(RNNRegressor, dtype=dtype, solver=solver).fit(X, y)
    assert clf._theta.dtype == reg._theta.dtype == expected
    assert all(weights.dtype == expected for weights in clf.coefs_.values())
    assert clf.predict_proba(X).dtype == clf.predict_log_proba(X).dtype == expected
    assert reg.predict(X).dtype == expected
    assert np.asarray(clf.hidden_states(X)[0]).dtype == expected


@each_estimator
def test_a_float32_network_computes_in_float32_whatever_comes_later(Estimator):
    X, y = make_data()
    single = X.astype(np.float32)
    estimator = new(Estimator).fit(single, y)
    assert_array_equal(estimator.predict(single.astype(np.float64)), estimator.predict(single))
    other = copy.deepcopy(estimator)
    estimator.partial_fit(single.astype(np.float64), y)
    other.partial_fit(single, y)
    assert estimator._theta.dtype == np.float32
    assert_array_equal(estimator._theta, other._theta)


@each_estimator
@each_cell
def test_float32_agrees_with_float64(Estimator, cell):
    X, y = make_data()
    double = new(Estimator, cell=cell, learning_rate_init=1e-4).fit(X, y)
    single = new(Estimator, cell=cell, learning_rate_init=1e-4, dtype="float32").fit(X, y)
    assert_allclose(single._theta, double._theta, atol=1e-5)


# -------------------------------------------------------------------- sample weights


def weighted_problem(lengths=(5,)):
    """Sequences with weights from 0 to 3, and the same with each repeated as often; 24 and at most 32 of them."""
    members, y = make_members(n=24, lengths=lengths)
    weight = np.random.default_rng(2).permutation(np.repeat([0, 1, 2, 3], [8, 10, 4, 2]))
    repeated = np.repeat(np.arange(24), weight)
    return members, y, weight, [members[i] for i in repeated], y[repeated]


@each_estimator
@pytest.mark.parametrize("solver", [*SOLVERS, "lbfgs"])
@pytest.mark.parametrize("lengths", [(5,), range(1, 8)], ids=["equal", "ragged"])
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge:sklearn.exceptions.ConvergenceWarning")
def test_weights_are_the_same_as_repetition(Estimator, solver, lengths):
    members, y, weight, repeated_members, repeated_y = weighted_problem(lengths)
    weighted = new(Estimator, solver=solver, alpha=0.1).fit(members, y, sample_weight=weight)
    repeated = new(Estimator, solver=solver, alpha=0.1).fit(repeated_members, repeated_y)
    assert_allclose(weighted._theta, repeated._theta, rtol=1e-9, atol=1e-12)
    assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-12)


@each_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("parameters", [{}, {"cell": "lstm", "forget_bias": "chrono"}], ids=["gru", "lstm"])
def test_a_sequence_of_weight_zero_is_as_if_it_were_not_there(Estimator, early_stopping, shuffle, parameters):
    members, y = make_members(n=48, lengths=range(2, 8))
    members[3] = np.full((20, 2), 99.0)  # the longest of all, and unlike the others
    weight = np.where(np.arange(48) % 4 == 3, 0.0, 1 + np.arange(48) % 3)
    present = np.flatnonzero(weight)
    parameters = {"batch_size": 8, "early_stopping": early_stopping, "shuffle": shuffle, **parameters}
    with_them = new(Estimator, **parameters).fit(members, y, sample_weight=weight)
    without = new(Estimator, **parameters).fit([members[i] for i in present], y[present], sample_weight=weight[present])
    assert_allclose(with_them._theta, without._theta, rtol=1e-9, atol=1e-12)
    assert with_them.t_ == without.t_


@each_estimator
def test_equal_weights_of_one_are_no_weights(Estimator):
    X, y = make_data()
    expected = new(Estimator).fit(X, y)
    for weight in (np.ones(30), [1] * 30, np.ones(30, np.float32)):
        assert_array_equal(new(Estimator).fit(X, y, sample_weight=weight)._theta, expected._theta)


@each_estimator
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_series_of_weights_is_taken_in_its_order(Estimator, library):
    X, y = make_data()
    weight = 1.0 + np.arange(30) % 3
    series = pytest.importorskip(library).Series(weight)
    if library == "pandas":
        series.index = range(30, 0, -1)
    expected = new(Estimator).fit(X, y, sample_weight=weight)
    found = new(Estimator).fit(X, y, sample_weight=series)
    assert_array_equal(found._theta, expected._theta)
    assert found.score(X, y, sample_weight=series) == expected.score(X, y, sample_weight=weight)


@each_estimator
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_hold_the_targets_and_weights_of_steps_in_rows(Estimator, library):
    X, _ = make_data(n_features=1)
    Y, weight = (X[..., 0] > 0).astype(int), 1.0 + np.arange(150).reshape(30, 5) % 4
    DataFrame = pytest.importorskip(library).DataFrame
    frames = DataFrame(X[..., 0]), DataFrame(Y), DataFrame(weight)
    found = new(Estimator, return_sequences=True).fit(*frames)
    assert_array_equal(found._theta, new(Estimator, return_sequences=True).fit(X, Y, weight)._theta)
    assert found.predict(frames[0]).shape == (30, 5)
    assert found.score(*frames) == found.score(frames[0], Y, weight)


# -------------------------------------------------------------------- where training begins


@each_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_classifier_starts_by_predicting_the_prior(cell, dtype):
    X = np.zeros((10, 3, 2), dtype)  # so that all states are zero
    weight = np.r_[np.ones(9), 0]
    clf = at_start(RNNClassifier, cell=cell)
    clf.fit(X, ["a", "a", "a", "b", "b", "b", "b", "b", "c", "c"], sample_weight=weight)
    assert_allclose(clf.predict_proba(X[:1]), [[3 / 9, 5 / 9, 1 / 9]], rtol=1e-6)
    clf.fit(X, [0, 0, 1, 1, 1, 1, 1, 1, 1, 0], sample_weight=weight)
    assert_allclose(clf.predict_proba(X[:1]), [[2 / 9, 7 / 9]], rtol=1e-6)
    clf.fit(X, [[0, 1]] * 3 + [[1, 0]] * 5 + [[1, 1]] * 2, sample_weight=weight)
    assert_allclose(clf.predict_proba(X[:1]), [[6 / 9, 4 / 9]], rtol=1e-6)


def test_a_class_that_never_occurs_starts_with_a_small_probability():
    X = np.zeros((10, 3, 2))
    clf = at_start(RNNClassifier).partial_fit(X, [0] * 6 + [1] * 4, classes=[0, 1, 2, 3])
    probabilities = clf.predict_proba(X)[0]
    assert_allclose(probabilities[0] / probabilities[1], 6 / 4, rtol=1e-12)
    assert (probabilities[2:] > 0).all()
    assert (probabilities[2:] < 0.01).all()


START = {
    "squared_error": np.mean,
    "absolute_error": np.median,
    "poisson": np.mean,
    "quantile": lambda y: np.sort(y)[7],
}


@each_cell
@pytest.mark.parametrize("loss", START)
def test_a_regressor_starts_by_predicting_the_best_constant(cell, loss):
    X, y = np.zeros((9, 3, 2)), np.random.default_rng(0).exponential(size=9)
    reg = at_start(RNNRegressor, cell=cell, loss=loss, quantile=QUANTILE).fit(X, y)
    assert_allclose(reg.predict(X), np.full(9, START[loss](y)), rtol=1e-12)


def test_a_regressor_starts_from_the_weighted_mean_of_every_output():
    X, y, weight = np.zeros((9, 3, 2)), np.random.default_rng(0).normal(size=(9, 3)), np.arange(9.0)
    reg = at_start(RNNRegressor).fit(X, y, sample_weight=weight)
    assert_allclose(reg.predict(X[:1])[0], np.average(y, axis=0, weights=weight), rtol=1e-12)


@each_estimator
@pytest.mark.parametrize("scheme", INIT_SCHEMES)
@each_cell
def test_every_init_scheme_draws_every_weight(Estimator, cell, scheme):
    X, y = make_data(n_classes=3)
    parameters = {"init_scheme": scheme, "recurrent_init_scheme": scheme, "hidden_layer_sizes": (6, 5), "cell": cell}
    first = at_start(Estimator, **parameters).fit(X, y)
    for weights in first.coefs_.values():
        assert np.isfinite(weights).all()
        assert weights.any()
    again = at_start(Estimator, **parameters).fit(X, y)
    assert_array_equal(again._theta, first._theta)
    assert np.isfinite(new(Estimator, **parameters).fit(X, y)._theta).all()


@each_cell
def test_the_two_init_schemes_are_for_different_weights(cell):
    X, y = make_data()
    reg = at_start(RNNRegressor, cell=cell, init_scheme="uniform", recurrent_init_scheme="identity").fit(X, y)
    for name, weights in reg.coefs_.items():
        if name.endswith(".recurrent"):
            assert_array_equal(weights, np.eye(4))
        else:
            assert (np.abs(weights) <= 4**-0.5).all()
            assert (weights != 0).all()


@each_cell
def test_recurrent_weights_are_orthogonal_by_default(cell):
    X, y = make_data()
    coefs = at_start(RNNRegressor, cell=cell, hidden_layer_sizes=(6, 3), bidirectional=True).fit(X, y).coefs_
    recurrent = [weights for name, weights in coefs.items() if name.endswith(".recurrent")]
    assert len(recurrent) == 4 * {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    for weights in recurrent:
        assert_allclose(weights @ weights.T, np.eye(len(weights)), atol=1e-12)


@pytest.mark.parametrize("forget_bias", [1.0, -2, 0.5])
def test_the_forget_gate_starts_with_the_forget_bias(forget_bias):
    X, y = make_data()
    intercepts = at_start(RNNRegressor, cell="lstm", forget_bias=forget_bias).fit(X, y).intercepts_
    assert_array_equal(intercepts["layer0.forward.f.bias"], np.full(4, forget_bias))
    assert not any(intercepts[f"layer0.forward.{gate}.bias"].any() for gate in "iog")


def test_chrono_spreads_memories_up_to_the_longest_sequence():
    members, y = make_members(lengths=range(3, 22))
    longest = max(map(len, members))
    reg = at_start(RNNRegressor, cell="lstm", forget_bias="chrono", hidden_layer_sizes=500).fit(members, y)
    forget = reg.intercepts_["layer0.forward.f.bias"]
    memories = np.exp(forget)
    assert_array_equal(reg.intercepts_["layer0.forward.i.bias"], -forget)
    assert 1 <= memories.min() < 1.5
    assert longest - 1.5 < memories.max() <= longest - 1
    assert abs(memories.mean() - longest / 2) < 1


@pytest.mark.parametrize("cell", ["rnn", "gru"])
@each_estimator
def test_the_forget_bias_is_ignored_by_other_cells(Estimator, cell):
    X, y = make_data()
    expected = new(Estimator, cell=cell).fit(X, y)._theta
    for forget_bias in (5.0, "chrono"):
        assert_array_equal(new(Estimator, cell=cell, forget_bias=forget_bias).fit(X, y)._theta, expected)


# -------------------------------------------------------------------- the network

POOLINGS = ["last", "mean", "max", ("last",), ["mean", "max"], ("last", "max"), ("max", "mean", "last")]


def pooled_states(states, pooling, bidirectional):
    """What the readout sees of one sequence's states (n_timesteps, n_units)."""
    halves = np.split(states, 2, axis=1) if bidirectional else [states]
    last = np.concatenate([h[0 if direction else -1] for direction, h in enumerate(halves)])
    parts = {"last": last, "mean": states.mean(axis=0), "max": states.max(axis=0)}
    return np.concatenate([parts[name] for name in ([pooling] if isinstance(pooling, str) else pooling)])


@each_cell
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("form", [np.stack, list, object_array], ids=["3-D", "list", "object array"])
def test_the_readout_of_pooled_hidden_states_is_the_prediction(cell, pooling, bidirectional, form):
    members, y = make_members(lengths=(6,) if form is np.stack else range(1, 7))
    reg = new(RNNRegressor, cell=cell, pooling=pooling, bidirectional=bidirectional, hidden_layer_sizes=(5, 4))
    X = form(members)
    states = reg.fit(X, y).hidden_states(X)
    pooled = np.array([pooled_states(h, pooling, bidirectional) for h in states])
    assert reg.coefs_["readout"].shape == (1, pooled.shape[1])
    assert_allclose(reg.predict(X), pooled @ reg.coefs_["readout"][0] + reg.intercepts_["readout.bias"], rtol=1e-10)
    if form is np.stack:
        assert states.shape == (30, 6, 8 if bidirectional else 4)
    else:
        assert (states.dtype, states.shape) == (object, (30,))
        assert [len(h) for h in states] == [len(x) for x in members]


@each_cell
def test_the_states_of_ragged_sequences_are_those_of_each_alone(cell):
    members, y = make_members(lengths=range(1, 8))
    reg = new(RNNRegressor, cell=cell, bidirectional=True).fit(members, y)
    for x, states in zip(members, reg.hidden_states(members), strict=True):
        assert_allclose(states, reg.hidden_states(x[None])[0], rtol=1e-12)


def test_hidden_states_of_flattened_rows_are_those_of_their_sequences():
    X, y = make_data()
    reg = new(RNNRegressor, n_features_per_step=2).fit(X.reshape(30, -1), y)
    assert_array_equal(reg.hidden_states(X.reshape(30, -1)), new(RNNRegressor).fit(X, y).hidden_states(X))


@each_estimator
def test_hidden_states_depend_on_the_past_alone(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    assert_allclose(estimator.hidden_states(X[:, :3]), estimator.hidden_states(X)[:, :3], rtol=1e-12)


@pytest.mark.parametrize("sizes", [5, (5,), [5], np.int64(5), (np.int32(5),)], ids=repr)
def test_hidden_layer_sizes_may_be_a_number_or_several(sizes):
    X, y = make_data()
    reg = new(RNNRegressor, hidden_layer_sizes=sizes).fit(X, y)
    assert_array_equal(reg._theta, new(RNNRegressor, hidden_layer_sizes=(5,)).fit(X, y)._theta)
    assert reg.n_layers_ == 1


@each_estimator
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_weights_by_name_share_out_all_parameters(Estimator, cell, bidirectional):
    X, y = make_data()
    estimator = new(Estimator, cell=cell, bidirectional=bidirectional, hidden_layer_sizes=(4, 3)).fit(X, y)
    views = [*estimator.coefs_.values(), *estimator.intercepts_.values()]
    assert sum(view.size for view in views) == estimator._theta.size
    assert all(np.shares_memory(view, estimator._theta) for view in views)
    assert estimator.n_layers_ == 2
    assert estimator.coefs_[f"layer0.forward.{'h' if cell == 'rnn' else 'r' if cell == 'gru' else 'f'}.input"].shape == (4, 2)


def test_writing_to_the_weights_changes_predictions():
    X, y = make_data()
    reg = new(RNNRegressor).fit(X, y)
    before = reg.predict(X)
    reg.intercepts_["readout.bias"][...] += 1
    assert_allclose(reg.predict(X), before + 1, rtol=1e-12)
    reg.coefs_["readout"][...] = 0
    assert_array_equal(reg.predict(X), np.repeat(reg.intercepts_["readout.bias"], 30))


@each_estimator
@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_the_weights_are_no_attribute_before_fit(Estimator, name):
    assert not hasattr(Estimator(), name)
    with pytest.raises(NotFittedError):
        getattr(Estimator(), name)


# -------------------------------------------------------------------- parameters


@each_estimator
def test_every_parameter_has_constraints_and_defaults_that_satisfy_them(Estimator):
    assert Estimator._parameter_constraints.keys() == Estimator().get_params().keys()
    Estimator()._validate_params()


def test_the_two_estimators_share_their_parameters_and_defaults():
    classifier, regressor = (inspect.signature(Estimator).parameters for Estimator in ESTIMATORS)
    shared = [name for name in classifier if name in regressor]
    assert [regressor[name] for name in shared] == [classifier[name] for name in shared]
    assert [name for name in regressor if name in classifier] == shared
    assert regressor.keys() ^ classifier.keys() == {"loss", "quantile", "class_weight"}


@each_estimator
def test_parameters_are_kept_as_they_were_given(Estimator):
    values = {"hidden_layer_sizes": [3, 2], "pooling": ("max", "mean"), "random_state": np.random.RandomState(0)}
    estimator = Estimator(**values)
    X, y = make_data()
    estimator.set_params(max_iter=2).fit(X, y)
    assert all(getattr(estimator, name) is value for name, value in values.items())
    assert estimator.get_params()["max_iter"] == 2


@each_estimator
def test_a_clone_has_the_parameters_and_nothing_else(Estimator):
    X, y = make_data()
    estimator = new(Estimator, cell="lstm", pooling=("last", "max")).fit(X, y)
    copied = clone(estimator)
    assert copied.get_params() == estimator.get_params()
    assert vars(copied).keys() == estimator.get_params().keys()
    assert_array_equal(copied.fit(X, y)._theta, estimator._theta)


@each_estimator
def test_repr_shows_what_was_changed(Estimator):
    assert repr(Estimator()) == f"{Estimator.__name__}()"
    assert repr(Estimator(cell="lstm", alpha=0.5)) == f"{Estimator.__name__}(alpha=0.5, cell='lstm')"


@each_estimator
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_html_shows_all_parameters(Estimator, fitted, in_pipeline):
    estimator = new(Estimator, cell="lstm")
    shown = make_pipeline(PerStep(StandardScaler()), estimator) if in_pipeline else estimator
    if fitted:
        shown.fit(*make_data())
    html = shown._repr_html_()
    assert Estimator.__name__ in html
    if parse_version(sklearn.__version__) >= parse_version("1.7"):  # the table is new there
        assert all(f'<td class="param">{name}' in html for name in estimator.get_params())
        assert "&#x27;lstm&#x27;" in html


@each_estimator
def test_parameters_set_after_fit_wait_for_the_next_fit(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    before = estimator.predict(X)
    estimator.set_params(hidden_layer_sizes=7, cell="rnn", pooling="mean", bidirectional=True, dtype="float32")
    if Estimator is RNNRegressor:
        estimator.set_params(loss="poisson")
    assert_array_equal(estimator.predict(X), before)
    assert estimator.fit(X, y)._theta.dtype == np.float32
    assert "layer0.reverse.h.recurrent" in estimator.coefs_


def test_the_automatic_batch_size_is_32():
    X, y = make_data(n=50)
    expected = new(RNNRegressor, batch_size=32).fit(X, y)
    assert_array_equal(new(RNNRegressor).fit(X, y)._theta, expected._theta)


@each_estimator
def test_a_random_state_instance_is_drawn_from(Estimator):
    X, y = make_data()
    rng = np.random.RandomState(0)
    first, second = new(Estimator, random_state=rng).fit(X, y), new(Estimator, random_state=rng).fit(X, y)
    assert_array_equal(first._theta, new(Estimator, random_state=0).fit(X, y)._theta)
    assert (first._theta != second._theta).any()


# -------------------------------------------------------------------- partial_fit


def started(**parameters):
    """A classifier of three classes after one call of partial_fit, and its data."""
    X, y = make_data(n_classes=3)
    return new(RNNClassifier, **parameters).partial_fit(X, y, classes=[0, 1, 2]), X, y


def test_classes_may_be_given_again_and_in_any_order():
    clf, X, y = started()
    clf.partial_fit(X, y, classes=[2, 0, 1]).partial_fit(X[:1], y[:1])
    assert_array_equal(clf.classes_, [0, 1, 2])


def test_string_classes_that_occur_later_are_learned():
    X, y = make_data(n_classes=3)
    labels = np.array(["a", "bb", "ccc"])[y]
    clf = trained(RNNClassifier).partial_fit(X[y < 2], labels[y < 2], classes=["ccc", "bb", "a"])
    for _ in range(60):
        clf.partial_fit(X, labels)
    assert_array_equal(clf.predict(X), labels)


def test_multilabel_classes_are_the_numbers_of_the_labels():
    X, y = make_multilabel()
    clf = new(RNNClassifier).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    assert clf.predict(X).shape == y.shape
    with pytest.raises(ValueError, match="classes"):
        clf.partial_fit(X, y[:, :2])
    with pytest.raises(ValueError, match="classes"):
        new(RNNClassifier).partial_fit(X, y, classes=[0, 1])


@pytest.mark.parametrize("warm", [False, True])
def test_training_cannot_change_between_single_labels_and_multilabel(warm):
    X, y = make_multilabel()
    clf = new(RNNClassifier, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"multilabel|classes"):
        clf.fit(X, y.sum(axis=1)) if warm else clf.partial_fit(X, y.sum(axis=1) - 1)


@each_estimator
@pytest.mark.parametrize(
    "changed",
    [{"hidden_layer_sizes": 5}, {"cell": "rnn"}, {"bidirectional": True}, {"pooling": ("last", "mean")}],
    ids=lambda changed: next(iter(changed)),
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_cannot_go_on_with_another_network(Estimator, changed, method):
    X, y = make_data()
    estimator = new(Estimator, warm_start=True).fit(X, y)
    before = state_of(estimator)
    estimator.set_params(**changed)
    with pytest.raises(ValueError, match=next(iter(changed))):
        getattr(estimator, method)(X, y)
    assert_same_state(vars(estimator), before | changed)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_cannot_go_on_with_other_targets(method):
    X, y = make_data()
    reg = new(RNNRegressor, warm_start=True).fit(X, np.column_stack([y, y]))
    for bad in (y, y[:, None], np.column_stack([y, y, y])):
        with pytest.raises(ValueError, match=r"y |outputs|n_raw"):
            getattr(reg, method)(X, bad)
    reg.set_params(warm_start=False).fit(X, y).set_params(warm_start=True)
    with pytest.raises(ValueError, match="dimensions"):
        getattr(reg, method)(X, y[:, None])


@each_estimator
def test_fit_starts_again_after_partial_fit(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    other = new(Estimator).fit(-X[:, :, :1], 3 + y)
    other.partial_fit(-X[:, :, :1], 3 + y).fit(X, y)
    assert_same_state(vars(other), vars(estimator))


@each_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_fit_and_partial_fit_return_the_estimator(Estimator, method):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    assert getattr(estimator, method)(X, y) is estimator


# -------------------------------------------------------------------- nothing happens by half


def _failures(Estimator):
    """Name -> (parameters to set, arguments of fit and partial_fit) of calls that must fail."""
    X, y = make_data()
    huge = {"cell": "rnn", "activation": "identity", "clip_norm": None}
    steep = {"learning_rate_init": 1.7e308, "solver": "sgd", "max_iter": 1, "alpha": 1e5, "clip_norm": None}
    failures = {
        "overflow before any update": (huge, (1e308 * np.sign(X), y)),
        "infinite weights": (steep, (X, y)),
    }
    return {f"{Estimator.__name__}: {name}": (Estimator, *failure) for name, failure in failures.items()}


FAILURES = _failures(RNNClassifier) | _failures(RNNRegressor)
fails = pytest.mark.parametrize(("Estimator", "parameters", "arguments"), FAILURES.values(), ids=FAILURES)


@pytest.mark.filterwarnings("ignore:. is not scaled")
@fails
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_a_fit_that_raises_leaves_the_estimator_as_it_was(Estimator, parameters, arguments, fitted):
    estimator = new(Estimator)
    if fitted:
        X, y = make_data(n_features=3, n_classes=3, seed=1)
        estimator.fit(X, y)
    estimator.set_params(**parameters)
    before = state_of(estimator)
    with pytest.raises((ValueError, TypeError)):
        estimator.fit(*arguments)
    assert_same_state(vars(estimator), before)


@pytest.mark.filterwarnings("ignore:. is not scaled")
@fails
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_a_partial_fit_that_raises_leaves_the_estimator_as_it_was(Estimator, parameters, arguments, fitted):
    estimator = new(Estimator, **{k: v for k, v in parameters.items() if k in ("cell", "activation")})
    if fitted:
        X, y = make_data(seed=1)
        estimator.fit(X, y)
        estimator._training_state["n_updates"] = 0  # so that an overflow has no good update to fall back on
    estimator.set_params(**parameters)
    before = state_of(estimator)
    classes = {"classes": [0, 1]} if Estimator is RNNClassifier else {}
    with pytest.raises((ValueError, TypeError)):
        estimator.partial_fit(*arguments, **classes)
    assert_same_state(vars(estimator), before)


@each_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_error_in_the_middle_of_training_leaves_the_estimator_as_it_was(Estimator, method, monkeypatch):
    X, y = make_data()
    estimator = new(Estimator, batch_size=10, warm_start=True).fit(X, y)
    before = state_of(estimator)
    step, calls = SOLVERS["adam"].step, []

    def failing_step(*arguments):
        calls.append(None)
        if len(calls) == 3:
            raise MemoryError
        return step(*arguments)

    monkeypatch.setattr(SOLVERS["adam"], "step", failing_step)
    with pytest.raises(MemoryError):
        getattr(estimator, method)(X, y)
    assert len(calls) == 3
    assert_same_state(vars(estimator), before)


@each_estimator
def test_prediction_writes_no_attribute(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    before = state_of(estimator)
    for name in ("predict", "predict_proba", "predict_log_proba", "hidden_states"):
        if hasattr(estimator, name):
            getattr(estimator, name)(X)
            getattr(estimator, name)(list(X))
    estimator.score(X, y)
    _ = estimator.coefs_, estimator.intercepts_, repr(estimator)
    assert_same_state(vars(estimator), before)


# -------------------------------------------------------------------- the rest


@each_estimator
def test_one_sequence_is_enough(Estimator):
    X, y = make_data(n=1)
    assert new(Estimator).fit(X, y).predict(X).shape == (1,)


@each_estimator
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("learning_rate", SCHEDULES)
def test_every_solver_learns_with_every_schedule(Estimator, solver, learning_rate):
    X, y = make_data()
    rate = {"adam": 0.02, "sgd": 0.1, "rmsprop": 0.01}[solver] * (5 if learning_rate == "invscaling" else 1)
    estimator = trained(Estimator, solver=solver, learning_rate=learning_rate, learning_rate_init=rate, beta_2=0.9)
    assert estimator.fit(X, y).score(X, y) > 0.9


@each_estimator
def test_fitted_attributes_count_epochs_and_sequences(Estimator):
    X, y = make_data()
    estimator = new(Estimator, max_iter=4, batch_size=7).fit(X, y)
    assert (estimator.n_iter_, estimator.t_, len(estimator.loss_curve_)) == (4, 120, 4)
    assert estimator.loss_ == estimator.loss_curve_[-1]
    assert estimator.best_loss_ == min(estimator.loss_curve_)
    assert estimator.validation_scores_ is None
    assert estimator.best_validation_score_ is None
    assert all(type(loss) is float for loss in estimator.loss_curve_)
    estimator.partial_fit(X, y)
    assert (estimator.n_iter_, estimator.t_, len(estimator.loss_curve_)) == (5, 150, 5)


@each_estimator
def test_fit_says_nothing_but_that_it_has_not_converged(Estimator):
    X, y = make_data()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        new(Estimator, learning_rate="constant").fit(X, y).predict(X)
    assert [str(w.message)[:18] for w in caught] == ["Maximum iterations"]
