"""The container of ragged sequences; sequences cut apart and put together."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._kinds import as_array, check_kind


class Sequences:
    """Sequences of any lengths, one after another.

    Parameters
    ----------
    values : array (n_steps_in_total, n_features)
    lengths : array of int (n_sequences,), or int
        The number of steps of each, or of every one.
    ragged : bool, default=False
        Did the user pass separate arrays?
    flat : bool, default=False
        Did the user pass a 2-D array, one sequence a row?
    dtype : dtype, optional
        In which to compute with them; by default that of the values.
    """

    def __init__(
        self,
        values: NDArray[Any],
        lengths: NDArray[np.intp] | int,
        *,
        ragged: bool = False,
        flat: bool = False,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        self.values, self.ragged, self.flat, self.dtype = values, ragged, flat, dtype or values.dtype
        if isinstance(lengths, int):
            self.lengths, self.longest, self.are_equal = np.full(len(values) // lengths, lengths), lengths, True
        else:
            self.lengths, self.longest = lengths, int(lengths.max())
            self.are_equal = bool(lengths.min() == self.longest)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.lengths)

    @cached_property
    def offsets(self) -> NDArray[np.intp]:
        """Sequence ``i`` is ``values[offsets[i]:offsets[i + 1]]``."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def n_features(self) -> int:
        """Features of one step."""
        return int(self.values.shape[1])

    def in_form_of_input(self, values: NDArray[Any]) -> NDArray[Any]:
        """Arrange one row a step as the input was: sequences along the first axis, or in an object array for ragged input."""
        if not self.ragged:
            return values.reshape(len(self), self.longest, *values.shape[1:])
        return split_steps(values, self.lengths)

    def steps_of(self, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of ``values`` that belong to some of the sequences, one after the other."""
        lengths = self.lengths[index]
        before = np.cumsum(lengths) - lengths
        rows: NDArray[np.intp] = np.arange(lengths.sum()) + np.repeat(self.offsets[index] - before, lengths)
        return rows

    def take(self, index: NDArray[np.intp]) -> Sequences:
        """Copy some of the sequences."""
        values = self.values[self.steps_of(index)]
        return Sequences(values, self.lengths[index], ragged=self.ragged, flat=self.flat, dtype=self.dtype)


def split_steps(values: NDArray[Any], lengths: ArrayLike) -> NDArray[np.object_]:
    """Cut sequences that are stored one after the other into an object array of separate ones.

    Parameters
    ----------
    values : ndarray of shape (sum(lengths), n_features)
    lengths : array-like of int of shape (n_sequences,)
        From 0.

    Returns
    -------
    ndarray of shape (n_sequences,) and dtype object
        Member ``i`` is a view of shape ``(lengths[i], n_features)``.

    Raises
    ------
    ValueError
        If the lengths are no integers from 0, or do not add up to the number of steps.
    """
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or (lengths.size > 0 and (lengths.dtype.kind not in "iu" or lengths.min() < 0)):
        raise ValueError(f"lengths must be one integer of at least 0 for each sequence, got {lengths}.")
    stops = np.cumsum(lengths)
    if len(values) != lengths.sum():
        raise ValueError(f"There are {len(values)} steps, but lengths add up to {lengths.sum()}.")
    return as_object_array([values[a:b] for a, b in zip((stops - lengths).tolist(), stops.tolist(), strict=True)])


def concatenate_steps(y: Any) -> NDArray[Any]:
    """Put the steps of all sequences into one array, one sequence after the other; the inverse of ``split_steps``.

    scikit-learn's metrics take targets, predictions and weights of every step in this form.

    Parameters
    ----------
    y : array or frame (n_sequences, n_timesteps), array (n_sequences, n_timesteps, n_outputs), or list or object array of \
            (n_timesteps_i,) or (n_timesteps_i, n_outputs) arrays
        What belongs to each step of each sequence: numbers or labels.

    Returns
    -------
    steps : ndarray of shape (n_steps_in_total,) or (n_steps_in_total, n_outputs)

    Raises
    ------
    ValueError
        If there is no sequence, or one of them does not have the form of a sequence or of the others.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import concatenate_steps
    >>> concatenate_steps([["rest", "walk"], ["walk"]])
    array(['rest', 'walk', 'walk'], dtype='<U4')
    >>> concatenate_steps(np.zeros((10, 50, 3))).shape
    (500, 3)
    """
    check_kind(y, "y")
    members: list[NDArray[Any]] = []
    for i, member in enumerate(y if isinstance(y, list | tuple) else np.atleast_1d(np.asarray(y))):
        x = member if type(member) is np.ndarray else as_array(member, f"Sequence {i}")
        if x.ndim not in (1, 2):
            raise ValueError(f"Sequence {i} has dim {x.ndim}, while (n_timesteps,) or (n_timesteps, n_outputs) is required.")
        if members and x.shape[1:] != members[0].shape[1:]:
            raise ValueError(f"Sequence {i} has shape {x.shape}, which does not go with {members[0].shape} of sequence 0.")
        members.append(x)
    if not members:
        raise ValueError("Found 0 sequence(s) while a minimum of 1 is required.")
    return np.concatenate(members)


def as_object_array(members: list[NDArray[Any]]) -> NDArray[np.object_]:
    """NumPy would stack members of equal lengths."""
    array = np.empty(len(members), dtype=object)
    for i, member in enumerate(members):
        array[i] = member
    return array
