"""Layers and readout: ``loss_and_gradient(theta, batch, grad) -> loss``, the waist of the package.

Everything above this module (solvers, estimators) knows no loop over time; everything below knows no solver.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ._core.cells import CELLS, Cell, Elman, Gate
from ._core.initializers import INIT_SCHEMES, lstm_biases
from ._core.losses import Loss
from ._core.parameters import FloatArray, Layout
from ._core.workspace import Submit
from ._passes import Pass, Stream, Unrolling, run
from ._readout import PooledReadout, Readout, StepReadout
from ._stack import ByCell, Stack

if TYPE_CHECKING:
    from .sequences import Batch

DIRECTIONS = ("forward", "reverse")
#: elements of the input blocks of a window in prediction, which then stay in the L2 cache
WINDOW_ELEMENTS = 131072
#: workspaces kept at a time: for the minibatch and the smaller last one, with and without activations, and for validation
MAX_WORKSPACES = 6
#: vectors whose views are kept at a time: the weights and the gradient
MAX_VECTORS = 2


class Architecture(NamedTuple):
    """What determines the layout of ``theta``; plain values, so that it can be stored with a fitted estimator."""

    n_features: int
    hidden_layer_sizes: tuple[int, ...]
    cell: str
    activation: str
    bidirectional: bool
    pooling: tuple[str, ...]
    n_raw: int
    return_sequences: bool = False


class Update(NamedTuple):
    """The loss whose gradient has been written, the weight of its targets, and the share of the batch's steps before it."""

    loss: float
    weight: float
    done: float


