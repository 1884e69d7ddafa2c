"""The windows of truncated backpropagation through time, BPTT(h; h') of Williams & Peng [1]_.

Sequences begin together. At an update the losses of the steps since the last update are propagated back, for each sequence at
most ``length`` steps from its own last step before the update.

References
----------
.. [1] R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
   trajectories", Neural Computation 2 (1990).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bptt import Event


class Window(NamedTuple):
    """Steps ``start`` to ``stop``, whose losses make one update, and the ``history`` of earlier steps that these reach.

    ``edges`` are counted from the first step of the history: there the gradient of some columns ends before it does for others.
    """

    start: int
    stop: int
    history: int
    edges: list[Event]


def truncated_windows(lengths: NDArray[np.intp], length: int, stride: int, past: int = 0) -> Iterator[Window]:
    """Yield the windows, each of ``stride`` steps but for the last.

    Parameters
    ----------
    lengths : array of int (N,)
        The number of steps of each sequence, in descending order.
    length, stride : int
        ``length >= stride``.
    past : int, default=0
        Steps that are known of the time before the first one.
    """
    n_steps = int(lengths[0])
    for start in range(0, n_steps, stride):
        stop = min(start + stride, n_steps)
        ends = np.minimum(lengths[lengths > start], stop)
        first_steps = np.maximum(ends - length, -past)
        first = int(first_steps[-1])
        yield Window(start, stop, start - first, _events(first_steps - first))


def _events(steps: NDArray[np.intp]) -> list[Event]:
    """List runs of columns with the same step, which descend from left to right; nothing needs to be done at step 0."""
    bounds = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    return [(int(steps[a]), slice(a, b)) for a, b in reversed(list(itertools.pairwise(bounds))) if steps[a]]
