"""What users pass becomes one ragged container; batches of it are packed time-major for the network.

Axis 0 of every accepted form is the sequence:

* an array (n_sequences, n_timesteps, n_features);
* a list or 1-D object array of (n_timesteps_i, n_features) arrays, sequences of unequal length; 1-D members are univariate;
* a 2-D array or frame (n_sequences, n_columns), each row one flattened sequence of ``n_features_per_step`` features a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.utils.validation import validate_data

__all__ = ["Batch", "Sequences", "check_sequences"]


class Sequences:
    """Sequences of any lengths, one after another.

    Parameters
    ----------
    values : array (n_steps_in_total, n_features)
    lengths : array of int (n_sequences,)
        The number of steps of each.
    ragged : bool, default=False
        Did the user pass separate arrays?

    Attributes
    ----------
    offsets : array of int (n_sequences + 1,)
        Sequence ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, values: NDArray[Any], lengths: NDArray[np.intp], *, ragged: bool = False) -> None:
        self.values, self.lengths, self.ragged = values, lengths, ragged
        self.offsets = np.concatenate([[0], np.cumsum(lengths)])
        self.longest = int(lengths.max())

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_features(self) -> int:
        """Features of one step."""
        return int(self.values.shape[1])

    def in_form_of_input(self, values: NDArray[Any]) -> NDArray[Any]:
        """Arrange one row a step as the input was: a 3-D array, or an object array of 2-D arrays for ragged input."""
        if not self.ragged:
            return values.reshape(len(self), -1, values.shape[1])
        return split_steps(values, self.lengths)


def split_steps(values: NDArray[Any], lengths: NDArray[np.integer]) -> NDArray[np.object_]:
    """Cut sequences that are stored one after the other into an object array of separate ones.

    Parameters
    ----------
    values : ndarray of shape (sum(lengths), n_features)
    lengths : ndarray of shape (n_sequences,)

    Returns
    -------
    ndarray of shape (n_sequences,) and dtype object
        Member ``i`` is a view of shape ``(lengths[i], n_features)``.
    """
    members = np.empty(len(lengths), dtype=object)
    for i, member in enumerate(np.split(values, np.cumsum(lengths)[:-1])):
        members[i] = member  # one by one: NumPy would stack a list of equal lengths
    return members


class Batch:
    """Some of the sequences, with their targets and weights, sorted from the longest to the shortest.

    Sequences end together: in the order of steps of a batch, shorter ones are preceded by padding.

    Parameters
    ----------
    sequences : Sequences
    index : array of int (N,)
        Which of them.
    y : array (..., n_sequences), optional
        Targets of all sequences.
    weight : array (n_sequences,), optional
        Weights of all sequences; ``total`` is what they are divided by.
    total : float, optional
        By default the sum of the weights of this batch.

    Attributes
    ----------
    index : array of int (N,)
        ``index`` in the order of the batch's columns.
    entries : list of (int, slice)
        At which step which columns begin.
    share : float
        The sum of the divided weights.
    """

    def __init__(
        self,
        sequences: Sequences,
        index: NDArray[np.intp],
        y: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        total: float | None = None,
    ) -> None:
        lengths = sequences.lengths[index]
        if lengths.min() < lengths.max():
            order = np.argsort(-lengths, kind="stable")
            index, lengths = index[order], lengths[order]
        self.sequences, self.index, self.lengths = sequences, index, lengths
        self.longest = sequences.longest
        self.n_sequences, self.n_steps = len(index), int(lengths[0])
        first = np.flatnonzero(np.diff(lengths, prepend=lengths[0] + 1))
        last = [*first[1:].tolist(), self.n_sequences]
        steps = (self.n_steps - lengths[first]).tolist()
        self.entries = [(t, slice(a, b)) for t, a, b in zip(steps, first.tolist(), last, strict=True)]
        self.is_ragged = len(self.entries) > 1
        if y is not None:
            self.y = y[..., index]
        if weight is not None:
            weight = weight[index]
            whole = weight.sum()
            self.weight = weight / (whole if total is None else total)
            self.share = 1.0 if total is None else float(whole / total)

    def entries_from(self, start: int) -> list[tuple[int, slice]]:
        """The entries, with steps counted from ``start`` and those before it at 0."""
        return [(max(step - start, 0), columns) for step, columns in self.entries]

    def pack(self, out: NDArray[Any], start: int, stop: int, *, reverse: bool = False) -> None:
        """Write ``[1; x]`` of steps ``start`` to ``stop``, zero in the padding, to ``out`` (stop - start, 1 + F, N).

        With ``reverse``, each sequence is read from its end, and still ends with the batch.
        """
        steps = np.arange(start, stop)[:, None]
        if reverse:
            rows = self.sequences.offsets[self.index] + (self.n_steps - 1 - steps)
        else:
            rows = self.sequences.offsets[self.index + 1] - (self.n_steps - steps)
        out[:, 0] = 1
        out[:, 1:] = self.sequences.values.take(rows, axis=0, mode="clip").transpose(0, 2, 1)
        for step, columns in self.entries:
            if step > start:
                out[: step - start, :, columns] = 0

    def flip(self, a: NDArray[Any]) -> NDArray[Any]:
        """Reverse each sequence of ``a`` (n_steps, rows, N) within its own steps."""
        if not self.is_ragged:
            return a[::-1]
        steps = np.arange(self.n_steps)[:, None]
        source = 2 * self.n_steps - 1 - self.lengths - steps
        index = np.where(steps < self.n_steps - self.lengths, steps, source)
        return np.take_along_axis(a, index[:, None], axis=0)


