"""Other layouts become sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._container import as_object_array, split_steps
from ._kinds import as_array, check_kind, is_ragged


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
    check_kind(X, "X")
    array = np.asarray(X)
    if array.ndim not in (2, 3):
        raise ValueError(f"Found X with dim {array.ndim}, while (n_sequences, n_timesteps, n_features) is required.")
    array = array.reshape(*array.shape[:2], -1)
    is_padding = np.isnan(array) if np.isnan(padding_value) else array == padding_value
    is_step = ~is_padding.all(axis=2)
    lengths = np.max(is_step * np.arange(1, array.shape[1] + 1), axis=1, initial=0)
    return as_object_array([x[:length] for x, length in zip(array, lengths, strict=True)])


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
    check_kind(X, "X")
    if not is_ragged(X):
        array = np.asarray(X)
        if array.ndim != 3:
            raise ValueError(f"Found X with dim {array.ndim}, while (n_sequences, n_features, n_timesteps) is required.")
        return array.transpose(0, 2, 1)
    members = [as_array(x, f"X[{i}]") for i, x in enumerate(X)]
    for i, x in enumerate(members):
        if x.ndim != 2:
            raise ValueError(f"Found X[{i}] with dim {x.ndim}, while (n_features, n_timesteps) is required.")
    return as_object_array([x.T for x in members])


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
