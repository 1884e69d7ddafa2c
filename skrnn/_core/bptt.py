"""Backpropagation through time: the only loops over time.

A sequence is processed as consecutive windows, each some rows of a tape; full backpropagation through time [1]_ is one window,
and ``windows`` plans those of truncated backpropagation [2]_. What happens to some columns at some step, where a sequence
enters, exits or its gradient ends, is an event ``(step, columns)``; lists of events are sorted by step.

References
----------
.. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78 (1990).
.. [2] R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
   trajectories", Neural Computation 2 (1990).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import numpy as np

from .parameters import FloatArray
from .workspace import Tape

#: steps after which gradients of the state that have all but vanished are zeroed: denormal numbers slow a CPU down, to a tenth
VANISHING_STEPS = 8
#: multiplications of the weight gradient of a step from which another thread is worth while: below, the threads wait for each
#: other's calls
LEAST_OPERATIONS = 5_000_000
#: (step, columns)
Event = tuple[int, slice]
#: ``submit(function, *arguments)`` of an executor
Submit: TypeAlias = "Callable[..., Future[Any]]"


def forward(tape: Tape, start: int, stop: int, exits: Sequence[Event] = ()) -> None:
    """Run steps ``start`` to ``stop`` of a tape from the state in its row ``start``.

    Parameters
    ----------
    tape : Tape
        With its inputs in ``hx`` and its weights loaded.
    start, stop : int
    exits : sequence of Event
        Where padding begins, among these steps: after its first step the state of the columns is cleared, and so it stays.
        (That first step is run because the state before it is also the output of the sequence's last step.)
    """
    step, views = tape.cell.step, tape.step_views
    tape.prepare(start, stop)
    for last, columns in exits:
        for step_views in views[start : last + 1]:
            step(*step_views)
        start = last + 1
        for state in tape.cell.state(tape, start):
            state[:, columns] = 0
    for step_views in views[start:stop]:
        step(*step_views)


def backward(
    tape: Tape,
    start: int,
    stop: int,
    edges: Sequence[Event],
    grads: Mapping[str, FloatArray],
    dy: FloatArray | None = None,
    dx: FloatArray | None = None,
    dh: FloatArray | None = None,
    submit: Submit | None = None,
) -> None:
    """Propagate the gradient of the state after step ``stop``, ``tape.dstate``, back through the steps from ``start``.

    Blocks of steps are taken from the last to the first: step by step the gradient of the state, then one product that
    adds the block to the weight gradients.

    Parameters
    ----------
    tape : Tape
        As ``forward`` left it. ``dstate`` holds the gradient of the last state, and becomes that of the state before ``start``.
    start, stop : int
    edges : sequence of Event
        Steps before which the gradient of some columns ends: it is cleared there. In the padding it could overflow.
    grads : mapping of str to array
        Gradients of the cell's weights, added to.
    dy : array (T, H, N), optional
        Gradient of the hidden state after each step, besides that of the last. Zero in the padding.
    dx : array (T, F, N), optional
        Receives the gradient of each step's input.
    dh : array (T, H, N), optional
        Receives the whole gradient of the hidden state after each step.
    submit : callable, optional
        ``submit(function, *arguments)`` runs a function in another thread and returns its ``Future``. There the weight gradient
        of a block is added while this thread goes on with the block before, if there is enough to do.
    """
    cell, adjoint, views = tape.cell, tape.cell.adjoint, tape.adjoint_views
    dstate = tape.dstate[0]
    if tape.weight_gradient.n_operations < LEAST_OPERATIONS:
        submit = None
    adding: Future[None] | None = None
    for first, last in reversed_blocks(start, stop, tape.block if dh is None else 1):
        cell.derivatives(tape, first, last)
        if dh is not None:
            dh[first] = dstate if dy is None else dstate + dy[first]
        for lower, upper in reversed_blocks(first, last, VANISHING_STEPS):
            for a, b, columns in reversed_segments(lower, upper, edges):
                if dy is None:
                    for step_views in views[a:b][::-1]:
                        adjoint(*step_views)
                else:
                    for step_views, dy_t in zip(views[a:b][::-1], dy[a:b][::-1], strict=True):
                        np.add(dstate, dy_t, dstate)
                        adjoint(*step_views)
                if columns is not None:
                    tape.dstate[:, :, columns] = 0
            if lower == start or lower // VANISHING_STEPS < upper // VANISHING_STEPS:
                tape.dstate[np.abs(tape.dstate) < tape.negligible] = 0
        if submit is None:
            tape.weight_gradient.add(tape, first, last, grads)
        else:
            if adding is not None:
                adding.result()
            adding = submit(tape.weight_gradient.add, tape, first, last, grads)
        if dx is not None:
            tape.input_gradient(first, last, dx[first:last])

    if adding is not None:
        adding.result()


def reversed_blocks(start: int, stop: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield ``(first, last)`` of blocks of the steps, the last block first; all but the first one start at multiples."""
    for first in range((stop - 1) // block * block, start - block, -block):
        yield max(first, start), min(first + block, stop)


def reversed_segments(start: int, stop: int, edges: Sequence[Event]) -> Iterator[tuple[int, int, slice | None]]:
    """Split steps ``start`` to ``stop`` before each edge; yield ``(first, last, columns with an edge there)``, last first."""
    for step, columns in reversed(edges):
        if start <= step < stop:
            yield step, stop, columns
            stop = step
    if start < stop:
        yield start, stop, None
