"""Losses in raw-prediction space: value, gradient, inverse link and base rate.

Raw predictions are ``(n_raw, N)``, one column a sequence; so are real-valued targets, while class labels are ``(N,)`` integers.
``weight`` (N,) carries the normalisation: a loss is ``sum(weight * loss of each sequence)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, xlogy

from .parameters import FloatArray

#: A class that never occurs starts with this share of an even prior, not with a bias of minus infinity.
LEAST_PRIOR = 0.01


class Loss(ABC):
    """Abstract; its subclasses are final."""

    #: the function from raw predictions to the space of the targets: "identity", "exp", "logistic" or "softmax"
    inverse_link: str

    @abstractmethod
    def value_and_gradient(self, raw: FloatArray, y: NDArray[Any], weight: FloatArray, out: FloatArray) -> float:
        """Return the weighted sum of the losses and write its gradient with respect to ``raw`` to ``out``."""

    @abstractmethod
    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        """Return the constant raw prediction, (n_raw,), that fits ``y`` best."""


class MulticlassLogLoss(Loss):
    """Cross-entropy of the softmax; ``y`` holds the index of the class."""

    inverse_link = "softmax"

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def value_and_gradient(self, raw: FloatArray, y: NDArray[Any], weight: FloatArray, out: FloatArray) -> float:
        columns = np.arange(len(y))
        np.subtract(raw, np.maximum.reduce(raw, axis=0), out=out)
        log_likelihood = out[y, columns]
        np.exp(out, out=out)
        total = np.add.reduce(out, axis=0)
        out *= weight / total
        out[y, columns] -= weight
        return float(np.dot(weight, np.log(total) - log_likelihood))

    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        prior = np.bincount(y, weight, self.n_classes) / weight.sum()
        bias: FloatArray = np.log(np.maximum(prior, LEAST_PRIOR / self.n_classes))
        return bias


class BinaryLogLoss(Loss):
    """Cross-entropy of one logit for each label, summed over the labels; ``y`` is 0 or 1."""

    inverse_link = "logistic"

    def value_and_gradient(self, raw: FloatArray, y: NDArray[Any], weight: FloatArray, out: FloatArray) -> float:
        np.subtract(expit(raw), y, out=out)
        loss = np.logaddexp(0, raw) - y * raw
        out *= weight
        return float(np.dot(weight, loss.sum(axis=0)))

    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        rate = np.clip(np.average(y, axis=1, weights=weight), LEAST_PRIOR / 2, 1 - LEAST_PRIOR / 2)
        bias: FloatArray = np.log(rate / (1 - rate))
        return bias


class RegressionLoss(Loss):
    """Identity link, mean over the outputs of a function of the residual; abstract."""

    inverse_link = "identity"

    @abstractmethod
    def of_residual(self, residual: FloatArray, out: FloatArray) -> FloatArray:
        """Return the losses and write their derivatives by the prediction to ``out``; ``residual = raw - y``."""

    def value_and_gradient(self, raw: FloatArray, y: NDArray[Any], weight: FloatArray, out: FloatArray) -> float:
        weight = weight / len(raw)
        loss = self.of_residual(raw - y, out)
        out *= weight
        return float(np.dot(weight, loss.sum(axis=0)))


class SquaredError(RegressionLoss):
    """Half the squared error."""

    def of_residual(self, residual: FloatArray, out: FloatArray) -> FloatArray:
        out[...] = residual
        return residual * residual * 0.5

    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        return np.average(y, axis=1, weights=weight)


class QuantileLoss(RegressionLoss):
    """The pinball loss; ``scale * pinball`` of the residual at ``quantile``."""

    def __init__(self, quantile: float, scale: float = 1.0) -> None:
        self.quantile, self.scale = quantile, scale

    def of_residual(self, residual: FloatArray, out: FloatArray) -> FloatArray:
        over, under = self.scale * (1 - self.quantile), -self.scale * self.quantile
        out[...] = np.where(residual > 0, over, np.where(residual < 0, under, 0))
        return residual * out

    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        return weighted_quantile(y, weight, self.quantile)


class Huber(RegressionLoss):
    """Half the squared error of residuals up to 1, and linear beyond (P. J. Huber, Annals of Statistics 35, 1964)."""

    def of_residual(self, residual: FloatArray, out: FloatArray) -> FloatArray:
        np.clip(residual, -1, 1, out=out)
        return out * (residual - 0.5 * out)

    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        # one step of the M-estimate from the median, as scikit-learn's gradient boosting takes it
        median = weighted_quantile(y, weight, 0.5)
        return median + np.average(np.clip(y - median[:, None], -1, 1), axis=1, weights=weight)


class PoissonLoss(Loss):
    """Half the Poisson deviance with a log link, mean over the outputs; ``y >= 0``."""

    inverse_link = "exp"

    def value_and_gradient(self, raw: FloatArray, y: NDArray[Any], weight: FloatArray, out: FloatArray) -> float:
        weight = weight / len(raw)
        np.exp(raw, out=out)
        loss = out - y * raw + (xlogy(y, y) - y)
        out -= y
        out *= weight
        return float(np.dot(weight, loss.sum(axis=0)))

    def base_rate(self, y: NDArray[Any], weight: FloatArray) -> FloatArray:
        mean = np.average(y, axis=1, weights=weight)
        bias: FloatArray = np.log(np.maximum(mean, np.finfo(mean.dtype).eps))
        return bias


def weighted_quantile(y: FloatArray, weight: FloatArray, quantile: float) -> FloatArray:
    """Return the quantile of each row of ``y``, halfway between two values where the weights leave it open."""
    order = np.argsort(y, axis=1)
    values = np.take_along_axis(y, order, axis=1)
    cumulative = np.cumsum(weight[order], axis=1, dtype=np.float64)
    target = quantile * cumulative[:, -1:]
    rows = np.arange(len(y))
    slack = 1e-12 * cumulative[:, -1:]
    lower = (cumulative < target - slack).sum(axis=1)
    upper = np.minimum((cumulative <= target + slack).sum(axis=1), y.shape[1] - 1)
    middle: FloatArray = (values[rows, lower] + values[rows, upper]) / 2
    return middle


#: regression losses by name, given the quantile
REGRESSION_LOSSES: dict[str, Callable[[float], Loss]] = {
    "squared_error": lambda _: SquaredError(),
    "absolute_error": lambda _: QuantileLoss(0.5, scale=2.0),
    "huber": lambda _: Huber(),
    "poisson": lambda _: PoissonLoss(),
    "quantile": QuantileLoss,
}
