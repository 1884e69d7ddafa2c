"""A graph of ONNX as it grows, and what a network and a transformer are in it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from ..preprocessing import PerStep
from ._weights import LayerWeights, network_of, weights_of

#: versions of ONNX's operators, by domain; runtimes that know later ones read these, too
OPSETS = {"": 18, "ai.onnx.ml": 3}
#: the order in which the gates are stacked
GATES = {"rnn": "h", "gru": "zrn", "lstm": "iofg"}
#: our activations as those of the operator RNN; ONNX Runtime knows the identity as an affine function only
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "tanh": {"activations": ["Tanh"]},
    "relu": {"activations": ["Relu"]},
    "identity": {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]},
}
#: transformers of targets whose inverse is a multiple plus a constant
AFFINE = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)


def import_extra(name: str) -> Any:
    """Import a package of the extra, or say how to get it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"This needs the package {name.partition('.')[0]}, which the extra 'onnx' of skrnn installs: "
            "python -m pip install '.[onnx]', or onnx and skl2onnx by themselves."
        ) from error


class Output(NamedTuple):
    """What a graph gives: the name that users see, that of the result, and the shape of one sequence or step."""

    name: str
    result: str
    dtype: np.dtype[Any]
    shape: Sequence[int] = ()


class Graph:
    """Nodes and constants, with names of their own.

    Parameters
    ----------
    dtype : dtype
        Of real inputs and outputs, and of all that ONNX Runtime computes in either precision.
    prefix : str, default=""
        Before every name.
    """

    def __init__(self, dtype: np.dtype[Any], prefix: str = "") -> None:
        self.onnx, self.dtype, self.prefix = import_extra("onnx"), dtype, prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def type_of(self, dtype: np.dtype[Any]) -> int:
        """Return ONNX's number of a type."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(object) if dtype.kind == "U" else dtype))

    def new_name(self, what: str) -> str:
        """Return a name that no result has."""
        return f"{self.prefix}{what}_{len(self.nodes) + len(self.constants)}"

    def add(self, op: str, *inputs: Any, outputs: list[str] | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its first output; arrays among the inputs become constants."""
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        while not names[-1]:  # skl2onnx takes the empty name, which leaves an input out, for one that is missing
            names.pop()
        outputs = outputs or [self.new_name(op)]
        self.nodes.append(self.onnx.helper.make_node(op, names, outputs, name=self.new_name("node"), **attributes))
        return outputs[0]

    def constant(self, value: Any) -> str:
        """Add a constant, of any type that NumPy has, and return its name."""
        array, name = np.array(value, order="C"), self.new_name("constant")
        self.constants.append(
            self.onnx.numpy_helper.from_array(array.astype(object) if array.dtype.kind == "U" else array, name)
        )
        return name

    @property
    def opsets(self) -> dict[str, int]:
        """The versions of the operators that have been used, by domain."""
        return {domain: OPSETS[domain] for domain in OPSETS if any(node.domain == domain for node in self.nodes)}

    def cast(self, x: str, dtype: Any) -> str:
        """Add a conversion to another type."""
        return self.add("Cast", x, to=self.type_of(np.dtype(dtype)))

    def shape(self, x: str, start: int, end: int) -> str:
        """Add what gives a part of a shape."""
        return self.add("Shape", x, start=start, end=end)


