"""One flat vector of parameters, and the named views into it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = "NDArray[np.floating]"
Shape: TypeAlias = tuple[int, ...]


class Layout:
    """Where each named array lives in a flat vector.

    Only the vector itself is ever stored or pickled: views lose their base when they are pickled or deep-copied, so they
    are rebuilt from the layout wherever they are needed.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names in the order in which their arrays follow each other.
    """

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.shapes = dict(shapes)
        bounds = list(itertools.accumulate(map(math.prod, self.shapes.values()), initial=0))
        self.size = bounds[-1]
        self._slices = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]

    def views(self, theta: FloatArray) -> dict[str, FloatArray]:
        """Named views of ``theta``: writing to one writes to the vector."""
        return {
            name: theta[where].reshape(shape) for (name, shape), where in zip(self.shapes.items(), self._slices, strict=True)
        }
