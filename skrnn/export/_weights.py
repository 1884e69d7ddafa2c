"""The weights of a network in other orders of gates, and an estimator made of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import check_random_state

from .._base import BaseRNN
from .._core.cells import Gate
from .._hyperparameters import architecture_of, check_combinations
from .._network import DIRECTIONS, Network
from .._runs import check_same, fitted_attributes
from .._training import Run


class LayerWeights(NamedTuple):
    """Those of one layer in one direction: blocks of rows, one a gate, in another library's order."""

    input: NDArray[Any]  # (G * H, F)
    recurrent: NDArray[Any]  # (G * H, H)
    bias: NDArray[Any]  # (G * H,)
    recurrent_bias: NDArray[Any]  # (G * H,)


class NetworkWeights(NamedTuple):
    """Those of a network."""

    layers: list[list[LayerWeights]]  # by layer and direction
    readout: NDArray[Any]  # (n_raw, n_pooled)
    readout_bias: NDArray[Any]  # (n_raw,)
    embedding: NDArray[Any] | None = None  # (n_tokens, F)


def network_of(estimator: Any) -> Network:
    """Return the network of a fitted estimator, or raise."""
    check_estimator(estimator)
    network: Network = estimator._fitted_network()
    return network


def check_estimator(estimator: Any) -> None:
    """Raise for what is not one of the two estimators."""
    if not isinstance(estimator, BaseRNN):
        raise TypeError(
            f"estimator must be an RNNClassifier or RNNRegressor, got {type(estimator).__name__}. Of a Pipeline, pass the last "
            "step; of a search, its best_estimator_."
        )


def check_description(estimator: Any) -> None:
    """Raise if this is not one of the two estimators, with valid parameters."""
    check_estimator(estimator)
    estimator._validate_params()
    check_combinations(estimator)


def weights_of(estimator: Any, order: str) -> NetworkWeights:
    """Copy the weights of a fitted estimator; what has one bias has it in ``bias``, and zero in ``recurrent_bias``."""
    network = network_of(estimator)
    views = network.layout.views(estimator._theta)
    by_name = {name: _stacked(gates, order) for name, gates in network.gates(estimator._theta)}
    layers = [
        [by_name[f"layer{layer}.{direction}"] for direction in DIRECTIONS[: network.n_directions]]
        for layer in range(len(network.cells))
    ]
    readout, embedding = views["readout"], views.get("embedding")
    return NetworkWeights(
        layers, readout[:, :-1].copy(), readout[:, -1].copy(), None if embedding is None else embedding.copy()
    )


def _stacked(gates: dict[str, Gate], order: str) -> LayerWeights:
    blocks = [gates[name] for name in order]
    return LayerWeights(
        np.concatenate([gate.input for gate in blocks]),
        np.concatenate([gate.recurrent for gate in blocks]),
        np.concatenate([gate.bias for gate in blocks]),
        np.concatenate([np.zeros_like(gate.bias) if gate.recurrent_bias is None else gate.recurrent_bias for gate in blocks]),
    )


def estimator_of(estimator: Any, weights: NetworkWeights, order: str, classes: Any, multilabel: bool) -> Any:
    """Return a copy of the estimator that is fitted to these weights; of one that is fitted, with what it knows of the data."""
    if any(array.ndim != 2 for array in (weights.layers[0][0].input, weights.readout)):
        raise ValueError("The weights of the first layer and of the readout must be matrices.")
    if weights.readout_bias.shape != (len(weights.readout),):
        raise ValueError(f"The readout has {len(weights.readout)} outputs, but biases of shape {weights.readout_bias.shape}.")
    n_features = weights.layers[0][0].input.shape[1]
    if hasattr(estimator, "_theta"):
        if classes is not None or multilabel:
            raise ValueError(
                f"classes and multilabel are for an estimator that is not fitted; this {type(estimator).__name__} knows them. "
                "Pass a clone of it to set others."
            )
        fitted, n_features = deepcopy(estimator), estimator._architecture["n_features"]
    else:
        fitted = clone(estimator)
        weights = _described(fitted, weights, n_features, classes, multilabel)
    network = Network(architecture_of(fitted, n_features), fitted._new_loss())
    if hasattr(fitted, "_architecture"):
        check_same(fitted, network)
    _check_shapes(network, weights, order)
    theta = np.empty(network.layout.size, _dtype(fitted, weights))
    for name, gates in network.gates(theta):
        layer, direction = name.removeprefix("layer").split(".")
        _write(gates, order, weights.layers[int(layer)][DIRECTIONS.index(direction)])
    views = network.layout.views(theta)
    views["readout"][:, :-1], views["readout"][:, -1] = weights.readout, weights.readout_bias
    if weights.embedding is not None:
        views["embedding"][...] = weights.embedding
    if not np.isfinite(theta).all():
        raise ValueError("The weights hold NaN or infinity.")
    fitted.__dict__.update(fitted_attributes(network, Run(theta, check_random_state(fitted.random_state)), None))
    return fitted


