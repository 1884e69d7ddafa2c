"""Warnings about data of another scale, and about gradients that explode all the time."""

import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.datasets import make_temporal_order
from skrnn.preprocessing import PerStep

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])


def make_data(ragged=False):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 6, 3))
    y = X[:, :, 0].mean(axis=1) > 0
    return ([x[: 2 + i % 5] for i, x in enumerate(X)] if ragged else X), y


def new(Estimator, **parameters):
    return Estimator(**{"hidden_layer_sizes": 4, "max_iter": 2, "learning_rate": "cosine", "random_state": 0} | parameters)


def warnings_of(function, *arguments, of_loss=False):
    """Messages; those about the loss only if asked for, since hardly anything is learned here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    assert all(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    messages = [str(warning.message) for warning in caught]
    return [message for message in messages if message.startswith("The loss") == of_loss]


@each_estimator
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ([1, 5000, 1], "feature 1 has a root mean square of .*e+03, feature"),
        ([1, 9, 0.001], "feature 1 has a root mean square of .*, feature 2 of 0.0009"),
        ([0.001, 0.001, 0.001], "has a root mean square of 0.001"),
        ([1, 30, 1], "feature 1 has a root mean square of 3"),
        ([1, 1e200, 0], "feature 1 has a root mean square of inf"),
    ],
    ids=["one", "ratio", "small", "large", "huge"],
)
def test_features_far_from_one_or_from_each_other_are_named(Estimator, ragged, scale, message):
    X, y = make_data(ragged)
    X = [x * scale for x in X]
    found = warnings_of(lambda: new(Estimator, alpha=0).fit(X, y) if max(scale) < 1e100 else _try(new(Estimator), X, y))
    assert "X is not scaled" in found[0]
    for part in message.split(".*"):
        assert part in found[0]
    assert "PerStep(StandardScaler())" in found[0]


def _try(estimator, X, y):
    try:
        estimator.fit(X, y)
    except ValueError as error:
        assert "not finite" in str(error)  # noqa: PT017  # it may also learn


@each_estimator
@pytest.mark.parametrize("scale", [[1, 1, 1], [15, 1, 0.1], [0, 0, 0], [0, 1, 0], [0.07, 0.07, 0.07]], ids=str)
def test_other_features_go_without_a_warning(Estimator, scale):
    X, y = make_data()
    assert warnings_of(new(Estimator).fit, X * scale, y) == []


@each_estimator
def test_numbers_left_by_rounding_are_no_features(Estimator):
    X, y = make_data()
    X[:, :, 2] = 0.1
    for scaler in (StandardScaler(), PCA()):
        assert warnings_of(make_pipeline(PerStep(scaler), new(Estimator)).fit, X, y) == []
    assert warnings_of(new(Estimator).fit, X * [15, 15, 1e-12], y) == []


@each_estimator
def test_a_feature_that_is_rarely_there_goes_without_a_warning(Estimator):
    X, y = make_data()
    X[:, :, 2] = 0
    X[0, 0, 2] = 1
    assert warnings_of(new(Estimator).fit, X, y) == []


def test_numbers_that_may_be_token_ids_are_asked_about():
    _, y = make_data()
    (message,) = warnings_of(new(RNNClassifier).fit, np.arange(240.0).reshape(40, 6) * 3, y)
    assert "If it is a token id, set embedding_dim." in message


@each_estimator
def test_the_remedy_is_one(Estimator):
    X, y = make_data()
    assert warnings_of(make_pipeline(PerStep(StandardScaler()), new(Estimator)).fit, X * [1, 5000, 1] + 200, y) == []


@pytest.mark.parametrize(("factor", "named"), [(3000, "1.5e+03"), (0.001, "0.0005"), (1e200, "inf")])
def test_targets_far_from_one_are_named(factor, named):
    X, y = make_data()
    found = warnings_of(_try, new(RNNRegressor), X, y * factor)
    assert f"y is not scaled: its standard deviation is {named}" in found[0]
    regressor = TransformedTargetRegressor(new(RNNRegressor), transformer=StandardScaler())
    assert warnings_of(regressor.fit, X, y * min(factor, 1e100)) == []


def test_the_targets_of_counts_constants_and_no_weight_go_without_a_warning():
    X, y = make_data()
    assert warnings_of(new(RNNRegressor, loss="poisson").fit, X, y * 1000) == []
    for constant in (3.0, 0.1, 1e6):
        assert warnings_of(new(RNNRegressor).fit, X, np.full(40, constant)) == []
    assert warnings_of(new(RNNRegressor).fit, X, np.column_stack([y, np.full(40, 1 / 3)])) == []
    target, weight = np.where(np.arange(40) < 3, 1e9, y), np.arange(40) >= 3
    assert warnings_of(new(RNNRegressor).fit, X, target, weight) == []
    X[:3] *= 1e9
    assert warnings_of(new(RNNRegressor).fit, X, target, weight) == []


@each_estimator
def test_the_first_call_warns_and_later_ones_do_not(Estimator):
    X, y = make_data()
    first = {"classes": [False, True]} if Estimator is RNNClassifier else {}
    estimator = new(Estimator)
    assert len(warnings_of(lambda: estimator.partial_fit(X * 1000, y, **first))) == 1
    assert warnings_of(estimator.partial_fit, X * 1000, y) == []


@each_estimator
def test_token_ids_have_no_scale(Estimator):
    _, y = make_data()
    tokens = np.random.default_rng(0).integers(0, 3000, (40, 6))
    assert warnings_of(new(Estimator, embedding_dim=2).fit, tokens, y) == []


def test_a_loss_that_has_not_fallen_is_reported():
    X, y = make_data()
    (message,) = warnings_of(new(RNNClassifier, learning_rate_init=1e-7, max_iter=20).fit, X, y, of_loss=True)
    assert message.startswith("The loss has hardly fallen: from 0.")
    assert "Raise learning_rate_init or max_iter" in message


def test_a_loss_that_is_still_falling_is_reported():
    X, y = make_temporal_order(200, n_timesteps=20, random_state=0)
    classifier = new(RNNClassifier, hidden_layer_sizes=16, learning_rate_init=0.005, max_iter=16)
    (message,) = warnings_of(classifier.fit, X, y, of_loss=True)
    assert message.startswith("The loss was still falling when the schedule ended: from 1.4")
    assert "after max_iter=16. Increase max_iter" in message
    assert warnings_of(classifier.set_params(max_iter=60).fit, X, y, of_loss=True) == []


def exploding(**parameters):
    """A network without anything that bounds its gradients."""
    defaults = {"cell": "rnn", "activation": "identity", "recurrent_init_scheme": "he_normal", "learning_rate_init": 1e-5}
    return new(RNNClassifier, **defaults | {"hidden_layer_sizes": 32, "max_iter": 60} | parameters)


def long_data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, 30, 2))
    return X, X[:, 0, 0] > 0


def test_gradients_that_explode_all_the_time_are_reported_with_their_share():
    (message,) = warnings_of(exploding().fit, *long_data())
    assert "The gradients of 120 of 120 updates were more than 10 times as long as clip_norm=1.0" in message
    assert "cell='gru'" in message


@pytest.mark.parametrize("parameters", [{"cell": "gru"}, {"max_iter": 40}])
def test_gates_do_without_and_so_do_few_updates(parameters):
    assert warnings_of(exploding(**parameters).fit, *long_data()) == []


def test_clipping_to_little_effect_goes_without_a_warning():
    X, y = long_data()
    estimator = new(RNNClassifier, clip_value=1e-4, max_iter=60)
    assert warnings_of(estimator.fit, X, y) == []
    assert estimator.clip_fraction_ == 1