def add_network(
    graph: Graph, estimator: Any, X: str, lengths: str = "", initial_state: str = "", *, are_rows: bool = False
) -> tuple[str, str]:
    """Add the layers, pooling and readout of a fitted estimator.

    Parameters
    ----------
    graph : Graph
    estimator : RNNClassifier or RNNRegressor
    X : str
        Name of real sequences (N, T, F), of rows (N, n_columns), or of token ids (N, T).
    lengths : str, optional
        Name of the numbers of steps (N,), int64; by default they are T.
    initial_state : str, optional
        Name of the states before the first step (N, n_state_units); by default zero.
    are_rows : bool, default=False

    Returns
    -------
    raw, state : str
        Names of the raw predictions, (N, n_raw) or (N, T, n_raw), and of the states after the last step, (N, n_state_units);
        the latter is empty without an initial state.
    """
    network = network_of(estimator)
    architecture, weights = network.architecture, weights_of(estimator, GATES[network.architecture.cell])
    if weights.embedding is not None:
        if lengths:  # what is beyond may be no token
            steps_of_X = graph.add("Range", np.int64(0), graph.add("Squeeze", graph.shape(X, 1, 2), np.array([0])), np.int64(1))
            is_token = graph.add("Less", steps_of_X, graph.add("Unsqueeze", lengths, np.array([1])))  # (N, T)
            X = graph.add("Where", is_token, X, np.int64(0))
        X = graph.add("Gather", np.asarray(weights.embedding, np.float32), X)
    elif are_rows:
        X = graph.add("Reshape", X, np.array([0, -1, architecture.n_features]))
    x = graph.add("Transpose", graph.cast(X, np.float32), perm=[1, 0, 2])  # time first
    steps = graph.cast(lengths, np.int32) if lengths else ""
    state = graph.cast(initial_state, np.float32) if initial_state else ""
    states, column, Y, last = [], 0, "", ""
    for cells, of_layer in zip(network.cells, weights.layers, strict=True):
        if Y:
            x = _side_by_side(graph, Y, cells[0].n_features)
        H, initial = cells[0].n_hidden, []
        for _ in range(cells[0].n_states if state else 0):
            part = graph.add("Slice", state, np.array([column]), np.array([column + H]), np.array([1]))
            initial.append(graph.add("Unsqueeze", part, np.array([0])))
            column += H
        Y, last, *cell_state = _add_layer(graph, architecture, of_layer, x, steps, initial)
        states += [graph.add("Squeeze", name, np.array([0])) for name in (last, *cell_state) if initial]
    pooled = _add_pooled(graph, architecture, len(network.cells[-1]) * H, Y, last, lengths)
    product = graph.add("MatMul", pooled, np.asarray(weights.readout.T, graph.dtype))
    raw = graph.add("Add", product, np.asarray(weights.readout_bias, graph.dtype))
    return raw, graph.cast(graph.add("Concat", *states, axis=1), graph.dtype) if state else ""


def _add_layer(
    graph: Graph, architecture: Any, weights: list[LayerWeights], x: str, lengths: str, initial: list[str]
) -> list[str]:
    """Add a layer on (T, N, F); return the names of its outputs (T, D, N, H) and of its last states (D, N, H)."""
    W, R = (np.stack([of[k] for of in weights]).astype(np.float32) for k in (0, 1))
    B = np.stack([np.concatenate([of.bias, of.recurrent_bias]) for of in weights]).astype(np.float32)
    attributes: dict[str, Any] = {
        "hidden_size": R.shape[2],
        "direction": "bidirectional" if len(weights) == 2 else "forward",
    }
    if architecture.cell == "gru":
        attributes["linear_before_reset"] = 1
    if architecture.cell == "rnn":
        attributes |= {name: values * len(weights) for name, values in ACTIVATIONS[architecture.activation].items()}
    outputs = [graph.new_name(what) for what in ("Y", "Y_h", "Y_c")[: 3 if architecture.cell == "lstm" else 2]]
    graph.add(architecture.cell.upper(), x, W, R, B, lengths, *initial, outputs=outputs, **attributes)
    return outputs


def _side_by_side(graph: Graph, Y: str, n_units: int) -> str:
    """Join the directions of (T, D, N, H) to (T, N, D * H)."""
    return graph.add("Reshape", graph.add("Transpose", Y, perm=[0, 2, 1, 3]), np.array([0, 0, n_units]))


def _add_pooled(graph: Graph, architecture: Any, n_units: int, Y: str, last: str, lengths: str) -> str:
    """Add what the readout sees of all states Y (T, D, N, H) and of the last ones (D, N, H)."""
    if architecture.return_sequences:
        return graph.add("Transpose", graph.cast(_side_by_side(graph, Y, n_units), graph.dtype), perm=[1, 0, 2])
    h, parts = "", []
    for name in architecture.pooling:
        if name == "last":
            by_sequence = graph.add("Transpose", last, perm=[1, 0, 2])
            parts.append(graph.cast(graph.add("Reshape", by_sequence, np.array([0, n_units])), graph.dtype))
        else:
            h = h or graph.cast(_side_by_side(graph, Y, n_units), graph.dtype)
            parts.append(_add_pooling(graph, name, h, lengths))
    return graph.add("Concat", *parts, axis=1)


def _add_pooling(graph: Graph, name: str, h: str, lengths: str) -> str:
    """Add the mean or maximum over the own steps of each sequence of (T, N, H)."""
    axis, neutral = np.array([0]), {"mean": 0, "max": -np.inf}[name]
    if lengths:
        n_steps = graph.add("Squeeze", graph.shape(h, 0, 1), axis)
        steps = graph.add("Range", np.int64(0), n_steps, np.int64(1))
        is_own = graph.add("Less", graph.add("Unsqueeze", steps, np.array([1])), lengths)  # (T, N)
        h = graph.add("Where", graph.add("Unsqueeze", is_own, np.array([2])), h, np.asarray(neutral, graph.dtype))
    if name == "max":
        return graph.add("ReduceMax", h, axis, keepdims=0)
    n_own = graph.add("Unsqueeze", lengths, np.array([1])) if lengths else graph.shape(h, 0, 1)
    return graph.add("Div", graph.add("ReduceSum", h, axis, keepdims=0), graph.cast(n_own, graph.dtype))


