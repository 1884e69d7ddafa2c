"""How the states of a sequence become the one vector that the readout sees.

Every pooling is written over windows: ``start`` before the first, ``add`` for each, ``finish`` after the last, and an
``adjoint`` for each. Sequences end together (padding comes first), so ``last`` is one column block for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .bptt import Event
from .parameters import FloatArray


class Pooling(ABC):
    """Abstract; its subclasses are final.

    Parameters
    ----------
    pooled : array (H, N)
        Receives the result.
    training : bool, default=True
        Keep what ``adjoint`` needs.
    """

    #: is only the state after the last step used?
    at_end: bool = False

    def __init__(self, pooled: FloatArray, *, training: bool = True) -> None:
        self.pooled, self.training = pooled, training

    @abstractmethod
    def start(self) -> None:
        """Begin with new sequences."""

    @abstractmethod
    def add(self, h: FloatArray, entries: Sequence[Event], start: int) -> None:
        """Take in the states ``h`` (T, H, N) of the window that begins at step ``start``; columns enter at its ``entries``."""

    @abstractmethod
    def finish(self, lengths: NDArray[np.intp]) -> None:
        """Complete ``pooled``, given the number of steps of each sequence (N,)."""

    @abstractmethod
    def adjoint(self, start: int, lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        """Add to ``dy`` (T, H, N) the gradient of a window's states, given that of the pooled one; padding is cleared later."""


class Last(Pooling):
    """The state after the last step; its adjoint is the gradient with which ``bptt.backward`` starts."""

    at_end = True

    def start(self) -> None:
        pass

    def add(self, h: FloatArray, _entries: Sequence[Event], _start: int) -> None:
        self.pooled[...] = h[-1]

    def finish(self, lengths: NDArray[np.intp]) -> None:
        pass

    def adjoint(self, start: int, lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        pass


class Mean(Pooling):
    """The mean over a sequence's own steps."""

    def start(self) -> None:
        self.pooled.fill(0)

    def add(self, h: FloatArray, _entries: Sequence[Event], _start: int) -> None:
        self.pooled += h.sum(axis=0)  # padded states are zero

    def finish(self, lengths: NDArray[np.intp]) -> None:
        self.pooled /= lengths

    def adjoint(self, _start: int, lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        dy += dpooled / lengths


class Max(Pooling):
    """The maximum over a sequence's own steps; the gradient goes to the first step that attains it."""

    def __init__(self, pooled: FloatArray, *, training: bool = True) -> None:
        super().__init__(pooled, training=training)
        self.step = np.zeros(pooled.shape, np.intp)

    def start(self) -> None:
        self.pooled.fill(-np.inf)

    def add(self, h: FloatArray, entries: Sequence[Event], start: int) -> None:
        if any(step for step, _ in entries):
            h = _without_padding(h, entries)
        if not self.training:
            np.maximum(self.pooled, np.maximum.reduce(h, axis=0), out=self.pooled)
            return
        step = h.argmax(axis=0)
        highest = np.take_along_axis(h, step[None], axis=0)[0]
        is_higher = ~(highest <= self.pooled)  # NaN counts as higher, and is found in the loss
        np.copyto(self.pooled, highest, where=is_higher)
        np.copyto(self.step, step + start, where=is_higher)

    def finish(self, lengths: NDArray[np.intp]) -> None:
        pass

    def adjoint(self, start: int, _lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        rows, columns = np.nonzero((start <= self.step) & (self.step < start + len(dy)))
        dy[self.step[rows, columns] - start, rows, columns] += dpooled[rows, columns]


def _without_padding(h: FloatArray, entries: Sequence[Event]) -> FloatArray:
    """Copy ``h`` with minus infinity in the padding."""
    h = h.copy()
    for step, columns in entries:
        h[:step, :, columns] = -np.inf
    return h


POOLINGS: dict[str, type[Pooling]] = {"last": Last, "mean": Mean, "max": Max}
