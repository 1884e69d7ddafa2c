"""Sequences with their targets and weights: which of them to train on, which together, and which to hold out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sequences import Batch, Sequences

#: relative jitter of the lengths by which sequences are sorted into batches, so that batches differ from epoch to epoch
LENGTH_JITTER = 0.1
#: sequences of a chunk where the batch size is not the user's: L-BFGS and prediction
CHUNK_SIZE = 128
#: steps of all sequences of such a chunk
CHUNK_STEPS = 32768


@dataclass(frozen=True)
class Data:
    """Sequences with their targets and weights, as a ``Batch`` takes them, and which of the sequences to train on."""

    sequences: Sequences
    y: NDArray[Any]
    weight: NDArray[Any]
    index: NDArray[np.intp]
    every_step: bool = False

    def targets_of(self, index: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copy targets and weights of some of the sequences, or of all their steps."""
        if not self.every_step:
            return self.y[..., index], self.weight[index]
        steps = self.sequences.steps_of(index)
        if len(self.weight) == len(self.sequences):
            return self.y[..., steps], np.repeat(self.weight[index], self.sequences.lengths[index])
        return self.y[..., steps], self.weight[steps]

    def batch(self, positions: NDArray[np.intp]) -> Batch:
        """Make a batch of some of the sequences to train on."""
        return Batch(self.sequences, self.index[positions], self.y, self.weight, every_step=self.every_step)

    def batches(self) -> Iterator[Batch]:
        """Yield all the sequences to train on, in batches of bounded memory."""
        return map(self.batch, chunks(self.sequences.lengths[self.index]))

    def require_weight(self) -> None:
        """Raise scikit-learn's error if there is nothing to learn from."""
        if len(self.index) == 0:
            raise ValueError("Sample weights must contain at least one non-zero number.")


def weights_of_sequences(weight: NDArray[Any], sequences: Sequences) -> NDArray[Any]:
    """Return weights of sequences as they are, and of those of steps the mean over each sequence."""
    if len(weight) == len(sequences):
        return weight
    mean: NDArray[Any] = np.add.reduceat(weight, sequences.offsets[:-1]) / sequences.lengths
    return mean


def minibatches(
    lengths: NDArray[np.intp], batch_size: int, rng: np.random.RandomState, *, shuffle: bool
) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of each minibatch: all once, shuffled, in batches of similar lengths (or as they come)."""
    n = len(lengths)
    order = rng.permutation(n) if shuffle else np.arange(n)
    sizes = np.full(-(-n // batch_size), batch_size)
    sizes[-1] = n - batch_size * (len(sizes) - 1)
    turns = np.arange(len(sizes))
    if shuffle and lengths.min() < lengths.max():
        jittered = lengths[order] * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, n)
        order = order[np.argsort(jittered, kind="stable")]
        sizes, turns = rng.permutation(sizes), rng.permutation(turns)  # the smaller batch may be of any length
    stops = np.cumsum(sizes)
    for turn in turns:
        yield order[stops[turn] - sizes[turn] : stops[turn]]


def chunks(lengths: NDArray[np.intp], *, in_windows: bool = False, of_equal_length: bool = False) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of sequences in chunks of bounded memory, none less than half as long as its longest.

    Computation in windows needs no bound on the steps of a chunk.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        size = CHUNK_SIZE if in_windows else min(CHUNK_SIZE, max(1, CHUNK_STEPS // longest))
        chunk = order[start : start + size]
        chunk = chunk[lengths[chunk] == longest] if of_equal_length else chunk[2 * lengths[chunk] >= longest]
        yield chunk
        start += len(chunk)


def hold_out(
    data: Data, validation_fraction: float, rng: np.random.RandomState, *, stratify: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw the sequences to train on and to validate on; with ``stratify`` by class, if the sequences have one each."""
    too_little = (
        f"{len(data.index)} sequences are too little data for early_stopping=True with "
        f"validation_fraction={validation_fraction}"
    )
    stratify = stratify and not data.every_step and (data.y.ndim == 1 or len(data.y) == 1)
    from sklearn.model_selection import train_test_split  # a third of the time that importing this package would take

    try:
        held_in, held_out = train_test_split(
            data.index,
            test_size=validation_fraction,
            random_state=rng,
            stratify=np.ravel(data.y[..., data.index]) if stratify else None,
        )
    except ValueError as error:
        raise ValueError(f"{too_little}: {error}") from error
    if len(held_out) < 2:
        raise ValueError(f"{too_little}: a score needs at least 2.")
    return held_in, held_out
