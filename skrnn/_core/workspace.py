"""The buffers of one layer and direction over a window of time, and the per-step views into them.

A tape is allocated once for a number of sequences and a longest window, and reused for every minibatch of that size:
shorter windows use its first rows. Views of each step are built once, because taking a slice inside the time loop costs
more than a small matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from .blas import accumulate, accumulate_unlocked
from .cells import Cell
from .parameters import FloatArray, Shape

#: elements of the adjoints of a block of steps, which then stay in the L2 cache until they are added to the weight gradient
BLOCK_ELEMENTS = 131072
#: longest block: from here on, calls cost less than what they compute
BLOCK_STEPS = 64
#: columns (steps times sequences) below which a weight-gradient product would be too narrow to be fast
BLOCK_COLUMNS = 256
#: elements of a state, and operations of the weight gradient of a block, from which a second thread pays: below, the threads
#: wait for each other's calls
LEAST_STATE = 8192
LEAST_OPERATIONS = 18_000_000
#: bytes
CACHE_LINE = 64
#: ``submit(function, *arguments)`` of an executor
Submit: TypeAlias = "Callable[..., Future[None]]"


def aligned_zeros(shape: Shape, dtype: DTypeLike) -> FloatArray:
    """Like ``np.zeros``, but at the start of a cache line: vector instructions are then up to twice as fast."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    buffer = np.zeros(n_bytes + CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)


class Tape:
    """Memory of one cell over a window of at most ``n_steps`` steps of ``n_sequences`` sequences.

    Parameters
    ----------
    cell : Cell
    n_sequences : int
        N, the columns of every state.
    n_steps : int
        T, the longest window.
    dtype : dtype
    training : bool
        Keep what the adjoint needs. A tape without it is for prediction: all steps share one set of gates.
    submit : callable, optional
        Runs a function in one other thread and returns its ``Future``. There weight gradients are added, block after block,
        while this one goes on with the block before; so there are adjoints of two blocks at a time. Not used where there is
        too little to do.
    """

    def __init__(
        self,
        cell: Cell,
        n_sequences: int,
        n_steps: int,
        dtype: DTypeLike,
        *,
        training: bool,
        submit: Submit | None = None,
    ) -> None:
        H, R, N, T = cell.n_hidden, cell.n_block, n_sequences, n_steps
        self.cell, self.n_sequences, self.n_steps, self.training = cell, N, T, training
        self.half, self.one = np.array(0.5, dtype), np.array(1, dtype)
        self.hx = aligned_zeros((T + 1, R, N), dtype)
        self.kept = aligned_zeros((T + 1 if training else 1, cell.n_kept, H, N), dtype)
        self.scratch = aligned_zeros((cell.n_scratch, H, N), dtype)
        self.W = aligned_zeros((cell.n_rows * H, R), dtype)
        self.step_views = [cell.step_views(self, t, self.kept_row(t)) for t in range(T)]
        if training:
            self.block = max(1, -(-BLOCK_COLUMNS // N), min(BLOCK_STEPS, BLOCK_ELEMENTS // (cell.n_adjoint * H * N)))
            self.Wt = aligned_zeros((R, cell.n_rows * H), dtype)
            self.dstate = aligned_zeros((cell.n_states, H, N), dtype)
            is_large = H * N >= LEAST_STATE and 2 * self.W.size * self.block * N >= LEAST_OPERATIONS
            self.submit = submit if is_large else None
            self.accumulate = accumulate if self.submit is None else accumulate_unlocked
            self.adjoints = aligned_zeros((self.block * (1 if self.submit is None else 2), cell.n_adjoint, H, N), dtype)
            self.flat = aligned_zeros(((cell.n_rows * H + R) * self.block * N,), dtype)
            self.adjoint_views = [cell.adjoint_views(self, t, t % len(self.adjoints)) for t in range(T)]
            self.negligible = 1e8 * float(np.finfo(self.hx.dtype).tiny)

    def kept_row(self, t: int) -> int:
        """Return the row of ``kept`` that belongs to step ``t``."""
        return t if self.training else 0

    def load(self, weights: Mapping[str, FloatArray]) -> None:
        """Take working copies of the weights, those of logistic gates halved: see ``cells``."""
        self.cell.assemble(weights, self.W)
        if self.training:
            self.Wt[...] = self.W.T
        self.W[: self.cell.n_logistic * self.cell.n_hidden] *= self.half

    def states(self, start: int, stop: int) -> FloatArray:
        """Return the hidden states after each of some steps, a view (stop - start, H, N)."""
        return self.hx[start + 1 : stop + 1, : self.cell.n_hidden]

    def carry(self, n_steps: int, history: int = 0) -> None:
        """Continue after ``n_steps`` steps: the last ``history`` of them, and the state after them, become the first rows."""
        if history:
            for rows in (self.hx, self.kept):
                rows[: history + 1] = rows[n_steps - history : n_steps + 1]
        else:
            for state, last in zip(self.cell.state(self, 0), self.cell.state(self, n_steps), strict=True):
                state[...] = last

    def adjoints_of(self, start: int, stop: int) -> FloatArray:
        """Adjoints of the steps of one block."""
        first = start % len(self.adjoints)
        return self.adjoints[first : first + stop - start]

    def flatten(self, start: int, stop: int) -> tuple[FloatArray, FloatArray]:
        """Gradients of pre-activations and ``[h; 1; x]`` of a block of steps, as matrices (rows, steps * N)."""
        (n_rows, R), N, n = self.W.shape, self.n_sequences, stop - start
        da = self.flat[: n_rows * n * N].reshape(n_rows, n, N)
        hx = self.flat[da.size : da.size + R * n * N].reshape(R, n, N)
        gradients = self.adjoints_of(start, stop)[:, self.cell.gradient_rows]
        da.reshape(self.cell.n_rows, -1, n, N)[...] = gradients.transpose(1, 2, 0, 3)
        hx[...] = self.hx[start:stop].transpose(1, 0, 2)
        return da.reshape(n_rows, -1), hx.reshape(R, -1)
