"""What users pass becomes one ragged container; batches of it are packed time-major for the network.

Axis 0 of every accepted form is the sequence:

* an array (n_sequences, n_timesteps, n_features);
* a list or 1-D object array of (n_timesteps_i, n_features) arrays, sequences of unequal length; 1-D members are univariate;
* a 2-D array or frame (n_sequences, n_columns), each row one flattened sequence of ``n_features_per_step`` features a step.

Other layouts are never guessed; ``from_padded``, ``from_channels_first`` and ``from_long`` convert them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_consistent_length, validate_data

__all__ = [
    "Batch",
    "Sequences",
    "check_sequences",
    "check_steps",
    "concatenate_steps",
    "from_channels_first",
    "from_long",
    "from_padded",
    "split_steps",
]

#: kinds of dtype that NumPy would turn into numbers without a word: times, time differences, bytes, text, records
NOT_NUMBERS = frozenset("mMSUV")


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
    """

    def __init__(
        self, values: NDArray[Any], lengths: NDArray[np.intp] | int, *, ragged: bool = False, flat: bool = False
    ) -> None:
        self.values, self.ragged, self.flat = values, ragged, flat
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
        return Sequences(self.values[self.steps_of(index)], self.lengths[index], ragged=self.ragged, flat=self.flat)


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

    Raises
    ------
    ValueError
        If the lengths do not add up to the number of steps.
    """
    stops = np.cumsum(lengths)
    if len(values) != lengths.sum():
        raise ValueError(f"There are {len(values)} steps, but lengths add up to {lengths.sum()}.")
    return _as_object_array([values[a:b] for a, b in zip((stops - lengths).tolist(), stops.tolist(), strict=True)])


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
    _check_kind(y, "y")
    members: list[NDArray[Any]] = []
    for i, member in enumerate(y if isinstance(y, list | tuple) else np.atleast_1d(np.asarray(y))):
        x = member if type(member) is np.ndarray else _as_array(member, f"Sequence {i}")
        if x.ndim not in (1, 2):
            raise ValueError(f"Sequence {i} has dim {x.ndim}, while (n_timesteps,) or (n_timesteps, n_outputs) is required.")
        if members and x.shape[1:] != members[0].shape[1:]:
            raise ValueError(f"Sequence {i} has shape {x.shape}, which does not go with {members[0].shape} of sequence 0.")
        members.append(x)
    if not members:
        raise ValueError("Found 0 sequence(s) while a minimum of 1 is required.")
    return np.concatenate(members)


class Batch:
    """Some of the sequences, with their targets and weights, sorted from the longest to the shortest.

    Sequences end together, shorter ones being preceded by padding; with targets at every step they begin together, and
    padding follows them.

    Parameters
    ----------
    sequences : Sequences
    index : array of int (N,), or slice
        Which of them; without targets, sequences of equal length may be a slice, which is cheaper.
    y : array (..., n_sequences) or (..., n_steps_in_total), optional
        Targets of all sequences, or of all their steps.
    weight : array (n_sequences,) or (n_steps_in_total,), optional
        Weights of all sequences, or of all their steps.
    every_step : bool, default=False
        Are targets, and perhaps weights, those of steps?

    Attributes
    ----------
    index : array of int (N,), or slice
        ``index`` in the order of the batch's columns.
    entries, exits : list of (int, slice)
        At which step which columns begin, and at which their padding begins.
    """

    def __init__(
        self,
        sequences: Sequences,
        index: Any,
        y: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        *,
        every_step: bool = False,
    ) -> None:
        lengths = sequences.lengths[index]
        self.sequences, self.n_sequences, self.every_step = sequences, len(lengths), every_step
        runs = [slice(0, self.n_sequences)]
        if not sequences.are_equal:
            order = np.argsort(-lengths, kind="stable")
            index, lengths = index[order], lengths[order]
            bounds = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
            runs = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self.index, self.lengths, self.n_steps = index, lengths, int(lengths[0])
        self.is_ragged = len(runs) > 1
        self.entries, self.exits = [(0, slice(0, self.n_sequences))], []
        if self.is_ragged and every_step:
            self.exits = [(int(lengths[run.start]), run) for run in runs[:0:-1]]
        elif self.is_ragged:
            self.entries = [(self.n_steps - int(lengths[run.start]), run) for run in runs]
        self._y, self._weight = y, weight
        self._step_weights = weight is not None and len(weight) > len(sequences)

    def parts(self, number: int) -> list[Batch]:
        """Divide the batch into a number of smaller ones, each of sequences of similar lengths, of almost the same size."""
        if number == 1:
            return [self]
        bounds = [16 * round(self.n_sequences * k / number / 16) for k in range(number)] + [self.n_sequences]
        return [
            Batch(self.sequences, self.index[a:b], self._y, self._weight, every_step=self.every_step)
            for a, b in itertools.pairwise(bounds)
        ]

    def events(self, events: list[tuple[int, slice]], start: int, stop: int, row: int = 0) -> list[tuple[int, slice]]:
        """Return those of the events that fall into steps ``start`` to ``stop``, counted as if ``start`` were ``row``."""
        return [(step - start + row, columns) for step, columns in events if start <= step < stop]

    def entries_from(self, start: int) -> list[tuple[int, slice]]:
        """Return the entries, with steps counted from ``start`` and those before it at 0."""
        if start == 0:
            return self.entries
        return [(max(step - start, 0), columns) for step, columns in self.entries]

    def _rows(self, start: int, stop: int, *, reverse: bool = False) -> NDArray[np.intp]:
        """Rows of the sequences' values at some steps, (stop - start, N); they may lie anywhere in the padding."""
        steps, offsets = np.arange(start, stop)[:, None], self.sequences.offsets
        if not self.every_step:
            steps = steps - self.n_steps + self.lengths
        rows: NDArray[np.intp] = offsets[self.index + 1] - 1 - steps if reverse else offsets[self.index] + steps
        return rows

    def pack(self, out: NDArray[Any], start: int, stop: int, *, reverse: bool = False) -> None:
        """Write ``[1; x]`` of steps ``start`` to ``stop``, zero in the padding, to ``out`` (stop - start, 1 + F, N).

        With ``reverse``, each sequence is read from its end, within its own steps of the batch.
        """
        out[:, 0] = 1
        if self.sequences.are_equal:
            values = self.sequences.values.reshape(len(self.sequences), self.n_steps, -1)
            x = values[:, ::-1] if reverse else values
            out[:, 1:] = x[self.index, start:stop].transpose(1, 2, 0)
            return
        rows = self._rows(start, stop, reverse=reverse)
        out[:, 1:] = self.sequences.values.take(rows, axis=0, mode="clip").transpose(0, 2, 1)
        for step, columns in self.entries:
            out[: max(step - start, 0), :, columns] = 0
        for step, columns in self.exits:
            out[max(step - start, 0) :, :, columns] = 0

    def flip(self, a: NDArray[Any]) -> NDArray[Any]:
        """Reverse each sequence of ``a`` (n_steps, rows, N) within its own steps."""
        if not self.is_ragged:
            return a[::-1]
        steps = np.arange(self.n_steps)[:, None]
        first = 0 if self.every_step else self.n_steps - self.lengths
        mirrored = 2 * first + self.lengths - 1 - steps
        index = np.where((first <= mirrored) & (mirrored < first + self.lengths), mirrored, steps)
        return np.take_along_axis(a, index[:, None], axis=0)

    # ---------------------------------------------------------------- targets

    def targets(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Targets and weights: of the sequences, (..., N) and (N,); or of some steps, ``(stop - start) * N`` of them.

        The padding has weight zero.
        """
        y, weight = self._given()
        if self.every_step:
            rows = self._rows(start, stop)
            weight = weight.take(rows, mode="clip") if self._step_weights else np.broadcast_to(weight[self.index], rows.shape)
            if self.is_ragged:
                weight = np.where(np.arange(start, stop)[:, None] < self.lengths, weight, 0)
            y, weight = y.take(rows.ravel(), axis=-1, mode="clip"), weight.ravel()
        else:
            y, weight = y[..., self.index], weight[self.index]
        if y.dtype.kind == "f" and not weight.all():
            y[..., weight == 0] = 0  # what stands there may be anything, and its loss may overflow
        return y, weight

    def total_weight(self, start: int, stop: int) -> float:
        """Return the sum of the weights that ``targets`` returns."""
        _, weight = self._given()
        if self._step_weights:
            return float(self.targets(start, stop)[1].sum())
        weight = weight[self.index]
        if self.every_step:
            weight = weight * np.clip(self.lengths - start, 0, stop - start)
        return float(np.add.reduce(weight))

    def _given(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if self._y is None or self._weight is None:
            raise TypeError("This batch was made for prediction, without targets and weights.")
        return self._y, self._weight

    def scatter(self, raw: NDArray[Any], start: int, stop: int, out: NDArray[Any]) -> None:
        """Write raw predictions of some steps, (n_raw, (stop - start) * N), to the columns of ``out`` for these steps."""
        if self.sequences.are_equal:
            of_sequences = out.reshape(len(out), len(self.sequences), self.n_steps)
            of_sequences[:, self.index, start:stop] = raw.reshape(len(raw), stop - start, -1).transpose(0, 2, 1)
            return
        rows = self._rows(start, stop).ravel()
        if self.is_ragged:
            own = (np.arange(start, stop)[:, None] < self.lengths).ravel()
            raw, rows = raw[:, own], rows[own]
        out[:, rows] = raw


def check_sequences(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    n_features_per_step: int = 1,
    dtype: DTypeLike | Sequence[DTypeLike] | None = (np.float64, np.float32),
    ensure_all_finite: bool = True,
) -> Sequences:
    """Validate ``X`` in any of its forms, in scikit-learn's words.

    Parameters
    ----------
    estimator : estimator
        Sets or, with ``reset=False``, checks ``n_features_in_`` and ``feature_names_in_``.
    X : array, list of arrays or frame
        Is not modified, and not copied where its numbers can be used as they are.
    reset : bool
    n_features_per_step : int, default=1
        How many columns of 2-D input are one step.
    dtype : dtype, sequence of dtype or None
        As in :func:`sklearn.utils.check_array`; None takes any, text for instance, as it is.
    ensure_all_finite : bool, default=True
        Reject NaN and infinity.

    Returns
    -------
    sequences : Sequences

    Raises
    ------
    ValueError, TypeError
        Where ``X`` holds anything but finite real numbers, has no sequence, step or feature, or the wrong number of features.
    """
    if not reset and is_ready(X, dtype) and X.ndim == 3 and X.shape[2] == getattr(estimator, "n_features_in_", None):
        return Sequences(*_stack_array(X))
    if hasattr(X, "__array__") and not hasattr(X, "shape"):
        X = np.asarray(X)
    _check_kind(X, "X")
    ragged, ndim = _is_ragged(X), len(getattr(X, "shape", ()))
    if ndim > 3:
        raise ValueError(f"Found array with dim {ndim}, while dim <= 3 is required: (n_sequences, n_timesteps, n_features).")
    lengths: NDArray[np.intp] | int | None = None
    if ragged:
        _check_frames([x for x in X if hasattr(x, "columns")], numeric=dtype is not None)
        X, lengths = _stack_members(X)
    elif ndim == 3:
        X, lengths = _stack_array(np.asarray(X))
    if dtype is not None:
        _check_numbers(X)
    dtype = list(dtype) if isinstance(dtype, tuple) else dtype
    values = validate_data(estimator, X, reset=reset, dtype=dtype, order="C", ensure_all_finite=ensure_all_finite)
    if lengths is None:
        return _unflatten(values, n_features_per_step)
    return Sequences(values, lengths, ragged=ragged)


def is_ready(X: Any, dtype: Any) -> bool:
    """Tell an array of numbers that validation would pass as it is: a stream of short windows shall not wait for it."""
    return (
        type(X) is np.ndarray
        and X.dtype == dtype
        and X.size > 0
        and X.flags.c_contiguous
        and X.flags.aligned
        and math.isfinite(np.vdot(X, X))  # infinite also where finite numbers overflow; those take the long way
    )


def is_stepwise(values: Any) -> bool:
    """Tell values of every step (an axis below the sequences) from one value a sequence."""
    if hasattr(values, "shape"):
        array: NDArray[Any] = np.asarray(values)
        if array.dtype != object or array.ndim != 1:
            return array.ndim > 1
        values = array
    return hasattr(values, "__len__") and len(values) > 0 and _has_axis(values[0])


def check_steps(values: Any, sequences: Sequences, name: str) -> NDArray[Any]:
    """Validate targets or weights of every step, in the forms of :func:`concatenate_steps`.

    Parameters
    ----------
    values : array, frame, list or object array
    sequences : Sequences
        What they belong to.
    name : str
        For messages.

    Returns
    -------
    values : array (n_steps_in_total,) or (n_steps_in_total, n_outputs)

    Raises
    ------
    ValueError
        If the numbers of sequences, or of steps of one of them, differ.
    """
    whole = (len(sequences), sequences.longest) if sequences.are_equal else None
    if type(values) is np.ndarray and values.dtype != object and values.ndim in (2, 3) and values.shape[:2] == whole:
        return values.reshape(-1, *values.shape[2:])
    if any(np.ma.is_masked(value) for value in (values, *(values if isinstance(values, list | tuple) else ()))):
        raise ValueError(f"{name} is a masked array with masked values. Fill them, and give their steps a sample_weight of 0.")
    if not isinstance(values, list | tuple):
        values = np.asarray(values)
    check_consistent_length(sequences.lengths, values)
    if not is_stepwise(values):
        raise ValueError(
            f"With return_sequences=True, {name} holds one value for every step: an array (n_sequences, n_timesteps) or "
            "(n_sequences, n_timesteps, n_outputs), or separate arrays for sequences of unequal length."
        )
    for i, (member, length) in enumerate(zip(values, sequences.lengths, strict=True)):
        if not _has_axis(member) or len(member) != length:
            n_steps = len(member) if _has_axis(member) else "no"
            raise ValueError(f"{name}[{i}] has {n_steps} steps, but X[{i}] has {length}.")
    try:
        return concatenate_steps(values)
    except ValueError as error:
        raise ValueError(f"{name} must have one entry per time step: {error}") from error


def _check_kind(x: Any, name: str) -> None:
    """Raise for the kinds of array that NumPy would convert without their meaning."""
    if issparse(x):
        raise TypeError(f"{name} is sparse, but dense data is required. Use '.toarray()' to convert it.")
    if isinstance(x, np.matrix):
        raise TypeError(f"{name} is an np.matrix, which is not supported. Convert it with np.asarray.")
    if np.ma.is_masked(x):
        raise ValueError(
            f"{name} is a masked array with masked values, which may be padding or missing. Fill them: of padding, "
            "skrnn.sequences.from_padded(X.filled(np.nan)) makes sequences of unequal lengths."
        )


def _check_numbers(X: Any) -> None:
    """Raise for an array or frame of times, text or records."""
    for dtype in set(getattr(X, "dtypes", ())) if hasattr(X, "columns") else {getattr(X, "dtype", None)}:
        is_temporal = getattr(dtype, "is_temporal", bool)  # polars
        if getattr(dtype, "kind", None) in NOT_NUMBERS or is_temporal():
            raise TypeError(f"X holds values of type {dtype}, which are not numbers. Encode them as numbers or leave them out.")


def _check_frames(frames: list[Any], *, numeric: bool) -> None:
    """Raise for separate frames that do not match, or are not numbers before NumPy makes numbers of them."""
    columns = {tuple(frame.columns) for frame in frames}
    if len(columns) > 1:
        raise ValueError(f"The frames in X must have the same columns in the same order, got {list(columns)[:2]}.")
    for frame in frames if numeric else ():
        _check_numbers(frame)


def _is_ragged(X: Any) -> bool:
    """Tell a list or 1-D object array of sequences from one array."""
    if not isinstance(X, list | tuple):
        return len(getattr(X, "shape", ())) == 1 and np.asarray(X).dtype == object
    if len(X) == 0:
        return True
    first = X[0]
    if not isinstance(first, list | tuple):
        return _has_axis(first)
    if len(first) > 0 and _has_axis(first[0]):
        return True
    return any(not isinstance(x, list | tuple) or len(x) != len(first) for x in X)


def _has_axis(x: Any) -> bool:
    return isinstance(x, list | tuple) or len(getattr(x, "shape", ())) > 0


def _stack_array(X: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """All steps of a 3-D array, and the length of its sequences."""
    n_sequences, n_steps, n_features = X.shape
    if n_steps == 0:
        raise ValueError(f"Found sequences without steps (shape={X.shape}); at least 1 time step is required.")
    return X.reshape(n_sequences * n_steps, n_features), n_steps


def _stack_members(X: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """All steps of separate sequences, which must be equally wide, and the lengths."""
    members: list[NDArray[Any]] = []
    for i, member in enumerate(X):
        x = member if type(member) is np.ndarray else _as_array(member, f"X[{i}]")
        if x.ndim == 1:
            x = x[:, None]
        if x.ndim != 2:
            raise ValueError(
                f"Found X[{i}] of type {type(member).__name__} with dim {x.ndim}, while a sequence is an array "
                "(n_timesteps, n_features). Reshape your data to sequences."
            )
        if len(x) == 0:
            raise ValueError(f"X[{i}] is empty; at least 1 time step is required.")
        if members and x.shape[1] != members[0].shape[1]:
            raise ValueError(f"X[{i}] has {x.shape[1]} features per step, but X[0] has {members[0].shape[1]}.")
        members.append(x)
    if not members:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    return np.concatenate(members), np.array([len(x) for x in members])


def _as_array(member: Any, name: str) -> NDArray[Any]:
    _check_kind(member, name)
    try:
        return np.asarray(member)
    except ValueError as error:
        raise ValueError(f"{name} is no array (n_timesteps, n_features): {error}") from error


def _unflatten(rows: NDArray[Any], n_features_per_step: int) -> Sequences:
    """Cut each row into steps."""
    n_columns = rows.shape[1]
    if n_columns % n_features_per_step:
        raise ValueError(f"X has {n_columns} columns, which is not a multiple of n_features_per_step={n_features_per_step}.")
    return Sequences(rows.reshape(-1, n_features_per_step), int(n_columns // n_features_per_step), flat=True)


def from_padded(X: ArrayLike, padding_value: float = np.nan) -> NDArray[np.object_]:
    """Remove the padding at the end of sequences.

    Parameters
    ----------
    X : array-like of shape (n_sequences, n_timesteps, n_features) or (n_sequences, n_timesteps)
    padding_value : float, default=nan
        A step is padding if all its features are equal to this value and no other step follows. Padding at the beginning or
        in the middle stays.

    Returns
    -------
    sequences : ndarray of shape (n_sequences,) and dtype object
        Member ``i`` is a view of shape ``(n_timesteps_i, n_features)``; of no steps if ``X[i]`` is nothing but padding.

    Raises
    ------
    ValueError
        If ``X`` is neither 2-D nor 3-D.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import from_padded
    >>> X = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, np.nan]])
    >>> [x.ravel() for x in from_padded(X)]
    [array([1., 2., 3.]), array([4.])]
    """
    _check_kind(X, "X")
    array = np.asarray(X)
    if array.ndim not in (2, 3):
        raise ValueError(f"Found X with dim {array.ndim}, while (n_sequences, n_timesteps, n_features) is required.")
    array = array.reshape(*array.shape[:2], -1)
    is_padding = np.isnan(array) if np.isnan(padding_value) else array == padding_value
    is_step = ~is_padding.all(axis=2)
    lengths = np.max(is_step * np.arange(1, array.shape[1] + 1), axis=1, initial=0)
    return _as_object_array([x[:length] for x, length in zip(array, lengths, strict=True)])


def from_channels_first(X: Any) -> NDArray[Any]:
    """Convert the layout (n_sequences, n_features, n_timesteps) of sktime and aeon.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_features, n_timesteps) or list of (n_features, n_timesteps_i) arrays

    Returns
    -------
    sequences : ndarray of shape (n_sequences, n_timesteps, n_features), or (n_sequences,) and dtype object
        Views; an object array of separate sequences if they came in a list or object array.

    Raises
    ------
    ValueError
        If ``X`` is an array but not 3-D, or a member of ``X`` is not 2-D.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import from_channels_first
    >>> from_channels_first(np.zeros((10, 3, 50))).shape
    (10, 50, 3)
    >>> [x.shape for x in from_channels_first([np.zeros((3, 50)), np.zeros((3, 20))])]
    [(50, 3), (20, 3)]
    """
    _check_kind(X, "X")
    if not _is_ragged(X):
        array = np.asarray(X)
        if array.ndim != 3:
            raise ValueError(f"Found X with dim {array.ndim}, while (n_sequences, n_features, n_timesteps) is required.")
        return array.transpose(0, 2, 1)
    members = [_as_array(x, f"X[{i}]") for i, x in enumerate(X)]
    for i, x in enumerate(members):
        if x.ndim != 2:
            raise ValueError(f"Found X[{i}] with dim {x.ndim}, while (n_features, n_timesteps) is required.")
    return _as_object_array([x.T for x in members])


def from_long(
    frame: Any, id_column: str, time_column: str, value_columns: Sequence[str] | None = None
) -> tuple[NDArray[np.object_], NDArray[Any]]:
    """Collect the sequences of a frame that has one row a step.

    Parameters
    ----------
    frame : pandas or polars DataFrame
    id_column : str
        The column that tells which sequence a row belongs to.
    time_column : str
        The column by which the steps of a sequence are sorted; steps of the same time keep their order.
    value_columns : sequence of str, default=None
        The features; None takes all other columns.

    Returns
    -------
    sequences : ndarray of shape (n_sequences,) and dtype object
        Member ``i`` has shape ``(n_timesteps_i, n_features)``.
    ids : ndarray of shape (n_sequences,)
        The id of each sequence, sorted; a Series ``y`` with the ids as its index is brought to this order by ``y.loc[ids]``.

    Raises
    ------
    ValueError
        Where an id or a time is missing, or no column of values is left.

    Examples
    --------
    >>> import pandas as pd
    >>> from skrnn.sequences import from_long
    >>> frame = pd.DataFrame(
    ...     {"patient": [7, 7, 3], "day": [2, 1, 1], "pulse": [80.0, 75.0, 90.0], "weight": [61.0, 60.5, 72.0]}
    ... )
    >>> X, ids = from_long(frame, id_column="patient", time_column="day")
    >>> ids
    array([3, 7])
    >>> X[1]
    array([[75. , 60.5],
           [80. , 61. ]])
    """
    if value_columns is None:
        value_columns = [name for name in frame.columns if name not in (id_column, time_column)]
    if not value_columns:
        raise ValueError("There is no column of values besides id_column and time_column.")
    for name in (id_column, time_column):
        column = frame[name]
        if np.asarray(column.isna() if hasattr(column, "isna") else column.is_null()).any():
            raise ValueError(f"Column {name!r} has missing values, so the steps can't be put in order.")
    times = frame[time_column]
    if hasattr(getattr(times, "cat", None), "codes"):
        times = times.cat.codes  # pandas categories, in their order
    ids, which = np.unique(np.asarray(frame[id_column]), return_inverse=True)
    order = np.lexsort((np.asarray(times), which))
    values = np.column_stack([np.asarray(frame[name]) for name in value_columns])
    return split_steps(values[order], np.bincount(which)), ids


def _as_object_array(members: list[NDArray[Any]]) -> NDArray[np.object_]:
    """NumPy would stack members of equal lengths."""
    array = np.empty(len(members), dtype=object)
    for i, member in enumerate(members):
        array[i] = member
    return array
