"""The main job on real and classical data, at the scores that the README and the papers give."""

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.datasets import load_japanese_vowels, make_adding, make_temporal_order
from skrnn.preprocessing import PerStep


def as_float32(X):
    return [x.astype(np.float32) for x in X]


def test_speakers_of_the_japanese_vowels_are_recognised():
    X, y = load_japanese_vowels("train", return_X_y=True)
    classifier = RNNClassifier(
        bidirectional=True,
        pooling=("last", "max"),
        learning_rate="cosine",
        learning_rate_init=3e-3,
        max_iter=40,
        random_state=0,
    )
    pipeline = make_pipeline(PerStep(StandardScaler()), classifier).fit(X, y)
    assert pipeline.score(*load_japanese_vowels("test", return_X_y=True)) >= 0.975


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": 32, "learning_rate_init": 1e-2, "batch_size": 64},
        {
            "cell": "rnn", "activation": "relu", "recurrent_init_scheme": "identity",
            "hidden_layer_sizes": 64, "learning_rate_init": 3e-3,
        },
    ],
    ids=["gru", "relu network with identity weights"],
)  # fmt: skip
def test_the_adding_problem_with_100_steps_is_solved(parameters):
    """A mean predictor has a squared error of 1/6."""
    X, y = make_adding(8000, n_timesteps=100, random_state=0)
    X_test, y_test = make_adding(500, n_timesteps=100, random_state=1)
    network = RNNRegressor(learning_rate="cosine", max_iter=10, random_state=0, **parameters).fit(X.astype(np.float32), y)
    assert mean_squared_error(y_test, network.predict(X_test)) < 0.01


def test_temporal_order_6a_is_solved():
    """An LSTM whose biases are spread over memories of up to the length of a sequence."""
    X, y = make_temporal_order(4000, random_state=0)
    X_test, y_test = make_temporal_order(1000, random_state=1)
    network = RNNClassifier(
        hidden_layer_sizes=32, cell="lstm", forget_bias="chrono", learning_rate="cosine", learning_rate_init=1e-2, max_iter=10,
        random_state=0,
    )  # fmt: skip
    assert network.fit(as_float32(X), y).score(as_float32(X_test), y_test) >= 0.99
