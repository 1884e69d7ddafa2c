"""Layers and readout: ``loss_and_gradient(theta, batch, grad) -> loss``, the waist of the package.

Everything above this module (solvers, estimators) knows no loop over time; everything below knows no solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ._core import bptt
from ._core.cells import CELLS, Cell, Elman, Gate
from ._core.initializers import INIT_SCHEMES, lstm_biases
from ._core.losses import Loss
from ._core.parameters import FloatArray, Layout
from ._core.pooling import POOLINGS, Pooling
from ._core.workspace import Tape

if TYPE_CHECKING:
    from .sequences import Batch

DIRECTIONS = ("forward", "reverse")
#: elements of the input blocks of a window in prediction, which then stay in the L2 cache
WINDOW_ELEMENTS = 131072
#: workspaces kept at a time: for the minibatch, the smaller last one, and chunks of a validation share
MAX_WORKSPACES = 4


class Architecture(NamedTuple):
    """What determines the layout of ``theta``; plain values, so that it can be stored with a fitted estimator."""

    n_features: int
    hidden_layer_sizes: tuple[int, ...]
    cell: str
    activation: str
    bidirectional: bool
    pooling: tuple[str, ...]
    n_raw: int


class Network:
    """Stacked recurrent layers, pooling over time, and a linear readout.

    Parameters
    ----------
    architecture : Architecture
    loss : Loss, optional
        Needed by ``loss_and_gradient``, not for predictions.
    alpha : float, default=0
        Strength of the L2 penalty ``alpha / 2 * ||weights||^2``; biases are not penalised.
    """

    def __init__(self, architecture: Architecture, loss: Loss | None = None, alpha: float = 0.0) -> None:
        self.architecture, self.alpha = architecture, alpha
        self.loss: Any = loss
        self.n_directions = 2 if architecture.bidirectional else 1
        self.cells: list[list[Cell]] = []
        n_inputs = architecture.n_features
        for n_hidden in architecture.hidden_layer_sizes:
            self.cells.append([self._new_cell(n_inputs, n_hidden) for _ in range(self.n_directions)])
            n_inputs = self.n_directions * n_hidden
        self.poolings = [POOLINGS[name] for name in architecture.pooling]
        self.at_end = all(pooling.at_end for pooling in self.poolings)
        self.n_pooled = len(self.poolings) * n_inputs
        #: by layer and direction: the cell's name of a parameter -> its name in the layout
        self.names = [
            [{name: f"{_name(layer, direction)}.{name}" for name in cell.shapes()} for direction, cell in enumerate(cells)]
            for layer, cells in enumerate(self.cells)
        ]
        shapes = {
            names[name]: shape
            for cells, names_of_layer in zip(self.cells, self.names, strict=True)
            for cell, names in zip(cells, names_of_layer, strict=True)
            for name, shape in cell.shapes().items()
        }
        self.layout = Layout(shapes | {"readout": (architecture.n_raw, self.n_pooled + 1)})
        self._workspaces: dict[tuple[int, np.dtype[Any], bool], _Workspace] = {}
        self._decay: FloatArray | None = None

    def _new_cell(self, n_inputs: int, n_hidden: int) -> Cell:
        if self.architecture.cell == "rnn":
            return Elman(n_inputs, n_hidden, self.architecture.activation)
        return CELLS[self.architecture.cell](n_inputs, n_hidden)

    # ---------------------------------------------------------------- parameters by name

    def gates(self, theta: FloatArray) -> Iterator[tuple[str, dict[str, Gate]]]:
        """Yield the name of each layer and direction with the views of its gates' weights."""
        views = self.layout.views(theta)
        for layer, cells in enumerate(self.cells):
            for direction, cell in enumerate(cells):
                yield _name(layer, direction), cell.gates(self.weights_of(views, layer, direction))

    def named(self, theta: FloatArray) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Return views of the weights and of the biases, by ``layer.direction.gate.kind``."""
        weights, biases = {}, {}
        for prefix, gates in self.gates(theta):
            for name, gate in gates.items():
                weights[f"{prefix}.{name}.recurrent"] = gate.recurrent
                weights[f"{prefix}.{name}.input"] = gate.input
                biases[f"{prefix}.{name}"] = gate.bias
                if gate.recurrent_bias is not None:
                    biases[f"{prefix}.{name}.recurrent"] = gate.recurrent_bias
        readout = self.layout.views(theta)["readout"]
        weights["readout"], biases["readout"] = readout[:, :-1], readout[:, -1]
        return weights, biases

    def weights_of(self, views: dict[str, FloatArray], layer: int, direction: int) -> dict[str, FloatArray]:
        """Return, of the named views of a vector, those of one cell, under the cell's own names."""
        return {name: views[in_layout] for name, in_layout in self.names[layer][direction].items()}

    def initialize(
        self,
        rng: np.random.RandomState,
        base_rate: FloatArray,
        dtype: DTypeLike,
        *,
        init_scheme: str,
        recurrent_init_scheme: str,
        forget_bias: float | Literal["chrono"],
        n_steps: int,
    ) -> FloatArray:
        """Draw ``theta``: weights by the init schemes, gate by gate, biases zero, the readout's bias at the base rate."""
        theta = np.zeros(self.layout.size, dtype)
        draw, draw_recurrent = INIT_SCHEMES[init_scheme], INIT_SCHEMES[recurrent_init_scheme]
        for _, gates in self.gates(theta):
            for gate in gates.values():
                n_hidden, n_inputs = gate.input.shape
                gate.recurrent[...] = draw_recurrent(rng, n_hidden, n_hidden, n_hidden)
                gate.input[...] = draw(rng, n_hidden, n_inputs, n_hidden)
            if self.architecture.cell == "lstm":
                forget, inputs = lstm_biases(rng, len(gates["f"].bias), forget_bias, n_steps)
                gates["f"].bias[...], gates["i"].bias[...] = forget, inputs
        readout = self.layout.views(theta)["readout"]
        readout[:, :-1] = draw(rng, len(readout), self.n_pooled, self.n_pooled)
        readout[:, -1] = base_rate
        return theta

    def _penalty(self, theta: FloatArray, share: float, grad: FloatArray) -> float:
        """Add the gradient of ``share`` of the L2 penalty and return its value."""
        if not self.alpha:
            return 0.0
        if self._decay is None:
            self._decay = np.full_like(theta, self.alpha)
            for bias in self.named(self._decay)[1].values():
                bias[...] = 0
        shrinkage = self._decay * theta
        if share != 1:
            shrinkage *= share
        grad += shrinkage
        return 0.5 * float(np.dot(shrinkage, theta))

    # ---------------------------------------------------------------- forward

    def raw_predictions(self, theta: FloatArray, batch: Batch) -> FloatArray:
        """Raw predictions (n_raw, N) of a batch, in windows of bounded memory."""
        views, workspace = self.layout.views(theta), self._workspace(batch, theta.dtype, training=False)
        workspace.load(self, views)
        for start, stop in workspace.windows(batch.n_steps):
            self._forward(workspace, batch, start, stop)
        return self._readout(workspace, batch, views)

    def hidden_states(self, theta: FloatArray, batch: Batch) -> FloatArray:
        """States of the last layer after every step, (n_steps, directions * H, N), padding first."""
        workspace = self._workspace(batch, theta.dtype, training=False)
        workspace.load(self, self.layout.views(theta))
        H = self.architecture.hidden_layer_sizes[-1]
        out = np.empty((batch.n_steps, self.n_directions * H, batch.n_sequences), theta.dtype)
        for start, stop in workspace.windows(batch.n_steps):
            self._forward(workspace, batch, start, stop)
            out[start:stop] = _in_order(workspace.tapes[-1], stop - start, 0, batch.flip)
        return out

    def _forward(self, workspace: _Workspace, batch: Batch, start: int, stop: int) -> None:
        """Run all layers over steps ``start`` to ``stop`` of a batch, continuing from the window before."""
        n_steps = stop - start
        for layer, tapes in enumerate(workspace.tapes):
            for direction, tape in enumerate(tapes):
                H = tape.cell.n_hidden
                if start == 0:
                    tape.reset()
                else:
                    tape.carry(workspace.n_steps)
                if layer == 0:
                    batch.pack(tape.hx[:n_steps, H:], start, stop, reverse=direction == 1)
                else:
                    below = workspace.tapes[layer - 1]
                    tape.hx[:n_steps, H] = below[0].hx[:n_steps, below[0].cell.n_hidden]
                    tape.hx[:n_steps, H + 1 :] = _in_order(below, n_steps, direction, batch.flip)
                bptt.forward(tape, n_steps)
        entries = batch.entries_from(start)
        for pooling, direction, pooled in workspace.pooled_blocks:
            if start == 0:
                pooling.start(pooled)
            pooling.add(workspace.tapes[-1][direction].states(n_steps), entries, pooled)

    def _readout(self, workspace: _Workspace, batch: Batch, views: dict[str, FloatArray]) -> FloatArray:
        for pooling, _, pooled in workspace.pooled_blocks:
            pooling.finish(batch.lengths, pooled)
        raw: FloatArray = np.dot(views["readout"], workspace.pooled)
        return raw

    # ---------------------------------------------------------------- the waist

    def loss_and_gradient(self, theta: FloatArray, batch: Batch, grad: FloatArray) -> float:
        """Return the loss of a batch and write its gradient to ``grad``.

        Parameters
        ----------
        theta : array (layout.size,)
        batch : Batch
            Sequences with their targets and weights. The loss is ``sum(weight * loss of a sequence)`` plus the penalty times
            ``sum(weight)``, so batches whose weights add up to one add up to the objective.
        grad : array (layout.size,)
            Overwritten.

        Returns
        -------
        loss : float
        """
        views, grads = self.layout.views(theta), self.layout.views(grad)
        workspace = self._workspace(batch, theta.dtype, training=True)
        grad.fill(0)
        workspace.load(self, views)
        self._forward(workspace, batch, 0, batch.n_steps)
        raw = self._readout(workspace, batch, views)
        loss = self.loss.value_and_gradient(raw, batch.y, batch.weight, out=workspace.draw)
        np.dot(workspace.draw, workspace.pooled.T, out=grads["readout"])
        np.dot(views["readout"].T, workspace.draw, out=workspace.dpooled)
        self._backward(workspace, batch, grads)
        return float(loss + self._penalty(theta, batch.share, grad))

    def _backward(self, workspace: _Workspace, batch: Batch, grads: dict[str, FloatArray]) -> None:
        """From the gradient of the pooled states back through all layers and steps."""
        n_steps, entries = batch.n_steps, batch.entries
        for layer in range(len(self.cells) - 1, -1, -1):
            tapes, is_top = workspace.tapes[layer], layer == len(self.cells) - 1
            for direction, tape in enumerate(tapes):
                tape.dstate.fill(0)
                dy = None
                if not is_top:
                    dy = self._gradient_from_above(workspace, layer, direction, batch)
                elif not self.at_end:
                    dy = workspace.dy[direction][:n_steps]
                    self._unpool(workspace, direction, batch, dy)
                else:
                    for _, of_direction, dpooled in workspace.dpooled_blocks:
                        if of_direction == direction:
                            tape.dstate[0] += dpooled
                dx = workspace.dx[layer][direction][:n_steps] if layer else None
                bptt.backward(tape, n_steps, entries, self.weights_of(grads, layer, direction), dy, dx)

    def _unpool(self, workspace: _Workspace, direction: int, batch: Batch, dy: FloatArray) -> None:
        """Spread the gradient of the pooled states over the steps; none goes into the padding."""
        dy.fill(0)
        h = workspace.tapes[-1][direction].states(batch.n_steps)
        for pooling, of_direction, dpooled in workspace.dpooled_blocks:
            if of_direction == direction:
                pooling.adjoint(h, batch.lengths, dpooled, dy)
        for step, columns in batch.entries:
            dy[:step, :, columns] = 0

    def _gradient_from_above(self, workspace: _Workspace, layer: int, direction: int, batch: Batch) -> FloatArray:
        """Gradient of a lower layer's states in one direction, in that direction's order of steps."""
        H = self.cells[layer][direction].n_hidden
        rows = slice(direction * H, (direction + 1) * H)
        parts = [dx[: batch.n_steps, rows] for dx in workspace.dx[layer + 1]]
        if len(parts) == 1:
            return parts[0]
        both: FloatArray = parts[direction] + batch.flip(parts[1 - direction])
        return both

    def _workspace(self, batch: Batch, dtype: DTypeLike, *, training: bool) -> _Workspace:
        """Return the workspace for this number of sequences, made anew for a batch with more steps than any before."""
        key = batch.n_sequences, np.dtype(dtype), training
        workspace = self._workspaces.get(key)
        if workspace is None or workspace.longest < batch.n_steps:
            self._workspaces.pop(key, None)
            if len(self._workspaces) == MAX_WORKSPACES:
                del self._workspaces[next(iter(self._workspaces))]
            workspace = self._workspaces[key] = _Workspace(self, batch.n_sequences, batch.n_steps, dtype, training)
        return workspace


