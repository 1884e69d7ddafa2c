"""Weights under PyTorch's names: those of an ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, and of what stands before and after it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._weights import LayerWeights, NetworkWeights, check_description, estimator_of, network_of, weights_of

#: the order in which the gates are stacked
GATES = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}
SUFFIXES = ("", "_reverse")
RECURRENT = re.compile(r"(.*?)(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)(_reverse)?")


def to_torch_state(estimator: Any) -> dict[str, NDArray[Any]]:
    """Return the weights of a fitted estimator as the ``state_dict`` of a PyTorch module.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Fitted.

    Returns
    -------
    state : dict of str to ndarray
        Copies, for a module whose ``rnn`` is an ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` of ``num_layers`` layers, whose
        ``readout`` is an ``nn.Linear``, and whose ``embedding``, if there is one, is an ``nn.Embedding``:
        ``rnn.weight_ih_l0``, ``rnn.weight_hh_l0``, ``rnn.bias_ih_l0``, ``rnn.bias_hh_l0``, with ``_reverse`` those of the
        reverse direction, ``readout.weight`` and so on. Rows are in PyTorch's order of gates: r z n of a GRU, i f g o of an
        LSTM. Where PyTorch has two biases and we have one, it is in ``bias_ih``, and ``bias_hh`` is zero.

    Raises
    ------
    ValueError
        If the layers differ in size or ``activation`` is "identity", which one module of PyTorch can't express.

    See Also
    --------
    from_torch_state : The way back.
    to_onnx : The whole model, with what comes before and after the weights.

    Notes
    -----
    PyTorch's are the weights alone. What the module's ``forward`` must do with them: the readout gets the last hidden state
    ``h_n`` of the last layer, with two directions ``[h_n[-2], h_n[-1]]`` beside each other, and for other ``pooling`` the mean
    or maximum of ``output`` over the steps of each sequence; with several poolings, one beside the other. It returns raw
    predictions: the logits of ``classes_``, that of ``classes_[1]`` alone where there are two, and the logarithm of the
    prediction with ``loss="poisson"``.

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.export import to_torch_state
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, max_iter=5, random_state=0).fit(X, y)
    >>> for name, array in to_torch_state(reg).items():
    ...     print(name, array.shape)
    rnn.weight_ih_l0 (24, 2)
    rnn.weight_hh_l0 (24, 8)
    rnn.bias_ih_l0 (24,)
    rnn.bias_hh_l0 (24,)
    readout.weight (1, 8)
    readout.bias (1,)
    """
    architecture = network_of(estimator).architecture
    if len(set(architecture.hidden_layer_sizes)) > 1:
        raise ValueError(
            f"hidden_layer_sizes={architecture.hidden_layer_sizes} can't be one module of PyTorch, whose layers are all of one "
            "size."
        )
    if architecture.cell == "rnn" and architecture.activation == "identity":
        raise ValueError("activation='identity' can't be expressed in PyTorch, whose nn.RNN has tanh and relu.")
    weights = weights_of(estimator, GATES[architecture.cell])
    state = {}
    if weights.embedding is not None:
        state["embedding.weight"] = weights.embedding
    for layer, of_directions in enumerate(weights.layers):
        for suffix, (of_input, recurrent, bias, recurrent_bias) in zip(SUFFIXES, of_directions, strict=False):
            state[f"rnn.weight_ih_l{layer}{suffix}"] = of_input
            state[f"rnn.weight_hh_l{layer}{suffix}"] = recurrent
            state[f"rnn.bias_ih_l{layer}{suffix}"] = bias
            state[f"rnn.bias_hh_l{layer}{suffix}"] = recurrent_bias
    return state | {"readout.weight": weights.readout, "readout.bias": weights.readout_bias}


def from_torch_state(estimator: Any, state: Mapping[str, Any], classes: Any = None, multilabel: bool = False) -> Any:
    """Return a fitted copy of an estimator, with the weights of a PyTorch module.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Its parameters say what the module is: ``cell``, ``activation``, ``hidden_layer_sizes``, ``bidirectional``,
        ``pooling``, ``return_sequences``, ``embedding_dim``. It may be fitted, and then keeps its classes and the form of its
        input.
    state : mapping of str to array-like
        The module's ``state_dict``: of one ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` and one ``nn.Linear``, and with
        ``embedding_dim`` one ``nn.Embedding``, whatever their names are. Tensors or arrays; without biases these are zero.
    classes : array-like of shape (n_classes,), default=None
        What the rows of the readout stand for, of an ``RNNClassifier`` that is not fitted; 0, 1, ... by default. Of two
        classes, the module may have two logits, or one for ``classes[1]``.
    multilabel : bool, default=False
        The rows of the readout are independent labels.

    Returns
    -------
    estimator : RNNClassifier or RNNRegressor
        A fitted copy that has not been trained: ``n_iter_`` is 0. ``partial_fit``, and ``fit`` with ``warm_start=True``, go on
        from these weights. With ``dtype="auto"`` it has their precision.

    Raises
    ------
    ValueError
        If the state has weights of other modules, or other shapes than the parameters say.

    See Also
    --------
    to_torch_state : The way out.

    Notes
    -----
    What PyTorch keeps apart is added up: ``bias_ih + bias_hh``, but for the candidate of a GRU. So predictions agree to
    rounding. The readout of a bidirectional network must have read the last state of each direction (``h_n``), not
    ``output[:, -1]``, where the reverse direction has seen one step.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn import RNNClassifier
    >>> from skrnn.export import from_torch_state
    >>> rng = np.random.default_rng(0)
    >>> state = {  # torch_module.state_dict()
    ...     "lstm.weight_ih_l0": rng.normal(size=(16, 3)),
    ...     "lstm.weight_hh_l0": rng.normal(size=(16, 4)),
    ...     "lstm.bias_ih_l0": rng.normal(size=16),
    ...     "lstm.bias_hh_l0": rng.normal(size=16),
    ...     "head.weight": rng.normal(size=(3, 4)),
    ...     "head.bias": rng.normal(size=3),
    ... }
    >>> clf = from_torch_state(RNNClassifier(4, cell="lstm"), state, classes=["down", "flat", "up"])
    >>> clf.predict_proba(rng.normal(size=(2, 10, 3))).shape
    (2, 3)
    """
    check_description(estimator)
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict of arrays by name, as state_dict() returns it, got {type(state).__name__}.")
    arrays = {name: _array(value) for name, value in state.items()}
    scalars = [name for name, array in arrays.items() if array.ndim == 0]
    if scalars:
        raise ValueError(f"state must hold arrays, but {', '.join(map(str, scalars))} is a single value.")
    layers = _layers(arrays)
    modules: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        module, _, kind = name.rpartition(".")
        modules.setdefault(module, {})[kind] = array
    embedding = None
    if estimator.embedding_dim is not None:
        embedding = _only(modules, {"weight"}, "an nn.Embedding, which embedding_dim asks for")["weight"]
    readout = _only(modules, {"weight", "bias"} if any("bias" in of for of in modules.values()) else {"weight"}, "an nn.Linear")
    if modules:
        left = [f"{module}.{kind}".lstrip(".") for module, kinds in modules.items() for kind in kinds]
        raise ValueError(f"state has weights that an {type(estimator).__name__} has no place for: {', '.join(left)}.")
    weights = NetworkWeights(layers, readout["weight"], readout.get("bias", np.zeros_like(readout["weight"][:, 0])), embedding)
    return estimator_of(estimator, weights, GATES[estimator.cell], classes, multilabel)


def _array(value: Any) -> NDArray[Any]:
    """Return the array of a tensor, which may be on a device or require its gradient."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _layers(arrays: dict[str, NDArray[Any]]) -> list[list[LayerWeights]]:
    """Take the recurrent weights out of the state."""
    matches = [match for match in map(RECURRENT.fullmatch, arrays) if match]
    prefixes = sorted({match[1] for match in matches})
    if len(prefixes) != 1:
        found = " and ".join(repr(prefix) for prefix in prefixes)
        raise ValueError(
            "state must have the weights of one nn.RNN, nn.GRU or nn.LSTM, but it has "
            f"{f'those of several, {found}' if found else f'none: {sorted(arrays)}'}."
        )
    found_by = {(int(match[3]), match[4] or "", match[2]): arrays.pop(match[0]) for match in matches}
    layers: list[list[LayerWeights]] = []
    for layer in range(1 + max(number for number, _, _ in found_by)):
        directions = []
        for suffix in SUFFIXES if any(suffix for _, suffix, _ in found_by) else SUFFIXES[:1]:
            of_input, recurrent = (_get(found_by, prefixes[0], layer, suffix, f"weight_{kind}") for kind in ("ih", "hh"))
            biases = [
                found_by.get((layer, suffix, f"bias_{kind}"), np.zeros(len(of_input), of_input.dtype)) for kind in ("ih", "hh")
            ]
            directions.append(LayerWeights(of_input, recurrent, *biases))
        layers.append(directions)
    return layers


def _get(found: dict[tuple[int, str, str], NDArray[Any]], prefix: str, layer: int, suffix: str, kind: str) -> NDArray[Any]:
    if (layer, suffix, kind) not in found:
        raise ValueError(f"state has no {prefix}{kind}_l{layer}{suffix}.")
    return found[layer, suffix, kind]


def _only(modules: dict[str, dict[str, NDArray[Any]]], kinds: set[str], what: str) -> dict[str, NDArray[Any]]:
    """Take out the only module that has just these parameters, a matrix among them."""
    names = [name for name, of in modules.items() if of.keys() == kinds and of["weight"].ndim == 2]
    if len(names) != 1:
        raise ValueError(
            f"state must have the weights of one recurrent module and of {what}; besides the former it has "
            f"{', '.join(modules) or 'nothing'}."
        )
    return modules.pop(names[0])
