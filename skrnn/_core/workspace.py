"""The buffers of one layer and direction over a window of time, and the per-step views into them.

A tape is allocated once for a number of sequences and a longest window, and reused for every minibatch of that size:
shorter windows use its first rows. Views of each step are built once, because taking a slice inside the time loop costs
more than a small matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from .blas import StepProduct, address, gradient_product
from .cells import Cell
from .parameters import FloatArray, Shape

#: elements of the adjoints of a block of steps, which then stay in the L2 cache until they are added to the weight gradient
BLOCK_ELEMENTS = 131072
#: longest block: from here on, calls cost less than what they compute
BLOCK_STEPS = 64
#: sequences, and multiplications, below which the product of one step is too small for a weight gradient to be fast: the steps
#: of a block are then copied side by side
PRODUCT_COLUMNS = 32
PRODUCT_OPERATIONS = 800_000
#: bytes
CACHE_LINE = 64
#: a product, and the bytes from the first rows to the first of its two operands
Product: TypeAlias = tuple[Callable[[int, int, int], None], int, int]


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
    masked : bool, default=False
        Multiply the state by ``mask`` where it enters the matrix products of a step, and nowhere else: recurrent dropout.
    """

    def __init__(
        self, cell: Cell, n_sequences: int, n_steps: int, dtype: DTypeLike, *, training: bool, masked: bool = False
    ) -> None:
        H, R, N, T = cell.n_hidden, cell.n_block, n_sequences, n_steps
        self.cell, self.n_sequences, self.n_steps, self.training = cell, N, T, training
        self.half, self.one = np.array(0.5, dtype), np.array(1, dtype)
        self.hx = aligned_zeros((T + 1, R, N), dtype)
        self.kept = aligned_zeros((T + 1 if training else 1, cell.n_kept, H, N), dtype)
        #: the hidden states; apart from the rows of the products if these are masked
        self.h = aligned_zeros((T + 1, H, N), dtype) if masked else self.hx[:, :H]
        self.mask = np.ones((H, N), dtype) if masked else None
        self.scratch = aligned_zeros((cell.n_scratch, H, N), dtype)
        self._weights = aligned_zeros((R, cell.n_rows * H), dtype)
        n_recurrent = cell.n_recurrent * H
        #: forward: the pre-activations that depend on h and, in GRU, those that do not, which are computed ahead
        self.W = StepProduct(aligned_zeros((n_recurrent, R), dtype), N)
        if self.mask is not None:
            self.W.multiply = _of_masked(self.W.multiply, self.mask)
        self.V = aligned_zeros((cell.n_rows * H - n_recurrent, R - H), dtype)
        in_place = training and len(self.V)  # where the last of the kept blocks is computed from them
        self.inputs = self.kept[:, -1] if in_place else aligned_zeros((T, len(self.V), N), dtype)
        self.step_views = [cell.step_views(self, t, self.kept_row(t)) for t in range(T)]
        if training:
            self.block = max(1, min(BLOCK_STEPS, BLOCK_ELEMENTS // (cell.n_adjoint * H * N)))
            #: back: to h
            self.U = StepProduct(aligned_zeros((H, n_recurrent), dtype), N)
            if self.mask is not None:
                self.U.multiply = _then_masked(self.U.multiply, self.U.out_of(self.mask))
            self.dstate = aligned_zeros((cell.n_states, H, N), dtype)
            #: of two blocks: the weight gradient of one may be added by another thread while those of the next are written
            self.adjoints = aligned_zeros((2 * self.block, cell.n_adjoint, H, N), dtype)
            self.adjoint_views = [cell.adjoint_views(self, t, t % len(self.adjoints)) for t in range(T)]
            self.weight_gradient = WeightGradients(self)
            self.negligible = 1e8 * float(np.finfo(self.hx.dtype).tiny)

    def operand(self, t: int) -> Any:
        """Return ``[h; 1; x]`` of step ``t`` as ``W.multiply`` takes it."""
        return self.hx[t] if self.mask is None else (self.h[t], self.hx[t, : self.cell.n_hidden], self.hx[t])

    def kept_row(self, t: int) -> int:
        """Return the row of ``kept`` that belongs to step ``t``."""
        return t if self.training else 0

    def load(self, weights: Mapping[str, FloatArray]) -> None:
        """Take working copies of the weights; going forward, those of logistic gates halved: see ``cells``."""
        cell, H, every = self.cell, self.cell.n_hidden, self._weights
        n_logistic, n_recurrent = cell.n_logistic * H, cell.n_recurrent * H
        cell.assemble(weights, every)
        self.W.rows[...] = every[:, :n_recurrent].T
        self.W.rows[:n_logistic] *= self.half
        self.V[...] = every[H:, n_recurrent:].T
        if self.training:
            self.U.rows[...] = every[:H, :n_recurrent]

    def prepare(self, start: int, stop: int) -> None:
        """Compute the pre-activations of some steps that do not depend on h."""
        if len(self.V):
            np.matmul(self.V, self.hx[start:stop, self.cell.n_hidden :], out=self.inputs[start:stop])

    def states(self, start: int, stop: int) -> FloatArray:
        """Return the hidden states after each of some steps, a view (stop - start, H, N)."""
        return self.h[start + 1 : stop + 1]

    def carry(self, n_steps: int, history: int = 0) -> None:
        """Continue after ``n_steps`` steps: the last ``history`` of them, and the state after them, become the first rows."""
        if history:
            for rows in (self.hx, self.kept) if self.mask is None else (self.hx, self.kept, self.h):
                rows[: history + 1] = rows[n_steps - history : n_steps + 1]
        else:
            for state, last in zip(self.cell.state(self, 0), self.cell.state(self, n_steps), strict=True):
                state[...] = last

    def adjoints_of(self, start: int, stop: int) -> FloatArray:
        """Adjoints of the steps of one block."""
        first = start % len(self.adjoints)
        return self.adjoints[first : first + stop - start]

    def gradients_of(self, start: int, stop: int) -> FloatArray:
        """Gradients of the pre-activations of the steps of one block, (stop - start, n_rows * H, N)."""
        H, first = self.cell.n_hidden, self.cell.first_gradient
        gradients = self.adjoints_of(start, stop)[:, first : first + self.cell.n_rows]
        return gradients.reshape(stop - start, self.cell.n_rows * H, self.n_sequences)

    def input_gradient(self, start: int, stop: int, out: FloatArray) -> None:
        """Write the gradient of the inputs of the steps of one block, (stop - start, F, N)."""
        np.matmul(self._weights[self.cell.n_hidden + 1 :], self.gradients_of(start, stop), out=out)


def _of_masked(multiply: Callable[..., Any], mask: FloatArray) -> Callable[..., None]:
    """Return the product with an operand whose state is masked first."""

    def of_masked(a: FloatArray, operand: tuple[FloatArray, FloatArray, FloatArray], out: FloatArray) -> None:
        h, masked, hx = operand
        np.multiply(h, mask, masked)
        multiply(a, hx, out)

    return of_masked


def _then_masked(multiply: Callable[..., Any], mask: FloatArray) -> Callable[..., None]:
    """Return the product whose result, the gradient of the masked state, becomes that of the state."""

    def then_masked(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
        multiply(a, b, out)
        np.multiply(out, mask, out)

    return then_masked


class WeightGradients:
    """Adds up a tape's weight gradients: step by step or, where that is too little at a time, block by block, side by side.

    Parameters
    ----------
    tape : Tape
        It owns this, so it is not kept: a cycle would keep its buffers.
    """

    def __init__(self, tape: Tape) -> None:
        self.terms = tape.cell.weight_gradients()
        self.dtype = tape.hx.dtype
        self._hx, self._da = (address(rows, self.dtype) for rows in (tape.hx, tape.adjoints[0, tape.cell.first_gradient]))
        #: multiplications of one step
        self.n_operations = tape._weights.size * tape.n_sequences
        is_large = tape.n_sequences >= PRODUCT_COLUMNS and self.n_operations >= PRODUCT_OPERATIONS
        self.n_steps = 1 if is_large else tape.block
        self._known: dict[int, list[Product]] = {}
        if self.n_steps > 1:
            n_rows = tape.cell.n_block + tape.cell.n_rows * tape.cell.n_hidden
            self._side_by_side = aligned_zeros((n_rows * self.n_steps * tape.n_sequences,), self.dtype)

    def add(self, tape: Tape, start: int, stop: int, grads: Mapping[str, FloatArray]) -> None:
        """Add those of the steps of one block of the tape to ``grads``, the last first."""
        outs = [address(grads[term.name], self.dtype) for term in self.terms]
        for first in range((stop - 1) // self.n_steps * self.n_steps, start - self.n_steps, -self.n_steps):
            first, last = max(first, start), min(first + self.n_steps, stop)
            n_columns = (last - first) * tape.n_sequences
            hx, da = self._operands(tape, first, last)
            for (add, from_input, from_row), out in zip(self._products(n_columns), outs, strict=True):
                add(hx + from_input, da + from_row, out)

    def _products(self, n_columns: int) -> list[Product]:
        """For matrices of so many columns: each product, and where in memory its operands begin after the first rows."""
        if n_columns not in self._known:
            row = n_columns * self.dtype.itemsize
            self._known[n_columns] = [
                (
                    gradient_product((inputs.stop - inputs.start, rows.stop - rows.start), n_columns, self.dtype),
                    inputs.start * row,
                    rows.start * row,
                )
                for _, inputs, rows in self.terms
            ]
        return self._known[n_columns]

    def _operands(self, tape: Tape, start: int, stop: int) -> tuple[int, int]:
        """Addresses of ``[h; 1; x]`` and of the gradients of the pre-activations, each (rows, steps * N)."""
        if stop - start == 1:
            return self._hx + start * tape.hx.strides[0], self._da + start % len(tape.adjoints) * tape.adjoints.strides[0]
        hx, da = tape.hx[start:stop].transpose(1, 0, 2), tape.gradients_of(start, stop).transpose(1, 0, 2)
        flat_hx = self._side_by_side[: hx.size]
        flat_da = self._side_by_side[hx.size : hx.size + da.size]
        flat_hx.reshape(hx.shape)[...], flat_da.reshape(da.shape)[...] = hx, da
        return address(flat_hx, self.dtype), address(flat_da, self.dtype)
