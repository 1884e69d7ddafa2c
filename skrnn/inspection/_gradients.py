"""Gradients by name, and how they flow back through time."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from .._base import BaseRNN
from .._data import Data
from .._network import DIRECTIONS, Network
from .._runtime import computing


def loss_gradient(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, dict[str, NDArray[np.floating]]]:
    """Return the loss and its gradient with respect to all weights and biases, as training computes them.

    Truncated if ``truncation_length`` is set: then it is the sum over the windows, at fixed weights. Before any clipping.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor, or a Pipeline or search that ends in one
        Fitted. Its parameters are taken as they are now, so ``set_params(truncation_length=10)`` shows what that would change.
    X, y, sample_weight
        As for ``fit``; of a classifier ``y`` need not hold every class. All are taken as one batch, from states of zero.

    Returns
    -------
    loss : float
        The mean loss, weighted by ``sample_weight`` and ``class_weight``, plus the penalty.
    gradient : dict of str to ndarray
        With the names and shapes of ``coefs_`` and ``intercepts_``.

    Raises
    ------
    ValueError
        On invalid input, and if parameters changed that determine the weights' shapes.
    TypeError
        If there is no network at the end of ``estimator``.

    See Also
    --------
    gradient_flow : The gradient with respect to the hidden states.

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.inspection import loss_gradient
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, max_iter=5, learning_rate="cosine", random_state=0).fit(X, y)
    >>> loss, gradient = loss_gradient(reg, X, y)
    >>> gradient["layer0.forward.z.recurrent"].shape
    (8, 8)
    """
    estimator, X = network_and_input(estimator, X)
    network, data = _problem(estimator, X, y, sample_weight)
    batches = list(data.batches())
    total = sum(batch.total_weight(0, batch.n_steps) for batch in batches)
    loss, gradient, part = 0.0, np.zeros_like(estimator._theta), np.empty_like(estimator._theta)
    with computing():
        for batch in batches:
            loss += network.loss_and_gradient(estimator._theta, batch, part, total)
            gradient += part
    weights, biases = network.named(gradient)
    return loss, weights | biases


def gradient_flow(estimator: Any, X: Any, y: Any) -> dict[str, NDArray[np.floating]]:
    """Return the norm of the loss's gradient with respect to the hidden state, at every lag.

    Where it falls with the lag the gradient vanishes, and what lies further back is hardly learned; where it rises it
    explodes [1]_ [2]_. Truncation is left aside, so that one sees what it would cut off.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor, or a Pipeline or search that ends in one
        Fitted.
    X, y
        As for ``fit``. Sequences may be of unequal lengths.

    Returns
    -------
    norms : dict of str to ndarray of shape (n_lags,)
        For each layer and direction, such as ``"layer0.forward"``, the Euclidean norm over units and sequences of the gradient
        of the mean loss. At lag ``k``: with respect to the hidden state ``k`` steps before the last one of each sequence, in
        the direction's own order of steps. With ``return_sequences=True`` it is the loss at that last step alone. There are as
        many lags as the longest sequence has steps.

    Raises
    ------
    ValueError
        On invalid input.

    See Also
    --------
    loss_gradient : The gradient with respect to the weights.

    References
    ----------
    .. [1] Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is difficult", IEEE
       Transactions on Neural Networks 5 (1994).
    .. [2] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML (2013).

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.inspection import gradient_flow
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, max_iter=5, learning_rate="cosine", random_state=0).fit(X, y)
    >>> gradient_flow(reg, X, y)["layer0.forward"].shape
    (20,)
    """
    estimator, X = network_and_input(estimator, X)
    network, data = _problem(estimator, X, y, None)
    flows: dict[str, list[tuple[NDArray[np.intp], NDArray[np.floating]]]] = {}
    for direction in range(network.n_directions):
        if network.every_step:
            offsets, weight = data.sequences.offsets, np.zeros(len(data.sequences.values))
            weight[offsets[1:] - 1 if direction == 0 else offsets[:-1]] = 1
            data = replace(data, weight=weight)
        for batch in data.batches():
            with computing():
                gradients = network.state_gradients(estimator._theta, batch, float(len(data.sequences)))
            end = batch.lengths if batch.every_step else np.full(batch.n_sequences, batch.n_steps)
            lag = end - 1 - np.arange(batch.n_steps)[:, None]
            own = (lag >= 0) & (lag < batch.lengths)
            for layer, of_layer in enumerate(gradients):
                norms = _norm(of_layer[direction], axis=1)
                flows.setdefault(f"layer{layer}.{DIRECTIONS[direction]}", []).append((lag[own], norms[own]))
    return {name: _by_lag(*map(np.concatenate, zip(*parts, strict=True))) for name, parts in flows.items()}


def network_and_input(estimator: Any, X: Any) -> tuple[BaseRNN, Any]:
    """Return the network at the end of searches and pipelines, and ``X`` as it sees it."""
    if hasattr(estimator, "best_estimator_"):
        return network_and_input(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        steps_before = estimator[:-1]
        return network_and_input(estimator[-1], X if X is None or len(steps_before) == 0 else steps_before.transform(X))
    if not isinstance(estimator, BaseRNN):
        raise TypeError(
            "estimator must be an RNNClassifier or RNNRegressor, or a fitted Pipeline or search that ends in one, got "
            f"{type(estimator).__name__}."
        )
    return estimator, X


def _problem(estimator: BaseRNN, X: Any, y: Any, sample_weight: Any) -> tuple[Network, Data]:
    """Build what ``partial_fit`` would train on, without changing the estimator."""
    with computing():
        return copy.copy(estimator)._fitted_problem(X, y, sample_weight)


def _norm(a: NDArray[np.floating], axis: int) -> NDArray[np.floating]:
    """Euclidean norms, of numbers whose squares would over- or underflow as well."""
    largest = np.abs(a).max(axis=axis, keepdims=True).astype(np.float64)
    largest[largest == 0] = 1
    norm: NDArray[np.floating] = np.sqrt(np.square(a / largest).sum(axis=axis)) * largest.squeeze(axis)
    return norm


def _by_lag(lag: NDArray[np.intp], norms: NDArray[np.floating]) -> NDArray[np.floating]:
    """Join the norms of parts with the same lag."""
    largest = np.zeros(lag.max() + 1)
    np.maximum.at(largest, lag, norms)
    largest[largest == 0] = 1
    joined: NDArray[np.floating] = np.sqrt(np.bincount(lag, np.square(norms / largest[lag]))) * largest
    return joined
