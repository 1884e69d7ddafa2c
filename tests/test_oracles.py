"""Agreement with PyTorch, ONNX, onnxruntime and Keras: outputs, gradients and whole training runs."""

import numpy as np
import pytest
from _oracles import KERAS_GATES, ONNX_GATES, Layer, Weights, load, new_cell, torch_weights
from numpy.testing import assert_allclose

from skrnn._core.losses import MulticlassLogLoss, SquaredError
from skrnn._core.parameters import Layout
from skrnn._network import Architecture, Network
from skrnn._optim.clipping import clip, norm
from skrnn._optim.solvers import SGD, Adam, RMSprop
from skrnn._passes import Unrolling
from skrnn.sequences import Batch, Sequences

# ---------------------------------------------------------------- PyTorch: outputs and gradients

TORCH = {name: case for name, case in load("torch").items() if not name.startswith(("tbptt", "train"))}


class TorchStack:
    """The layers of a PyTorch case."""

    def __init__(self, meta, arrays, dtype=np.float64):
        self.meta, self.n_directions = meta, 1 + meta["bidirectional"]
        weights = [self._of_layer(layer, arrays) for layer in range(meta["layers"])]
        cell, reverse = new_cell(meta["kind"], meta["act"]), [False, True][: self.n_directions]
        self.layers = [Layer(cell, w, reverse, meta["lengths"], dtype) for w in weights]

    def _of_layer(self, layer, arrays, prefix=""):
        return [torch_weights(self.meta["kind"], arrays, layer, d, prefix) for d in range(self.n_directions)]

    def _states(self, arrays, h, c):
        """(layers, directions, n_states, N, H)."""
        states = np.array([arrays[name] for name in (h, c) if name in arrays])
        return states.swapaxes(0, 1).reshape(len(self.layers), self.n_directions, *states.shape[:1], *states.shape[2:])

    def forward(self, arrays):
        y, last = arrays["X"], []
        for layer, initial in zip(self.layers, self._states(arrays, "h0", "c0"), strict=True):
            y, states = layer.forward(y, initial)
            last.append(states)
        return y, np.array(last), self._states(arrays, "hn", "cn")

    def backward(self, arrays):
        """Return ``name -> gradient`` under the names of the case."""
        dlast, dy, dinitial = self._states(arrays, "Vh", "Vc"), arrays["VY"], []
        gradients = {name: np.zeros_like(array) for name, array in arrays.items() if name.startswith("d_")}
        for k in reversed(range(len(self.layers))):
            dy, initial, grads = self.layers[k].backward(dy, dlast[k])
            dinitial.insert(0, initial)
            for weights, (cell, views) in zip(self._of_layer(k, gradients, "d_"), grads, strict=True):
                weights.read_gradient(cell, views)
        states = np.array(dinitial)
        names = ["dh0", "dc0"][: states.shape[2]]
        return gradients | {"dX": dy} | {n: states[:, :, k].reshape(arrays[n].shape) for k, n in enumerate(names)}


def test_no_case_of_pytorch_is_left_out():
    assert len(TORCH) == 52


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_outputs_and_gradients(name):
    meta, arrays = TORCH[name]
    stack = TorchStack(meta, arrays)
    y, last, expected_last = stack.forward(arrays)
    assert_allclose(y, arrays["Y"], rtol=0, atol=1e-12)
    assert_allclose(last, expected_last, rtol=0, atol=1e-12)
    gradients = stack.backward(arrays)
    expected = {key for key in arrays if key.startswith("d")}
    assert gradients.keys() == expected
    for key in expected:
        assert abs(gradients[key] - arrays[key]).max() <= 1e-10 * abs(arrays[key]).max(), key


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_outputs_in_float32(name):
    meta, arrays = TORCH[name]
    y, last, expected_last = TorchStack(meta, arrays, np.float32).forward(arrays)
    assert y.dtype == last.dtype == np.float32
    assert_allclose(y, arrays["Y"], rtol=0, atol=2e-6 * max(1, abs(arrays["Y"]).max()))
    assert_allclose(last, expected_last, rtol=0, atol=2e-6 * max(1, abs(expected_last).max()))


# ---------------------------------------------------------------- PyTorch: truncated backpropagation through time

TRUNCATED = load("torch", "tbptt")


class LinearLoss:
    """The targets are the gradient."""

    def value_and_gradient(self, raw, y, weight, out):
        np.multiply(y, weight, out=out)
        return float(np.sum(raw * out))


def test_no_truncated_case_of_pytorch_is_left_out():
    assert len(TRUNCATED) == 21


