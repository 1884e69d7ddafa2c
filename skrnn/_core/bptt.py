"""Backpropagation through time: the only loops over time.

A sequence is processed as consecutive windows of a tape's rows; full backpropagation through time [1]_ is one window.
Sequences of a ragged batch enter at their own first step (see the notation of this package): ``entries`` lists these events
as ``(step, columns)`` with steps ascending and columns from left to right.

References
----------
.. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78 (1990).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .parameters import FloatArray
from .workspace import Tape

#: steps, at least, after which gradients of the state that have all but vanished are zeroed: denormal numbers slow a CPU down
VANISHING_STEPS = 8
#: (step, columns): the sequences of these columns take their first step here
Entry = tuple[int, slice]


def forward(tape: Tape, n_steps: int, entries: Sequence[Entry] = (), initial: FloatArray | None = None) -> None:
    """Run the first ``n_steps`` steps of a tape from the state in its row 0.

    Parameters
    ----------
    tape : Tape
        With its inputs in ``hx`` and its weights loaded.
    n_steps : int
    entries : sequence of Entry
        Where sequences begin; needed only with ``initial``.
    initial : array (n_states, H, N), optional
        States with which sequences enter.
    """
    step, views = tape.cell.step, tape.step_views
    start = 0
    if initial is not None:
        for entry, columns in entries:
            for step_views in views[start:entry]:
                step(*step_views)
            for state, value in zip(tape.cell.state(tape, entry), initial, strict=True):
                state[:, columns] = value[:, columns]
            start = entry
    for step_views in views[start:n_steps]:
        step(*step_views)


def backward(
    tape: Tape,
    n_steps: int,
    entries: Sequence[Entry],
    grads: Mapping[str, FloatArray],
    dy: FloatArray | None = None,
    dx: FloatArray | None = None,
) -> None:
    """Propagate the gradient of the state after ``n_steps`` steps, ``tape.dstate``, back through them.

    Blocks of steps are taken from the last to the first: step by step the gradient of the state, then one product that
    adds the block to the weight gradients.

    Parameters
    ----------
    tape : Tape
        As ``forward`` left it. ``dstate`` holds the gradient of the last state, and is overwritten;
        ``dinitial`` receives that of each sequence's initial state.
    n_steps : int
    entries : sequence of Entry
        Where sequences begin. The gradient ends there: it is cleared, so that none can overflow in the padding.
    grads : mapping of str to array
        Gradients of the cell's weights, added to.
    dy : array (T, H, N), optional
        Gradient of the hidden state after each step, besides that of the last. Zero in the padding.
    dx : array (T, F, N), optional
        Receives the gradient of each step's input.
    """
    cell, adjoint, views = tape.cell, tape.cell.adjoint, tape.adjoint_views
    dh, rows = tape.dstate[0], cell.n_rows * cell.n_hidden
    for start, stop in reversed_blocks(n_steps, tape.block):
        cell.derivatives(tape, start, stop)
        for first, last, columns in reversed_segments(start, stop, entries):
            if dy is None:
                for step_views in views[first:last][::-1]:
                    adjoint(*step_views)
            else:
                for step_views, dy_t in zip(views[first:last][::-1], dy[first:last][::-1], strict=True):
                    np.add(dh, dy_t, dh)
                    adjoint(*step_views)
            if columns is not None:
                tape.dinitial[:, :, columns] = tape.dstate[:, :, columns]
                tape.dstate[:, :, columns] = 0
        cell.weight_gradient(*tape.flatten(start, stop), grads, tape.gemm)
        if start // VANISHING_STEPS < stop // VANISHING_STEPS and start > 0:
            tape.dstate[np.abs(tape.dstate) < tape.negligible] = 0
        if dx is not None:
            da = tape.adjoints[: stop - start, cell.gradient_rows].reshape(stop - start, rows, -1)
            np.matmul(tape.Wt[cell.n_hidden + 1 :], da, out=dx[start:stop])


def reversed_blocks(n_steps: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield ``(start, stop)`` of the blocks of ``n_steps`` steps, last first; all start at multiples of ``block``."""
    for start in range((n_steps - 1) // block * block, -1, -block):
        yield start, min(start + block, n_steps)


def reversed_segments(start: int, stop: int, entries: Sequence[Entry]) -> Iterator[tuple[int, int, slice | None]]:
    """Split steps ``start`` to ``stop`` before each entry; yield ``(first, last, columns entering at first)``, last first."""
    for step, columns in reversed(entries):
        if start <= step < stop:
            yield step, stop, columns
            stop = step
    if start < stop:
        yield start, stop, None
