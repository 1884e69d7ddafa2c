"""Metrics at every step against scikit-learn's metrics of steps that were put one after the other by hand."""

import copy
import pickle
from inspect import signature

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context, metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import check_scoring, get_scorer, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_is_fitted

from skrnn.metrics import make_step_scorer
from skrnn.preprocessing import PerStep
from skrnn.sequences import concatenate_steps, split_steps

LENGTHS = np.array([4, 2, 5, 1, 6, 6, 3, 5])
STEPS = np.random.default_rng(0).normal(size=(32, 2))
NOISE = np.random.default_rng(1).normal(size=(32, 2))
SCORE = STEPS[:, 0] + NOISE[:, 0]
TARGETS = {
    "binary": (SCORE > 0).astype(int),
    "strings": np.where(SCORE > 0, "up", "down"),
    "multiclass": np.digitize(SCORE, [-0.7, 0.7]),
    "real": SCORE,
    "several": STEPS + NOISE,
}
WEIGHTS = np.random.default_rng(2).uniform(0.1, 2.0, size=32)


def in_form(form, steps):
    """Arrange one row a step as 8 equal sequences or as ragged ones."""
    if form == "equal":
        return steps.reshape(8, 4, *steps.shape[1:])
    stops = np.cumsum(LENGTHS)
    members = [steps[stop - length : stop] for stop, length in zip(stops, LENGTHS, strict=True)]
    if form == "list":
        return members
    array = np.empty(8, dtype=object)
    array[:] = members
    return array


every_form = pytest.mark.parametrize("form", ["equal", "ragged", "list"])


class Stepwise(BaseEstimator):
    """Predicts every step from its own features, lists what it was asked for, and ignores weights in training."""

    def __init__(self, strength=1.0):
        self.strength = strength

    def fit(self, X, y, sample_weight=None):  # noqa: ARG002  # to be routed
        self.model_ = self._new().fit(np.concatenate(list(X)), np.concatenate(list(y)))
        self.responses = []
        return self

    def predict(self, X):
        return self._respond("predict", X)

    def _respond(self, method, X):
        self.responses.append(method)
        steps = getattr(self.model_, method)(np.concatenate(list(X)))
        if isinstance(X, np.ndarray) and X.ndim == 3:
            return steps.reshape(len(X), -1, *steps.shape[1:])
        return np.array([*np.split(steps, np.cumsum([len(x) for x in X]))], dtype=object)[:-1]


class StepwiseClassifier(ClassifierMixin, Stepwise):
    def _new(self):
        return LogisticRegression(C=self.strength)

    @property
    def classes_(self):
        return self.model_.classes_

    def predict_proba(self, X):
        return self._respond("predict_proba", X)

    def predict_log_proba(self, X):
        return self._respond("predict_log_proba", X)


class StepwiseRegressor(RegressorMixin, Stepwise):
    def _new(self):
        return Ridge(alpha=self.strength)


class WithDecisionFunction(StepwiseClassifier):
    def decision_function(self, X):
        return self._respond("decision_function", X)


def fitted(kind, form, **parameters):
    """A fitted estimator, X and y in a form, and the same for single steps."""
    estimator = (StepwiseRegressor if kind in ("real", "several") else StepwiseClassifier)(**parameters)
    X, y = in_form(form, STEPS), in_form(form, TARGETS[kind])
    estimator.fit(X, y)
    return estimator, X, y, estimator.model_


# ---------------------------------------------------------------- what it computes

