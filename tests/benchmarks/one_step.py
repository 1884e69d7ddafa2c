"""One step of one sequence with carried state, in microseconds: beside PyTorch and ONNX Runtime, in one run.

``step`` is the cell alone, ``core`` the cell and the readout, ``predict`` the estimator's method with all its validation.

    python tests/benchmarks/one_step.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from skrnn import RNNRegressor
from skrnn._core import bptt


def skrnn_calls(cell, n_features, n_units):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2, 3, n_features), np.float32)
    reg = RNNRegressor(hidden_layer_sizes=n_units, cell=cell, return_sequences=True, max_iter=1, learning_rate="cosine")
    reg.fit(X, rng.standard_normal((2, 3), np.float32))
    x, state = X[:1, :1].copy(), reg.predict(X[:1], return_state=True)[1]
    network = reg._fitted_network()
    network.raw_predictions(reg._theta, _batch(x), np.empty((1, 1), np.float32))
    tape = next(iter(network._workspaces.values())).stack.all_tapes[0]
    readout, hidden, out = (
        network.layout.views(reg._theta)["readout"][:, :-1].copy(),
        tape.hx[1, :n_units],
        np.empty((1, 1), "f"),
    )

    def core():
        bptt.forward(tape, 0, 1)
        np.dot(readout, hidden, out)
        tape.carry(1)

    return {
        "step": lambda: tape.cell.step(*tape.step_views[0]),
        "core": core,
        "predict": lambda: reg.predict(x, initial_state=state, return_state=True),
    }


def _batch(x):
    from skrnn.sequences import Batch, Sequences

    return Batch(Sequences(x.reshape(1, -1), np.array([1])), np.array([0]), every_step=True)


def torch_call(cell, n_features, n_units):
    import torch

    torch.set_num_threads(1)
    rnn = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](n_features, n_units, batch_first=True)
    readout, x, state = torch.nn.Linear(n_units, 1), torch.randn(1, 1, n_features), torch.zeros(1, 1, n_units)
    state = (state, state) if cell == "lstm" else state

    def call():
        with torch.inference_mode():
            outputs, after = rnn(x, state)
            return readout(outputs), after

    return call


def onnx_call(cell, n_features, n_units):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    rng = np.random.default_rng(0)
    weights = {
        "W": (1, gates * n_units, n_features),
        "R": (1, gates * n_units, n_units),
        "B": (1, 2 * gates * n_units),
        "V": (n_units, 1),
    }
    attributes = {"hidden_size": n_units} | ({"linear_before_reset": 1} if cell == "gru" else {})
    states = ["h", "c"] if cell == "lstm" else ["h"]
    after = [f"{state}_after" for state in states]
    graph = helper.make_graph(
        [
            helper.make_node(cell.upper(), ["x", "W", "R", "B", "", *states], ["y", *after], **attributes),
            helper.make_node("MatMul", ["y", "V"], ["out"]),
        ],
        "step",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, n_features))]
        + [helper.make_tensor_value_info(state, TensorProto.FLOAT, (1, 1, n_units)) for state in states],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("out", *after)],
        [numpy_helper.from_array(rng.standard_normal(shape, np.float32), name) for name, shape in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"x": np.zeros((1, 1, n_features), np.float32)} | {state: np.zeros((1, 1, n_units), np.float32) for state in states}
    return lambda: session.run(None, feed)


def microseconds(calls, n_repeats=15, n_calls=200):
    """Medians over repeats, in which the competitors alternate."""
    times = {name: [] for name in calls}
    for _ in range(n_repeats):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            for _ in range(n_calls):
                call()
            times[name].append((time.perf_counter() - start) / n_calls * 1e6)
    return {name: np.median(values) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--units", type=int, default=64)
    options = parser.parse_args()
    print(f"{options.features} features, {options.units} units, float32; microseconds")
    for cell in ("rnn", "gru", "lstm"):
        calls = skrnn_calls(cell, options.features, options.units)
        for name, new in (("PyTorch", torch_call), ("ONNX Runtime", onnx_call)):
            try:
                calls[name] = new(cell, options.features, options.units)
            except ImportError:
                continue
        print(f"{cell:5s}" + "".join(f"  {name} {value:6.1f}" for name, value in microseconds(calls).items()))


if __name__ == "__main__":
    main()
