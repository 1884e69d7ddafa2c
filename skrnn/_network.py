"""Layers and readout: ``loss_and_gradient(theta, batch, grad) -> loss``, the waist of the package.

Everything above this module (solvers, estimators) knows no loop over time; everything below knows no solver.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ._core.bptt import Submit
from ._core.cells import CELLS, Cell, Elman, Gate
from ._core.initializers import INIT_SCHEMES, lstm_biases
from ._core.losses import Loss
from ._core.parameters import FloatArray, Layout
from ._core.workspace import aligned_zeros
from ._passes import Pass, Stream, Unrolling, run
from ._readout import PooledReadout, Readout, StepReadout
from ._stack import Masks, Parameters, Stack

if TYPE_CHECKING:
    from .sequences import Batch

DIRECTIONS = ("forward", "reverse")
#: elements of the input blocks of a window in prediction, which then stay in the L2 cache
WINDOW_ELEMENTS = 131072
#: workspaces kept at a time: for the minibatch and the smaller last one, with and without activations, and for validation
MAX_WORKSPACES = 6
#: vectors whose views are kept at a time: the weights and the gradient
MAX_VECTORS = 2
#: sequences, and sequences times hidden units, at least, of each part of a minibatch; smaller ones are slower on one thread
PART_SEQUENCES = 64
PART_ELEMENTS = 16384


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
    #: rows of the table of embeddings, which then are the features; None reads numbers
    n_tokens: int | None = None


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
    dropout, recurrent_dropout : float, default=0
        Shares of units left out in ``updates``: between layers and before the readout; in the products of the cells.
    """

    def __init__(
        self,
        architecture: Architecture,
        loss: Loss | None = None,
        alpha: float = 0.0,
        unrolling: Unrolling | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        self.architecture, self.alpha, self.unrolling = architecture, alpha, unrolling or Unrolling()
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.loss: Any = loss
        #: runs functions in other threads, if there are any
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
        shapes["readout"] = (architecture.n_raw, self.n_pooled + 1)
        if architecture.n_tokens is not None:
            shapes["embedding"] = (architecture.n_tokens, architecture.n_features)
        self.layout = Layout(shapes)
        #: for each part of a minibatch, since parts may be computed at the same time
        self._workspaces: defaultdict[int, Workspaces] = defaultdict(dict)
        self.max_workspaces = MAX_WORKSPACES
        self._gradients_of_parts: list[Parameters] = []
        self._parameters: dict[int, Parameters] = {}
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
        views = self.layout.views(theta)
        weights["readout"], biases["readout.bias"] = views["readout"][:, :-1], views["readout"][:, -1]
        if "embedding" in views:
            weights["embedding"] = views["embedding"]
        return weights, biases

    def weights_of(self, views: dict[str, FloatArray], layer: int, direction: int) -> dict[str, FloatArray]:
        """Return, of the named views of a vector, those of one cell, under the cell's own names."""
        return {name: views[in_layout] for name, in_layout in self.names[layer][direction].items()}

    def _parameters_of(self, vector: FloatArray) -> Parameters:
        """Return the views of a vector, made anew for another one than the last two: ``theta`` and ``grad`` in training."""
        parameters = self._parameters.get(id(vector))
        if parameters is None:
            if len(self._parameters) == MAX_VECTORS:
                del self._parameters[next(iter(self._parameters))]
            parameters = self._parameters[id(vector)] = self._new_parameters(vector)
        return parameters

    def _new_parameters(self, vector: FloatArray) -> Parameters:
        views = self.layout.views(vector)
        by_cell = [
            [self.weights_of(views, layer, direction) for direction in range(self.n_directions)]
            for layer in range(len(self.cells))
        ]
        return Parameters(vector, by_cell, views["readout"], views.get("embedding"))

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
        views = self.layout.views(theta)
        readout = views["readout"]
        readout[:, :-1] = draw(rng, len(readout), self.n_pooled, self.n_pooled)
        readout[:, -1] = base_rate
        if "embedding" in views:
            views["embedding"][...] = rng.standard_normal(views["embedding"].shape)
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
        self, theta: FloatArray, batch: Batch, out: FloatArray, initial: FloatArray | None = None, part: int = 0
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
        part : int, default=0
            Which buffers to take; calls at the same time need different ones.

        Returns
        -------
        state : array (n_state_units, N)
            The states after the last step of the batch.
        """
        weights = self._parameters_of(theta)
        stack, readout = self._workspace(batch.n_sequences, batch.n_steps, theta.dtype, training=False, part=part)
        stack.load(weights, changed=False)
        for start, stop in run(stack, batch, 0, batch.n_steps, initial):
            readout.predict(stack, batch, start, stop, weights.readout, out)
        return stack.state(stop - start)

    def hidden_states(self, theta: FloatArray, batch: Batch) -> FloatArray:
        """States of the last layer after every step, (n_steps, directions * H, N), in the order of the batch's steps."""
        stack, _ = self._workspace(batch.n_sequences, batch.n_steps, theta.dtype, training=False)
        stack.load(self._parameters_of(theta), changed=False)
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
        self,
        theta: FloatArray,
        batch: Batch,
        grad: FloatArray,
        *,
        total: float | None = None,
        stream: Stream | None = None,
        rng: np.random.RandomState | None = None,
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
        rng : RandomState, optional
            Draws the masks of dropout; by default there is none.
        """
        parts = [batch] if stream is not None else batch.parts(self._n_parts(batch.n_sequences))
        grads = [self._parameters_of(grad), *self._for_parts(len(parts) - 1, grad.dtype)]
        passes = [
            self._pass(number, part, theta, of_part, stream, self._draw_masks(rng, part.n_sequences, theta.dtype))
            for number, (part, of_part) in enumerate(zip(parts, grads, strict=True))
        ]
        for number, window in enumerate(passes[0].windows):  # the first part has the longest sequences
            going_on = [through_time for through_time in passes if number < len(through_time.windows)]
            weight = sum(through_time.weight(number) for through_time in going_on)
            if total is None or number == 0:
                grad.fill(0)
            for of_part in grads[1:]:
                of_part.vector.fill(0)
            loss = self._propagate(going_on, number, (total or weight) if weight else 0)
            if weight > 0:
                for of_part in grads[1:]:
                    grad += of_part.vector
                loss += self._penalty(theta, weight / (total or weight), grad)
                yield Update(float(loss), weight, window.start / batch.n_steps)
        for through_time in passes:
            through_time.finish()

    def _n_parts(self, n_sequences: int) -> int:
        """Into how many parts a minibatch is divided, whatever the number of threads: so it has no influence on the bits."""
        widest = max(self.architecture.hidden_layer_sizes)
        return max(1, min(n_sequences // PART_SEQUENCES, n_sequences * widest // PART_ELEMENTS))

    def _for_parts(self, number: int, dtype: DTypeLike) -> list[Parameters]:
        """Return vectors for the gradients of ``number`` more parts."""
        vectors = self._gradients_of_parts
        if vectors and vectors[0].vector.dtype != dtype:
            vectors.clear()
        while len(vectors) < number:
            vectors.append(self._new_parameters(aligned_zeros((self.layout.size,), dtype)))
        return vectors[:number]

    def _propagate(self, passes: list[Pass], number: int, total: float) -> float:
        """Run one window of each part of a minibatch and back, each in a thread if there are any; return the sum of the losses.

        With a single part, other threads are for its weight gradients.
        """
        if self.submit is None or len(passes) == 1:
            losses = [through_time.propagate(number, total, self.submit) for through_time in passes]
        else:
            running = [self.submit(through_time.propagate, number, total) for through_time in passes]
            losses = [future.result() for future in running]
        return sum(losses)

    def _draw_masks(self, rng: np.random.RandomState | None, n_sequences: int, dtype: DTypeLike) -> Masks | None:
        """Draw masks whose mean is one, for each unit and sequence."""
        if rng is None or not (self.dropout or self.recurrent_dropout):
            return None

        def draw(n_units: int, rate: float) -> FloatArray:
            return np.asarray((rng.random_sample((n_units, n_sequences)) >= rate) / (1 - rate), dtype)

        between = recurrent = readout = None
        if self.dropout:
            between = [draw(layer[0].n_features, self.dropout) for layer in self.cells[1:]]
            readout = np.vstack([draw(self.n_pooled, self.dropout), np.ones((1, n_sequences), dtype)])
        if self.recurrent_dropout:
            recurrent = [[draw(cell.n_hidden, self.recurrent_dropout) for cell in layer] for layer in self.cells]
        return Masks(between, recurrent, readout)

    def _pass(
        self, part: int, batch: Batch, theta: FloatArray, grads: Parameters, stream: Stream | None, masks: Masks | None
    ) -> Pass:
        masked = masks is not None and masks.recurrent is not None

        def workspace(n_steps: int, training: bool) -> _Workspace:
            return self._workspace(batch.n_sequences, n_steps, theta.dtype, training=training, masked=masked, part=part)

        return Pass(batch, self.unrolling, workspace, self.loss, self._parameters_of(theta), grads, stream, masks)

    def state_gradients(self, theta: FloatArray, batch: Batch, total: float) -> list[list[FloatArray]]:
        """Gradients of the hidden states after each step, (n_steps, H, N) by layer and direction, with no truncation.

        Each direction has its own order of steps. Losses are divided by ``total``.
        """
        weights, grads = self._parameters_of(theta), self._parameters_of(np.zeros_like(theta))
        stack, readout = self._workspace(batch.n_sequences, batch.n_steps, theta.dtype, training=True)
        stack.load(weights)
        stack.start_from(None)
        stack.forward(batch, 0, batch.n_steps)
        readout.loss_and_gradient(stack, batch, 0, batch.n_steps, 0, self.loss, weights.readout, grads.readout, total)
        dh = [
            [np.empty((batch.n_steps, cell.n_hidden, batch.n_sequences), theta.dtype) for cell in layer] for layer in self.cells
        ]
        stack.backward(batch, batch.n_steps, batch.entries, grads, readout.dy, readout.dlast, dh=dh)
        return dh

    def share_workspaces(self, other: Network) -> None:
        """Use the buffers of another network of the same architecture."""
        self._workspaces, self.max_workspaces = other._workspaces, other.max_workspaces

    def _workspace(
        self, n_sequences: int, n_steps: int, dtype: DTypeLike, *, training: bool, masked: bool = False, part: int = 0
    ) -> _Workspace:
        """Return the workspace for this number of sequences, made anew for windows longer than any before."""
        if not training and self.n_directions == 1:
            n_steps = min(n_steps, max(1, WINDOW_ELEMENTS // (self.n_block * n_sequences)))
        key, workspaces = (n_sequences, np.dtype(dtype), training, masked), self._workspaces[part]
        workspace = workspaces.get(key)
        if workspace is None or workspace.stack.n_steps < n_steps:
            workspaces.pop(key, None)
            if len(workspaces) == self.max_workspaces:
                del workspaces[next(iter(workspaces))]
            embedded = self.architecture.n_tokens is not None
            stack = Stack(self.cells, n_sequences, n_steps, dtype, training=training, masked=masked, embedded=embedded)
            workspace = workspaces[key] = _Workspace(stack, self._new_readout(stack, training=training))
        workspace.stack.between = workspace.readout.mask = None
        return workspace

    def _new_readout(self, stack: Stack, *, training: bool) -> Readout:
        if self.every_step:
            return StepReadout(stack, self.architecture.n_raw, training=training)
        return PooledReadout(self.architecture.pooling, stack, self.architecture.n_raw, training=training)


class _Workspace(NamedTuple):
    """The buffers for one number of sequences."""

    stack: Stack
    readout: Readout


#: by number of sequences, dtype, whether activations are kept, and whether recurrent states are masked
Workspaces: TypeAlias = dict[tuple[int, np.dtype[Any], bool, bool], _Workspace]


def _name(layer: int, direction: int) -> str:
    return f"layer{layer}.{DIRECTIONS[direction]}"
