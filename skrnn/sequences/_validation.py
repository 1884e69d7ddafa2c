"""What users pass becomes the container, or an error in scikit-learn's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from ._container import Sequences, concatenate_steps
from ._kinds import (
    as_collection,
    as_floats,
    as_members,
    check_frames,
    check_kind,
    check_numbers,
    check_unmasked,
    has_axis,
    is_ragged,
)

#: from so many rows on, a table of embeddings is taken for a mistake unless it was asked for
MANY_TOKENS = 2**24


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
        Where ``X`` holds anything but finite real numbers, has no sequence, step or feature, or the wrong number or names of
        features.
    """
    is_nameless = not reset and not hasattr(estimator, "feature_names_in_")
    if is_nameless and is_ready(X, dtype) and X.ndim == 3 and X.shape[2] == getattr(estimator, "n_features_in_", None):
        return Sequences(*_stack_array(X))
    X = as_collection(X, "X")
    check_kind(X, "X")
    ragged, ndim = is_ragged(X), len(getattr(X, "shape", ()))
    if ndim > 3:
        raise ValueError(f"Found array with dim {ndim}, while dim <= 3 is required: (n_sequences, n_timesteps, n_features).")
    lengths: NDArray[np.intp] | int | None = None
    named = None  # a frame that has the names of the columns of all sequences
    if ragged:
        frames = [x for x in X if hasattr(x, "columns")]
        check_frames(frames, numeric=dtype is not None)
        named = frames[0] if frames and len(frames) == len(X) else None
        X, lengths = _stack_members(X)
    elif ndim == 3:
        X, lengths = _stack_array(np.asarray(X))
    elif isinstance(X, list | tuple):
        X = np.asarray(X)
    if dtype is not None:
        check_numbers(X, "X")
    if isinstance(dtype, tuple) and hasattr(X, "columns") and {str(of_column) for of_column in X.dtypes} == {"Float32"}:
        dtype = np.float32  # scikit-learn looks at the dtypes of NumPy only
    options = {
        "dtype": list(dtype) if isinstance(dtype, tuple) else dtype,
        "order": "C",
        "ensure_all_finite": ensure_all_finite,
    }
    with as_floats("X"):
        if named is None:
            values = validate_data(estimator, X, reset=reset, **options)
        else:
            values = check_array(X, input_name="X", estimator=estimator, **options)
            validate_data(estimator, named, reset=reset, skip_check_array=True)
    if lengths is None:
        return _unflatten(values, n_features_per_step)
    return Sequences(values, lengths, ragged=ragged)


def check_tokens(
    estimator: Any, X: Any, *, reset: bool, n_tokens: int | None = None, dtype: DTypeLike | None = None
) -> Sequences:
    """Validate sequences of token ids, integers of whatever type from 0, in any of their forms; each row of a table is one.

    Parameters
    ----------
    estimator, X, reset
        As for ``check_sequences``. The number of ids in a row may differ from call to call.
    n_tokens : int, default=None
        All ids must be below.
    dtype : dtype, default=None
        In which to compute with them; None is float32 for float32 input, and else float64.

    Returns
    -------
    sequences : Sequences
        Of one column.

    Raises
    ------
    ValueError, TypeError
        Where ``X`` holds anything but token ids, or several a step.
    """
    is_plain = type(X) is np.ndarray and X.dtype.kind in "iu" and X.ndim == 3 and X.size > 0
    if not reset and is_plain and X.shape[2] == 1:
        sequences = Sequences(*_stack_array(X))
    else:
        sequences = check_sequences(estimator, _one_id_a_step(X), reset=reset, dtype=None)
    values = sequences.values
    if dtype is None:
        dtype = np.float32 if values.dtype == np.float32 else np.float64
    if sequences.n_features != 1:
        raise ValueError(f"X has {sequences.n_features} features per step, but with embedding_dim a step is one token id.")
    ids = _integers(values)
    lowest, highest = ids.min(), ids.max()
    if lowest < 0:
        raise ValueError(f"Token ids are integers from 0, but X has {lowest:.0f}.")
    if n_tokens is not None and highest >= n_tokens:
        raise ValueError(
            f"Token ids must be less than n_tokens={n_tokens}, but X has {highest:.0f}. Set n_tokens to the number of all ids "
            "that will ever occur."
        )
    if highest >= MANY_TOKENS and n_tokens is None:
        raise ValueError(
            f"There is a vector for each token id up to the greatest, which is {highest:.0f}. Number the tokens from 0 on, or "
            "set n_tokens if there really are so many."
        )
    lengths = sequences.longest if sequences.are_equal else sequences.lengths
    return Sequences(ids.astype(np.intp), lengths, ragged=sequences.ragged, dtype=np.dtype(dtype))