def check_sequences(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    n_features_per_step: int = 1,
    dtype: DTypeLike | list[DTypeLike] = (np.float64, np.float32),
) -> Sequences:
    """Validate ``X`` in any of its forms, in scikit-learn's words.

    Parameters
    ----------
    estimator : estimator
        Sets or, with ``reset=False``, checks ``n_features_in_`` and ``feature_names_in_``.
    X : array, list of arrays or frame
    reset : bool
    n_features_per_step : int, default=1
        How many columns of 2-D input are one step.
    dtype : dtype or list of dtype
        As in :func:`sklearn.utils.check_array`.

    Returns
    -------
    sequences : Sequences

    Raises
    ------
    ValueError, TypeError
        Where ``X`` holds anything but finite real numbers, has no sequence, step or feature, or the wrong number of features.
    """
    dtype = list(dtype) if isinstance(dtype, tuple) else dtype
    if np.ma.is_masked(X):
        raise ValueError("X is a masked array with masked values; padding or missing values can't be told apart. Fill them.")
    ragged = _is_ragged(X)
    if ragged:
        members = _members(X)
        values, lengths = np.concatenate(members), np.array([len(x) for x in members])
    elif getattr(X, "ndim", 0) == 3:
        X = np.asarray(X)
        n_sequences, n_steps, n_features = X.shape
        if n_steps == 0:
            raise ValueError(f"Found sequences without steps (shape={X.shape}); at least 1 time step is required.")
        values, lengths = X.reshape(n_sequences * n_steps, n_features), np.full(n_sequences, n_steps)
    else:
        rows = validate_data(estimator, X, reset=reset, dtype=dtype, order="C")
        n_columns = rows.shape[1]
        if n_columns % n_features_per_step:
            raise ValueError(
                f"X has {n_columns} columns, which is not a multiple of n_features_per_step={n_features_per_step}."
            )
        n_steps = n_columns // n_features_per_step
        return Sequences(rows.reshape(-1, n_features_per_step), np.full(len(rows), n_steps))
    return Sequences(validate_data(estimator, values, reset=reset, dtype=dtype, order="C"), lengths, ragged=ragged)


def _is_ragged(X: Any) -> bool:
    """Is ``X`` a list or 1-D object array of sequences, rather than one array?"""
    if hasattr(X, "ndim"):
        return bool(X.ndim == 1 and X.dtype == object)
    if not isinstance(X, list | tuple) or len(X) == 0:
        return False
    first = X[0]
    if hasattr(first, "ndim"):
        return bool(first.ndim > 0)
    if not isinstance(first, list | tuple):
        return False
    return bool(first and np.ndim(first[0])) or len({len(x) for x in X}) > 1


def _members(X: Any) -> list[NDArray[Any]]:
    """The sequences of a ragged ``X`` as 2-D arrays of equal width."""
    members: list[NDArray[Any]] = []
    for i, member in enumerate(X):
        if np.ma.is_masked(member):
            raise ValueError(f"X[{i}] is a masked array with masked values. Fill them.")
        x = np.asarray(member)
        if x.ndim == 0:
            kind = type(member).__name__
            raise ValueError(
                f"Expected X[{i}] to be an array (n_timesteps, n_features), got a {kind}. Reshape your data to sequences."
            )
        if x.ndim > 2:
            raise ValueError(f"Found X[{i}] with dim {x.ndim}; a sequence has shape (n_timesteps, n_features).")
        if len(x) == 0:
            raise ValueError(f"X[{i}] is empty; at least 1 time step is required.")
        x = x.reshape(len(x), -1)
        if members and x.shape[1] != members[0].shape[1]:
            raise ValueError(f"X[{i}] has {x.shape[1]} features per step, but X[0] has {members[0].shape[1]}.")
        members.append(x)
    return members
