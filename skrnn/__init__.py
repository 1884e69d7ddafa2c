"""Recurrent networks for scikit-learn, trained by backpropagation through time in NumPy."""

from ._classifier import RNNClassifier
from ._regressor import RNNRegressor
from ._version import __version__

__all__ = ["RNNClassifier", "RNNRegressor", "__version__"]