BY_HAND = {
    "accuracy": lambda y, model: metrics.accuracy_score(y, model.predict(STEPS)),
    "balanced_accuracy": lambda y, model: metrics.balanced_accuracy_score(y, model.predict(STEPS)),
    "f1_macro": lambda y, model: metrics.f1_score(y, model.predict(STEPS), average="macro"),
    "neg_log_loss": lambda y, model: -metrics.log_loss(y, model.predict_proba(STEPS)),
    "roc_auc": lambda y, model: metrics.roc_auc_score(y, model.predict_proba(STEPS)[:, 1]),
    "roc_auc_ovr": lambda y, model: metrics.roc_auc_score(y, model.predict_proba(STEPS), multi_class="ovr"),
    "r2": lambda y, model: metrics.r2_score(y, model.predict(STEPS)),
    "neg_mean_absolute_error": lambda y, model: -metrics.mean_absolute_error(y, model.predict(STEPS)),
}
LABELS = ["accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss"]
CASES = [
    *[(kind, name) for kind in ("binary", "strings", "multiclass") for name in LABELS],
    ("binary", "roc_auc"),
    ("strings", "roc_auc"),
    ("multiclass", "roc_auc_ovr"),
    *[(kind, name) for kind in ("real", "several") for name in ("r2", "neg_mean_absolute_error")],
]


@every_form
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_is_the_metric_of_all_steps(kind, name, form):
    estimator, X, y, model = fitted(kind, form)
    score = make_step_scorer(name)(estimator, X, y)
    assert_allclose(score, BY_HAND[name](TARGETS[kind], model), rtol=1e-12)
    assert score not in (0, 1)


@every_form
def test_takes_a_scorer_with_parameters_of_its_own(form):
    estimator, X, y, model = fitted("strings", form)
    scorer = make_step_scorer(make_scorer(metrics.fbeta_score, beta=2, pos_label="down"))
    assert_allclose(
        scorer(estimator, X, y), metrics.fbeta_score(TARGETS["strings"], model.predict(STEPS), beta=2, pos_label="down")
    )


def test_a_positive_label_selects_its_probability():
    estimator, X, y, model = fitted("strings", "ragged")
    brier = make_scorer(metrics.brier_score_loss, greater_is_better=False, response_method="predict_proba", pos_label="down")
    expected = -metrics.brier_score_loss(TARGETS["strings"], model.predict_proba(STEPS)[:, 0], pos_label="down")
    assert_allclose(make_step_scorer(brier)(estimator, X, y), expected)


@every_form
def test_takes_a_callable(form):
    estimator, X, y, model = fitted("multiclass", form)

    @make_step_scorer
    def scorer(view, X_given, y_given):
        assert X_given is X
        assert_array_equal(y_given, TARGETS["multiclass"])
        assert_array_equal(view.predict(X), model.predict(STEPS))
        assert_array_equal(view.predict_log_proba(X), model.predict_log_proba(STEPS))
        return 7.0

    assert scorer(estimator, X, y) == 7.0


@every_form
def test_takes_multilabel_targets(form):
    class Multilabel(StepwiseRegressor):
        def predict(self, X):
            raw = self._respond("predict", X)
            return raw > 0 if raw.ndim == 3 else np.array([*(x > 0 for x in raw), None], dtype=object)[:-1]

    labels = (TARGETS["several"] > 0).astype(int)
    X, y = in_form(form, STEPS), in_form(form, labels)
    estimator = Multilabel().fit(X, y)
    expected = metrics.f1_score(labels, estimator.model_.predict(STEPS) > 0, average="macro")
    assert_allclose(make_step_scorer("f1_macro")(estimator, X, y), expected)


def test_a_frame_holds_the_steps_of_a_sequence_in_its_row():
    estimator, X, y, _ = fitted("strings", "equal")
    scorer, weights = make_step_scorer("accuracy"), in_form("equal", WEIGHTS)
    expected = scorer(estimator, X, y, sample_weight=weights)
    assert scorer(estimator, X, pd.DataFrame(y), sample_weight=pd.DataFrame(weights)) == expected


def test_a_decision_function_is_preferred_where_scikit_learn_prefers_it():
    estimator = WithDecisionFunction().fit(in_form("ragged", STEPS), in_form("ragged", TARGETS["binary"]))
    score = make_step_scorer("roc_auc")(estimator, in_form("ragged", STEPS), in_form("ragged", TARGETS["binary"]))
    assert estimator.responses == ["decision_function"]
    assert_allclose(score, BY_HAND["roc_auc"](TARGETS["binary"], estimator.model_))


