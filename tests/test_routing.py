"""scikit-learn's metadata routing: weights, classes and states find their way through pipelines and searches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.metrics import make_step_scorer
from skrnn.preprocessing import PerStep

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")
each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])

RNG = np.random.default_rng(0)
Y = np.arange(40) % 2
X = RNG.normal(Y[:, None, None] - 0.5, 1.5, (40, 5, 2))
WEIGHT = RNG.uniform(0, 3, 40)


@pytest.fixture(autouse=True)
def routing():
    with config_context(enable_metadata_routing=True):
        yield


def new(Estimator=RNNClassifier, **parameters):
    return Estimator(**{"hidden_layer_sizes": 4, "max_iter": 3, "learning_rate_init": 0.02, "random_state": 0, **parameters})


def weighted(estimator):
    return estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


@each_estimator
@pytest.mark.parametrize("scales_with_weights", [False, True])
def test_a_pipeline_routes_weights(Estimator, scales_with_weights):
    scaler = StandardScaler().set_fit_request(sample_weight=scales_with_weights)
    pipeline = make_pipeline(PerStep(scaler), weighted(new(Estimator))).fit(X, Y, sample_weight=WEIGHT)
    mean = np.average(X, axis=(0, 1), weights=np.broadcast_to(WEIGHT[:, None, None], X.shape) if scales_with_weights else None)
    assert_allclose(pipeline[0].transformer_.mean_, mean)
    expected = new(Estimator).fit(pipeline[0].transform(X), Y, sample_weight=WEIGHT)
    assert_array_equal(pipeline[-1]._theta, expected._theta)
    score = pipeline.score(X, Y, sample_weight=WEIGHT)
    assert score == expected.score(pipeline[0].transform(X), Y, WEIGHT)
    assert score != pipeline.score(X, Y)


def test_weights_that_nobody_requested_are_refused():
    for pipeline in (make_pipeline(PerStep(StandardScaler()), weighted(new())), make_pipeline(new())):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            pipeline.fit(X, Y, sample_weight=WEIGHT)


def test_a_transformer_of_steps_hands_on_weights_of_steps():
    scaler = PerStep(StandardScaler().set_fit_request(sample_weight=True))
    lengths = 1 + np.arange(40) % 5
    ragged = [x[:n] for x, n in zip(X, lengths, strict=True)]
    weight = [RNG.uniform(0, 1, n) for n in lengths]
    mean = np.average(np.concatenate(ragged), axis=0, weights=np.concatenate(weight))
    assert_allclose(scaler.fit(ragged, sample_weight=weight).transformer_.mean_, mean)
    with config_context(enable_metadata_routing=False):
        assert_allclose(clone(scaler).fit(ragged, sample_weight=weight).transformer_.mean_, mean)
    with pytest.raises(ValueError, match=r"sample_weight\[0\] has 2 steps, but X\[0\] has 1"):
        scaler.fit(ragged, sample_weight=[np.ones(2), *weight[1:]])
    scaler.fit_transform(ragged, sample_weight=weight)
    assert_allclose(scaler.transformer_.mean_, mean)


@each_estimator
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_routes_weights_to_fit_and_to_scores(Estimator, n_jobs):
    pipeline = make_pipeline(PerStep(StandardScaler().set_fit_request(sample_weight=False)), weighted(new(Estimator)))
    scorer = get_scorer("accuracy" if Estimator is RNNClassifier else "r2").set_score_request(sample_weight=True)
    grid = {pipeline.steps[-1][0] + "__alpha": [1e-4]}
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=KFold(2), n_jobs=n_jobs, error_score="raise")
    search.fit(X, Y, sample_weight=WEIGHT)
    expected = []
    for train, test in KFold(2).split(X):
        fitted = clone(pipeline).fit(X[train], Y[train], sample_weight=WEIGHT[train])
        expected.append(scorer(fitted, X[test], Y[test], sample_weight=WEIGHT[test]))
    assert_allclose([search.cv_results_[f"split{i}_test_score"][0] for i in range(2)], expected, rtol=1e-12)


def test_weights_are_routed_to_scores_of_steps():
    clf = new(return_sequences=True).set_fit_request(sample_weight=True)
    steps = X[..., 0] > 0
    scorer = make_step_scorer(get_scorer("accuracy").set_score_request(sample_weight=True))
    scores = cross_validate(clf, X, steps, cv=KFold(2), scoring=scorer, params={"sample_weight": WEIGHT})["test_score"]
    for score, (train, test) in zip(scores, KFold(2).split(X), strict=True):
        fitted = clone(clf).fit(X[train], steps[train], sample_weight=WEIGHT[train])
        assert_allclose(score, fitted.score(X[test], steps[test], WEIGHT[test]))


def test_predictions_by_cross_validation_are_of_weighted_fits():
    clf = new().set_fit_request(sample_weight=True)
    predicted = cross_val_predict(clf, X, Y, cv=KFold(2), params={"sample_weight": WEIGHT}, method="predict_proba")
    train, test = next(KFold(2).split(X))
    assert_array_equal(predicted[test], new().fit(X[train], Y[train], WEIGHT[train]).predict_proba(X[test]))


@each_estimator
def test_states_are_routed_through_a_pipeline(Estimator):
    state = RNG.normal(size=(40, 4))
    final = new(Estimator).set_predict_request(initial_state=True, return_state=True)
    pipeline = make_pipeline(PerStep(StandardScaler()), final).fit(X, Y)
    found = pipeline.predict(X, initial_state=state, return_state=True)
    expected = pipeline[-1].predict(pipeline[0].transform(X), initial_state=state, return_state=True)
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)
    with pytest.raises(UnsetMetadataPassedError, match="initial_state"):
        make_pipeline(new(Estimator)).fit(X, Y).predict(X, initial_state=state)
    with config_context(enable_metadata_routing=False):  # a pipeline then passes everything on to its last step
        assert_array_equal(pipeline.predict(X, initial_state=state), expected[0])


@each_estimator
def test_what_can_be_requested(Estimator):
    is_classifier = Estimator is RNNClassifier
    states = {"initial_state": None, "return_state": None}
    assert new(Estimator).get_metadata_routing()._serialize() == {
        "fit": {"sample_weight": None},
        "partial_fit": {"classes": None, "sample_weight": None} if is_classifier else {"sample_weight": None},
        "predict": states,
        **({"predict_proba": states, "predict_log_proba": states} if is_classifier else {}),
        "score": {"sample_weight": None},
    }
    requests = new(Estimator).set_partial_fit_request(sample_weight=True).get_metadata_routing()
    assert requests.partial_fit.requests["sample_weight"] is True
