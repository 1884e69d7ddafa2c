"""Gradient clipping, to a fixed range and by the global norm.

R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML (2013).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def norm(grad: NDArray[np.floating]) -> float:
    """Euclidean norm; exact also where the squares overflow or vanish, not finite only if an element is not."""
    square = float(np.dot(grad, grad))
    if 1e-30 < square < math.inf:
        return math.sqrt(square)
    scale = float(np.abs(grad).max())
    if scale == 0 or not math.isfinite(scale):
        return scale
    scaled = grad / scale
    return scale * math.sqrt(float(np.dot(scaled, scaled)))


def clip(grad: NDArray[np.floating], clip_value: float | None, clip_norm: float | None) -> tuple[float, float, bool]:
    """Clip ``grad`` in place: each element to ``[-clip_value, clip_value]``, then the whole to ``clip_norm``.

    Returns
    -------
    norm : float
        The norm of the gradient that is left; not finite if the gradient was not, which is then left as it is.
    before : float
        The norm that it had before.
    clipped : bool
        Did either limit act?
    """
    before = length = norm(grad)
    clipped = False
    if not math.isfinite(length):
        return length, before, False
    if clip_value is not None and max(float(grad.max()), -float(grad.min())) > clip_value:
        np.clip(grad, -clip_value, clip_value, out=grad)
        length, clipped = norm(grad), True
    if clip_norm is not None and length > clip_norm:
        limits, factor = np.finfo(grad.dtype), clip_norm / length
        if factor < limits.tiny or length > limits.max:  # the factor or the length is beyond this precision, the result is not
            scale = float(np.abs(grad).max())
            grad /= scale
            factor = clip_norm / (length / scale)
        grad *= factor
        length, clipped = clip_norm, True
    return length, before, clipped
