"""Recurrent networks one sequence and one step at a time, with their gradients: slow, and from the published equations alone.

A cell's weights are a dict from gate to an object with ``recurrent`` (H, H), ``input`` (H, F), ``bias`` (H,) and, for the n of
a GRU, ``recurrent_bias``. A gradient is the same dict of arrays that are added to. States are tuples: (h,) or (h, c).

A step gives the state after it and the activations, from which its gradient is then taken with the weights of that time.
``mask`` is that of recurrent dropout: it multiplies the hidden state where weights do.
"""

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, log_expit, log_softmax

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

    def step(self, gates, x, state, mask):
        a = affine(gates["h"], x, state[0] * mask)
        return (self.phi(a),), a

    def step_back(self, gates, grads, x, state, a, dstate, mask):
        dx, dh = affine_back(gates["h"], grads["h"], dstate[0] * self.slope(a), x, state[0] * mask)
        return dx, (dh * mask,)


class GRU:
    """Cho et al. 2014, the reset gate applied after the matrix product; PyTorch's documentation of ``torch.nn.GRU``."""

    n_states = 1

    def step(self, gates, x, state, mask):
        (h,) = state
        r, z = expit(affine(gates["r"], x, h * mask)), expit(affine(gates["z"], x, h * mask))
        m = gates["n"].recurrent @ (h * mask) + gates["n"].recurrent_bias
        n = np.tanh(gates["n"].input @ x + gates["n"].bias + r * m)
        return ((1 - z) * n + z * h,), (r, z, m, n)

    def step_back(self, gates, grads, x, state, activations, dstate, mask):
        (h,), (r, z, m, n), (dh_next,) = state, activations, dstate
        dn, dz, dh = dh_next * (1 - z), dh_next * (h - n), dh_next * z
        da_n = dn * (1 - n**2)
        grads["n"].input[...] += np.outer(da_n, x)
        grads["n"].bias[...] += da_n
        dr, dm = da_n * m, da_n * r
        grads["n"].recurrent[...] += np.outer(dm, h * mask)
        grads["n"].recurrent_bias[...] += dm
        dx = gates["n"].input.T @ da_n
        dh = dh + gates["n"].recurrent.T @ dm * mask
        for name, gate, dgate in (("r", r, dr), ("z", z, dz)):
            by_x, by_h = affine_back(gates[name], grads[name], dgate * gate * (1 - gate), x, h * mask)
            dx, dh = dx + by_x, dh + by_h * mask
        return dx, (dh,)


