"""Weights in the order of Keras' ``get_weights``: Embedding, recurrent layers, Dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._weights import LayerWeights, NetworkWeights, check_description, estimator_of, network_of, weights_of

#: the order in which the gates are stacked
GATES = {"rnn": "h", "gru": "zrn", "lstm": "ifgo"}


def to_keras_weights(estimator: Any) -> list[NDArray[Any]]:
    """Return the weights of a fitted estimator as ``set_weights`` of a Keras model takes them.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Fitted.

    Returns
    -------
    weights : list of ndarray
        Copies, for a model of an ``Embedding`` (if there is one), one ``SimpleRNN``, ``GRU`` (with ``reset_after=True``, the
        default) or ``LSTM`` after another, each in a ``Bidirectional`` if need be, and a ``Dense``. Each recurrent layer and
        direction has a kernel (n_inputs, G * n_units), a recurrent kernel (n_units, G * n_units) and a bias (G * n_units,), of
        a GRU (2, 3 * n_units). Columns are in Keras' order of gates: z r h of a GRU, i f c o of an LSTM.

    See Also
    --------
    from_keras_weights : The way back.
    to_torch_state : The same for PyTorch; its notes say what else a model needs.

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.export import to_keras_weights
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, max_iter=5, random_state=0).fit(X, y)
    >>> [array.shape for array in to_keras_weights(reg)]
    [(2, 24), (8, 24), (2, 24), (8, 1), (1,)]
    """
    cell = network_of(estimator).architecture.cell
    weights = weights_of(estimator, GATES[cell])
    arrays = [] if weights.embedding is None else [weights.embedding]
    for of_directions in weights.layers:
        for of_input, recurrent, bias, recurrent_bias in of_directions:
            of_layer = np.stack([bias, recurrent_bias]) if cell == "gru" else bias
            arrays += [of_input.T.copy(), recurrent.T.copy(), of_layer]
    return [*arrays, weights.readout.T.copy(), weights.readout_bias]


def from_keras_weights(estimator: Any, weights: Sequence[Any], classes: Any = None, multilabel: bool = False) -> Any:
    """Return a fitted copy of an estimator, with the weights of a Keras model.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Its parameters say what the model is: ``cell``, ``activation``, ``hidden_layer_sizes``, ``bidirectional``,
        ``pooling``, ``return_sequences``, ``embedding_dim``. It may be fitted, and then keeps its classes and the form of its
        input.
    weights : sequence of array-like
        What the model's ``get_weights()`` returns, of the layers that :func:`to_keras_weights` names, each with its bias.
    classes : array-like of shape (n_classes,), default=None
        What the units of the ``Dense`` layer stand for, of an ``RNNClassifier`` that is not fitted; 0, 1, ... by default. Of
        two classes, the layer may have two units, or one for ``classes[1]``.
    multilabel : bool, default=False
        The units of the ``Dense`` layer are independent labels.

    Returns
    -------
    estimator : RNNClassifier or RNNRegressor
        A fitted copy that has not been trained: ``n_iter_`` is 0. ``partial_fit``, and ``fit`` with ``warm_start=True``, go on
        from these weights. With ``dtype="auto"`` it has their precision.

    Raises
    ------
    ValueError
        If there are more or fewer arrays, or of other shapes, than the parameters say.

    See Also
    --------
    to_keras_weights : The way out.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn import RNNClassifier
    >>> from skrnn.export import from_keras_weights
    >>> rng = np.random.default_rng(0)
    >>> shapes = [(3, 16), (4, 16), (16,), (4, 1), (1,)]  # those of keras_model.get_weights()
    >>> weights = [rng.normal(size=shape) for shape in shapes]
    >>> clf = from_keras_weights(RNNClassifier(4, cell="lstm"), weights, classes=["no", "yes"])
    >>> clf.predict_proba(rng.normal(size=(2, 10, 3))).shape
    (2, 2)
    """
    check_description(estimator)
    left = [np.asarray(array) for array in weights]
    sizes, cell = estimator.hidden_layer_sizes, estimator.cell
    n_layers = len(sizes) if isinstance(sizes, tuple | list) else 1
    n_directions = 2 if estimator.bidirectional else 1
    is_embedded = estimator.embedding_dim is not None
    expected = int(is_embedded) + 3 * n_layers * n_directions + 2
    if len(left) != expected:
        raise ValueError(
            f"weights has {len(left)} arrays, but {expected} belong to {n_layers} recurrent layer(s) with "
            f"{n_directions} direction(s){', an Embedding' if is_embedded else ''} and a Dense layer, each with a bias."
        )
    embedding = left.pop(0) if is_embedded else None
    layers = []
    for _ in range(n_layers):
        layers.append([_layer(cell, *(left.pop(0) for _ in range(3))) for _ in range(n_directions)])
    readout, readout_bias = left
    return estimator_of(estimator, NetworkWeights(layers, readout.T, readout_bias, embedding), GATES[cell], classes, multilabel)


def _layer(cell: str, kernel: NDArray[Any], recurrent_kernel: NDArray[Any], bias: NDArray[Any]) -> LayerWeights:
    if cell != "gru":
        return LayerWeights(kernel.T, recurrent_kernel.T, bias, np.zeros_like(bias))
    if bias.ndim != 2 or len(bias) != 2:
        raise ValueError(
            f"A GRU with reset_after=True has a bias of shape (2, 3 * n_units), got {bias.shape}. reset_after=False computes "
            "something else."
        )
    return LayerWeights(kernel.T, recurrent_kernel.T, *bias)
