"""What kind of thing is it? What NumPy would take without a word is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

#: kinds of dtype that NumPy would turn into numbers without a word: times, time differences, bytes, text, records
NOT_NUMBERS = frozenset("mMSUV")


@contextmanager
def as_floats(name: str) -> Iterator[None]:
    """Raise ValueError for numbers of Python that no float can hold: great integers, and NaN of ``decimal`` that signals."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of sums and casts; what is not finite is an error
            yield
    except ArithmeticError as error:
        raise ValueError(f"{name} holds a number that no float can hold: {error}.") from error


def check_kind(x: Any, name: str) -> None:
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


def check_unmasked(values: Any, name: str) -> None:
    """Raise for targets or weights some of which are masked, of all sequences or of one."""
    if any(np.ma.is_masked(value) for value in (values, *(values if isinstance(values, list | tuple) else ()))):
        raise ValueError(
            f"{name} is a masked array with masked values. Fill them, and give their sequences or steps a sample_weight of 0."
        )


def as_collection(x: Any, name: str) -> Any:
    """Return lists, arrays and frames as they are, and what else NumPy understands as an array; raise for all other things."""
    if isinstance(x, list | tuple) or (hasattr(x, "shape") and not isinstance(x, memoryview)):
        return x
    array = np.asarray(x)
    if array.ndim == 0 and array.dtype.kind in "OSU":
        raise TypeError(f"{name} is of type {type(x).__name__!r}, but an array, a list or a frame is required.")
    return array


def check_numbers(x: Any, name: str) -> None:
    """Raise for an array or frame of times, text or records."""
    dtypes = set(x.dtypes) if hasattr(x, "columns") else {getattr(x, "dtype", None)}
    found: list[Any] = [d for d in dtypes if getattr(d, "kind", None) in NOT_NUMBERS or not _is_number_of_polars(d)]
    if not found and any(getattr(dtype, "kind", None) == "O" for dtype in dtypes):  # objects, and categories and text of pandas
        array = np.asarray(x)
        texts = [type(value).__name__ for value in array.flat if isinstance(value, str | bytes)]
        found = [array.dtype] if array.dtype.kind in NOT_NUMBERS else texts
    if found:
        raise TypeError(
            f"{name} holds values of type {found[0]}, which are not numbers. Encode them as numbers or leave them out."
        )


def as_numbers(x: Any, name: str) -> Any:
    """Return numbers as they are: real targets, or weights; raise for what NumPy would take for numbers without a word."""
    check_unmasked(x, name)
    x = as_collection(x, name)
    check_numbers(x if hasattr(x, "shape") else np.asarray(x), name)
    return x


def _is_number_of_polars(dtype: Any) -> bool:
    """Tell dtypes of numbers from others; those of other libraries all pass."""
    return not hasattr(dtype, "is_numeric") or dtype.is_numeric() or str(dtype) in ("Boolean", "Null")


def check_frames(frames: list[Any], *, numeric: bool) -> None:
    """Raise for separate frames that do not match, or are not numbers before NumPy makes numbers of them."""
    columns = {tuple(frame.columns) for frame in frames}
    if len(columns) > 1:
        raise ValueError(f"The frames in X must have the same columns in the same order, got {list(columns)[:2]}.")
    for frame in frames if numeric else ():
        check_numbers(frame, "X")


def is_missing(x: Any) -> bool:
    """Tell None, NaN, NaT and pandas' NA."""
    is_itself = x == x
    if isinstance(is_itself, bool | np.bool_):
        return x is None or not is_itself
    return type(x).__name__ == "NAType"  # NA == NA is NA, and arrays are compared to arrays


def is_ragged(X: Any) -> bool:
    """Tell a list or 1-D object array of sequences from one array."""
    if not isinstance(X, list | tuple):
        return len(getattr(X, "shape", ())) == 1 and np.asarray(X).dtype == object
    if len(X) == 0:
        return True
    first = X[0]
    if not isinstance(first, list | tuple):
        return has_axis(first)
    if len(first) > 0 and has_axis(first[0]):
        return True
    return any(not isinstance(x, list | tuple) or len(x) != len(first) for x in X)


def has_axis(x: Any) -> bool:
    return isinstance(x, list | tuple) or len(getattr(x, "shape", ())) > 0


def as_array(member: Any, name: str) -> NDArray[Any]:
    check_kind(member, name)
    try:
        array = np.asarray(member)
        if array.dtype == object and hasattr(member, "iloc"):
            array = member.to_numpy(na_value=np.nan)  # NA of pandas is no number
        return array
    except ValueError as error:
        raise ValueError(f"{name} is no array (n_timesteps, n_features): {error}") from error


def as_members(X: Any) -> list[NDArray[Any]]:
    """Separate sequences as arrays (n_timesteps_i, n_features), which must be equally wide."""
    members: list[NDArray[Any]] = []
    for i, member in enumerate(X):
        x = member if type(member) is np.ndarray else as_array(member, f"X[{i}]")
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
    return members


def members_of(X: Any) -> list[NDArray[Any]]:
    """Separate the sequences of a 3-D array, a list or an object array; views where they are arrays."""
    check_kind(X, "X")
    if is_ragged(X):
        check_frames([x for x in X if hasattr(x, "columns")], numeric=False)
        return as_members(X)
    array = np.asarray(X)
    if array.ndim != 3:
        raise ValueError(
            f"Found X with dim {array.ndim}, while an array (n_sequences, n_timesteps, n_features) or separate sequences "
            "are required."
        )
    return as_members(array)
