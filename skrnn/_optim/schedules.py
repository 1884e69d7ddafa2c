"""Learning-rate schedules: the factor on ``learning_rate_init``, as a function of where training stands."""

from __future__ import annotations

import math
from collections.abc import Callable

#: (update, progress, power_t) -> factor. ``update`` counts the updates from 1 on; ``progress`` is the share of all epochs
#: that is done. "adaptive" is constant here: training divides it by 5 whenever the loss stops improving.
Schedule = Callable[[int, float, float], float]


def constant(_update: int, _progress: float, _power_t: float) -> float:
    """Return one, always."""
    return 1.0


def invscaling(update: int, _progress: float, power_t: float) -> float:
    """Return ``1 / update ** power_t``."""
    return float(update**-power_t)


def cosine(_update: int, progress: float, _power_t: float) -> float:
    """Follow half a cosine from one to zero, and begin again where training goes on (Loshchilov, Hutter, ICLR 2017)."""
    return 0.5 * (1 + math.cos(math.pi * (progress % 1.0)))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "invscaling": invscaling,
    "adaptive": constant,
    "cosine": cosine,
}
