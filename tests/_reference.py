"""Recurrent networks one sequence and one step at a time, with their gradients: slow, and from the published equations alone.

A cell's weights are a dict from gate to an object with ``recurrent`` (H, H), ``input`` (H, F), ``bias`` (H,) and, for the n of
a GRU, ``recurrent_bias``. A gradient is the same dict of arrays that are added to. States are tuples: (h,) or (h, c).
"""

from itertools import chain

import numpy as np
from scipy.special import expit, log_softmax

ACTIVATIONS = {
    "tanh": (np.tanh, lambda a: 1 / np.cosh(a) ** 2),
    "relu": (lambda a: np.where(a > 0, a, 0.0), lambda a: np.where(a > 0, 1.0, 0.0)),
    "identity": (lambda a: a, np.ones_like),
}


def affine(gate, x, h):
    return gate.recurrent @ h + gate.input @ x + gate.bias


def affine_back(gate, grad, da, x, h):
    """Add to the gradients of an affine map; return those of its inputs ``x`` and ``h``."""
    grad.recurrent[...] += np.outer(da, h)
    grad.input[...] += np.outer(da, x)
    grad.bias[...] += da
    return gate.input.T @ da, gate.recurrent.T @ da


# ---------------------------------------------------------------- cells: a step, and its gradient


class Elman:
    """Elman 1990."""

    n_states = 1

    def __init__(self, activation):
        self.phi, self.slope = ACTIVATIONS[activation]

    def step(self, gates, x, state):
        return (self.phi(affine(gates["h"], x, state[0])),)

    def step_back(self, gates, grads, x, state, dstate):
        da = dstate[0] * self.slope(affine(gates["h"], x, state[0]))
        dx, dh = affine_back(gates["h"], grads["h"], da, x, state[0])
        return dx, (dh,)


class GRU:
    """Cho et al. 2014, the reset gate applied after the matrix product; PyTorch's documentation of ``torch.nn.GRU``."""

    n_states = 1

    def _gates(self, gates, x, h):
        r, z = expit(affine(gates["r"], x, h)), expit(affine(gates["z"], x, h))
        m = gates["n"].recurrent @ h + gates["n"].recurrent_bias
        n = np.tanh(gates["n"].input @ x + gates["n"].bias + r * m)
        return r, z, m, n

    def step(self, gates, x, state):
        (h,) = state
        _, z, _, n = self._gates(gates, x, h)
        return ((1 - z) * n + z * h,)

    def step_back(self, gates, grads, x, state, dstate):
        (h,), (dh_next,) = state, dstate
        r, z, m, n = self._gates(gates, x, h)
        dn, dz, dh = dh_next * (1 - z), dh_next * (h - n), dh_next * z
        da_n = dn * (1 - n**2)
        grads["n"].input[...] += np.outer(da_n, x)
        grads["n"].bias[...] += da_n
        dr, dm = da_n * m, da_n * r
        grads["n"].recurrent[...] += np.outer(dm, h)
        grads["n"].recurrent_bias[...] += dm
        dx = gates["n"].input.T @ da_n
        dh = dh + gates["n"].recurrent.T @ dm
        for name, gate, dgate in (("r", r, dr), ("z", z, dz)):
            by_x, by_h = affine_back(gates[name], grads[name], dgate * gate * (1 - gate), x, h)
            dx, dh = dx + by_x, dh + by_h
        return dx, (dh,)


