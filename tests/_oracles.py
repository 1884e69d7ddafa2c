"""Oracle vectors of other implementations, their weights as those of a cell, and stacks of tapes to run them on."""

import itertools
import json
from pathlib import Path

import numpy as np
from _gradcheck import exits_of, runs_of

from skrnn._core import bptt
from skrnn._core.cells import CELLS
from skrnn._core.parameters import Layout
from skrnn._core.workspace import Tape

FOLDER = Path(__file__).parent / "oracles"

TORCH_GATES = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}
#: ONNX and Keras give the same gates in their own orders
ONNX_GATES = {"rnn": "h", "gru": "zrn", "lstm": "iofg"}
KERAS_GATES = {"rnn": "h", "gru": "zrn", "lstm": "ifgo"}


def load(source, prefix=""):
    """``name -> (meta, arrays)`` of the cases of a source whose names begin with ``prefix``."""
    with np.load(FOLDER / f"{source}_oracles.npz", allow_pickle=False) as file:
        meta = json.loads(str(file["__meta__"]))
        cases = {name: (m, {}) for name, m in meta.get("cases", meta).items() if name.startswith(prefix)}
        for key in file.files:
            name, _, array = key.partition("/")
            if name in cases:
                cases[name][1][array] = file[key]
    return cases


class Weights:
    """Input weights (G * H, F), recurrent ones (G * H, H) and two biases (G * H,): blocks of rows in the order of ``gates``."""

    def __init__(self, gates, input, recurrent, input_bias, recurrent_bias):
        self.gates = gates
        self.arrays = (input, recurrent, input_bias, recurrent_bias)

    def _by_gate(self):
        return dict(zip(self.gates, zip(*(np.split(a, len(self.gates)) for a in self.arrays), strict=True), strict=True))

    def write(self, cell, views):
        """Set the weights of ``cell``: each gate has one bias, the sum, but for the n of a GRU."""
        blocks = self._by_gate()
        for name, gate in cell.gates(views).items():
            gate.input[...], gate.recurrent[...], bias, recurrent_bias = blocks[name]
            if gate.recurrent_bias is None:
                gate.bias[...] = bias + recurrent_bias
            else:
                gate.bias[...], gate.recurrent_bias[...] = bias, recurrent_bias

    def read_gradient(self, cell, views):
        """Set these arrays to the gradient in ``views``: that of a sum is the gradient of both its terms."""
        blocks = self._by_gate()
        for name, gate in cell.gates(views).items():
            second = gate.bias if gate.recurrent_bias is None else gate.recurrent_bias
            for block, gradient in zip(blocks[name], (gate.input, gate.recurrent, gate.bias, second), strict=True):
                block[...] = gradient


def torch_weights(kind, arrays, layer=0, direction=0, prefix=""):
    """``arrays`` under PyTorch's names; without biases, they are zero."""
    suffix = f"_l{layer}" + ("_reverse" if direction else "")
    matrices = [arrays[f"{prefix}weight_{name}{suffix}"] for name in ("ih", "hh")]
    zero = np.zeros(len(matrices[0]))
    biases = [arrays.get(f"{prefix}bias_{name}{suffix}", zero) for name in ("ih", "hh")]
    return Weights(TORCH_GATES[kind], *matrices, *biases)


