"""Recurrent networks for scikit-learn, trained by backpropagation through time in NumPy."""

from ._classifier import RNNClassifier
from ._regressor import RNNRegressor

__all__ = ["RNNClassifier", "RNNRegressor"]
__version__ = "0.1.0.dev0"
