"""Estimators with random weights, biases among them, of every kind."""

import numpy as np
from sklearn.base import is_classifier

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import ACTIVATIONS, CELLS

N, T, F = 5, 6, 3
LENGTHS = np.array([6, 1, 3, 6, 2])
#: cell and activation
KINDS = [("rnn", activation) for activation in ACTIVATIONS] + [(cell, "tanh") for cell in CELLS if cell != "rnn"]


def new_X(rng, dtype="float64"):
    return rng.normal(size=(N, T, F)).astype(dtype)


def ragged(X):
    """The first ``LENGTHS`` steps of the sequences."""
    return [x[:length] for x, length in zip(X, LENGTHS, strict=True)]


def fitted(estimator, X, y, rng):
    """Fit an estimator, and draw its weights anew: those of a fit have biases near zero."""
    estimator.set_params(max_iter=1, random_state=0).fit(X, y)
    for array in (estimator.coefs_ | estimator.intercepts_).values():
        array[...] = rng.normal(scale=0.5, size=array.shape)
    return estimator


def classifier(rng, X, n_classes=3, **parameters):
    clf = RNNClassifier(**{"hidden_layer_sizes": 4, **parameters})
    shape = X.shape[:2] if clf.return_sequences else X.shape[:1]
    return fitted(clf, X, np.arange(np.prod(shape)).reshape(shape) % n_classes, rng)


def regressor(rng, X, **parameters):
    reg = RNNRegressor(**{"hidden_layer_sizes": 4, **parameters})
    shape = X.shape[:2] if reg.return_sequences else X.shape[:1]
    return fitted(reg, X, rng.uniform(1, 2, size=shape), rng)


def real_predictions(estimator, X):
    """Probabilities or targets."""
    return estimator.predict_proba(X) if is_classifier(estimator) else estimator.predict(X)