@pytest.mark.parametrize("scoring", [["accuracy", "f1_macro"], {"accuracy": "accuracy", "f1_macro": get_scorer("f1_macro")}])
def test_several_scorers_predict_once(scoring):
    estimator, X, y, model = fitted("multiclass", "ragged")
    scores = make_step_scorer(scoring)(estimator, X, y)
    assert estimator.responses == ["predict"]
    assert scores == {name: pytest.approx(BY_HAND[name](TARGETS["multiclass"], model)) for name in ("accuracy", "f1_macro")}


# ---------------------------------------------------------------- what the scorer sees of the estimator


def seen(estimator, function):
    """What ``function`` finds of the estimator that a scorer is given."""
    y = in_form("ragged", TARGETS["binary"])
    estimator.fit(in_form("ragged", STEPS), y)
    return make_step_scorer(lambda view, *_: function(view))(estimator, in_form("ragged", STEPS), y)


@pytest.mark.parametrize("wrap", [lambda e: e, make_pipeline, lambda e: make_pipeline(PerStep(StandardScaler()), e)])
def test_the_kind_of_estimator_is_seen_through_pipelines(wrap):
    assert seen(wrap(StepwiseClassifier()), lambda view: (is_classifier(view), is_regressor(view))) == (True, False)
    assert seen(wrap(StepwiseRegressor()), lambda view: (is_classifier(view), is_regressor(view))) == (False, True)


@pytest.mark.parametrize("wrap", [lambda e: e, make_pipeline])
def test_only_methods_of_the_estimator_are_offered(wrap):
    def methods(view):
        return [hasattr(view, name) for name in ("predict", "predict_proba", "predict_log_proba", "decision_function")]

    assert seen(wrap(StepwiseRegressor()), methods) == [True, False, False, False]
    assert seen(wrap(StepwiseClassifier()), methods) == [True, True, True, False]
    assert seen(wrap(WithDecisionFunction()), methods) == [True, True, True, True]


def test_attributes_are_those_of_the_estimator():
    assert_array_equal(seen(make_pipeline(StepwiseClassifier()), lambda view: view.classes_), [0, 1])
    assert list(seen(make_pipeline(StepwiseClassifier()), lambda view: view.named_steps)) == ["stepwiseclassifier"]
    seen(StepwiseClassifier(), check_is_fitted)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))])
def test_what_a_scorer_sees_can_be_copied(duplicate):
    X = in_form("ragged", STEPS)
    found = seen(StepwiseClassifier(), lambda view: (view.predict(X), duplicate(view).predict(X)))
    assert_array_equal(*found)


# ---------------------------------------------------------------- sample weights


@every_form
@pytest.mark.parametrize("per", ["sequence", "step"])
@pytest.mark.parametrize(("kind", "name"), [("multiclass", "accuracy"), ("multiclass", "neg_log_loss"), ("real", "r2")])
def test_weights_of_sequences_and_of_steps(kind, name, per, form):
    estimator, X, y, model = fitted(kind, form)
    lengths = np.full(8, 4) if form == "equal" else LENGTHS
    given, flat = in_form(form, WEIGHTS), WEIGHTS
    if per == "sequence":
        given = list(WEIGHTS[:8]) if form == "list" else WEIGHTS[:8]
        flat = np.array([weight for weight, length in zip(given, lengths, strict=True) for _ in range(length)])
    score = make_step_scorer(name)(estimator, X, y, sample_weight=given)
    expected = get_scorer(name)(model, STEPS, TARGETS[kind], sample_weight=flat)
    assert_allclose(score, expected)
    assert abs(score - make_step_scorer(name)(estimator, X, y)) > 1e-3


def test_a_series_of_weights_with_any_index_is_taken_in_its_order():
    estimator, X, y, _ = fitted("multiclass", "ragged")
    series, scorer = pd.Series(WEIGHTS[:8], index=range(7, -1, -1)), make_step_scorer("accuracy")
    assert scorer(estimator, X, y, sample_weight=series) == scorer(estimator, X, y, sample_weight=WEIGHTS[:8])


