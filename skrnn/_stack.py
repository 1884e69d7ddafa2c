"""All recurrent layers over a window of steps: what passes between them, forward and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from ._core import bptt
from ._core.bptt import Event, Submit
from ._core.cells import Cell
from ._core.parameters import FloatArray
from ._core.workspace import Tape

if TYPE_CHECKING:
    from .sequences import Batch

#: something for each layer and direction, for example the weights of its cell by their names
ByCell = Sequence[Sequence[Mapping[str, FloatArray]]]


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
    """

    def __init__(self, cells: list[list[Cell]], n_sequences: int, n_steps: int, dtype: DTypeLike, *, training: bool) -> None:
        self.n_sequences, self.n_steps, self.dtype = n_sequences, n_steps, np.dtype(dtype)
        self.tapes = [[Tape(cell, n_sequences, n_steps, dtype, training=training) for cell in layer] for layer in cells]
        self.all_tapes = [tape for tapes in self.tapes for tape in tapes]
        self._loaded: FloatArray | None = None
        if training:
            self.dx = [
                [np.empty((n_steps, cell.n_features, n_sequences), dtype) for cell in layer] if number else []
                for number, layer in enumerate(cells)
            ]

    def load(self, weights: ByCell, vector: FloatArray | None = None) -> None:
        """Take the weights into the tapes; given the vector that they are views of, only if it changed since the last time.

        To compare is cheaper than to load, which counts where one step is predicted after the other.
        """
        if vector is not None and self._loaded is not None and (vector == self._loaded).all():
            return
        self._loaded = None
        for tapes, of_layer in zip(self.tapes, weights, strict=True):
            for tape, of_cell in zip(tapes, of_layer, strict=True):
                tape.load(of_cell)
        if vector is not None:
            self._loaded = vector.copy()

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

    def memory(self, n_steps: int, history: int) -> list[tuple[FloatArray, FloatArray]]:
        """Return copies of the last ``history`` of ``n_steps`` steps and of the state after them, for ``remember``."""
        rows = slice(n_steps - history, n_steps + 1)
        return [(tape.hx[rows].copy(), tape.kept[rows].copy()) for tape in self.all_tapes]

    def remember(self, memory: list[tuple[FloatArray, FloatArray]], history: int) -> None:
        """Make the last ``history`` steps of a memory the first rows."""
        for tape, (hx, kept) in zip(self.all_tapes, memory, strict=True):
            tape.hx[: history + 1], tape.kept[: history + 1] = hx[-history - 1 :], kept[-history - 1 :]

    # ---------------------------------------------------------------- forward and back

    def forward(self, batch: Batch, start: int, stop: int, row: int = 0) -> None:
        """Run all layers over steps ``start`` to ``stop`` of a batch, from the state in ``row``."""
        end, exits = row + stop - start, batch.events(batch.exits, start, stop, row)
        for layer, tapes in enumerate(self.tapes):
            for direction, tape in enumerate(tapes):
                H, hx = tape.cell.n_hidden, tape.hx[row:end]
                if layer == 0:
                    batch.pack(hx[:, H:], start, stop, reverse=direction == 1)
                else:
                    below = self.tapes[layer - 1][0]
                    hx[:, H] = below.hx[row:end, below.cell.n_hidden]
                    hx[:, H + 1 :] = self._outputs(layer - 1, direction, batch, row, end)
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
        grads: ByCell,
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
        grads : by layer and direction, mapping of str to array
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
                dx = self.dx[layer][direction] if layer else None
                of_cell = None if dh is None else dh[layer][direction]
                bptt.backward(tape, 0, end, edges, grads[layer][direction], from_above, dx, of_cell, submit)

    def _from_above(self, layer: int, direction: int, batch: Batch, end: int) -> FloatArray:
        """Gradient of a lower layer's states in one direction, in that direction's order of steps."""
        H = self.tapes[layer][direction].cell.n_hidden
        parts = [dx[:end, direction * H : (direction + 1) * H] for dx in self.dx[layer + 1]]
        if len(parts) == 1:
            return parts[0]
        both: FloatArray = parts[direction] + batch.flip(parts[1 - direction])
        return both
