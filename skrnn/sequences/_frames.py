"""Other layouts of frames, both ways: long, nested."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._container import as_object_array, concatenate_steps, split_steps
from ._kinds import as_array, is_missing, members_of


def from_long(
    frame: Any,
    id_column: str | None = None,
    time_column: str | None = None,
    value_columns: str | Sequence[str] | None = None,
) -> tuple[NDArray[np.object_], NDArray[Any]]:
    """Collect the sequences of a frame that has one row a step, also of sktime's and aeon's "pd-multiindex".

    Parameters
    ----------
    frame : pandas or polars DataFrame
    id_column : str, default=None
        The column that tells which sequence a row belongs to; None, for both this and ``time_column``, takes the two levels
        of the frame's MultiIndex.
    time_column : str, default=None
        The column by which the steps of a sequence are sorted; steps of the same time keep their order.
    value_columns : str or sequence of str, default=None
        The features; None takes all other columns. A single name that is not in a list makes 1-D members, which is the form
        of targets of every step.

    Returns
    -------
    sequences : ndarray of shape (n_sequences,) and dtype object
        Member ``i`` has shape ``(n_timesteps_i, n_features)``, or ``(n_timesteps_i,)`` for a single name. Missing numbers and
        booleans are NaN.
    ids : ndarray of shape (n_sequences,)
        The id of each sequence, sorted; a Series ``y`` with the ids as its index is brought to this order by ``y.loc[ids]``.

    Raises
    ------
    TypeError
        If ``frame`` is no frame, or ids or times are of types that can't be sorted.
    ValueError
        Where an id or a time is missing, a name is that of no column or of two, or no column of values is left, or without
        names and without a MultiIndex.

    See Also
    --------
    to_long : The way back.

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
    _check_frame(frame)
    ids, times = _ids_and_times(frame, id_column, time_column)
    if value_columns is None:
        value_columns = [name for name in frame.columns if name not in (id_column, time_column)]
    is_single = np.ndim(value_columns) == 0
    names = [value_columns] if is_single else list(value_columns)
    if not names:
        raise ValueError("There is no column of values besides id_column and time_column.")
    try:
        unique, which = np.unique(ids, return_inverse=True)
        order = np.lexsort((times, which))
    except TypeError as error:
        raise TypeError(f"The ids, and the times, must be of one type that can be sorted: {error}") from error
    columns = [_with_nan(_column(frame, name, "value_columns")) for name in names]
    values = columns[0] if is_single else np.column_stack(columns)
    return split_steps(values[order], np.bincount(which)), unique


def to_long(
    X: Any,
    id_column: str = "id",
    time_column: str = "time",
    value_columns: Sequence[str] | None = None,
    *,
    ids: ArrayLike | None = None,
    times: Any = None,
    library: str = "pandas",
) -> Any:
    """Write sequences to a frame with one row a step, sequence after sequence.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_timesteps, n_features), or list or object array of (n_timesteps_i, n_features) arrays
    id_column, time_column : str, default="id", "time"
        Names of the first two columns.
    value_columns : sequence of str, default=None
        Names of the features; None takes scikit-learn's, ``x0``, ``x1``, ...
    ids : array-like of shape (n_sequences,), default=None
        A different id for each sequence; None counts from 0. ``from_long`` returns the sequences in the order of their ids.
    times : array-like of shape (n_sequences, n_timesteps), or list or object array of (n_timesteps_i,) arrays, default=None
        The time of each step, which must not decrease; None counts from 0 in each sequence.
    library : {"pandas", "polars"}, default="pandas"
        Which kind of frame, as in scikit-learn's ``set_output``; the library must be installed.

    Returns
    -------
    frame : pandas or polars DataFrame
        Of pandas, ``frame.set_index([id_column, time_column])`` is the "pd-multiindex" of sktime and aeon.

    Raises
    ------
    ValueError
        If ``X`` is no data set of sequences, ids or times do not go with it, or names occur twice.

    See Also
    --------
    from_long : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import to_long
    >>> X = [np.array([[75.0, 60.5], [80.0, 61.0]]), np.array([[90.0, 72.0]])]
    >>> print(to_long(X, "patient", "day", ["pulse", "weight"], ids=[7, 3], times=[[1, 2], [1]]))
       patient  day  pulse  weight
    0        7    1   75.0    60.5
    1        7    2   80.0    61.0
    2        3    1   90.0    72.0
    """
    if library not in ("pandas", "polars"):
        raise ValueError(f"library must be 'pandas' or 'polars', got {library!r}.")
    members = members_of(X)
    lengths, values = np.array([len(x) for x in members]), np.concatenate(members)
    names = _feature_names(value_columns, values.shape[1], "value_columns", default="x{}")
    if len({id_column, time_column, *names}) < 2 + len(names):
        raise ValueError(f"The names of the columns must differ, got {[id_column, time_column, *names]}.")
    ids = np.arange(len(members)) if ids is None else _check_ids(ids, len(members))
    steps = np.concatenate([np.arange(n) for n in lengths]) if times is None else _check_times(times, lengths)
    columns = {id_column: np.repeat(ids, lengths), time_column: steps, **dict(zip(names, values.T, strict=True))}
    return import_module(library).DataFrame(columns)


