"""Real data that ships with the package, and the classical synthetic tasks."""

from __future__ import annotations

from ._bike_sharing import load_bike_sharing
from ._grimm_tales import load_grimm_tales
from ._japanese_vowels import load_japanese_vowels
from ._sunspots import load_sunspots
from ._synthetic import make_adding, make_copy_memory, make_temporal_order

__all__ = [
    "load_bike_sharing",
    "load_grimm_tales",
    "load_japanese_vowels",
    "load_sunspots",
    "make_adding",
    "make_copy_memory",
    "make_temporal_order",
]