class _Workspace:
    """Tapes of all layers and the buffers around the readout, for one number of sequences."""

    def __init__(self, network: Network, N: int, longest: int, dtype: DTypeLike, training: bool) -> None:
        self.longest, n_steps = longest, longest
        if not training and network.n_directions == 1:
            n_block = max(cell.n_block for cells in network.cells for cell in cells)
            n_steps = min(longest, max(1, WINDOW_ELEMENTS // (n_block * N)))
        self.n_steps = n_steps
        self.tapes = [[Tape(cell, N, n_steps, dtype, training=training) for cell in cells] for cells in network.cells]
        self.pooled = np.ones((network.n_pooled + 1, N), dtype)
        self.pooled_blocks = self._blocks(network, self.pooled)
        if training:
            self.draw = np.empty((network.architecture.n_raw, N), dtype)
            self.dpooled = np.empty_like(self.pooled)
            self.dpooled_blocks = self._blocks(network, self.dpooled)
            self.dx = [
                [np.empty((n_steps, cell.n_features, N), dtype) for cell in cells] if layer else []
                for layer, cells in enumerate(network.cells)
            ]
            self.dy = [] if network.at_end else [np.empty((n_steps, cell.n_hidden, N), dtype) for cell in network.cells[-1]]

    def load(self, network: Network, views: dict[str, FloatArray]) -> None:
        """Take the weights into the tapes."""
        for layer, tapes in enumerate(self.tapes):
            for direction, tape in enumerate(tapes):
                tape.load(network.weights_of(views, layer, direction))

    def windows(self, n_steps: int) -> Iterator[tuple[int, int]]:
        """Yield ``(start, stop)`` of consecutive windows over ``n_steps`` steps."""
        for start in range(0, n_steps, self.n_steps):
            yield start, min(start + self.n_steps, n_steps)

    def _blocks(self, network: Network, rows: FloatArray) -> list[tuple[Pooling, int, FloatArray]]:
        """List each pooling and direction with its block of rows."""
        blocks, start = [], 0
        for pooling in network.poolings:
            for direction, tape in enumerate(self.tapes[-1]):
                stop = start + tape.cell.n_hidden
                blocks.append((pooling, direction, rows[start:stop]))
                start = stop
        return blocks


def _name(layer: int, direction: int) -> str:
    return f"layer{layer}.{DIRECTIONS[direction]}"


def _in_order(tapes: Sequence[Tape], n_steps: int, direction: int, flip: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """States of one layer's directions, stacked, in the order in which ``direction`` reads the steps."""
    if len(tapes) == 1:
        return tapes[0].states(n_steps)
    states = [tape.states(n_steps) for tape in tapes]
    states[1 - direction] = flip(states[1 - direction])
    return np.concatenate(states, axis=1)