def from_nested(frame: Any) -> NDArray[np.object_]:
    """Collect the sequences of a frame whose cells are series, one row a sequence and one column a feature.

    This is "nested_univ" of sktime. Lists and arrays in the cells, and list columns of polars, are taken as well.

    Parameters
    ----------
    frame : pandas or polars DataFrame
        The cells of a row have the same length and, if they are pandas Series, the same index, which must not decrease.

    Returns
    -------
    sequences : ndarray of shape (n_sequences,) and dtype object
        Member ``i`` has shape ``(n_timesteps_i, n_features)``, and is row ``i``.

    Raises
    ------
    TypeError
        If ``frame`` is no frame.
    ValueError
        If a cell holds a single value instead of a series, cells of a row do not go together, or two columns have one name.

    See Also
    --------
    to_nested : The way back.

    Examples
    --------
    >>> import pandas as pd
    >>> from skrnn.sequences import from_nested
    >>> frame = pd.DataFrame(
    ...     {"pulse": [pd.Series([75.0, 80.0]), pd.Series([90.0])], "weight": [pd.Series([60.5, 61.0]), pd.Series([72.0])]}
    ... )
    >>> from_nested(frame)[0]
    array([[75. , 60.5],
           [80. , 61. ]])
    """
    _check_frame(frame)
    names = list(frame.columns)
    if not names:
        raise ValueError("The frame has no column.")
    members = []
    for i, cells in enumerate(zip(*(frame[name] for name in names), strict=True)):
        columns = [as_array(cell, f"Row {i} of column {name!r}") for name, cell in zip(names, cells, strict=True)]
        for name, column in zip(names, columns, strict=True):
            if column.ndim != 1:
                raise ValueError(
                    f"Row {i} of column {name!r} has dim {column.ndim}, while a series of (n_timesteps,) values is required. "
                    "Leave out columns without time."
                )
            if len(column) != len(columns[0]):
                raise ValueError(
                    f"Row {i} has {len(column)} steps in column {name!r}, but {len(columns[0])} in column {names[0]!r}."
                )
        if len(columns[0]) == 0:
            raise ValueError(f"Row {i} is empty; at least 1 time step is required.")
        times = [cell.index for cell in cells if hasattr(cell, "iloc")]
        if not all(index.equals(times[0]) for index in times):
            raise ValueError(f"Row {i} has series of different index. Align them, or reset their index.")
        if times and not times[0].is_monotonic_increasing:
            raise ValueError(f"Row {i} has series whose index is not sorted. Sort them, or reset their index.")
        members.append(np.column_stack(columns))
    return as_object_array(members)


def to_nested(X: Any, columns: Sequence[str] | None = None) -> Any:
    """Write sequences to a pandas frame whose cells are Series, one row a sequence: "nested_univ" of sktime.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_timesteps, n_features), or list or object array of (n_timesteps_i, n_features) arrays
    columns : sequence of str, default=None
        Names of the features; None takes those of sktime's own data sets, ``dim_0``, ``dim_1``, ...

    Returns
    -------
    frame : pandas DataFrame of shape (n_sequences, n_features)
        Its Series may be views of ``X``.

    Raises
    ------
    ValueError
        If ``X`` is no data set of sequences, or the names do not go with it.

    See Also
    --------
    from_nested : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import to_nested
    >>> frame = to_nested([np.array([[75.0, 60.5], [80.0, 61.0]]), np.array([[90.0, 72.0]])], ["pulse", "weight"])
    >>> frame.shape
    (2, 2)
    >>> frame.loc[0, "pulse"].tolist()
    [75.0, 80.0]
    """
    members, pandas = members_of(X), import_module("pandas")
    names = _feature_names(columns, members[0].shape[1], "columns", default="dim_{}")
    if len(set(names)) < len(names):
        raise ValueError(f"The names of the columns must differ, got {names}.")
    return pandas.DataFrame({name: as_object_array([pandas.Series(x[:, j]) for x in members]) for j, name in enumerate(names)})


