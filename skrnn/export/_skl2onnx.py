"""Converters for skl2onnx, for networks within other estimators."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._classifier import RNNClassifier
from .._regressor import RNNRegressor
from ..preprocessing import PerStep
from ._graph import OPSETS, Graph, add_network, add_per_step, add_predictions, import_extra


def register_skl2onnx() -> None:
    """Teach skl2onnx to convert ``RNNClassifier``, ``RNNRegressor`` and ``PerStep`` wherever it meets them.

    A pipeline that ends in a network is better exported by :func:`to_onnx`, which also knows sequences of unequal lengths,
    states and token ids after other steps. This is for what skl2onnx alone can convert: a voting regressor, a calibrated
    classifier, a pipeline that goes on after ``PerStep``. Of sequences ``initial_types`` is three-dimensional,
    ``FloatTensorType([None, None, n_features])``, and for a classifier with ``return_sequences=True`` the options must have
    ``"zipmap": False``.

    Raises
    ------
    ImportError
        Without the package skl2onnx, which the extra ``onnx`` installs.

    See Also
    --------
    to_onnx : A fitted estimator or a pipeline as a model of ONNX, without this.

    Notes
    -----
    The converted operators need ``target_opset`` 18 or later. Numbers are float32 or float64 as ``initial_types`` say, but the
    recurrent layers always compute in float32.

    Examples
    --------
    >>> from sklearn.calibration import CalibratedClassifierCV
    >>> from skrnn import RNNClassifier
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.export import register_skl2onnx
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> network = RNNClassifier(hidden_layer_sizes=8, max_iter=5, random_state=0)
    >>> calibrated = CalibratedClassifierCV(network, cv=2).fit(X, (y > 1).astype(int))
    >>> from skl2onnx import convert_sklearn  # doctest: +SKIP
    >>> from skl2onnx.common.data_types import FloatTensorType  # doctest: +SKIP
    >>> register_skl2onnx()  # doctest: +SKIP
    >>> types = [("X", FloatTensorType([None, None, X.shape[2]]))]  # doctest: +SKIP
    >>> model = convert_sklearn(calibrated, initial_types=types, options={"zipmap": False})  # doctest: +SKIP
    """
    register = import_extra("skl2onnx").update_registered_converter
    options = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]}
    register(RNNClassifier, "SkrnnRNNClassifier", _shape_of_predictions, _convert_network, options=options)
    register(RNNRegressor, "SkrnnRNNRegressor", _shape_of_predictions, _convert_network)
    register(PerStep, "SkrnnPerStep", _shape_of_steps, _convert_per_step)


def _dtype_of(variable: Any, estimator: Any) -> np.dtype[Any]:
    """Return the precision of an input; token ids have none."""
    types = import_extra("skl2onnx.common.data_types")
    if isinstance(variable.type, types.Int64TensorType) and hasattr(estimator, "_theta"):
        dtype: np.dtype[Any] = estimator._theta.dtype
        return dtype
    return np.dtype(np.float64 if isinstance(variable.type, types.DoubleTensorType) else np.float32)


def _are_rows(operator: Any) -> bool:
    return len(operator.inputs[0].type.shape) == 2


def _graph_of(scope: Any, operator: Any) -> tuple[Graph, Any, str]:
    """Return a graph with names that are new in the scope, the estimator, and the name of its input."""
    (variable,) = operator.inputs
    dtype = _dtype_of(variable, operator.raw_operator)
    return Graph(dtype, scope.get_unique_variable_name("skrnn") + "_"), operator.raw_operator, variable.full_name


def _finish(graph: Graph, operator: Any, container: Any, results: list[str]) -> None:
    """Give results the names of the operator's outputs, and add all to the model."""
    if container.target_opset_any_domain("") < OPSETS[""]:
        raise ValueError(f"The converters of skrnn need a target_opset of at least {OPSETS['']}.")
    for result, variable in zip(results, operator.outputs, strict=True):
        graph.add("Identity", result, outputs=[variable.full_name])
    container.nodes += graph.nodes
    container.initializers += graph.constants
    container.node_domain_version_pair_sets |= set(graph.opsets.items())


def _convert_network(scope: Any, operator: Any, container: Any) -> None:
    graph, estimator, X = _graph_of(scope, operator)
    raw, _ = add_network(graph, estimator, X, are_rows=_are_rows(operator))
    _finish(graph, operator, container, [output.result for output in add_predictions(graph, estimator, raw)])


def _convert_per_step(scope: Any, operator: Any, container: Any) -> None:
    graph, transformer, X = _graph_of(scope, operator)
    _finish(graph, operator, container, [add_per_step(graph, transformer, X, "steps", are_rows=_are_rows(operator))])


def _shape_of_predictions(operator: Any) -> None:
    """Set the types of the outputs: those of the labels and probabilities, or of the targets."""
    types, estimator = import_extra("skl2onnx.common.data_types"), operator.raw_operator
    of_what = [None, None] if estimator._architecture["return_sequences"] else [None]
    graph = Graph(_dtype_of(operator.inputs[0], estimator))
    by_kind = {
        "i": types.Int64TensorType, "u": types.Int64TensorType, "U": types.StringTensorType, "O": types.StringTensorType,
        "b": types.BooleanTensorType,
    }  # fmt: skip
    for output, variable in zip(add_predictions(graph, estimator, "raw"), operator.outputs, strict=True):
        tensor = by_kind.get(output.dtype.kind) or (
            types.DoubleTensorType if output.dtype == np.float64 else types.FloatTensorType
        )
        variable.set_type(tensor([*of_what, *output.shape]))


def _shape_of_steps(operator: Any) -> None:
    """Set the type of the output; how many features there are is up to the transformer."""
    shape = list(operator.inputs[0].type.shape)
    operator.outputs[0].set_type(type(operator.inputs[0].type)([*shape[:-1], None]))
