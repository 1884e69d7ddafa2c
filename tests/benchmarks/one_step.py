"""One step of one sequence with carried state, in microseconds: beside PyTorch and ONNX Runtime, in one run.

``step`` is the cell alone, ``core`` the cell and the readout, ``predict`` the estimator's method with all its validation.

    python tests/benchmarks/one_step.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _common import CELLS, Table, main, medians
from _inference_peers import PEERS, onnx_call, torch_layers

from skrnn import RNNRegressor
from skrnn._core import bptt
from skrnn.sequences import Batch, Sequences

NAMES = ["step", "core", "predict"]


def fitted(cell: str, n_features: int, n_units: int) -> RNNRegressor:
    """An estimator that has seen a little noise."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2, 3, n_features), np.float32), rng.standard_normal((2, 3), np.float32)
    reg = RNNRegressor(
        hidden_layer_sizes=n_units, cell=cell, return_sequences=True, max_iter=1, learning_rate="cosine",
        learning_rate_init=0.1, random_state=0,
    )  # fmt: skip
    return reg.fit(X, y)


def skrnn_calls(reg: RNNRegressor, x: np.ndarray, state: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The cell, the core and the whole of one step; ``core`` and ``predict`` return the prediction and the state."""
    network = reg._fitted_network()
    batch, out = Batch(Sequences(x[0], np.array([1])), np.array([0]), every_step=True), np.empty((1, 1), np.float32)
    network.raw_predictions(reg._theta, batch, out, state.T)
    stack = next(iter(network._workspaces[0].values())).stack
    stack.start_from(state.T)
    tape, readout = stack.all_tapes[0], network.layout.views(reg._theta)["readout"]
    last = tape.hx[0, : reg.hidden_layer_sizes + 1]  # the state, once it is carried, and a one

    def core() -> tuple[np.ndarray, ...]:
        bptt.forward(tape, 0, 1)
        tape.carry(1)
        np.dot(readout, last, out)
        return out, last

    return {
        "step": lambda: tape.cell.step(*tape.step_views[0]),
        "core": core,
        "predict": lambda: reg.predict(x, initial_state=state, return_state=True),
    }


def torch_step(reg: RNNRegressor, x: np.ndarray, states: list[np.ndarray]) -> Callable[[], Any]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(1)
    layer, readout = torch_layers(reg, batch_first=True)
    inputs, before = torch.from_numpy(x), tuple(torch.from_numpy(state) for state in states)
    before = before if len(before) == 2 else before[0]

    def call() -> tuple[Any, Any]:
        with torch.inference_mode():
            outputs, after = layer(inputs, before)
            return readout(outputs), after

    return call


def onnx_step(reg: RNNRegressor, x: np.ndarray, states: list[np.ndarray]) -> Callable[[], Any]:
    """The same in ONNX Runtime."""
    call, inputs = onnx_call(reg, 1, stateful=True), {"x": x} | dict(zip("hc", states, strict=False))
    return lambda: call(inputs)


def competitors(cell: str, n_features: int, n_units: int) -> dict[str, Callable[[], Any]]:
    """All of them by name; they are known to predict the same."""
    reg = fitted(cell, n_features, n_units)
    x = np.random.default_rng(1).standard_normal((1, 1, n_features), np.float32)
    state = reg.predict(x, return_state=True)[1]
    states = [np.ascontiguousarray(part)[None] for part in np.split(state, state.shape[1] // n_units, axis=1)]
    peers = {name: {"PyTorch": torch_step, "ONNX Runtime": onnx_step}[name](reg, x, states) for name in PEERS}
    calls = skrnn_calls(reg, x, state) | peers
    for name in ("core", *peers):
        np.testing.assert_allclose(np.ravel(calls[name]()[0]), reg.predict(x, initial_state=state)[0], rtol=0, atol=1e-5)
    return calls


def tables(options: argparse.Namespace) -> Iterator[Table]:
    table = Table(
        "one_step",
        "One step of one sequence",
        ["cell", *NAMES, *PEERS, *(f"{peer} / skrnn" for peer in PEERS)],
        caption=f"Median microseconds of a step with its state carried on: {options.features} features, {options.units} units, "
        "float32, one thread. Of this package: the cell alone; the core (cell, state and readout); and predict with "
        "initial_state and return_state, which checks its input and loads the weights each time. The others are called from "
        "Python too, with input ready in their form, and give the same predictions; ratios are to predict.",
        formats={f"{peer} / skrnn": ".2f" for peer in PEERS},
    )
    for cell in CELLS:
        times = medians(competitors(cell, options.features, options.units), options.seconds)
        table.add(cell, *(1e6 * times[name] for name in NAMES + PEERS), *(times[peer] / times["predict"] for peer in PEERS))
    yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--units", type=int, default=64)
    main(tables, parser)