class Network:
    """Stacked recurrent layers, pooling over time or a target at every step, and a linear readout.

    Parameters
    ----------
    architecture : Architecture
    loss : Loss, optional
        Needed by ``loss_and_gradient``, not for predictions.
    alpha : float, default=0
        Strength of the L2 penalty ``alpha / 2 * ||weights||^2``; biases are not penalised.
    unrolling : Unrolling, optional
        By default full backpropagation through time, all activations kept.
    """

    def __init__(
        self, architecture: Architecture, loss: Loss | None = None, alpha: float = 0.0, unrolling: Unrolling | None = None
    ) -> None:
        self.architecture, self.alpha, self.unrolling = architecture, alpha, unrolling or Unrolling()
        self.loss: Any = loss
        #: runs functions in a second thread, to be set before the first batch
        self.submit: Submit | None = None
        self.every_step = architecture.return_sequences
        self.n_directions = 2 if architecture.bidirectional else 1
        self.cells: list[list[Cell]] = []
        n_inputs = architecture.n_features
        for n_hidden in architecture.hidden_layer_sizes:
            self.cells.append([self._new_cell(n_inputs, n_hidden) for _ in range(self.n_directions)])
            n_inputs = self.n_directions * n_hidden
        self.n_block = max(cell.n_block for layer in self.cells for cell in layer)
        self.n_state_units = sum(cell.n_states * cell.n_hidden for layer in self.cells for cell in layer)
        self.n_pooled = n_inputs * (1 if self.every_step else len(architecture.pooling))
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
        self._parameters: dict[int, _Parameters] = {}
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
                biases[f"{prefix}.{name}.bias"] = gate.bias
                if gate.recurrent_bias is not None:
                    biases[f"{prefix}.{name}.recurrent_bias"] = gate.recurrent_bias
        readout = self.layout.views(theta)["readout"]
        weights["readout"], biases["readout.bias"] = readout[:, :-1], readout[:, -1]
        return weights, biases

    def weights_of(self, views: dict[str, FloatArray], layer: int, direction: int) -> dict[str, FloatArray]:
        """Return, of the named views of a vector, those of one cell, under the cell's own names."""
        return {name: views[in_layout] for name, in_layout in self.names[layer][direction].items()}

    def _parameters_of(self, vector: FloatArray) -> _Parameters:
        """Return the views of a vector, made anew for another one than the last two: ``theta`` and ``grad`` in training."""
        parameters = self._parameters.get(id(vector))
        if parameters is None:
            if len(self._parameters) == MAX_VECTORS:
                del self._parameters[next(iter(self._parameters))]
            views = self.layout.views(vector)
            by_cell = [
                [self.weights_of(views, layer, direction) for direction in range(self.n_directions)]
                for layer in range(len(self.cells))
            ]
            parameters = self._parameters[id(vector)] = _Parameters(vector, by_cell, views["readout"])
        return parameters

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

    # ---------------------------------------------------------------- prediction

    def raw_predictions(
        self, theta: FloatArray, batch: Batch, out: FloatArray, initial: FloatArray | None = None
    ) -> FloatArray:
        """Predict, in windows of bounded memory.

        Parameters
        ----------
        theta : array (layout.size,)
        batch : Batch
        out : array (n_raw, n_sequences) or (n_raw, n_steps_in_total)
            Raw predictions of all sequences, or of all their steps: those of the batch are written.
        initial : array (n_state_units, N), optional
            States before the first step, of sequences of equal lengths; by default zero.

        Returns
        -------
        state : array (n_state_units, N)
            The states after the last step of the batch.
        """
        weights = self._parameters_of(theta)
        stack, readout = self._workspace(batch.n_sequences, batch.n_steps, theta.dtype, training=False)
        stack.load(weights.by_cell, theta)
        for start, stop in run(stack, batch, 0, batch.n_steps, initial):
            readout.predict(stack, batch, start, stop, weights.readout, out)
        return stack.state(stop - start)

    def hidden_states(self, theta: FloatArray, batch: Batch) -> FloatArray:
        """States of the last layer after every step, (n_steps, directions * H, N), in the order of the batch's steps."""
        stack, _ = self._workspace(batch.n_sequences, batch.n_steps, theta.dtype, training=False)
        stack.load(self._parameters_of(theta).by_cell, theta)
        H = self.architecture.hidden_layer_sizes[-1]
        out = np.empty((batch.n_steps, self.n_directions * H, batch.n_sequences), theta.dtype)
        for start, stop in run(stack, batch, 0, batch.n_steps):
            out[start:stop] = stack.outputs(batch, 0, stop - start)
        return out

    # ---------------------------------------------------------------- the waist

    def loss_and_gradient(self, theta: FloatArray, batch: Batch, grad: FloatArray, total: float | None = None) -> float:
        """Return the loss of a batch and write its gradient to ``grad``.

        Parameters
        ----------
        theta : array (layout.size,)
        batch : Batch
            Sequences with their targets and weights.
        grad : array (layout.size,)
            Overwritten.
        total : float, optional
            The loss is ``sum(weight * loss of a target) / total`` plus the penalty times ``sum(weight) / total``, so the losses
            of several batches add up to the objective. By default the sum of the weights of this batch.

        Returns
        -------
        loss : float
        """
        total = total or batch.total_weight(0, batch.n_steps)
        return sum(update.loss for update in self.updates(theta, batch, grad, total=total))

    def updates(
        self, theta: FloatArray, batch: Batch, grad: FloatArray, *, total: float | None = None, stream: Stream | None = None
    ) -> Iterator[Update]:
        """Yield each time a gradient is written: once, or for truncated backpropagation through time at every stride.

        Parameters
        ----------
        theta : array (layout.size,)
            May be changed between updates; the steps that follow are run with the new weights.
        batch, grad
            As for ``loss_and_gradient``.
        total : float, optional
            Divides the losses of all updates, whose gradients then add up in ``grad``. By default each gradient stands for
            itself, and is divided by the weight of its own targets; where that is zero there is no update.
        stream : Stream, optional
            Where the sequences stand, to go on from; brought up to date at the end.
        """
        through_time = self._pass(theta, batch, grad, stream)
        for number, window in enumerate(through_time.windows):
            weight = through_time.weight(number)
            if total is None or number == 0:
                grad.fill(0)
            loss = through_time.propagate(number, (total or weight) if weight else 0)
            if weight > 0:
                loss += self._penalty(theta, weight / (total or weight), grad)
                yield Update(float(loss), weight, window.start / batch.n_steps)
        through_time.finish()

    def _pass(self, theta: FloatArray, batch: Batch, grad: FloatArray, stream: Stream | None) -> Pass:
        weights, grads = self._parameters_of(theta), self._parameters_of(grad)

        def workspace(n_steps: int, training: bool) -> _Workspace:
            return self._workspace(batch.n_sequences, n_steps, theta.dtype, training=training)

        return Pass(
            batch, self.unrolling, workspace, self.loss, weights.by_cell, grads.by_cell, weights.readout, grads.readout, stream
        )

    def state_gradients(self, theta: FloatArray, batch: Batch, total: float) -> list[list[FloatArray]]:
        """Gradients of the hidden states after each step, (n_steps, H, N) by layer and direction, with no truncation.

        Each direction has its own order of steps. Losses are divided by ``total``.
        """
        weights, grads = self._parameters_of(theta), self._parameters_of(np.zeros_like(theta))
        stack, readout = self._workspace(batch.n_sequences, batch.n_steps, theta.dtype, training=True)
        stack.load(weights.by_cell)
        stack.start_from(None)
        stack.forward(batch, 0, batch.n_steps)
        readout.loss_and_gradient(stack, batch, 0, batch.n_steps, 0, self.loss, weights.readout, grads.readout, total)
        dh = [
            [np.empty((batch.n_steps, cell.n_hidden, batch.n_sequences), theta.dtype) for cell in layer] for layer in self.cells
        ]
        stack.backward(batch, batch.n_steps, batch.entries, grads.by_cell, readout.dy, readout.dlast, dh=dh)
        return dh

    def share_workspaces(self, other: Network) -> None:
        """Use the buffers of another network of the same architecture."""
        self._workspaces = other._workspaces

    def _workspace(self, n_sequences: int, n_steps: int, dtype: DTypeLike, *, training: bool) -> _Workspace:
        """Return the workspace for this number of sequences, made anew for windows longer than any before."""
        if not training and self.n_directions == 1:
            n_steps = min(n_steps, max(1, WINDOW_ELEMENTS // (self.n_block * n_sequences)))
        key = n_sequences, np.dtype(dtype), training
        workspace = self._workspaces.get(key)
        if workspace is None or workspace.stack.n_steps < n_steps:
            self._workspaces.pop(key, None)
            if len(self._workspaces) == MAX_WORKSPACES:
                del self._workspaces[next(iter(self._workspaces))]
            stack = Stack(self.cells, n_sequences, n_steps, dtype, training=training, submit=self.submit)
            workspace = self._workspaces[key] = _Workspace(stack, self._new_readout(stack, training=training))
        return workspace

    def _new_readout(self, stack: Stack, *, training: bool) -> Readout:
        if self.every_step:
            return StepReadout(stack, self.architecture.n_raw, training=training)
        return PooledReadout(self.architecture.pooling, stack, self.architecture.n_raw, training=training)


class _Parameters(NamedTuple):
    """A vector, which is held so that no other takes its ``id``, and the views of it."""

    vector: FloatArray
    by_cell: ByCell
    readout: FloatArray


class _Workspace(NamedTuple):
    """The buffers for one number of sequences."""

    stack: Stack
    readout: Readout


def _name(layer: int, direction: int) -> str:
    return f"layer{layer}.{DIRECTIONS[direction]}"
