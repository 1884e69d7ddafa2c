"""All recurrent layers over a window of steps: what passes between them, forward and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ._core import bptt
from ._core.bptt import Event, Submit
from ._core.cells import Cell
from ._core.embedding import add_table_gradient
from ._core.parameters import FloatArray
from ._core.workspace import Tape

if TYPE_CHECKING:
    from .sequences import Batch

#: something for each layer and direction, for example the weights of its cell by their names
ByCell = Sequence[Sequence[Mapping[str, FloatArray]]]
#: rows of every tape, and the token ids of each direction
Memory: TypeAlias = tuple[list[tuple[FloatArray, FloatArray]], list[NDArray[np.intp]]]


class Parameters(NamedTuple):
    """A vector of weights, or of their gradient, and the views of it."""

    vector: FloatArray
    by_cell: ByCell
    #: (n_raw, n_pooled + 1)
    readout: FloatArray
    #: (n_tokens, n_features), if token ids are embedded
    embedding: FloatArray | None = None


class Masks(NamedTuple):
    """What dropout multiplies states by: zero, or what makes up for the zeros; the same for all steps of a sequence."""

    #: of the states that each layer but the first reads, (directions * H, N)
    between: list[FloatArray] | None = None
    #: of the states that enter a cell's own products, (H, N) by layer and direction
    recurrent: list[list[FloatArray]] | None = None
    #: of what the readout reads, (n_pooled + 1, N)
    readout: FloatArray | None = None


class Stack:
    """The tapes of all layers and directions, for one number of sequences and windows of at most ``n_steps`` steps.

    With two directions a window holds whole sequences, because the reverse direction begins at their end.

    Parameters
    ----------
    cells : list of list of Cell
        By layer and direction.
    n_sequences, n_steps : int
    dtype : dtype
    training : bool
        Keep what ``backward`` needs.
    masked : bool, default=False
        Are there masks of the recurrent states?
    embedded : bool, default=False
        Is the input token ids?
    """

    def __init__(
        self,
        cells: list[list[Cell]],
        n_sequences: int,
        n_steps: int,
        dtype: DTypeLike,
        *,
        training: bool,
        masked: bool = False,
        embedded: bool = False,
    ) -> None:
        N = n_sequences
        self.n_sequences, self.n_steps, self.dtype = N, n_steps, np.dtype(dtype)
        self.tapes = [[Tape(cell, N, n_steps, dtype, training=training, masked=masked) for cell in layer] for layer in cells]
        self.all_tapes = [tape for tapes in self.tapes for tape in tapes]
        self.table: FloatArray | None = None
        self.between: list[FloatArray] | None = None
        #: token ids of the rows, as each direction reads them
        self.ids: list[NDArray[np.intp]] = []
        self._loaded: FloatArray | None = None
        if training:
            self.dx = [
                [np.empty((n_steps, cell.n_features, N), dtype) for cell in layer] if number or embedded else []
                for number, layer in enumerate(cells)
            ]
            if embedded:
                self.ids = [np.zeros((n_steps, N), np.intp) for _ in cells[0]]

    def load(self, weights: Parameters, *, changed: bool = True) -> None:
        """Take the weights into the tapes; unless they are known to have ``changed``, only if they have since the last time.

        To compare is cheaper than to load, which counts where one step is predicted after the other.
        """
        self.table, vector = weights.embedding, weights.vector
        if self.table is not None:
            vector = vector[: -self.table.size]
        if not changed and self._loaded is not None and (vector == self._loaded).all():
            return
        for tapes, of_layer in zip(self.tapes, weights.by_cell, strict=True):
            for tape, of_cell in zip(tapes, of_layer, strict=True):
                tape.load(of_cell)
        self._loaded = None if changed else vector.copy()

    def mask(self, masks: Masks) -> None:
        """Take the masks of dropout for the sequences that come."""
        self.between = masks.between
        if masks.recurrent is not None:
            for tapes, of_layer in zip(self.tapes, masks.recurrent, strict=True):
                for tape, mask in zip(tapes, of_layer, strict=True):
                    tape.mask[...] = mask  # type: ignore[index]  # such a stack is masked

    # ---------------------------------------------------------------- states

    def state(self, row: int) -> FloatArray:
        """Return a copy of all states before step ``row`` of the window, one below the other, (n_state_units, N)."""
        return np.concatenate([state for tape in self.all_tapes for state in tape.cell.state(tape, row)])

    def start_from(self, state: FloatArray | None) -> None:
        """Set all states before the first step; None is zero."""
        start = 0
        for tape in self.all_tapes:
            for view in tape.cell.state(tape, 0):
                view[...] = 0 if state is None else state[start : start + len(view)]
                start += len(view)

    def carry(self, n_steps: int, history: int = 0) -> None:
        """Continue after ``n_steps`` steps, with the last ``history`` of them as the first rows."""
        for tape in self.all_tapes:
            tape.carry(n_steps, history)
        for ids in self.ids:
            ids[:history] = ids[n_steps - history : n_steps]

    def memory(self, n_steps: int, history: int) -> Memory:
        """Return copies of the last ``history`` of ``n_steps`` steps and of the state after them, for ``remember``."""
        rows = slice(n_steps - history, n_steps + 1)
        tapes = [(tape.hx[rows].copy(), tape.kept[rows].copy()) for tape in self.all_tapes]
        return tapes, [ids[n_steps - history : n_steps].copy() for ids in self.ids]

    def remember(self, memory: Memory, history: int) -> None:
        """Make the last ``history`` steps of a memory the first rows."""
        of_tapes, all_ids = memory
        for tape, (hx, kept) in zip(self.all_tapes, of_tapes, strict=True):
            tape.hx[: history + 1], tape.kept[: history + 1] = hx[-history - 1 :], kept[-history - 1 :]
        for ids, remembered in zip(self.ids, all_ids, strict=True):
            ids[:history] = remembered[len(remembered) - history :]

    # ---------------------------------------------------------------- forward and back

    def forward(self, batch: Batch, start: int, stop: int, row: int = 0) -> None:
        """Run all layers over steps ``start`` to ``stop`` of a batch, from the state in ``row``."""
        end, exits = row + stop - start, batch.events(batch.exits, start, stop, row)
        for layer, tapes in enumerate(self.tapes):
            for direction, tape in enumerate(tapes):
                H, hx = tape.cell.n_hidden, tape.hx[row:end]
                if layer == 0:
                    ids = batch.pack(hx[:, H:], start, stop, reverse=direction == 1, table=self.table)
                    if ids is not None and self.ids:
                        self.ids[direction][row:end] = ids
                else:
                    below = self.tapes[layer - 1][0]
                    hx[:, H] = below.hx[row:end, below.cell.n_hidden]
                    x = self._outputs(layer - 1, direction, batch, row, end)
                    if self.between is None:
                        hx[:, H + 1 :] = x
                    else:
                        np.multiply(x, self.between[layer - 1], out=hx[:, H + 1 :])
                bptt.forward(tape, row, end, exits)

    def outputs(self, batch: Batch, row: int, end: int) -> FloatArray:
        """States of the last layer after some steps, (end - row, directions * H, N), in the order of the batch's steps."""
        return self._outputs(-1, 0, batch, row, end)

    def _outputs(self, layer: int, direction: int, batch: Batch, row: int, end: int) -> FloatArray:
        """States of a layer's directions, stacked, in the order in which ``direction`` reads the steps."""
        states = [tape.states(row, end) for tape in self.tapes[layer]]
        if len(states) == 1:
            return states[0]
        states[1 - direction] = batch.flip(states[1 - direction])
        return np.concatenate(states, axis=1)

    def backward(
        self,
        batch: Batch,
        end: int,
        edges: Sequence[Event],
        grads: Parameters,
        dy: Sequence[FloatArray] | None,
        dlast: Sequence[FloatArray] | None,
        *,
        continues: bool = False,
        dh: Sequence[Sequence[FloatArray]] | None = None,
        submit: Submit | None = None,
    ) -> None:
        """Propagate the gradient of the last layer's states back through all layers and rows up to ``end``.

        Parameters
        ----------
        batch : Batch
        end : int
        edges : list of Event
            Rows at which the gradient of some columns ends.
        grads : Parameters
            Gradients of the weights, added to.
        dy : array (T, H, N) for each direction, optional
            Gradients of the states after each step.
        dlast : array (H, N) for each direction, optional
            Gradients of the states after the last step.
        continues : bool, default=False
            Go on with the gradients that the window behind this one has left.
        dh : array (T, H, N) by layer and direction, optional
            Receive the whole gradients of the states after each step.
        submit : callable, optional
            As for ``bptt.backward``.
        """
        top = len(self.tapes) - 1
        for layer in range(top, -1, -1):
            for direction, tape in enumerate(self.tapes[layer]):
                if not continues:
                    tape.dstate.fill(0)
                    if layer == top and dlast is not None:
                        tape.dstate[0] = dlast[direction]
                if layer == top:
                    from_above = None if dy is None else dy[direction]
                else:
                    from_above = self._from_above(layer, direction, batch, end)
                dx = self.dx[layer][direction] if self.dx[layer] else None
                of_cell = None if dh is None else dh[layer][direction]
                bptt.backward(tape, 0, end, edges, grads.by_cell[layer][direction], from_above, dx, of_cell, submit)
        if grads.embedding is not None:
            for ids, dx in zip(self.ids, self.dx[0], strict=True):
                add_table_gradient(ids[:end], dx[:end], grads.embedding)

    def _from_above(self, layer: int, direction: int, batch: Batch, end: int) -> FloatArray:
        """Gradient of a lower layer's states in one direction, in that direction's order of steps."""
        H = self.tapes[layer][direction].cell.n_hidden
        parts = [dx[:end, direction * H : (direction + 1) * H] for dx in self.dx[layer + 1]]
        from_above: FloatArray = parts[0] if len(parts) == 1 else parts[direction] + batch.flip(parts[1 - direction])
        if self.between is not None:
            return from_above * self.between[layer][direction * H : (direction + 1) * H]
        return from_above
