"""Transformers of sequences, and transformers that make sequences of texts and of rows in time."""

from ._per_step import PerStep
from ._sliding_window import SlidingWindow
from ._text import SequenceVectorizer

__all__ = ["PerStep", "SequenceVectorizer", "SlidingWindow"]
