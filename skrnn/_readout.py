"""From the states of the last layer to raw predictions and their loss: of whole sequences, or of every step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ._core.losses import Loss
from ._core.parameters import FloatArray
from ._core.pooling import POOLINGS, Pooling
from ._stack import Stack

if TYPE_CHECKING:
    from .sequences import Batch

#: columns (steps times sequences) of a block in the readout of every step
BLOCK_COLUMNS = 2048


class Readout(ABC):
    """The linear readout ``raw = W [states; 1]`` of a stack; abstract, its subclasses are final.

    Attributes
    ----------
    dy : list of array (T, H, N), or None
        After ``loss_and_gradient``: for each direction, the gradient of the states after each step of the window.
    dlast : list of array (H, N), or None
        And that of the states after a sequence's last step, besides.
    mask : array (n_pooled + 1, N), or None
        Multiplies ``[states; 1]`` in ``loss_and_gradient``: dropout.
    """

    dy: list[FloatArray] | None = None
    dlast: list[FloatArray] | None = None
    mask: FloatArray | None = None

    @abstractmethod
    def take(self, stack: Stack, batch: Batch, start: int, stop: int, row: int = 0) -> None:
        """Take in the states of steps ``start`` to ``stop``, which are in the rows from ``row``; once for every step."""

    @abstractmethod
    def predict(self, stack: Stack, batch: Batch, start: int, stop: int, W: FloatArray, out: FloatArray) -> None:
        """Write raw predictions to the columns of ``out`` (n_raw, all sequences or steps), when the states are taken in."""

    @abstractmethod
    def loss_and_gradient(
        self,
        stack: Stack,
        batch: Batch,
        start: int,
        stop: int,
        row: int,
        loss: Loss,
        W: FloatArray,
        dW: FloatArray,
        total: float,
    ) -> float:
        """Return the loss of the targets of a window, add its gradient to ``dW`` and set ``dy`` and ``dlast``.

        A batch's windows come from the last to the first, or, where gradients don't cross windows, in any order. Losses are
        divided by ``total``.
        """


class PooledReadout(Readout):
    """One target a sequence."""

    def __init__(self, pooling: tuple[str, ...], stack: Stack, n_raw: int, *, training: bool) -> None:
        n_sequences, dtype = stack.n_sequences, stack.dtype
        cells = [tape.cell for tape in stack.tapes[-1]]
        H, n_pooled = cells[0].n_hidden, len(pooling) * len(cells) * cells[0].n_hidden
        self.columns: FloatArray = np.ones((n_pooled + 1, n_sequences), dtype)
        self.draw = np.empty((n_raw, n_sequences), dtype)
        self.dcolumns = np.empty_like(self.columns)
        #: pooling, direction, and gradient of the pooled states, in the order of the readout's columns
        self.blocks: list[tuple[Pooling, int, FloatArray]] = []
        for name in pooling:
            for direction in range(len(cells)):
                rows = slice(len(self.blocks) * H, (len(self.blocks) + 1) * H)
                self.blocks.append((POOLINGS[name](self.columns[rows], training=training), direction, self.dcolumns[rows]))
        self._dlast = self.dlast = [np.empty((H, n_sequences), dtype) for _ in cells]
        #: direction and gradient of the blocks that are the last state
        self.at_end = [(direction, d) for pooling, direction, d in self.blocks if pooling.at_end]
        if training and not all(pooling.at_end for pooling, _, _ in self.blocks):
            self.dy = [np.empty((stack.n_steps, H, n_sequences), dtype) for _ in cells]

    def take(self, stack: Stack, batch: Batch, start: int, stop: int, row: int = 0) -> None:
        entries = batch.entries_from(start)
        for pooling, direction, _ in self.blocks:
            if start == 0:
                pooling.start()
            pooling.add(stack.tapes[-1][direction].states(row, row + stop - start), entries, start)
        if stop == batch.n_steps:
            for pooling, _, _ in self.blocks:
                pooling.finish(batch.lengths)

    def predict(self, stack: Stack, batch: Batch, start: int, stop: int, W: FloatArray, out: FloatArray) -> None:
        self.take(stack, batch, start, stop)
        if stop == batch.n_steps:
            out[:, batch.index] = np.dot(W, self.columns)

    def loss_and_gradient(
        self,
        stack: Stack,
        batch: Batch,
        start: int,
        stop: int,
        row: int,
        loss: Loss,
        W: FloatArray,
        dW: FloatArray,
        total: float,
    ) -> float:
        value = 0.0
        if stop == batch.n_steps:
            self.take(stack, batch, start, stop, row)
            value = self._loss(batch, loss, W, dW, total)
            for dlast in self._dlast:
                dlast.fill(0)
            for direction, d in self.at_end:
                self._dlast[direction] += d
        for direction, dy in enumerate(self.dy or ()):
            self._unpool(batch, start, direction, dy[: stop - start])
        return value

    def _loss(self, batch: Batch, loss: Loss, W: FloatArray, dW: FloatArray, total: float) -> float:
        y, weight = batch.targets(0, batch.n_steps)
        columns = self.columns if self.mask is None else self.columns * self.mask
        raw = np.dot(W, columns)
        value = loss.value_and_gradient(raw, y, np.asarray(weight / total, raw.dtype), out=self.draw)
        np.dot(self.draw, columns.T, out=dW)
        np.dot(W.T, self.draw, out=self.dcolumns)
        if self.mask is not None:
            self.dcolumns *= self.mask
        return value

    def _unpool(self, batch: Batch, start: int, direction: int, dy: FloatArray) -> None:
        """Spread the gradient of the pooled states over the steps; none goes into the padding."""
        dy.fill(0)
        for pooling, of_direction, dpooled in self.blocks:
            if of_direction == direction:
                pooling.adjoint(start, batch.lengths, dpooled, dy)
        for step, columns in batch.entries_from(start):
            dy[:step, :, columns] = 0


class StepReadout(Readout):
    """A target at every step. Columns are steps times sequences, in blocks of bounded memory."""

    def __init__(self, stack: Stack, n_raw: int, *, training: bool) -> None:
        cells, N, dtype = [tape.cell for tape in stack.tapes[-1]], stack.n_sequences, stack.dtype
        n_units = sum(cell.n_hidden for cell in cells)
        self.n_steps = min(stack.n_steps, max(1, BLOCK_COLUMNS // N))
        self._columns = np.ones((n_units + 1) * self.n_steps * N, dtype)
        if training:
            self._draw = np.empty(n_raw * self.n_steps * N, dtype)
            self._dcolumns = np.empty_like(self._columns)
            self.dy = [np.empty((stack.n_steps, cell.n_hidden, N), dtype) for cell in cells]

    def take(self, stack: Stack, batch: Batch, start: int, stop: int, row: int = 0) -> None:
        pass

    def _blocks(self, stack: Stack, batch: Batch, start: int, stop: int, row: int) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield ``(first, last, [states; 1])`` of blocks of steps."""
        outputs = stack.outputs(batch, row, row + stop - start)
        n_units, N = outputs.shape[1:]
        for first in range(start, stop, self.n_steps):
            last = min(first + self.n_steps, stop)
            columns = self._columns[: (n_units + 1) * (last - first) * N].reshape(n_units + 1, last - first, N)
            columns[:-1] = outputs[first - start : last - start].transpose(1, 0, 2)
            columns[-1] = 1
            yield first, last, columns.reshape(n_units + 1, -1)

    def predict(self, stack: Stack, batch: Batch, start: int, stop: int, W: FloatArray, out: FloatArray) -> None:
        for first, last, columns in self._blocks(stack, batch, start, stop, 0):
            batch.scatter(np.dot(W, columns), first, last, out)

    def loss_and_gradient(
        self,
        stack: Stack,
        batch: Batch,
        start: int,
        stop: int,
        row: int,
        loss: Loss,
        W: FloatArray,
        dW: FloatArray,
        total: float,
    ) -> float:
        value, dy = 0.0, self.dy or []
        for dy_of_direction in dy:
            dy_of_direction[:row] = 0
        for first, last, columns in self._blocks(stack, batch, start, stop, row):
            y, weight = batch.targets(first, last)
            mask = None if self.mask is None else np.tile(self.mask, last - first)
            if mask is not None:
                columns *= mask
            raw = np.dot(W, columns)
            draw = self._draw[: raw.size].reshape(raw.shape)
            value += loss.value_and_gradient(raw, y, np.asarray(weight / total, raw.dtype), out=draw)
            dW += np.dot(draw, columns.T)
            dcolumns = self._dcolumns[: columns.size].reshape(columns.shape)
            np.dot(W.T, draw, out=dcolumns)
            if mask is not None:
                dcolumns *= mask
            a, b, H = row + first - start, row + last - start, dy[0].shape[1]
            for direction, dy_of_direction in enumerate(dy):
                rows = dcolumns[direction * H : (direction + 1) * H].reshape(H, last - first, -1)
                dy_of_direction[a:b] = rows.transpose(1, 0, 2)
        if len(dy) == 2:
            dy[1][: batch.n_steps] = batch.flip(dy[1][: batch.n_steps])
        return value
