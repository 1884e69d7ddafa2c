"""A fitted estimator, or a pipeline that ends in one, as a model of ONNX."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._base import BaseRNN
from .._version import __version__
from ..preprocessing import PerStep
from ..preprocessing._base import SequenceTransformer
from ._graph import Graph, add_inverse, add_network, add_per_step, add_predictions, add_transformer
from ._weights import network_of

#: of the file format; ONNX Runtime reads it from 1.14 on
IR_VERSION = 8
#: type and shape, with names for what may vary
Input: TypeAlias = tuple[np.dtype[Any], list[Any]]


def to_onnx(estimator: Any, *, ragged: bool = False, return_state: bool = False, dtype: Any = None) -> Any:
    """Return a fitted estimator, or a pipeline that ends in one, as a model of ONNX.

    Parameters
    ----------
    estimator : RNNClassifier, RNNRegressor, Pipeline or TransformedTargetRegressor
        Fitted. The steps of a pipeline before its last one are :class:`skrnn.preprocessing.PerStep` of transformers that
        skl2onnx converts; where the input is rows of flattened sequences, also such transformers by themselves. Targets may be
        transformed by StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler.

    ragged : bool, default=False
        Add the input ``lengths``, the number of steps of each sequence. What ``X`` holds beyond it does not matter.

    return_state : bool, default=False
        Add the input ``initial_state`` and the output ``state``, as in ``predict``: for streams. The first state of a stream
        is zeros.

    dtype : {"float32", "float64"} or dtype, default=None
        Of ``X``, of all real outputs, and of what scalers, poolings and readout compute in; None is that of the network's
        weights. The recurrent layers compute in float32 either way, because those of ONNX Runtime do.

    Returns
    -------
    model : onnx.ModelProto
        ``model.SerializeToString()`` are the bytes that runtimes read and ``onnx.save`` writes. Its inputs, with any number of
        sequences and, but for rows, of steps:

        - ``X``, of shape (n_sequences, n_timesteps, n_features); rows (n_sequences, n_columns) if the estimator was fitted to
          such; token ids (n_sequences, n_timesteps), int64, with ``embedding_dim``;
        - ``lengths``, of shape (n_sequences,), int64, all at least 1, with ``ragged``;
        - ``initial_state``, of shape (n_sequences, n_state_units), with ``return_state``.

        Its outputs have the shapes of those of ``predict`` and ``predict_proba``, with ``return_sequences=True`` padded to the
        longest sequence:

        - of a classifier ``label``, the type of whose classes is kept (integers are int64), and ``probabilities``, in the
          order of ``classes_``;
        - of a regressor ``prediction``;
        - ``state``, of shape (n_sequences, n_state_units), with ``return_state``.

    Raises
    ------
    ImportError
        Without the package onnx, or for a pipeline without skl2onnx: the extra ``onnx`` installs both.
    TypeError
        If this is something else than such an estimator, or has steps before it that ONNX can't express.
    ValueError
        If classes are of a type that ONNX does not have, if skl2onnx can't convert a transformer, if rows are to be ragged, or
        if a bidirectional network is to return a state.

    See Also
    --------
    register_skl2onnx : For estimators within others that skl2onnx converts.

    Notes
    -----
    The recurrent layers are ONNX's operators ``RNN``, ``GRU`` (with ``linear_before_reset``) and ``LSTM`` [1]_. Predictions
    agree to about 1e-6 for states of about one; what ``relu`` or ``identity`` let grow agrees relative to its size.

    References
    ----------
    .. [1] https://onnx.ai/onnx/operators/onnx__GRU.html

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.export import to_onnx
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, max_iter=5, random_state=0).fit(X, y)
    >>> model = to_onnx(reg).SerializeToString()  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])  # doctest: +SKIP
    >>> (prediction,) = session.run(None, {"X": X})  # doctest: +SKIP
    >>> bool(abs(prediction - reg.predict(X)).max() < 1e-5)  # doctest: +SKIP
    True
    """
    steps, network_estimator, target_transformers = _taken_apart(estimator)
    network = network_of(network_estimator)
    if return_state and network.n_directions == 2:
        raise ValueError("return_state=True can't be used with bidirectional=True, whose reverse direction begins at the end.")
    graph = Graph(_dtype(network_estimator, dtype))
    are_ids = network_estimator.n_tokens_ is not None
    are_rows = not are_ids and network_estimator.n_features_in_ != network.architecture.n_features
    for name, step in steps:
        _check_step(name, step, are_ids=are_ids, are_rows=are_rows)
    inputs = {"X": _X_of([*(step for _, step in steps), network_estimator][0], graph.dtype, are_rows=are_rows)}
    X, lengths, initial_state = "X", "", ""
    if ragged:
        if are_rows:
            raise ValueError("ragged=True is for sequences, but the estimator was fitted to rows, which are of one length.")
        lengths, inputs["lengths"] = "lengths", (np.dtype(np.int64), ["n_sequences"])
    if return_state:
        initial_state, inputs["initial_state"] = "initial_state", (graph.dtype, ["n_sequences", network.n_state_units])
    for name, step in steps:
        if isinstance(step, PerStep):
            X = add_per_step(graph, step, X, name, are_rows=are_rows)
        else:
            X = add_transformer(graph, step, X, step.n_features_in_, name)
    raw, state = add_network(graph, network_estimator, X, lengths, initial_state, are_rows=are_rows)
    of_what = ["n_sequences", "n_timesteps"] if network.every_step else ["n_sequences"]
    outputs = {}
    for name, result, type_, shape in add_predictions(graph, network_estimator, raw):
        for transformer in target_transformers:
            result = add_inverse(graph, transformer, result)
        outputs[graph.add("Identity", result, outputs=[name])] = type_, [*of_what, *shape]
    if return_state:
        outputs[graph.add("Identity", state, outputs=["state"])] = inputs["initial_state"]
    return _model(graph, type(network_estimator).__name__, inputs, outputs)


def _taken_apart(estimator: Any) -> tuple[list[tuple[str, Any]], Any, list[Any]]:
    """Return the transformers by name, the last estimator, and the transformers of its targets, from the inner to the outer."""
    steps: list[tuple[str, Any]] = []
    of_targets: list[Any] = []
    while isinstance(estimator, Pipeline | TransformedTargetRegressor):
        if isinstance(estimator, Pipeline):
            steps += [(name, step) for name, step in estimator.steps[:-1] if step is not None and step != "passthrough"]
            estimator = estimator.steps[-1][1]
        else:
            check_is_fitted(estimator)
            of_targets.insert(0, estimator.transformer_)
            estimator = estimator.regressor_
    return steps, estimator, of_targets


def _dtype(estimator: BaseRNN, dtype: Any) -> np.dtype[Any]:
    of_graph = estimator._theta.dtype if dtype is None else np.dtype(dtype)
    if of_graph not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32, float64 or None, got {dtype!r}.")
    return of_graph


def _check_step(name: str, step: Any, *, are_ids: bool, are_rows: bool) -> None:
    """Raise for what is neither ``PerStep`` nor, of rows, a transformer of tables; and for all that makes token ids."""
    if are_ids or not (isinstance(step, PerStep) or (are_rows and not isinstance(step, SequenceTransformer))):
        raise TypeError(
            f"The step {name!r}, {type(step).__name__}, can't be expressed in ONNX: before a network of numbers can be "
            "PerStep, and on rows other transformers of tables. Export what comes after it, and apply it yourself."
        )
    check_is_fitted(step)


def _X_of(first: Any, dtype: np.dtype[Any], *, are_rows: bool) -> Input:
    """Return the type and shape of ``X``, as the first of the steps was fitted to it."""
    if are_rows:
        return dtype, ["n_sequences", first.n_features_in_]
    if isinstance(first, PerStep):
        return dtype, ["n_sequences", "n_timesteps", first.n_features_per_step_]
    if first.n_tokens_ is None:
        return dtype, ["n_sequences", "n_timesteps", first._architecture["n_features"]]
    return np.dtype(np.int64), ["n_sequences", "n_timesteps"]


def _model(graph: Graph, name: str, inputs: dict[str, Input], outputs: dict[str, Input]) -> Any:
    helper = graph.onnx.helper
    infos = [
        [helper.make_tensor_value_info(name, graph.type_of(dtype), shape) for name, (dtype, shape) in of.items()]
        for of in (inputs, outputs)
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, *infos, graph.constants),
        opset_imports=[helper.make_opsetid(*of_domain) for of_domain in graph.opsets.items()],
        ir_version=IR_VERSION,
        producer_name="skrnn",
        producer_version=__version__,
    )
    graph.onnx.checker.check_model(model, full_check=True)
    return model