@pytest.mark.parametrize("scoring", ["accuracy", ["accuracy"]], ids=["one", "several"])
def test_weights_are_routed_to_a_scorer_that_requests_them(scoring):
    X, y, weights = in_form("ragged", STEPS), in_form("ragged", TARGETS["multiclass"]), WEIGHTS[:8]
    with config_context(enable_metadata_routing=True):
        estimator = StepwiseClassifier().set_fit_request(sample_weight=False)
        wrapped = get_scorer("accuracy").set_score_request(sample_weight=True)
        scorer = make_step_scorer(wrapped if scoring == "accuracy" else {"accuracy": wrapped})
        scores = cross_validate(estimator, X, y, cv=KFold(2), scoring=scorer, params={"sample_weight": weights})
    found = scores["test_score" if scoring == "accuracy" else "test_accuracy"]
    for score, (train, test) in zip(found, KFold(2).split(X), strict=True):
        right = np.concatenate(list(estimator.fit(X[train], y[train]).predict(X[test]))) == np.concatenate(list(y[test]))
        assert_allclose(score, np.average(right, weights=np.repeat(weights[test], LENGTHS[test])))


def test_weights_that_nobody_requested_are_refused():
    X, y = in_form("ragged", STEPS), in_form("ragged", TARGETS["multiclass"])
    with config_context(enable_metadata_routing=True), pytest.raises(ValueError, match="sample_weight"):
        cross_validate(
            StepwiseClassifier(), X, y, cv=2, scoring=make_step_scorer("accuracy"), params={"sample_weight": WEIGHTS[:8]}
        )


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.9"), reason="searches score without weights")
@pytest.mark.parametrize("several", [False, True])
def test_a_search_scores_with_the_weights_of_fit(several):
    estimator, X, y, _ = fitted("real", "ragged")
    scorer = make_step_scorer("r2")
    search = GridSearchCV(
        estimator, {"strength": [1.0]}, scoring={"r2": scorer} if several else scorer, cv=KFold(2), refit=False
    )
    search.fit(X, y, sample_weight=np.ones(8))
    before = search.cv_results_
    search.fit(X, y, sample_weight=WEIGHTS[:8])
    name = "mean_test_r2" if several else "mean_test_score"
    assert abs(search.cv_results_[name] - before[name]) > 1e-3


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.9"), reason="searches score without weights")
def test_a_search_says_that_a_metric_takes_no_weights():
    estimator, X, y, _ = fitted("real", "equal")
    for scoring in ("neg_max_error", lambda *_: 1.0):
        search = GridSearchCV(estimator, {"strength": [1.0]}, scoring=make_step_scorer(scoring), cv=2)
        with pytest.warns(UserWarning, match=r"make_step_scorer\(.*\) does not support sample_weight"):
            search.fit(X, y, sample_weight=np.ones(8))


# ---------------------------------------------------------------- inside scikit-learn


@every_form
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_searches_over_pipelines(form, n_jobs):
    X, y = in_form(form, STEPS), in_form(form, TARGETS["multiclass"])
    pipeline = make_pipeline(PerStep(StandardScaler()), StepwiseClassifier())
    grid = {"stepwiseclassifier__strength": [1e-4, 1.0]}
    search = GridSearchCV(pipeline, grid, scoring=make_step_scorer("neg_log_loss"), cv=KFold(2), n_jobs=n_jobs).fit(X, y)
    for strength, found in zip([1e-4, 1.0], search.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in KFold(2).split(X):
            parts = [[sequences[i] for i in part] for part in (train, test) for sequences in (X, y)]
            X_train, y_train, X_test, y_test = (np.concatenate(part) for part in parts)
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(X_train, y_train)
            scores.append(-metrics.log_loss(y_test, model.predict_proba(X_test), labels=model.classes_))
        assert_allclose(found, np.mean(scores))
    assert_allclose(search.score(X, y), make_step_scorer("neg_log_loss")(search, X, y))
    assert clone(search).scoring is not search.scoring


@every_form
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validates_with_several_scorers(form, n_jobs):
    _, X, y, _ = fitted("strings", form)
    scoring = {"f1": make_step_scorer("f1_macro"), "loss": make_step_scorer("neg_log_loss")}
    at_once = make_step_scorer({"f1": "f1_macro", "loss": "neg_log_loss"})
    scores, same = [cross_validate(StepwiseClassifier(), X, y, cv=2, scoring=s, n_jobs=n_jobs) for s in (scoring, at_once)]
    for name in ("f1", "loss"):
        single = cross_validate(StepwiseClassifier(), X, y, cv=2, scoring=scoring[name])["test_score"]
        assert_array_equal(scores[f"test_{name}"], single)
        assert_array_equal(same[f"test_{name}"], single)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda scorer: pickle.loads(pickle.dumps(scorer))])