def _one_id_a_step(X: Any) -> Any:
    """Give the rows of a table of ids a third axis, so that they are sequences of any length."""
    if isinstance(X, str | bytes):
        raise _text_is_no_id()
    X = as_collection(X, "X")
    check_kind(X, "X")
    if has_axis(X) and isinstance(next(iter(X), None), str | bytes) and not hasattr(X, "columns"):
        raise _text_is_no_id()
    if is_ragged(X):
        return X
    ids = np.asarray(X)
    return ids[:, :, None] if ids.ndim == 2 else ids


def _integers(values: NDArray[Any]) -> NDArray[Any]:
    """Return token ids as numbers that can be compared; raise for others."""
    kind = values.dtype.kind
    if kind in "UST" or (kind == "O" and any(isinstance(value, str | bytes) for value in values.flat)):
        raise _text_is_no_id()
    if kind not in "iubfO":
        raise TypeError(f"X holds values of type {values.dtype}, but with embedding_dim it must hold token ids, integers.")
    if kind not in "fO":
        return values
    with as_floats("X"):
        ids = np.asarray(values, np.float64)
    if not (np.isfinite(ids).all() and (ids == np.rint(ids)).all()):
        raise ValueError("X must hold token ids with embedding_dim, but some of its values are not integers.")
    return ids


def _text_is_no_id() -> TypeError:
    return TypeError(
        "X holds text, but with embedding_dim it must hold token ids, integers. skrnn.preprocessing.SequenceVectorizer makes "
        "them of strings."
    )


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
    return hasattr(values, "__len__") and len(values) > 0 and has_axis(values[0])


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
    check_unmasked(values, name)
    check_kind(values, name)
    values = as_collection(values, name)
    if not isinstance(values, list | tuple):
        values = np.asarray(values)
    check_consistent_length(sequences.lengths, values)
    if not is_stepwise(values):
        raise ValueError(
            f"With return_sequences=True, {name} holds one value for every step: an array (n_sequences, n_timesteps) or "
            "(n_sequences, n_timesteps, n_outputs), or separate arrays for sequences of unequal length."
        )
    for i, (member, length) in enumerate(zip(values, sequences.lengths, strict=True)):
        if not has_axis(member) or len(member) != length:
            n_steps = len(member) if has_axis(member) else "no"
            raise ValueError(f"{name}[{i}] has {n_steps} steps, but X[{i}] has {length}.")
    try:
        return concatenate_steps(values)
    except ValueError as error:
        raise ValueError(f"{name} must have one entry per time step: {error}") from error


def check_not_steps(y: Any) -> None:
    """Raise where targets of every step are given, and ``return_sequences=True`` is forgotten.

    Of sequences of equal lengths, a row may as well hold several targets of one sequence.
    """
    if hasattr(y, "shape") and not issparse(y):
        y = np.asarray(y)
    if type(y) is np.ndarray and (y.dtype != object or y.ndim != 1):
        of_steps = y.ndim == 3
    else:
        members = [x for x in y if has_axis(x)] if isinstance(y, list | tuple | np.ndarray) else []
        of_steps = len({len(x) for x in members}) > 1
    if of_steps:
        raise ValueError(
            "y holds targets of every step, but with return_sequences=False it must hold one target, or one row of targets, "
            "for each sequence. Set return_sequences=True to predict at every step."
        )


def _stack_array(X: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """All steps of a 3-D array, and the length of its sequences."""
    n_sequences, n_steps, n_features = X.shape
    if n_steps == 0:
        raise ValueError(f"Found sequences without steps (shape={X.shape}); at least 1 time step is required.")
    return X.reshape(n_sequences * n_steps, n_features), n_steps


def _stack_members(X: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """All steps of separate sequences, and the lengths."""
    members = as_members(X)
    return np.concatenate(members), np.array([len(x) for x in members])


def _unflatten(rows: NDArray[Any], n_features_per_step: int) -> Sequences:
    """Cut each row into steps."""
    n_columns = rows.shape[1]
    if n_columns % n_features_per_step:
        raise ValueError(f"X has {n_columns} columns, which is not a multiple of n_features_per_step={n_features_per_step}.")
    return Sequences(rows.reshape(-1, n_features_per_step), int(n_columns // n_features_per_step), flat=True)