class LSTM:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000."""

    n_states = 2

    def step(self, gates, x, state, mask):
        h, c = state
        i, f, o = (expit(affine(gates[name], x, h * mask)) for name in "ifo")
        g = np.tanh(affine(gates["g"], x, h * mask))
        c = f * c + i * g
        return (o * np.tanh(c), c), (i, f, g, o, np.tanh(c))

    def step_back(self, gates, grads, x, state, activations, dstate, mask):
        (h, c), (i, f, g, o, tanh_c), (dh_next, dc_next) = state, activations, dstate
        dc = dc_next + dh_next * o * (1 - tanh_c**2)
        da = {
            "i": dc * g * i * (1 - i),
            "f": dc * c * f * (1 - f),
            "g": dc * i * (1 - g**2),
            "o": dh_next * tanh_c * o * (1 - o),
        }
        dx, dh = np.zeros_like(x), np.zeros_like(h)
        for name in "ifgo":
            by_x, by_h = affine_back(gates[name], grads[name], da[name], x, h * mask)
            dx, dh = dx + by_x, dh + by_h * mask
        return dx, (dh, dc * f)


def new_cell(name, activation):
    return {"rnn": lambda: Elman(activation), "gru": GRU, "lstm": LSTM}[name]()


# ---------------------------------------------------------------- one sequence


class Step(NamedTuple):
    """What a step was given, and what it gave."""

    x: Any
    before: tuple
    activations: Any
    after: tuple

    @property
    def h(self):
        return self.after[0]


def take_step(cell, gates, x, state, nudge=0.0, mask=1.0):
    """``nudge`` is added to the hidden state after the step."""
    after, activations = cell.step(gates, x, state, mask)
    return Step(x, state, activations, (after[0] + nudge, *after[1:]))


def run(cell, gates, xs, state, nudges=None, mask=1.0):
    """The steps of a sequence."""
    steps = []
    for t, x in enumerate(xs):
        before, nudge = steps[-1].after if steps else state, 0.0 if nudges is None else nudges[t]
        steps.append(take_step(cell, gates, x, before, nudge, mask))
    return steps


def run_back(cell, gates, grads, steps, dhs, dlast, mask=1.0):
    """Unrolled backpropagation through time.

    ``dhs`` are the gradients of the hidden state after every step and ``dlast`` that of the last state. Adds to ``grads``;
    returns the gradients of the inputs and of the initial state.
    """
    dxs, dstate = [None] * len(steps), dlast
    for t in reversed(range(len(steps))):
        dstate = (dstate[0] + dhs[t], *dstate[1:])
        dxs[t], dstate = cell.step_back(gates, grads, steps[t].x, steps[t].before, steps[t].activations, dstate, mask)
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
    return -np.sum(y * log_expit(raw) + (1 - y) * log_expit(-raw)), expit(raw) - y


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


# ---------------------------------------------------------------- a network


class Network:
    """The weights of a ``skrnn`` network, taken gate by gate, and its forward and backward pass on one sequence.

    What a sequence does is ``passes[layer][direction]``, its steps in the order in which the direction reads them. A state
    is a vector of the states of all layers and directions, one below the other.

    Parameters
    ----------
    network : skrnn._network.Network
        Says which weights and gradients belong to which gate, and nothing else.
    theta : array
        Of which views are taken.
    """

    def __init__(self, network, theta):
        self.network, self.architecture, self.theta = network, network.architecture, theta
        self.sizes, self.n_directions = self.architecture.hidden_layer_sizes, 1 + self.architecture.bidirectional
        self.cell = new_cell(self.architecture.cell, self.architecture.activation)
        self.layers, self.readout = self._by_gate(theta)
        self.table = self._table_of(theta)
        self.drop(None)

    def drop(self, masks):
        """Take the masks of dropout of one sequence, ``skrnn._stack.Masks`` of vectors."""
        masks = [None] * 3 if masks is None else masks
        self.between, self.recurrent, self.readout_mask = masks
        self.between = self.between or [1.0] * (len(self.sizes) - 1)
        self.recurrent = self.recurrent or [[1.0] * self.n_directions for _ in self.sizes]
        self.readout_mask = 1.0 if self.readout_mask is None else self.readout_mask[:-1]

    def _by_gate(self, vector):
        """``layers[layer][direction][gate]`` and the readout's matrix, views of ``vector``."""
        gates, n = [gates for _, gates in self.network.gates(vector)], self.n_directions
        layers = [gates[k : k + n] for k in range(0, len(gates), n)]
        return layers, self.network.layout.views(vector)["readout"]

    def _table_of(self, vector):
        """The table of embeddings, a view of ``vector``; None if sequences are numbers."""
        return self.network.layout.views(vector).get("embedding")

    def _inputs(self, xs):
        """What the first layer reads, (T, F)."""
        return xs if self.table is None else self.table[xs[:, 0]]

    # ---------------------------------------------------------------- forward

    def _split_state(self, state):
        """``[layer][direction]`` tuples of a state; None is zero."""
        n = self.cell.n_states
        lengths = [H for H in self.sizes for _ in range(self.n_directions * n)]
        parts = np.split(np.zeros(sum(lengths)) if state is None else state, np.cumsum(lengths)[:-1])
        cells = [tuple(parts[k : k + n]) for k in range(0, len(parts), n)]
        return [cells[k : k + self.n_directions] for k in range(0, len(cells), self.n_directions)]

    def last_state(self, passes):
        return np.concatenate([part for layer in passes for steps in layer for part in steps[-1].after])

    def passes(self, xs, initial=None, nudges=None):
        """Run a sequence (T, F), or of token ids (T, 1).

        ``nudges[layer][direction]`` (T, H) are added to the hidden states.
        """
        passes, inputs = [], list(self._inputs(xs))
        for layer, (weights, states) in enumerate(zip(self.layers, self._split_state(initial), strict=True)):
            passes.append([])
            for direction, (gates, state) in enumerate(zip(weights, states, strict=True)):
                nudge, mask = None if nudges is None else nudges[layer][direction], self.recurrent[layer][direction]
                passes[-1].append(run(self.cell, gates, inputs[::-1] if direction else inputs, state, nudge, mask))
            inputs = [h * mask for h in self.outputs(passes) for mask in self.between[layer : layer + 1]]
        return passes

    def outputs(self, passes):
        """The hidden states of the last of the layers, in the order of the sequence."""
        hs = [[step.h for step in steps] for steps in passes[-1]]
        return [np.concatenate(parts) for parts in zip(hs[0], *(reverse[::-1] for reverse in hs[1:]), strict=True)]

    def _pooled(self, passes):
        """``(pooling, direction)`` of each block of the pooled states, in their order, and the blocks."""
        blocks = [(name, direction) for name in self.architecture.pooling for direction in range(self.n_directions)]
        return blocks, [POOLINGS[name][0]([step.h for step in passes[-1][direction]]) for name, direction in blocks]

    def _raw(self, states):
        return self.readout[:, :-1] @ (states * self.readout_mask) + self.readout[:, -1]

    def raw_predictions(self, passes):
        """(n_raw,), or with targets at every step (T, n_raw)."""
        if self.architecture.return_sequences:
            return np.array([self._raw(h) for h in self.outputs(passes)])
        return self._raw(np.concatenate(self._pooled(passes)[1]))

    # ---------------------------------------------------------------- backward

    def _read_back(self, states, draw, readout):
        """Add to the gradient of the readout's matrix; return that of the states."""
        readout[:, :-1] += np.outer(draw, states * self.readout_mask)
        readout[:, -1] += draw
        return self.readout[:, :-1].T @ draw * self.readout_mask

    def _pooled_back(self, passes, draw, grad):
        """Gradients of the states of the last layer, by direction and step."""
        blocks, pooled = self._pooled(passes)
        dpooled = self._read_back(np.concatenate(pooled), draw, self._by_gate(grad)[1]).reshape(len(blocks), -1)
        dhs = [[0.0] * len(steps) for steps in passes[-1]]
        for (name, direction), dblock in zip(blocks, dpooled, strict=True):
            for t, dh in enumerate(POOLINGS[name][1]([step.h for step in passes[-1][direction]], dblock)):
                dhs[direction][t] = dhs[direction][t] + dh
        return dhs

    def _steps_back(self, passes, draws, grad):
        """The same for raw predictions at every step; ``draws`` is 0 where there is none."""
        readout, zero = self._by_gate(grad)[1], np.zeros(self.n_directions * self.sizes[-1])
        douts = [
            zero if draw is None else self._read_back(h, draw, readout)
            for h, draw in zip(self.outputs(passes), draws, strict=True)
        ]
        return self._by_direction(douts, self.sizes[-1])

    def _by_direction(self, douts, H):
        parts = [[dout[k * H : (k + 1) * H] for dout in douts] for k in range(self.n_directions)]
        return [part[::-1] if direction else part for direction, part in enumerate(parts)]

    def back(self, passes, dhs, grad, xs, first=0):
        """Add to ``grad`` what the gradients ``dhs`` of the last layer's states make of steps of ``xs`` from ``first``."""
        layers, _ = self._by_gate(grad)
        for layer in reversed(range(len(passes))):
            douts = 0.0
            for direction, steps in enumerate(passes[layer]):
                gates, grads, dlast = (
                    self.layers[layer][direction],
                    layers[layer][direction],
                    [np.zeros_like(s) for s in steps[-1].after],
                )
                mask = self.recurrent[layer][direction]
                dxs, _ = run_back(self.cell, gates, grads, steps[first:], dhs[direction][first:], dlast, mask)
                dxs = [np.zeros_like(dxs[0])] * first + dxs
                douts = douts + np.array(dxs[::-1] if direction else dxs)
            if layer:
                dhs = self._by_direction(douts * self.between[layer - 1], self.sizes[layer - 1])
        if self.table is not None:
            for (token,), dx in zip(xs, douts, strict=True):
                self._table_of(grad)[token] += dx

    def penalise(self, grad, share=1.0):
        """Add the gradient of a share of the L2 penalty, and return its value."""
        alpha, value, (layers, readout) = share * self.network.alpha, 0.0, self._by_gate(grad)
        matrices = [(self.readout[:, :-1], readout[:, :-1])]
        matrices += [] if self.table is None else [(self.table, self._table_of(grad))]
        for weights_of, grads_of in zip(chain(*self.layers), chain(*layers), strict=True):
            for name, gate in weights_of.items():
                matrices += [(gate.recurrent, grads_of[name].recurrent), (gate.input, grads_of[name].input)]
        for matrix, dmatrix in matrices:
            value += alpha / 2 * np.sum(matrix**2)
            dmatrix += alpha * matrix
        return value

    # ---------------------------------------------------------------- the objective

    def loss(self, loss, sequences, targets, weights, nudges=None):
        """The weighted mean of ``loss`` (a name); ``nudges`` for each sequence."""
        value, total = 0.0, sum(np.sum(weight) for weight in weights)
        for n, (xs, y, weight) in enumerate(zip(sequences, targets, weights, strict=True)):
            raw = self.raw_predictions(self.passes(xs, nudges=None if nudges is None else nudges[n]))
            if not self.architecture.return_sequences:
                raw, y, weight = [raw], [y], [weight]
            value += sum(w * LOSSES[loss](r, target)[0] for r, target, w in zip(raw, y, weight, strict=True))
        return value / total

    def loss_and_gradient(self, loss, sequences, targets, weights, length=None, stride=None, initial=None, masks=None):
        """The weighted mean of ``loss`` (a name) plus the L2 penalty; and its gradient, or what truncation leaves of it.

        At every update point the sequence is run anew from its beginning.

        Parameters
        ----------
        loss : str
        sequences : list of array (T, F), or of token ids (T, 1)
        targets, weights : list
            For each sequence one, or one for each step.
        length, stride : int, optional
            At every update the losses of the last ``stride`` steps go back ``length`` steps.
        initial : list of state, optional
            Of each sequence.
        masks : list, optional
            For each sequence, those of dropout.
        """
        grad, value, total = np.zeros_like(self.theta), 0.0, sum(np.sum(weight) for weight in weights)
        for n, (xs, y, weight) in enumerate(zip(sequences, targets, weights, strict=True)):
            T, state = len(xs), None if initial is None else initial[n]
            self.drop(None if masks is None else masks[n])
            if not self.architecture.return_sequences:
                passes = self.passes(xs, state)
                part, draw = LOSSES[loss](self.raw_predictions(passes), y)
                value += weight * part / total
                self.back(passes, self._pooled_back(passes, weight * draw / total, grad), grad, xs, max(0, T - (length or T)))
                continue
            for start in range(0, T, stride or length or T):
                stop = min(start + (stride or length or T), T)
                passes, draws = self.passes(xs[:stop], state), [None] * stop
                raw = self.raw_predictions(passes)
                for t in range(start, stop):
                    part, draw = LOSSES[loss](raw[t], y[t])
                    value += weight[t] * part / total
                    draws[t] = weight[t] * draw / total
                self.back(passes, self._steps_back(passes, draws, grad), grad, xs[:stop], max(0, stop - (length or T)))
        return value + self.penalise(grad), grad

    def updates(self, loss, sequences, targets, weights, length, stride):
        """Yield loss, gradient and weight at every update of truncated BPTT, one direction and a target at every step.

        ``theta`` may be changed between updates. No step is run twice: its activations stay those of the weights of its time,
        through which gradients come back with the weights of theirs.
        """
        all_passes = [[[[]] for _ in self.sizes] for _ in sequences]
        for start in range(0, max(map(len, sequences)), stride):
            grad, value = np.zeros_like(self.theta), 0.0
            total = sum(np.sum(weight[start : start + stride]) for weight in weights)
            for xs, y, weight, passes in zip(sequences, targets, weights, all_passes, strict=True):
                stop, draws = min(start + stride, len(xs)), [None] * min(start, len(xs))
                for t in range(start, stop):
                    x = self._inputs(xs)[t]
                    for (gates,), (steps,), (state,) in zip(self.layers, passes, self._split_state(None), strict=True):
                        steps.append(take_step(self.cell, gates, x, steps[-1].after if steps else state))
                        x = steps[-1].h
                    part, draw = LOSSES[loss](self._raw(x), y[t])
                    value += weight[t] * part
                    draws.append(weight[t] * draw)
                if total > 0 and start < stop:
                    draws = [None if draw is None else draw / total for draw in draws]
                    self.back(passes, self._steps_back(passes, draws, grad), grad, xs[:stop], max(0, stop - length))
            if total > 0:
                yield value / total + self.penalise(grad), grad, total