def test_can_be_copied_and_pickled(duplicate):
    estimator, X, y, _ = fitted("multiclass", "ragged")
    for scoring in ("f1_macro", make_scorer(metrics.matthews_corrcoef), ["accuracy", "neg_log_loss"]):
        scorer = make_step_scorer(scoring)
        assert duplicate(scorer)(estimator, X, y) == scorer(estimator, X, y)


def test_is_a_scorer_to_scikit_learn():
    scorer = make_step_scorer("f1_macro")
    assert check_scoring(scoring=scorer) is scorer
    assert list(signature(scorer).parameters)[:4] == ["estimator", "X", "y", "sample_weight"]


def test_shows_how_it_was_made():
    assert repr(make_step_scorer("f1_macro")) == "make_step_scorer('f1_macro')"
    scorer = make_scorer(metrics.accuracy_score)
    assert repr(make_step_scorer(scorer)) == f"make_step_scorer({scorer!r})"


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("scoring", "error", "message"),
    [
        ("f2", ValueError, "'f2'"),
        (metrics.f1_score, ValueError, "looks like it is a metric function rather than a scorer"),
        (None, TypeError, "If no scoring is specified"),
        (3, ValueError, "The 'scoring' parameter of check_scoring must be"),
    ],
)
def test_what_is_no_scorer_is_refused_at_once(scoring, error, message):
    with pytest.raises(error, match=message):
        make_step_scorer(scoring)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[:7], r"^y has 7 sequences, but predict\(X\) has 8\.$"),
        (lambda y: [*y[:3], y[3].repeat(2), *y[4:]], r"^y\[3\] has 2 steps, but predict\(X\)\[3\] has 1\.$"),
        # as many steps in total
        (lambda y: [y[1], y[0], *y[2:]], r"^y\[0\] has 2 steps, but predict\(X\)\[0\] has 4\.$"),
        (lambda _: np.arange(8), r"^y must have one entry per time step: Sequence 0 has dim 0"),
        (lambda _: None, r"^y must have one entry per time step"),
    ],
)
def test_targets_that_do_not_go_with_the_predictions_are_refused(change, message):
    estimator, X, y, _ = fitted("multiclass", "ragged")
    with pytest.raises(ValueError, match=message):
        make_step_scorer("accuracy")(estimator, X, change(y))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[:7], r"^y has 8 sequences, but sample_weight has 7\.$"),
        (lambda w: [w[1], w[0], *w[2:]], r"^y\[0\] has 4 steps, but sample_weight\[0\] has 2\.$"),
        (lambda _: np.ones(7), r"inconsistent numbers of samples: \[8, 7\]"),
        (lambda _: np.ones(32), r"inconsistent numbers of samples: \[8, 32\]"),
    ],
)
def test_weights_that_do_not_go_with_the_targets_are_refused(change, message):
    estimator, X, y, _ = fitted("multiclass", "ragged")
    with pytest.raises(ValueError, match=message):
        make_step_scorer("accuracy")(estimator, X, y, sample_weight=change(in_form("ragged", WEIGHTS)))


