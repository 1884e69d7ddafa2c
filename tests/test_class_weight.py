"""``class_weight`` of the classifier: the same as the sample weights that it stands for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.class_weight import compute_sample_weight

from skrnn import RNNClassifier
from skrnn.inspection import loss_gradient

pytestmark = pytest.mark.filterwarnings("ignore:(Maximum iterations|L-BFGS did not):sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
LABELS = np.array(["bee", "owl", "yak"])[np.repeat([0, 1, 2], [24, 12, 4])][RNG.permutation(40)]
LENGTHS = RNG.integers(1, 7, 40)
X = [RNG.normal((label == "owl") - (label == "yak"), 1.0, (n, 2)) for label, n in zip(LABELS, LENGTHS, strict=True)]
WEIGHT = RNG.integers(0, 3, 40).astype(float)
STEPS = [np.where(x[:, 0] > 0.5, "high", "low") for x in X]
MULTILABEL = np.stack([LABELS == "owl", LABELS != "bee"], axis=1).astype(int)
WEIGHT_OF_CLASS = {"bee": 0.5, "owl": 2.0, "yak": 3.0}


def new(class_weight=None, **parameters):
    return RNNClassifier(
        **{"hidden_layer_sizes": 4, "max_iter": 3, "random_state": 0, "class_weight": class_weight, **parameters}
    )


@pytest.mark.parametrize("class_weight", [WEIGHT_OF_CLASS, {"yak": 7}, "balanced", {"bee": 0, "owl": 1, "yak": 1}], ids=str)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_is_the_same_as_sample_weights(class_weight, solver):
    by_class = new(class_weight, solver=solver).fit(X, LABELS)
    by_sample = new(solver=solver).fit(X, LABELS, sample_weight=compute_sample_weight(class_weight, LABELS))
    assert_array_equal(by_class._theta, by_sample._theta)
    assert by_class.loss_curve_ == by_sample.loss_curve_
    assert not np.array_equal(by_class._theta, new(solver=solver).fit(X, LABELS)._theta)


def test_multiplies_sample_weights():
    by_class = new(WEIGHT_OF_CLASS).fit(X, LABELS, sample_weight=WEIGHT)
    by_sample = new().fit(X, LABELS, sample_weight=WEIGHT * compute_sample_weight(WEIGHT_OF_CLASS, LABELS))
    assert_array_equal(by_class._theta, by_sample._theta)


@pytest.mark.parametrize("labels", [LABELS, LABELS == "yak", np.repeat(0, 40)], ids=["three", "two", "one"])
def test_balanced_counts_weights_as_repetitions(labels):
    repeated = np.repeat(np.arange(40), WEIGHT.astype(int))
    by_weight = new("balanced", alpha=0.1, batch_size=80).fit(X, labels, sample_weight=WEIGHT)
    by_repetition = new("balanced", alpha=0.1, batch_size=80).fit([X[i] for i in repeated], labels[repeated])
    assert_allclose(by_weight._theta, by_repetition._theta, rtol=1e-9, atol=1e-12)


def test_a_class_of_weight_zero_is_not_counted():
    weight = (LABELS != "yak").astype(float)
    balanced = new("balanced").fit(X, LABELS, sample_weight=weight)
    expected = np.where(LABELS == "yak", 0, np.where(LABELS == "bee", 36 / 48, 36 / 24))
    assert_array_equal(balanced._theta, new().fit(X, LABELS, sample_weight=expected)._theta)


@pytest.mark.parametrize("class_weight", [{"high": 3, "low": 0.5}, "balanced"], ids=str)
@pytest.mark.parametrize("truncation_length", [None, 2])
@pytest.mark.parametrize("per", ["sequence", "step"])
def test_the_classes_of_steps_are_weighted(class_weight, truncation_length, per):
    steps, weight_of_steps = np.concatenate(STEPS), np.repeat(WEIGHT, LENGTHS)
    given = np.split(weight_of_steps, np.cumsum(LENGTHS)[:-1]) if per == "step" else WEIGHT
    if class_weight == "balanced":
        total = {label: weight_of_steps[steps == label].sum() for label in ("high", "low")}
        class_weight_dict = {label: weight_of_steps.sum() / (2 * one) for label, one in total.items()}
    else:
        class_weight_dict = class_weight
    expected = np.split(weight_of_steps * [class_weight_dict[label] for label in steps], np.cumsum(LENGTHS)[:-1])
    parameters = {"return_sequences": True, "truncation_length": truncation_length}
    by_class = new(class_weight, **parameters).fit(X, STEPS, sample_weight=given)
    by_sample = new(**parameters).fit(X, STEPS, sample_weight=expected)
    assert_allclose(by_class._theta, by_sample._theta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("class_weight", [[{0: 1, 1: 4}, {1: 3}], "balanced"], ids=str)
def test_the_weights_of_several_labels_are_multiplied(class_weight):
    by_class = new(class_weight).fit(X, MULTILABEL)
    by_sample = new().fit(X, MULTILABEL, sample_weight=compute_sample_weight(class_weight, MULTILABEL))
    assert_allclose(by_class._theta, by_sample._theta, rtol=1e-9, atol=1e-12)


BAD = {
    "a list": ([{"bee": 1}], LABELS, "is a list, which is for multilabel targets: pass a dict"),
    "other classes": ({"bee": 1, "cow": 2}, LABELS, "are not in class_weight"),
    "negative": ({"bee": -1.0}, LABELS, "must hold finite numbers that are not negative"),
    "NaN": ({"bee": np.nan}, LABELS, "must hold finite numbers that are not negative"),
    "a dict": ({0: 1, 1: 2}, MULTILABEL, "does not go with 2 labels: pass a list of as many dicts"),
    "too few dicts": ([{0: 1, 1: 2}], MULTILABEL, "does not go with 2 labels"),
    "no dicts": (["balanced", "balanced"], MULTILABEL, "does not go with 2 labels"),
    "all zero": (dict.fromkeys(WEIGHT_OF_CLASS, 0), LABELS, "Sample weights must contain at least one non-zero number"),
}


@pytest.mark.parametrize(("class_weight", "y", "message"), BAD.values(), ids=BAD)
def test_what_means_nothing_is_refused(class_weight, y, message):
    clf = new(class_weight)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert vars(clf) == clf.get_params()


@pytest.mark.parametrize("class_weight", ["balance", 2, ()])
def test_other_kinds_are_refused(class_weight):
    with pytest.raises(InvalidParameterError, match="'class_weight' parameter of RNNClassifier must be"):
        new(class_weight).fit(X, LABELS)


def test_partial_fit_takes_weights_of_all_classes():
    classes = np.unique(LABELS)
    by_class, by_sample = new(WEIGHT_OF_CLASS), new()
    for label in classes:  # one class a call
        part = np.flatnonzero(label == LABELS)
        data = [X[i] for i in part], LABELS[part], classes
        by_class.partial_fit(*data)
        by_sample.partial_fit(*data, sample_weight=np.full(len(part), WEIGHT_OF_CLASS[label]))
    assert_array_equal(by_class._theta, by_sample._theta)


def test_partial_fit_can_not_balance():
    with pytest.raises(ValueError, match=r"partial_fit does not support class_weight='balanced'.*compute_class_weight"):
        new("balanced").partial_fit(X, LABELS, classes=np.unique(LABELS))


def test_the_score_of_early_stopping_is_not_weighted_by_class():
    clf = new({"bee": 0.001, "owl": 1, "yak": 1000}, early_stopping=True, validation_fraction=0.25).fit(X, LABELS)
    assert_allclose(10 * np.array(clf.validation_scores_), np.round(10 * np.array(clf.validation_scores_)), atol=1e-9)
    weighted = new({"bee": 1e-9}, early_stopping=True, validation_fraction=0.25).fit(X, LABELS, sample_weight=1 + WEIGHT)
    unweighted = new({"bee": 1e-9}, early_stopping=True, validation_fraction=0.25).fit(X, LABELS)
    assert weighted.validation_scores_ != unweighted.validation_scores_


def test_scores_are_not_weighted_by_class():
    clf = new(WEIGHT_OF_CLASS).fit(X, LABELS)
    assert clf.score(X, LABELS) == np.mean(clf.predict(X) == LABELS)


def test_the_gradient_of_the_loss_is_that_of_training():
    clf = new(WEIGHT_OF_CLASS).fit(X, LABELS)
    loss, gradient = loss_gradient(clf, X, LABELS)
    weight = compute_sample_weight(WEIGHT_OF_CLASS, LABELS)
    expected_loss, expected = loss_gradient(clf.set_params(class_weight=None), X, LABELS, sample_weight=weight)
    assert loss == expected_loss
    for name in expected:
        assert_array_equal(gradient[name], expected[name])


def test_a_class_of_weight_zero_is_validated_on_but_not_trained_on():
    clf = new({"yak": 0.0}, early_stopping=True, validation_fraction=0.25, batch_size=1).fit(X, LABELS)
    assert_allclose(10 * np.array(clf.validation_scores_), np.round(10 * np.array(clf.validation_scores_)), atol=1e-9)
    assert clf.t_ == 3 * (30 - 3)  # a quarter of the four yaks is held out
