"""One flat vector of parameters, and the named views into it."""

from __future__ import annotations

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
        self.size = sum(math.prod(shape) for shape in self.shapes.values())

    def views(self, theta: FloatArray) -> dict[str, FloatArray]:
        """Named views of ``theta``: writing to one writes to the vector."""
        views, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            views[name] = theta[start:stop].reshape(shape)
            start = stop
        return views
