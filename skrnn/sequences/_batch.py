"""Batches: sequences packed time-major for the network, with their targets and weights."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._container import Sequences


class Batch:
    """Some of the sequences, with their targets and weights, sorted from the longest to the shortest.

    Sequences end together, shorter ones being preceded by padding; with targets at every step they begin together, and
    padding follows them.

    Parameters
    ----------
    sequences : Sequences
    index : array of int (N,), or slice
        Which of them; without targets, sequences of equal length may be a slice, which is cheaper.
    y : array (..., n_sequences) or (..., n_steps_in_total), optional
        Targets of all sequences, or of all their steps.
    weight : array (n_sequences,) or (n_steps_in_total,), optional
        Weights of all sequences, or of all their steps.
    every_step : bool, default=False
        Are targets, and perhaps weights, those of steps?

    Attributes
    ----------
    index : array of int (N,), or slice
        ``index`` in the order of the batch's columns.
    entries, exits : list of (int, slice)
        At which step which columns begin, and at which their padding begins.
    """

    def __init__(
        self,
        sequences: Sequences,
        index: Any,
        y: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        *,
        every_step: bool = False,
    ) -> None:
        lengths = sequences.lengths[index]
        self.sequences, self.n_sequences, self.every_step = sequences, len(lengths), every_step
        runs = [slice(0, self.n_sequences)]
        if not sequences.are_equal:
            order = np.argsort(-lengths, kind="stable")
            index, lengths = index[order], lengths[order]
            bounds = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
            runs = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self.index, self.lengths, self.n_steps = index, lengths, int(lengths[0])
        self.is_ragged = len(runs) > 1
        self.entries, self.exits = [(0, slice(0, self.n_sequences))], []
        if self.is_ragged and every_step:
            self.exits = [(int(lengths[run.start]), run) for run in runs[:0:-1]]
        elif self.is_ragged:
            self.entries = [(self.n_steps - int(lengths[run.start]), run) for run in runs]
        self._y, self._weight = y, weight
        self._step_weights = weight is not None and len(weight) > len(sequences)

    def parts(self, number: int) -> list[Batch]:
        """Divide the batch into a number of smaller ones, each of sequences of similar lengths, of almost the same size."""
        if number == 1:
            return [self]
        bounds = [16 * round(self.n_sequences * k / number / 16) for k in range(number)] + [self.n_sequences]
        return [
            Batch(self.sequences, self.index[a:b], self._y, self._weight, every_step=self.every_step)
            for a, b in itertools.pairwise(bounds)
        ]

    def events(self, events: list[tuple[int, slice]], start: int, stop: int, row: int = 0) -> list[tuple[int, slice]]:
        """Return those of the events that fall into steps ``start`` to ``stop``, counted as if ``start`` were ``row``."""
        return [(step - start + row, columns) for step, columns in events if start <= step < stop]

    def entries_from(self, start: int) -> list[tuple[int, slice]]:
        """Return the entries, with steps counted from ``start`` and those before it at 0."""
        if start == 0:
            return self.entries
        return [(max(step - start, 0), columns) for step, columns in self.entries]

    def _rows(self, start: int, stop: int, *, reverse: bool = False) -> NDArray[np.intp]:
        """Rows of the sequences' values at some steps, (stop - start, N); they may lie anywhere in the padding."""
        steps, offsets = np.arange(start, stop)[:, None], self.sequences.offsets
        if not self.every_step:
            steps = steps - self.n_steps + self.lengths
        rows: NDArray[np.intp] = offsets[self.index + 1] - 1 - steps if reverse else offsets[self.index] + steps
        return rows

    def pack(
        self, out: NDArray[Any], start: int, stop: int, *, reverse: bool = False, table: NDArray[Any] | None = None
    ) -> NDArray[np.intp] | None:
        """Write ``[1; x]`` of steps ``start`` to ``stop``, zero in the padding, to ``out`` (stop - start, 1 + F, N).

        With ``reverse``, each sequence is read from its end, within its own steps of the batch. With a ``table``, (V, F), the
        sequences are token ids, and ``x`` is their rows of the table; the ids are returned, (stop - start, N).
        """
        if self.sequences.are_equal:
            values = self.sequences.values.reshape(len(self.sequences), self.n_steps, -1)
            x = (values[:, ::-1] if reverse else values)[self.index, start:stop].swapaxes(0, 1)
        else:
            x = self.sequences.values.take(self._rows(start, stop, reverse=reverse), axis=0, mode="clip")
        ids = None
        if table is not None:
            ids = x[..., 0]
            x = table[ids]
        out[:, 0] = 1
        out[:, 1:] = x.transpose(0, 2, 1)
        if self.is_ragged:
            for step, columns in self.entries:
                out[: max(step - start, 0), :, columns] = 0
            for step, columns in self.exits:
                out[max(step - start, 0) :, :, columns] = 0
        return ids

    def flip(self, a: NDArray[Any]) -> NDArray[Any]:
        """Reverse each sequence of ``a`` (n_steps, rows, N) within its own steps."""
        if not self.is_ragged:
            return a[::-1]
        steps = np.arange(self.n_steps)[:, None]
        first = 0 if self.every_step else self.n_steps - self.lengths
        mirrored = 2 * first + self.lengths - 1 - steps
        index = np.where((first <= mirrored) & (mirrored < first + self.lengths), mirrored, steps)
        return np.take_along_axis(a, index[:, None], axis=0)

    # ---------------------------------------------------------------- targets

    def targets(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Targets and weights: of the sequences, (..., N) and (N,); or of some steps, ``(stop - start) * N`` of them.

        The padding has weight zero.
        """
        y, weight = self._given()
        if self.every_step:
            rows = self._rows(start, stop)
            weight = weight.take(rows, mode="clip") if self._step_weights else np.broadcast_to(weight[self.index], rows.shape)
            if self.is_ragged:
                weight = np.where(np.arange(start, stop)[:, None] < self.lengths, weight, 0)
            y, weight = y.take(rows.ravel(), axis=-1, mode="clip"), weight.ravel()
        else:
            y, weight = y[..., self.index], weight[self.index]
        if y.dtype.kind == "f" and not weight.all():
            y[..., weight == 0] = 0  # what stands there may be anything, and its loss may overflow
        return y, weight

    def total_weight(self, start: int, stop: int) -> float:
        """Return the sum of the weights that ``targets`` returns."""
        _, weight = self._given()
        if self._step_weights:
            return float(self.targets(start, stop)[1].sum())
        weight = weight[self.index]
        if self.every_step:
            weight = weight * np.clip(self.lengths - start, 0, stop - start)
        return float(np.add.reduce(weight))

    def _given(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if self._y is None or self._weight is None:
            raise TypeError("This batch was made for prediction, without targets and weights.")
        return self._y, self._weight

    def scatter(self, raw: NDArray[Any], start: int, stop: int, out: NDArray[Any]) -> None:
        """Write raw predictions of some steps, (n_raw, (stop - start) * N), to the columns of ``out`` for these steps."""
        if self.sequences.are_equal:
            of_sequences = out.reshape(len(out), len(self.sequences), self.n_steps)
            of_sequences[:, self.index, start:stop] = raw.reshape(len(raw), stop - start, -1).transpose(0, 2, 1)
            return
        rows = self._rows(start, stop).ravel()
        if self.is_ragged:
            own = (np.arange(start, stop)[:, None] < self.lengths).ravel()
            raw, rows = raw[:, own], rows[own]
        out[:, rows] = raw
