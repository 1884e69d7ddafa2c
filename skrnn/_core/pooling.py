"""How the states of a sequence become the one vector that the readout sees.

Every pooling is written over windows: ``start`` before the first, ``add`` for each, ``finish`` after the last; its adjoint
works on a single window. Sequences end together (padding comes first), so ``last`` is one column block for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .bptt import Entry
from .parameters import FloatArray


class Pooling(ABC):
    """Abstract; its subclasses are final."""

    #: is only the state after the last step used?
    at_end: bool = False

    @abstractmethod
    def start(self, pooled: FloatArray) -> None:
        """Prepare ``pooled`` (H, N)."""

    @abstractmethod
    def add(self, h: FloatArray, entries: Sequence[Entry], pooled: FloatArray) -> None:
        """Take in the states ``h`` (T, H, N) of a window; columns enter at ``entries`` of its steps."""

    @abstractmethod
    def finish(self, lengths: NDArray[np.intp], pooled: FloatArray) -> None:
        """Complete ``pooled``, given the number of steps of each sequence (N,)."""

    @abstractmethod
    def adjoint(self, h: FloatArray, lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        """Add to ``dy`` (T, H, N) the gradient of each state, given that of the pooled one; padding is cleared later."""


class Last(Pooling):
    """The state after the last step; its adjoint is the gradient with which ``bptt.backward`` starts."""

    at_end = True

    def start(self, pooled: FloatArray) -> None:
        pass

    def add(self, h: FloatArray, _entries: Sequence[Entry], pooled: FloatArray) -> None:
        pooled[...] = h[-1]

    def finish(self, lengths: NDArray[np.intp], pooled: FloatArray) -> None:
        pass

    def adjoint(self, _h: FloatArray, _lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        dy[-1] += dpooled


class Mean(Pooling):
    """The mean over a sequence's own steps."""

    def start(self, pooled: FloatArray) -> None:
        pooled.fill(0)

    def add(self, h: FloatArray, _entries: Sequence[Entry], pooled: FloatArray) -> None:
        pooled += h.sum(axis=0)  # padded states are zero

    def finish(self, lengths: NDArray[np.intp], pooled: FloatArray) -> None:
        pooled /= lengths

    def adjoint(self, _h: FloatArray, lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        dy += dpooled / lengths


class Max(Pooling):
    """The maximum over a sequence's own steps; the gradient goes to the first step that attains it."""

    def start(self, pooled: FloatArray) -> None:
        pooled.fill(-np.inf)

    def add(self, h: FloatArray, entries: Sequence[Entry], pooled: FloatArray) -> None:
        if any(step for step, _ in entries):
            h = _without_padding(h, entries)
        np.maximum(pooled, h.max(axis=0), out=pooled)

    def finish(self, lengths: NDArray[np.intp], pooled: FloatArray) -> None:
        pass

    def adjoint(self, h: FloatArray, lengths: NDArray[np.intp], dpooled: FloatArray, dy: FloatArray) -> None:
        T = len(h)
        within = np.arange(T)[:, None] >= T - lengths
        first: NDArray[np.intp] = np.where(within[:, None], h, -np.inf).argmax(axis=0)
        rows, columns = np.ogrid[: h.shape[1], : h.shape[2]]
        dy[first, rows, columns] += dpooled


def _without_padding(h: FloatArray, entries: Sequence[Entry]) -> FloatArray:
    """Copy ``h`` with minus infinity in the padding."""
    h = h.copy()
    for step, columns in entries:
        h[:step, :, columns] = -np.inf
    return h


POOLINGS: dict[str, Pooling] = {"last": Last(), "mean": Mean(), "max": Max()}