@pytest.mark.parametrize("name", TRUNCATED)
def test_pytorch_loss_and_gradients_of_truncated_backpropagation(name):
    meta, arrays = TRUNCATED[name]
    kind, H, (N, T, F) = meta["kind"], meta["H"], arrays["X"].shape
    architecture = Architecture(F, (H,), kind, "tanh", False, ("last",), H, return_sequences=True)
    network = Network(architecture, LinearLoss(), 0.0, Unrolling(truncation_length=meta["k2"], truncation_stride=meta["k1"]))
    theta = np.zeros(network.layout.size)
    grad = np.empty_like(theta)
    (cell,), views, gradient = network.cells[0], network.layout.views(theta), network.layout.views(grad)
    torch_weights(kind, arrays).write(cell, network.weights_of(views, 0, 0))
    np.fill_diagonal(views["readout"], 1)
    sequences, targets = Sequences(arrays["X"].reshape(N * T, F), np.full(N, T)), arrays["VY"].reshape(N * T, H).T
    loss = network.loss_and_gradient(
        theta, Batch(sequences, np.arange(N), targets, np.ones(N), every_step=True), grad, total=1.0
    )
    assert_allclose(loss, arrays["loss"], rtol=1e-10)
    computed = {key: np.zeros_like(array) for key, array in arrays.items() if key.startswith("d_")}
    torch_weights(kind, computed, prefix="d_").read_gradient(cell, network.weights_of(gradient, 0, 0))
    assert len(computed) == 4
    for key, array in computed.items():
        assert abs(array - arrays[key]).max() <= 1e-10 * abs(arrays[key]).max(), key


# ---------------------------------------------------------------- ONNX


def can_be_expressed(meta, arrays):
    """No clipped pre-activations, peepholes or coupled gates, no reset before the product, no row without steps."""
    attributes = meta["attrs"]
    return not (
        "clip" in attributes
        or "in_P" in arrays
        or attributes.get("input_forget")
        or (meta["op"] == "GRU" and not attributes.get("linear_before_reset"))
        or 0 in arrays.get("in_sequence_lens", [])
    )


ONNX = {name: case for name, case in load("onnx").items() if can_be_expressed(*case)}


def test_every_kind_of_onnx_case_is_there():
    assert len(ONNX) == 34
    assert {meta["op"] for meta, _ in ONNX.values()} == {"RNN", "GRU", "LSTM"}
    assert {meta["attrs"].get("direction") for meta, _ in ONNX.values()} == {None, "reverse", "bidirectional"}


@pytest.mark.parametrize("name", ONNX)
def test_onnx_outputs(name):
    meta, arrays = ONNX[name]
    attributes, kind = meta["attrs"], meta["op"].lower()
    batch_first = attributes.get("layout", 0)
    x, W, R = arrays["in_X"], arrays["in_W"], arrays["in_R"]
    x = np.asarray(x if batch_first else x.swapaxes(0, 1), float)
    directions, N, H = len(W), len(x), R.shape[2]
    B = arrays.get("in_B", np.zeros((directions, 2 * W.shape[1])))
    weights = [Weights(ONNX_GATES[kind], w, r, *np.split(b, 2)) for w, r, b in zip(W, R, B, strict=True)]
    reverse = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[attributes.get("direction", "forward")]
    activation = attributes.get("activations", ["tanh"])[0].lower()
    layer = Layer(new_cell(kind, activation), weights, reverse, arrays.get("in_sequence_lens", [x.shape[1]] * N))
    zero = np.zeros((directions, N, H))
    names = ["h", "c"] if kind == "lstm" else ["h"]
    y, last = layer.forward(x, np.stack([arrays.get(f"in_initial_{state}", zero) for state in names], axis=1))
    y, last = y.reshape(N, -1, directions, H), last.transpose(1, 2, 0, 3)  # (N, T, D, H), (n_states, N, D, H)
    if not batch_first:
        y, last = y.transpose(1, 2, 0, 3), last.transpose(0, 2, 1, 3)
    computed = {"out_Y": y} | {f"out_Y_{state}": value for state, value in zip(names, last, strict=True)}
    expected = [key for key in arrays if key.startswith("out_")]
    assert expected
    for key in expected:
        assert_allclose(computed[key], arrays[key], rtol=0, atol=1e-6)


# ---------------------------------------------------------------- Keras

KERAS = {name: case for name, case in load("keras").items() if case[0].get("reset_after", True)}


def test_no_case_of_keras_is_left_out_but_reset_before():
    assert len(KERAS) == 28