def _check_frame(frame: Any) -> None:
    if not (hasattr(frame, "shape") and hasattr(frame, "columns")):  # a LazyFrame of polars has no shape yet
        raise TypeError(f"frame must be a pandas or polars DataFrame, got {type(frame).__name__}.")
    names = list(frame.columns)
    if len(set(names)) < len(names):
        raise ValueError(f"The names of the columns must differ, got {names}.")


def _column(frame: Any, name: Any, parameter: str) -> Any:
    """Get a column, but no row, nor a level of the index."""
    names = list(frame.columns)
    if name in names:
        return frame[name]
    is_level = name in getattr(getattr(frame, "index", None), "names", ())
    advice = " It is a level of the index; frame.reset_index() makes columns of the levels." if is_level else ""
    raise ValueError(f"{parameter} has {name!r}, which is no column of frame: {names}.{advice}")


def _with_nan(column: Any) -> NDArray[Any]:
    """Make floats of objects that are numbers or booleans, of which some are missing."""
    array = np.asarray(column)
    if array.dtype != object:
        return array
    missing = np.array([is_missing(x) for x in array], dtype=bool)
    if not missing.any() or not all(isinstance(x, Real | np.bool_) for x in array[~missing]):
        return array
    return np.where(missing, np.nan, array).astype(float)


def _ids_and_times(frame: Any, id_column: str | None, time_column: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find what the rows of a long frame are sorted by: two columns, or the levels of its index."""
    if id_column is None and time_column is None:
        index: Any = getattr(frame, "index", None)
        if getattr(index, "nlevels", 1) != 2:
            raise ValueError("frame has no MultiIndex of two levels (id, time). Name id_column and time_column.")
        keys = {f"Level {level} of the index": index.get_level_values(level).to_series() for level in (0, 1)}
    elif id_column is None or time_column is None:
        raise ValueError(f"id_column and time_column go together, got id_column={id_column!r}, time_column={time_column!r}.")
    elif id_column == time_column:
        raise ValueError(f"id_column and time_column must differ, got {id_column!r} for both.")
    else:
        keys = {
            f"Column {name!r}": _column(frame, name, parameter)
            for parameter, name in {"id_column": id_column, "time_column": time_column}.items()
        }
    for name, key in keys.items():
        array, is_missing = np.asarray(key), np.asarray(key.isna() if hasattr(key, "isna") else key.is_null())
        if is_missing.any() or (array.dtype.kind == "f" and np.isnan(array).any()):  # in polars, NaN is not missing
            raise ValueError(f"{name} has missing values, so the steps can't be put in order.")
    ids, times = keys.values()
    if hasattr(getattr(times, "cat", None), "codes"):
        times = times.cat.codes  # pandas categories, in their order
    elif type(times.dtype).__name__ == "Enum":
        times = times.to_physical()  # those of polars
    return np.asarray(ids), np.asarray(times)


def _feature_names(names: Sequence[str] | None, n_features: int, parameter: str, *, default: str) -> list[str]:
    if names is None:
        return [default.format(j) for j in range(n_features)]
    if isinstance(names, str) or len(names) != n_features:
        raise ValueError(f"{parameter} must be the names of {n_features} feature(s), got {names!r}.")
    return list(names)


def _check_ids(ids: ArrayLike, n_sequences: int) -> NDArray[Any]:
    array = np.asarray(ids)
    if array.shape != (n_sequences,):
        raise ValueError(f"ids must be one for each of the {n_sequences} sequences, got shape {array.shape}.")
    seen: dict[Any, int] = {}
    for i, key in enumerate(array.tolist()):
        if key is None or key != key:
            raise ValueError(f"ids[{i}] is missing.")
        if seen.setdefault(key, i) != i:
            raise ValueError(f"ids[{i}] is {key!r}, as is ids[{seen[key]}], but ids must differ.")
    return array


def _check_times(times: Any, lengths: NDArray[np.intp]) -> NDArray[Any]:
    if not isinstance(times, list | tuple):
        times = np.asarray(times)
    if len(times) != len(lengths):
        raise ValueError(f"times are those of {len(times)} sequences, but X has {len(lengths)}.")
    for i, (member, length) in enumerate(zip(times, lengths, strict=True)):
        if np.ndim(member) != 1 or len(member) != length:
            raise ValueError(f"times[{i}] has shape {np.shape(member)}, but X[{i}] has {length} steps.")
        array = np.asarray(member)
        if (array != array).any() or (array[:-1] > array[1:]).any():
            raise ValueError(f"times[{i}] decreases or has missing values. Sort X[{i}] and times[{i}] by time first.")
    return concatenate_steps(times)