class LSTM:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000."""

    n_states = 2

    def _gates(self, gates, x, h):
        i, f, o = (expit(affine(gates[name], x, h)) for name in "ifo")
        return i, f, np.tanh(affine(gates["g"], x, h)), o

    def step(self, gates, x, state):
        h, c = state
        i, f, g, o = self._gates(gates, x, h)
        c = f * c + i * g
        return o * np.tanh(c), c

    def step_back(self, gates, grads, x, state, dstate):
        (h, c), (dh_next, dc_next) = state, dstate
        i, f, g, o = self._gates(gates, x, h)
        tanh_c = np.tanh(f * c + i * g)
        dc = dc_next + dh_next * o * (1 - tanh_c**2)
        da = {
            "i": dc * g * i * (1 - i),
            "f": dc * c * f * (1 - f),
            "g": dc * i * (1 - g**2),
            "o": dh_next * tanh_c * o * (1 - o),
        }
        dx, dh = np.zeros_like(x), np.zeros_like(h)
        for name in "ifgo":
            by_x, by_h = affine_back(gates[name], grads[name], da[name], x, h)
            dx, dh = dx + by_x, dh + by_h
        return dx, (dh, dc * f)


def new_cell(name, activation):
    return {"rnn": lambda: Elman(activation), "gru": GRU, "lstm": LSTM}[name]()


# ---------------------------------------------------------------- one sequence


def run(cell, gates, xs, state):
    """The states before the first and after every step of a sequence: a list of ``len(xs) + 1`` tuples."""
    states = [state]
    for x in xs:
        states.append(cell.step(gates, x, states[-1]))
    return states


def run_back(cell, gates, grads, xs, states, dhs, dlast):
    """Unrolled backpropagation through time.

    ``dhs`` are the gradients of the hidden state after every step and ``dlast`` that of the last state. Adds to ``grads``;
    returns the gradients of the inputs and of the initial state.
    """
    dxs, dstate = [None] * len(xs), dlast
    for t in reversed(range(len(xs))):
        dstate = (dstate[0] + dhs[t], *dstate[1:])
        dxs[t], dstate = cell.step_back(gates, grads, xs[t], states[t], dstate)
    return dxs, dstate


POOLINGS = {
    "last": (lambda hs: hs[-1], lambda hs, dp: [np.zeros_like(dp)] * (len(hs) - 1) + [dp]),
    "mean": (lambda hs: sum(hs) / len(hs), lambda hs, dp: [dp / len(hs)] * len(hs)),
    "max": (
        lambda hs: np.max(hs, axis=0),
        lambda hs, dp: [np.where(np.argmax(hs, axis=0) == t, dp, 0.0) for t in range(len(hs))],
    ),
}


# ---------------------------------------------------------------- losses of one sequence: (value, gradient)


def _multiclass(raw, y):
    return -log_softmax(raw)[y], np.exp(log_softmax(raw)) - np.eye(len(raw))[y]


def _binary(raw, y):
    p = expit(raw)
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)), p - y


def _pinball(quantile, scale):
    def loss(raw, y):
        slope = np.where(y > raw, -quantile, 1 - quantile) * scale
        return np.mean((raw - y) * slope), slope / len(raw)

    return loss


def _huber(raw, y):
    e = raw - y
    return np.mean(np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5)), np.where(abs(e) <= 1, e, np.sign(e)) / len(raw)


def _poisson(raw, y):
    mu = np.exp(raw)
    return np.mean(y * np.log(y / mu) - y + mu), (mu - y) / len(raw)


QUANTILE = 0.3
LOSSES = {
    "multiclass_log_loss": _multiclass,
    "binary_log_loss": _binary,
    "multilabel_log_loss": _binary,
    "squared_error": lambda raw, y: (np.mean((raw - y) ** 2) / 2, (raw - y) / len(raw)),
    "absolute_error": lambda raw, y: (np.mean(abs(raw - y)), np.sign(raw - y) / len(raw)),
    "huber": _huber,
    "poisson": _poisson,
    "quantile": _pinball(QUANTILE, 1.0),
}


# ---------------------------------------------------------------- a network on one sequence


class Network:
    """The weights of a ``skrnn`` network, taken gate by gate, and its forward and backward pass on one sequence.

    Parameters
    ----------
    network : skrnn._network.Network
        Says which weights and gradients belong to which gate, and nothing else.
    theta : array
    """

    def __init__(self, network, theta):
        self.network, self.architecture = network, network.architecture
        self.cell = new_cell(self.architecture.cell, self.architecture.activation)
        self.layers, self.readout = self._by_gate(theta)

    def _by_gate(self, vector):
        """``layers[layer][direction][gate]`` and the readout's matrix, views of ``vector``."""
        gates, n_directions = [gates for _, gates in self.network.gates(vector)], 1 + self.architecture.bidirectional
        layers = [gates[k : k + n_directions] for k in range(0, len(gates), n_directions)]
        return layers, self.network.layout.views(vector)["readout"]

    def states(self, xs):
        """Per layer and direction: inputs and states in the order in which the direction reads them; and the outputs."""
        passes, inputs = [], list(xs)
        for H, directions in zip(self.architecture.hidden_layer_sizes, self.layers, strict=True):
            passes.append([])
            outputs = []
            for direction, gates in enumerate(directions):
                read = inputs[::-1] if direction else inputs
                states = run(self.cell, gates, read, (np.zeros(H),) * self.cell.n_states)
                passes[-1].append((read, states))
                hs = [state[0] for state in states[1:]]
                outputs.append(hs[::-1] if direction else hs)
            inputs = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
        return passes, inputs

    def _pooled(self, passes):
        """``(pooling, direction)`` of each block of the pooled states, in their order, and the blocks."""
        blocks = [(name, direction) for name in self.architecture.pooling for direction in range(len(passes[-1]))]
        return blocks, [POOLINGS[name][0]([s[0] for s in passes[-1][d][1][1:]]) for name, d in blocks]

    def raw_prediction(self, xs):
        """(n_raw,)."""
        pooled = np.concatenate(self._pooled(self.states(xs)[0])[1])
        return self.readout[:, :-1] @ pooled + self.readout[:, -1]

    def gradient(self, xs, draw, grad):
        """Add to ``grad``, a vector like theta, the gradient of ``draw @ raw_prediction(xs)``."""
        layers, readout = self._by_gate(grad)
        passes, _ = self.states(xs)
        blocks, pooled = self._pooled(passes)
        readout[:, :-1] += np.outer(draw, np.concatenate(pooled))
        readout[:, -1] += draw
        H = self.architecture.hidden_layer_sizes[-1]
        dpooled = (self.readout[:, :-1].T @ draw).reshape(-1, H)
        dhs = [[np.zeros(H) for _ in xs] for _ in passes[-1]]
        for (name, direction), dblock in zip(blocks, dpooled, strict=True):
            hs = [state[0] for state in passes[-1][direction][1][1:]]
            for t, dh in enumerate(POOLINGS[name][1](hs, dblock)):
                dhs[direction][t] = dhs[direction][t] + dh
        for layer in reversed(range(len(passes))):
            dinputs = [0.0] * len(xs)
            for direction, (read, states) in enumerate(passes[layer]):
                gates, grads = self.layers[layer][direction], layers[layer][direction]
                dlast = tuple(np.zeros_like(s) for s in states[-1])
                dxs, _ = run_back(self.cell, gates, grads, read, states, dhs[direction], dlast)
                for t, dx in enumerate(dxs[::-1] if direction else dxs):
                    dinputs[t] = dinputs[t] + dx
            if layer:
                H = self.architecture.hidden_layer_sizes[layer - 1]
                dhs = [[d[k * H : (k + 1) * H] for d in dinputs] for k in range(len(passes[layer - 1]))]
                dhs = [dh[::-1] if k else dh for k, dh in enumerate(dhs)]

    def loss_and_gradient(self, loss, sequences, targets, weights):
        """The mean over weighted sequences of ``loss`` (a name), plus the L2 penalty; and its gradient."""
        grad, total = np.zeros(self.network.layout.size), 0.0
        for xs, y, weight in zip(sequences, targets, np.asarray(weights) / np.sum(weights), strict=True):
            value, draw = LOSSES[loss](self.raw_prediction(xs), y)
            total += weight * value
            self.gradient(xs, weight * draw, grad)
        alpha, (layers, readout) = self.network.alpha, self._by_gate(grad)
        matrices = [(self.readout[:, :-1], readout[:, :-1])]
        for weights_of, grads_of in zip(chain(*self.layers), chain(*layers), strict=True):
            for name, gate in weights_of.items():
                matrices += [(gate.recurrent, grads_of[name].recurrent), (gate.input, grads_of[name].input)]
        for matrix, dmatrix in matrices:
            total += alpha / 2 * np.sum(matrix**2)
            dmatrix += alpha * matrix
        return total, grad