@pytest.mark.parametrize("name", KERAS)
def test_keras_outputs(name):
    meta, arrays = KERAS[name]
    kind, H, x = meta["kind"], meta["H"], arrays["X"]
    N, T, F = x.shape
    gates = KERAS_GATES[kind]
    bias = np.full(len(gates) * H, 0.03 if meta.get("use_bias", True) else 0.0)
    recurrent_bias = bias if kind == "gru" else np.zeros_like(bias)
    if kind == "lstm" and meta.get("use_bias", True) and meta.get("ufb", True):
        bias[H : 2 * H] = 1
    kernel, recurrent = np.full((len(bias), F), 0.01), np.full((len(bias), H), 0.02)
    weights = Weights(gates, kernel, recurrent, bias, recurrent_bias)
    # a masked step keeps the state, so a sequence is its other steps
    mask = arrays.get("mask", np.ones((N, T), bool))
    lengths = mask.sum(axis=1)
    kept = np.zeros_like(x)
    for n in range(N):
        kept[n, : lengths[n]] = x[n, mask[n]]
    layer = Layer(new_cell(kind), [weights], [meta.get("back", False)], lengths)
    states = ["h0", "c0"] if kind == "lstm" else ["h0"]
    last = np.array([[arrays.get(state, np.zeros((N, H))) for state in states]])
    for _ in range(meta.get("passes", 1)):
        y, last = layer.forward(kept, last)
    assert_allclose(last[0, 0], arrays["last"], rtol=0, atol=1e-12)
    for n in range(N):
        assert_allclose(y[n, : lengths[n]], arrays["seq"][n, mask[n]], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- PyTorch: training

TRAINING = load("torch", "train")
SOLVERS = {
    "sgd": lambda size: SGD(size, np.dtype(float), momentum=0.0, nesterov=False),
    "momentum": lambda size: SGD(size, np.dtype(float), momentum=0.9, nesterov=False),
    "adam": lambda size: Adam(size, np.dtype(float)),
    "rmsprop": lambda size: RMSprop(size, np.dtype(float), beta_2=0.99),
}


class TorchParameters:
    """The objective of a training case in PyTorch's parameters, which have two biases a gate: ``theta = A @ torch``."""

    def __init__(self, meta, arrays):
        self.kind = meta["kind"]
        classifies = meta["task"] == "clf"
        self.layout = Layout({k.removeprefix("init_"): a.shape for k, a in arrays.items() if k.startswith("init_")})
        H, F = arrays["init_weight_hh_l0"].shape[1], arrays["X"].shape[2]
        architecture = Architecture(F, (H,), self.kind, "tanh", False, ("last",), len(arrays["init_head_b"]))
        self.network = Network(architecture, MulticlassLogLoss(len(arrays["init_head_b"])) if classifies else SquaredError())
        values = np.concatenate([x[:length] for x, length in zip(arrays["X"], arrays["lengths"], strict=True)])
        sequences = Sequences(values, arrays["lengths"])
        y = arrays["y"] if classifies else arrays["y"].T
        self.batch = Batch(sequences, np.arange(len(arrays["X"])), y, arrays["sample_weight"])
        self.theta = np.zeros(self.network.layout.size)
        self.dtheta = np.empty_like(self.theta)

    def _cell_and_views(self, vector):
        views = self.network.layout.views(vector)
        of_cell = {name.rpartition(".")[2]: view for name, view in views.items() if name != "readout"}
        return self.network.cells[0][0], of_cell, views["readout"]

    def loss_and_gradient(self, torch, grad):
        """``grad = A.T @ dtheta``."""
        views, grads = self.layout.views(torch), self.layout.views(grad)
        cell, of_cell, readout = self._cell_and_views(self.theta)
        torch_weights(self.kind, views).write(cell, of_cell)
        readout[:, :-1], readout[:, -1] = views["head_w"], views["head_b"]
        loss = self.network.loss_and_gradient(self.theta, self.batch, self.dtheta)
        cell, of_cell, readout = self._cell_and_views(self.dtheta)
        torch_weights(self.kind, grads).read_gradient(cell, of_cell)
        grads["head_w"][...], grads["head_b"][...] = readout[:, :-1], readout[:, -1]
        return loss


def test_no_training_run_of_pytorch_is_left_out():
    assert len(TRAINING) == 15


@pytest.mark.parametrize("name", TRAINING)
def test_pytorch_training_runs(name):
    meta, arrays = TRAINING[name]
    problem = TorchParameters(meta, arrays)
    torch, grad = np.empty(problem.layout.size), np.empty(problem.layout.size)
    for key, view in problem.layout.views(torch).items():
        view[...] = arrays[f"init_{key}"]
    solver = SOLVERS[meta["opt"]](problem.layout.size)
    losses, norms = [], []
    for _ in range(meta["steps"]):
        losses.append(problem.loss_and_gradient(torch, grad))
        norms.append(norm(grad))
        # PyTorch divides by the norm + 1e-6, we by the norm: the same factor is that of a slightly smaller limit
        limit = meta["clip"] and meta["clip"] * norms[-1] / (norms[-1] + 1e-6)
        clip(grad, None, limit)
        solver.step(torch, grad, meta["lr"])
    assert_allclose(losses, arrays["losses"], rtol=0, atol=1e-10)
    assert_allclose(norms, arrays["grad_norms_preclip"], rtol=0, atol=1e-10)
    for key, view in problem.layout.views(torch).items():
        assert_allclose(view, arrays[f"final_{key}"], rtol=0, atol=1e-10)
