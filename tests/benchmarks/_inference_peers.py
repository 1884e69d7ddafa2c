"""A fitted estimator of one layer, in PyTorch and in ONNX Runtime: the same weights, with the state carried or from zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import is_classifier

#: those that are installed
PEERS = [
    name
    for name, modules in {"PyTorch": ["torch"], "ONNX Runtime": ["onnx", "onnxruntime"]}.items()
    if all(find_spec(module) for module in modules)
]
#: the order in which the gates of a cell are stacked
TORCH_GATES = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}
ONNX_GATES = {"rnn": "h", "gru": "zrn", "lstm": "iofg"}


def cell_weights(estimator: Any, gates: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for each direction, input and recurrent weights and biases, the gates one below the other."""
    coefs, biases = estimator.coefs_, estimator.intercepts_
    for direction in ("forward", "reverse") if estimator.bidirectional else ("forward",):
        names = [f"layer0.{direction}.{gate}" for gate in gates]
        yield (
            np.concatenate([coefs[f"{name}.input"] for name in names]),
            np.concatenate([coefs[f"{name}.recurrent"] for name in names]),
            np.concatenate([biases[f"{name}.bias"] for name in names]),
            np.concatenate([biases.get(f"{name}.recurrent_bias", np.zeros_like(biases[f"{name}.bias"])) for name in names]),
        )


def torch_layers(estimator: Any, *, batch_first: bool) -> tuple[Any, Any]:
    """Return the recurrent layer and the readout."""
    import torch

    new_layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[estimator.cell]
    W = estimator.coefs_["readout"]
    n_features = estimator.coefs_["layer0.forward." + TORCH_GATES[estimator.cell][0] + ".input"].shape[1]
    sizes = n_features, estimator.hidden_layer_sizes
    layer = new_layer(*sizes, batch_first=batch_first, bidirectional=estimator.bidirectional)
    readout = torch.nn.Linear(*W.shape[::-1])
    values = [weights for direction in cell_weights(estimator, TORCH_GATES[estimator.cell]) for weights in direction]
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value))
        readout.weight.copy_(torch.from_numpy(W))
        readout.bias.copy_(torch.from_numpy(estimator.intercepts_["readout.bias"]))
    return layer, readout


def onnx_call(
    estimator: Any, n_threads: int, *, ragged: bool = False, stateful: bool = False
) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    """Return ``call(inputs) -> [predictions (1, N, n_outputs), *states (1, N, H)]`` of ONNX Runtime.

    Inputs are ``x`` (T, N, F), ``lengths`` (N,) of int32 if ``ragged``, and ``h`` and ``c`` (1, N, H) if ``stateful``: the
    states after the last step are then returned, too. Predictions of a classifier are probabilities.
    """
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    W, R, input_bias, recurrent_bias = (
        np.stack(of_directions) for of_directions in zip(*cell_weights(estimator, ONNX_GATES[estimator.cell]), strict=True)
    )
    n_directions, H = len(W), estimator.hidden_layer_sizes
    states = (["h", "c"] if estimator.cell == "lstm" else ["h"]) if stateful else []
    after = [f"{state}_after" for state in states] or ["h_after"]
    attributes = {"hidden_size": H, "direction": "bidirectional" if n_directions == 2 else "forward"}
    if estimator.cell == "gru":
        attributes["linear_before_reset"] = 1
    nodes = [
        helper.make_node(
            estimator.cell.upper(), ["x", "W", "R", "B", "lengths" if ragged else "", *states], ["", *after], **attributes
        )
    ]
    constants = {
        "W": W, "R": R, "B": np.concatenate([input_bias, recurrent_bias], axis=1),
        "V": np.ascontiguousarray(estimator.coefs_["readout"].T), "b": estimator.intercepts_["readout.bias"],
    }  # fmt: skip
    last = "h_after"
    if n_directions == 2:
        nodes += [
            helper.make_node("Transpose", [last], ["by_sequence"], perm=[1, 0, 2]),
            helper.make_node("Reshape", ["by_sequence", "shape"], ["both"]),
        ]
        constants["shape"], last = np.array([1, -1, 2 * H]), "both"
    nodes += [helper.make_node("MatMul", [last, "V"], ["product"]), helper.make_node("Add", ["product", "b"], ["raw"])]
    if is_classifier(estimator):
        nodes.append(helper.make_node("Softmax", ["raw"], ["out"], axis=-1))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (None, None, None)) for name in ("x", *states)]
    if ragged:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, (None,)))
    outputs = [nodes[-1].output[0], *(after if stateful else [])]
    graph = helper.make_graph(
        nodes, "estimator", inputs, [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # or its second thread would slow the next competitor
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)