class Layer:
    """A recurrent layer, in one or both directions, on batch-first sequences that begin together (N, T, F).

    Tapes want them from the longest to the shortest; this goes there and back one by one.
    """

    def __init__(self, new_cell, weights, reverse, lengths, dtype=np.float64):
        """``weights`` and ``reverse``, whether it reads from the end, for each direction."""
        self.lengths, self.reverse = np.asarray(lengths), reverse
        self.order = np.argsort(-self.lengths, kind="stable")
        self.n_steps = int(self.lengths.max())
        self.runs, self.exits = (events(self.lengths[self.order].tolist()) for events in (runs_of, exits_of))
        self.tapes, self.layouts = [], []
        for of_direction in weights:
            cell = new_cell(of_direction.arrays[0].shape[1], of_direction.arrays[1].shape[1])
            layout = Layout(cell.shapes())
            theta = np.zeros(layout.size, dtype)
            of_direction.write(cell, layout.views(theta))
            tape = Tape(cell, len(self.lengths), self.n_steps, dtype, training=True)
            tape.load(layout.views(theta))
            self.tapes.append(tape)
            self.layouts.append(layout)

    def _to_tape(self, a, out, reverse):
        """Write (N, T, K) to ``out`` (T, K, N)."""
        out[...] = 0
        for column, n in enumerate(self.order):
            own = a[n, : self.lengths[n]]
            out[: self.lengths[n], :, column] = own[::-1] if reverse else own

    def _from_tape(self, a, n_steps, reverse):
        """(N, n_steps, K), zero beyond each length, of (T, K, N)."""
        out = np.zeros((len(self.lengths), n_steps, a.shape[1]), a.dtype)
        for column, n in enumerate(self.order):
            own = a[: self.lengths[n], :, column]
            out[n, : self.lengths[n]] = own[::-1] if reverse else own
        return out

    def forward(self, x, initial):
        """``initial`` (directions, n_states, N, H); return the outputs (N, T, directions * H) and the last states."""
        outputs, last = [], []
        for tape, reverse, states in zip(self.tapes, self.reverse, initial, strict=True):
            H = tape.cell.n_hidden
            self._to_tape(np.ones((*x.shape[:2], 1)), tape.hx[: self.n_steps, H : H + 1], reverse)
            self._to_tape(x, tape.hx[: self.n_steps, H + 1 :], reverse)
            for state, given in zip(tape.cell.state(tape, 0), states, strict=True):
                state[...] = given[self.order].T
            bptt.forward(tape, 0, self.n_steps, self.exits)
            outputs.append(self._from_tape(tape.states(0, self.n_steps), x.shape[1], reverse))
            last.append(self._last(tape))
        return np.concatenate(outputs, axis=2), np.array(last)

    def _last(self, tape):
        """The state of each sequence after its own last step."""
        last = np.empty_like(tape.dstate)
        for length, columns in self.runs:
            last[:, :, columns] = np.array(tape.cell.state(tape, length))[:, :, columns]
        return self._unsorted(last)

    def _unsorted(self, states):
        """(n_states, N, H) in the order of the sequences, of (n_states, H, N)."""
        return states[:, :, np.argsort(self.order)].transpose(0, 2, 1)

    def backward(self, dy, dlast):
        """Return the gradients of the inputs, of the initial states, and per direction ``(cell, views of the weights')``.

        Where a sequence ends, the gradient of its last state joins those of the longer ones.
        """
        dx, dinitial, grads = 0.0, [], []
        H = self.tapes[0].cell.n_hidden
        for k, (tape, layout) in enumerate(zip(self.tapes, self.layouts, strict=True)):
            dstates, dinputs = np.zeros((self.n_steps, H, len(self.lengths))), np.empty_like(tape.hx[:-1, H + 1 :])
            self._to_tape(dy[:, :, k * H : (k + 1) * H], dstates, self.reverse[k])
            views, of_last = layout.views(np.zeros(layout.size)), np.asarray(dlast[k]).transpose(0, 2, 1)[:, :, self.order]
            tape.dstate.fill(0)
            for (stop, columns), (start, _) in itertools.pairwise([*self.runs, (0, None)]):
                tape.dstate[:, :, columns] = of_last[:, :, columns]
                bptt.backward(tape, start, stop, [], views, dstates, dinputs)
            dx = dx + self._from_tape(dinputs, dy.shape[1], self.reverse[k])
            dinitial.append(self._unsorted(tape.dstate.copy()))
            grads.append((tape.cell, views))
        return dx, np.array(dinitial), grads


def new_cell(kind, activation="tanh"):
    """``(F, H) -> cell``."""
    if kind == "rnn":
        return lambda F, H: CELLS[kind](F, H, activation)
    return CELLS[kind]