def _write(gates: dict[str, Gate], order: str, weights: LayerWeights) -> None:
    blocks = zip(*(np.split(array, len(order)) for array in weights), strict=True)
    for name, (of_input, recurrent, bias, recurrent_bias) in zip(order, blocks, strict=True):
        gate = gates[name]
        gate.input[...], gate.recurrent[...] = of_input, recurrent
        if gate.recurrent_bias is None:
            gate.bias[...] = np.where(recurrent_bias == 0, bias, bias + recurrent_bias)  # also -0.0 comes back as it was
        else:
            gate.bias[...], gate.recurrent_bias[...] = bias, recurrent_bias


def _dtype(estimator: Any, weights: NetworkWeights) -> np.dtype[Any]:
    if isinstance(estimator.dtype, str) and estimator.dtype == "auto":
        return np.dtype(np.float32 if weights.layers[0][0].input.dtype.itemsize <= 4 else np.float64)
    dtype: np.dtype[Any] = np.dtype(estimator.dtype)
    return dtype


def _described(estimator: Any, weights: NetworkWeights, n_features: int, classes: Any, multilabel: bool) -> NetworkWeights:
    """Set what ``fit`` would have found in the data; return the weights with the readout in the order of ``classes_``."""
    is_embedded = weights.embedding is not None
    estimator.n_features_in_ = 1 if is_embedded else n_features
    estimator.n_tokens_ = len(weights.embedding) if weights.embedding is not None else None
    n_rows = len(weights.readout)
    if not is_classifier(estimator):
        if classes is not None or multilabel:
            raise ValueError(
                f"classes and multilabel are for an RNNClassifier, but the estimator is {type(estimator).__name__}."
            )
        estimator.n_outputs_, estimator._target_ndim = n_rows, 1 if n_rows == 1 else 2
        return weights
    estimator._multilabel = bool(multilabel)
    if multilabel:
        if classes is not None:
            raise ValueError("With multilabel=True the classes are the numbers of the labels; leave classes out.")
        estimator.classes_, estimator.n_outputs_ = np.arange(n_rows), n_rows
        return weights
    classes = np.arange(max(n_rows, 2)) if classes is None else np.asarray(classes)
    if classes.ndim != 1 or len(np.unique(classes)) != len(classes):
        raise ValueError(f"classes must be a list of different labels, got {classes.tolist()}.")
    if n_rows != len(classes) and not (len(classes) == 2 and n_rows == 1):
        raise ValueError(f"The readout has {n_rows} rows, which does not go with {len(classes)} classes.")
    estimator.classes_ = np.sort(classes)
    estimator.n_outputs_ = 1 if len(classes) == 2 else len(classes)
    W, b = weights.readout, weights.readout_bias
    if len(classes) != 2:
        rows = np.argsort(classes)
        return weights._replace(readout=W[rows], readout_bias=b[rows])
    if n_rows == 2:  # the softmax of two is the logistic function of their difference
        W, b = W[1:] - W[:1], b[1:] - b[:1]
    sign = 1 if classes[0] == estimator.classes_[0] else -1
    return weights._replace(readout=sign * W, readout_bias=sign * b)


def _check_shapes(network: Network, weights: NetworkWeights, order: str) -> None:
    """Raise where the weights are not those of the network that the parameters describe."""
    layers, n_directions = weights.layers, network.n_directions
    sizes = network.architecture.hidden_layer_sizes
    if len(layers) != len(sizes):
        raise ValueError(f"The weights are those of {len(layers)} layers, but hidden_layer_sizes={sizes} has {len(sizes)}.")
    for layer, (cells, of_directions) in enumerate(zip(network.cells, layers, strict=True)):
        if len(of_directions) != n_directions:
            raise ValueError(
                f"The weights are those of {len(of_directions)} direction(s), but bidirectional={n_directions == 2} has "
                f"{n_directions}."
            )
        for cell, of_direction in zip(cells, of_directions, strict=True):
            n_rows = len(order) * cell.n_hidden
            expected = (n_rows, cell.n_features), (n_rows, cell.n_hidden), (n_rows,), (n_rows,)
            if tuple(array.shape for array in of_direction) != expected:
                raise ValueError(
                    f"The weights of layer {layer} have shapes {_list(array.shape for array in of_direction[:2])}, but "
                    f"cell={network.architecture.cell!r} of {cell.n_hidden} units and {cell.n_features} inputs has "
                    f"{_list(expected[:2])}."
                )
    readout = (network.architecture.n_raw, network.n_pooled)
    if weights.readout.shape != readout:
        raise ValueError(
            f"The readout has weights of shape {weights.readout.shape}, but {readout} belongs to {readout[0]} output(s) and "
            f"pooling={network.architecture.pooling}."
        )
    architecture = network.architecture
    table = None if architecture.n_tokens is None else (architecture.n_tokens, architecture.n_features)
    shape = None if weights.embedding is None else weights.embedding.shape
    if shape != table:
        raise ValueError(f"The embedding has shape {shape}, but embedding_dim and n_tokens make it {table}.")


def _list(shapes: Any) -> str:
    return " and ".join(map(str, shapes))