def add_predictions(graph: Graph, estimator: Any, raw: str) -> list[Output]:
    """Add what the estimator predicts."""
    n_raw, axis, zero = estimator.n_outputs_, np.array([-1]), np.asarray(0, graph.dtype)
    if not is_classifier(estimator):
        if estimator.out_activation_ == "exp":
            raw = graph.add("Exp", raw)
        if estimator._target_ndim == 1:
            return [Output("prediction", graph.add("Squeeze", raw, axis), graph.dtype)]
        return [Output("prediction", raw, graph.dtype, [n_raw])]
    labels = _labels(estimator.classes_)
    if estimator._multilabel:
        label = Output("label", graph.cast(graph.add("Greater", raw, zero), np.int64), np.dtype(np.int64), [n_raw])
        return [label, Output("probabilities", graph.add("Sigmoid", raw), graph.dtype, [n_raw])]
    if len(labels) == 2:
        index = graph.cast(graph.add("Greater", graph.add("Squeeze", raw, axis), zero), np.int64)
        probabilities = graph.add("Sigmoid", graph.add("Concat", graph.add("Neg", raw), raw, axis=-1))
    else:
        index, probabilities = graph.add("ArgMax", raw, axis=-1, keepdims=0), graph.add("Softmax", raw, axis=-1)
    return [
        Output("label", graph.add("Gather", labels, index), labels.dtype),
        Output("probabilities", probabilities, graph.dtype, [len(labels)]),
    ]


def _labels(classes: NDArray[Any]) -> NDArray[Any]:
    """Return the classes as ONNX can hold them."""
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype.kind in "fbU" or (classes.dtype == object and all(isinstance(label, str) for label in classes)):
        return classes
    raise ValueError(
        f"Labels of type {classes.dtype} can't be expressed in ONNX, which has numbers and strings. Fit to such labels, for "
        "example with LabelEncoder."
    )


def add_per_step(graph: Graph, transformer: PerStep, X: str, name: str, *, are_rows: bool) -> str:
    """Add a transformer of every step of (N, T, F), or of rows (N, n_columns)."""
    n_features = transformer.n_features_per_step_
    steps = graph.add("Reshape", X, np.array([-1, n_features]))
    new = add_transformer(graph, transformer.transformer_, steps, n_features, name)
    kept = graph.shape(X, 0, 1 if are_rows else 2)
    return graph.add("Reshape", new, graph.add("Concat", kept, np.array([-1]), axis=0))


def add_inverse(graph: Graph, transformer: Any, y: str) -> str:
    """Add what takes predictions of scaled targets back to their own scale."""
    if type(transformer) not in AFFINE:
        known = ", ".join(of.__name__ for of in AFFINE)
        raise TypeError(
            f"The transformer of the targets, {transformer!r}, can't be undone in ONNX, but only {known}. Export regressor_, "
            "and undo it yourself."
        )
    offset, at_one = transformer.inverse_transform(np.repeat([[0.0], [1.0]], transformer.n_features_in_, axis=1))
    scaled = graph.add("Mul", y, np.asarray(at_one - offset, graph.dtype))
    return graph.add("Add", scaled, np.asarray(offset, graph.dtype))


def add_transformer(graph: Graph, transformer: Any, X: str, n_columns: int, name: str) -> str:
    """Add a transformer of a table (n, n_columns), as skl2onnx converts it."""
    skl2onnx, types = import_extra("skl2onnx"), import_extra("skl2onnx.common.data_types")
    tensor = types.FloatTensorType if graph.dtype == np.float32 else types.DoubleTensorType
    try:
        model = skl2onnx.convert_sklearn(transformer, initial_types=[("X", tensor([None, n_columns]))], target_opset=OPSETS)
        graph.onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # of many types, some of them private
        remedy = " dtype='float32' may help." if graph.dtype == np.float64 else ""
        raise ValueError(
            f"skl2onnx can't convert {transformer!r} of the step {name!r} for {graph.dtype} input.{remedy} It says: {error}"
        ) from error
    model = graph.onnx.compose.add_prefix(model, f"{graph.prefix}{name}_{len(graph.nodes)}_")
    graph.add("Identity", X, outputs=[model.graph.input[0].name])
    graph.nodes += model.graph.node
    graph.constants += model.graph.initializer
    return graph.cast(model.graph.output[0].name, graph.dtype)