def test_one_prediction_for_each_sequence_is_refused():
    X, y = STEPS, in_form("equal", TARGETS["binary"])
    model = LogisticRegression().fit(STEPS, TARGETS["binary"])
    with pytest.raises(ValueError, match=r"^predict\(X\) must have one entry per time step: Sequence 0 has dim 0"):
        make_step_scorer("accuracy")(model, X, y)


def test_a_metric_of_probabilities_needs_them():
    estimator, X, y, _ = fitted("real", "ragged")
    with pytest.raises(AttributeError, match="has none of the following attributes: predict_proba"):
        make_step_scorer("neg_log_loss")(estimator, X, y)


# ---------------------------------------------------------------- concatenate_steps


@every_form
@pytest.mark.parametrize("kind", TARGETS)
def test_concatenates_sequence_after_sequence(kind, form):
    steps = concatenate_steps(in_form(form, TARGETS[kind]))
    assert steps.dtype == TARGETS[kind].dtype
    assert_array_equal(steps, TARGETS[kind])


@pytest.mark.parametrize("lengths", [LENGTHS, np.full(8, 4), [32], [3, 0, 29]])
@pytest.mark.parametrize("values", [STEPS, SCORE, STEPS[:, :0]], ids=["2-D", "1-D", "no outputs"])
def test_undoes_split_steps(values, lengths):
    assert_array_equal(concatenate_steps(split_steps(values, np.array(lengths))), values)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([["a", "bcd"], ["e"]], ["a", "bcd", "e"]),
        ([["a", "bcd"], ["e", "f"]], ["a", "bcd", "e", "f"]),
        (np.array([["a", "bcd"], ["e", "f"]], dtype=object), ["a", "bcd", "e", "f"]),
        (([1, 2], [3]), [1, 2, 3]),
        ([[[1, 2]], [[3, 4], [5, 6]]], [[1, 2], [3, 4], [5, 6]]),
        (pd.DataFrame({"first": [1, 2], "second": [3, 4]}, index=[5, 6]), [1, 3, 2, 4]),
        (pd.DataFrame({"first": ["a", "b"], "second": ["c", "d"]}), ["a", "c", "b", "d"]),
        (pd.Series([np.array([1, 2]), np.array([3])], index=[1, 0]), [1, 2, 3]),
        ([pd.Series([1, 2], index=[1, 0]), pd.Series([3])], [1, 2, 3]),
        ([pd.DataFrame({"x": [1, 2], "y": [3, 4]})], [[1, 3], [2, 4]]),
    ],
)
def test_takes_lists_and_frames(y, expected):
    assert_array_equal(concatenate_steps(y), expected)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([], "Found 0 sequence"),
        (np.empty((0, 4)), "Found 0 sequence"),
        (np.arange(3), "Sequence 0 has dim 0, while"),
        (["rest", "walk"], "Sequence 0 has dim 0, while"),
        (np.array(["rest", "walk"], dtype=object), "Sequence 0 has dim 0, while"),
        (None, "Sequence 0 has dim 0, while"),
        (np.zeros((2, 3, 4, 5)), "Sequence 0 has dim 3, while"),
        ([[1, 2], 3], "Sequence 1 has dim 0, while"),
        ([np.zeros(3), np.zeros(2), np.zeros((4, 1))], r"Sequence 2 has shape \(4, 1\), which does not go with \(3,\)"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], r"Sequence 1 has shape \(3, 1\), which does not go with \(3, 2\)"),
        ([[[1, 2], [3, 4]], [[1, 2], [3]]], "Sequence 1 is no array"),
        (np.ma.masked_less(np.arange(4).reshape(2, 2), 1), "y is a masked array"),
    ],
)
def test_what_has_not_one_entry_per_step_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        concatenate_steps(y)


@pytest.mark.parametrize(("y", "name"), [(csr_array(np.eye(2)), "y"), ([csr_array(np.eye(2))], "Sequence 0")])
def test_sparse_targets_are_refused(y, name):
    with pytest.raises(TypeError, match=f"^{name} is sparse"):
        concatenate_steps(y)
