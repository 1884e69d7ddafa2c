"""Other layouts of arrays, both ways: padded, features before time, packed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._container import as_object_array
from ._kinds import as_array, check_kind, is_missing, is_ragged, members_of


class Packed(NamedTuple):
    """The fields of PyTorch's ``PackedSequence``, as NumPy arrays.

    Attributes
    ----------
    data : ndarray of shape (n_steps_in_total, n_features)
        The first step of all sequences, from the longest to the shortest, then the second of those that have one, and so on.
    batch_sizes : ndarray of shape (longest,)
        How many sequences have each step.
    sorted_indices, unsorted_indices : ndarray of shape (n_sequences,)
        The order of the sequences in ``data``, and its inverse.
    """

    data: NDArray[Any]
    batch_sizes: NDArray[np.int64]
    sorted_indices: NDArray[np.int64]
    unsorted_indices: NDArray[np.int64]


def from_padded(
    X: ArrayLike, padding_value: Any = np.nan, *, lengths: ArrayLike | None = None, padding: str = "post"
) -> NDArray[np.object_]:
    """Remove the padding of sequences, as in tslearn's data sets, from Keras' ``pad_sequences``, or of known lengths.

    Parameters
    ----------
    X : array-like of shape (n_sequences, n_timesteps, n_features) or (n_sequences, n_timesteps)
    padding_value : float, str or datetime64, default=nan
        A step is padding if all its features are equal to this value, rounded to the dtype of ``X``, and no other step
        follows (with ``padding="pre"``: precedes). What looks like padding elsewhere stays. NaN stands for every missing
        value: NaT, and None and pandas' NA among objects.
    lengths : array-like of int of shape (n_sequences,), default=None
        The number of steps of each sequence, from 1 to ``n_timesteps``, if it is known: what
        ``torch.nn.utils.rnn.pad_packed_sequence(..., batch_first=True)`` returns beside ``X``. ``padding_value`` is then not
        looked for, so ``X`` may hold it.
    padding : {"post", "pre"}, default="post"
        Is the padding at the end or, as is the default of Keras, at the beginning?

    Returns
    -------
    sequences : ndarray of shape (n_sequences,) and dtype object
        Member ``i`` is a view of shape ``(n_timesteps_i, n_features)``; of no steps if ``X[i]`` is nothing but padding.

    Raises
    ------
    ValueError
        If ``X`` is neither 2-D nor 3-D, is empty, or its dtype can't hold ``padding_value``; or ``lengths`` do not go with it.

    See Also
    --------
    to_padded : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import from_padded
    >>> X = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, np.nan]])
    >>> [x.ravel() for x in from_padded(X)]
    [array([1., 2., 3.]), array([4.])]
    >>> [x.ravel() for x in from_padded([[1, 2, 3], [0, 0, 4]], 0, padding="pre")]
    [array([1, 2, 3]), array([4])]
    >>> [x.ravel() for x in from_padded([[1, 2, 0], [4, 0, 0]], lengths=[3, 1])]
    [array([1, 2, 0]), array([4])]
    """
    _check_padding(padding)
    check_kind(X, "X")
    array = np.asarray(X)
    if array.ndim not in (2, 3):
        raise ValueError(f"Found X with dim {array.ndim}, while (n_sequences, n_timesteps, n_features) is required.")
    n_sequences, n_steps = array.shape[:2]
    if array.size == 0:
        raise ValueError(f"Found X of shape {array.shape}, while at least 1 sequence, time step and feature are required.")
    array = array.reshape(n_sequences, n_steps, -1)
    if lengths is not None:
        n_kept = _check_lengths(lengths, n_sequences, n_steps)
    else:
        is_step: NDArray[Any] = np.any(~_equals(array, _padding_of(array.dtype, padding_value)), axis=2)
        if padding == "pre":
            is_step = is_step[:, ::-1]
        n_kept = np.max(is_step * np.arange(1, n_steps + 1), axis=1, initial=0)
    first = n_steps - n_kept if padding == "pre" else np.zeros_like(n_kept)
    return as_object_array([x[a : a + n] for x, a, n in zip(array, first.tolist(), n_kept.tolist(), strict=True)])


def to_padded(X: Any, padding_value: Any = np.nan, *, padding: str = "post") -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Pad sequences to the length of the longest, for tslearn, Keras or ``torch.nn.utils.rnn.pack_padded_sequence``.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_timesteps, n_features), or list or object array of (n_timesteps_i, n_features) arrays
    padding_value : float, str or datetime64, default=nan
        Is rounded to the dtype of ``X``; NaN is NaT among times.
    padding : {"post", "pre"}, default="post"
        Pad at the end, or at the beginning?

    Returns
    -------
    padded : ndarray of shape (n_sequences, longest, n_features)
        ``X`` itself if it is a 3-D array.
    lengths : ndarray of shape (n_sequences,)
        With them, ``from_padded(padded, lengths=lengths)`` is exact also where ``X`` holds ``padding_value``.

    Raises
    ------
    ValueError
        If ``X`` is no data set of sequences, or its dtype can't hold ``padding_value``: integers and text have no NaN.

    See Also
    --------
    from_padded : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import to_padded
    >>> padded, lengths = to_padded([np.array([1.0, 2.0, 3.0]), np.array([4.0])])
    >>> padded[:, :, 0]
    array([[ 1.,  2.,  3.],
           [ 4., nan, nan]])
    >>> lengths
    array([3, 1])
    """
    _check_padding(padding)
    members = members_of(X)
    lengths = np.array([len(x) for x in members])
    if not is_ragged(X):
        return np.asarray(X), lengths
    dtype = np.result_type(*{x.dtype for x in members})
    value = _padding_of(dtype, padding_value)
    dtype = np.result_type(dtype, value)  # text may be longer than that of X
    padded = np.full((len(members), int(lengths.max()), members[0].shape[1]), value, dtype=dtype)
    for row, x in zip(padded, members, strict=True):
        row[slice(len(row) - len(x), None) if padding == "pre" else slice(len(x))] = x
    return padded, lengths


def from_channels_first(X: Any) -> NDArray[Any]:
    """Convert the layout (n_sequences, n_features, n_timesteps) of sktime and aeon: "numpy3D", and aeon's lists.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_features, n_timesteps) or list of (n_features, n_timesteps_i) arrays or frames

    Returns
    -------
    sequences : ndarray of shape (n_sequences, n_timesteps, n_features), or (n_sequences,) and dtype object
        Views; an object array of separate sequences if they came in a list or object array.

    Raises
    ------
    ValueError
        If ``X`` is an array but not 3-D, or a member of ``X`` is not 2-D.

    See Also
    --------
    to_channels_first : The way back.

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


def to_channels_first(X: Any) -> NDArray[Any] | list[NDArray[Any]]:
    """Put features before time, as sktime and aeon have them.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_timesteps, n_features), or list or object array of (n_timesteps_i, n_features) arrays

    Returns
    -------
    collection : ndarray of shape (n_sequences, n_features, n_timesteps), or list of (n_features, n_timesteps_i) arrays
        Views; of an array an array ("numpy3D"), of separate sequences a list ("np-list" of aeon), also if their lengths happen
        to be equal.

    Raises
    ------
    ValueError
        If ``X`` is no data set of sequences.

    See Also
    --------
    from_channels_first : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import to_channels_first
    >>> to_channels_first(np.zeros((10, 50, 3))).shape
    (10, 3, 50)
    >>> [x.shape for x in to_channels_first([np.zeros((50, 3)), np.zeros((20, 3))])]
    [(3, 50), (3, 20)]
    """
    members = members_of(X)
    return [x.T for x in members] if is_ragged(X) else np.asarray(X).transpose(0, 2, 1)


def from_packed(packed: Any) -> NDArray[np.object_]:
    """Take PyTorch's ``PackedSequence`` apart.

    Parameters
    ----------
    packed : torch.nn.utils.rnn.PackedSequence, or any object with its fields
        ``data`` (n_steps_in_total, n_features) or (n_steps_in_total,), ``batch_sizes``, and ``unsorted_indices``, which may be
        None: arrays, or tensors on the CPU that need no gradient. ``sorted_indices`` say the same again and are not read.

    Returns
    -------
    sequences : ndarray of shape (n_sequences,) and dtype object
        Member ``i`` has shape ``(n_timesteps_i, n_features)``; in the order in which they were before packing.

    Raises
    ------
    TypeError
        If ``packed`` does not have these fields.
    ValueError
        If they contradict one another.

    See Also
    --------
    to_packed : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import from_packed, to_packed
    >>> packed = to_packed([np.array([1, 2]), np.array([3, 4, 5])])
    >>> [x.ravel() for x in from_packed(packed)]
    [array([1, 2]), array([3, 4, 5])]
    """
    if not hasattr(packed, "batch_sizes"):
        raise TypeError(f"packed must have the fields {', '.join(Packed._fields)}, got {type(packed).__name__}.")
    data, sizes = np.asarray(packed.data), np.asarray(packed.batch_sizes)
    if data.ndim not in (1, 2):
        raise ValueError(f"Found packed.data with dim {data.ndim}, while (n_steps_in_total, n_features) is required.")
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or not (sizes > 0).all() or (sizes[:-1] < sizes[1:]).any():
        raise ValueError(f"packed.batch_sizes must be positive integers that never increase, got {sizes}.")
    if sizes.sum() != len(data):
        raise ValueError(f"packed.data has {len(data)} steps, but packed.batch_sizes add up to {sizes.sum()}.")
    columns = np.arange(sizes.max(initial=0))
    order = columns if packed.unsorted_indices is None else np.asarray(packed.unsorted_indices)
    if not np.array_equal(np.sort(order), columns):
        raise ValueError(f"packed.unsorted_indices must have each of 0 to {len(columns) - 1} once, got {order}.")
    sizes, order = sizes.astype(np.int64), order.astype(np.int64)
    lengths = np.searchsorted(-sizes, -order)  # how many sizes are greater than the place of the sequence
    first = np.cumsum(sizes) - sizes
    return as_object_array(
        [data[first[:n] + column].reshape(n, -1) for column, n in zip(order.tolist(), lengths.tolist(), strict=True)]
    )


def to_packed(X: Any) -> Packed:
    """Pack sequences as PyTorch's ``pack_sequence(..., enforce_sorted=False)`` does, without PyTorch.

    ``PackedSequence(*map(torch.from_numpy, to_packed(X)))`` is what PyTorch's recurrent layers take. Sequences of equal length
    keep their order, which PyTorch leaves open.

    Parameters
    ----------
    X : ndarray of shape (n_sequences, n_timesteps, n_features), or list or object array of (n_timesteps_i, n_features) arrays

    Returns
    -------
    packed : namedtuple of ndarray
        ``data`` (n_steps_in_total, n_features), ``batch_sizes`` (longest,), ``sorted_indices`` and ``unsorted_indices``
        (n_sequences,).

    Raises
    ------
    ValueError
        If ``X`` is no data set of sequences.

    See Also
    --------
    from_packed : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.sequences import to_packed
    >>> packed = to_packed([np.array([1, 2]), np.array([3, 4, 5])])
    >>> packed.data.ravel()
    array([3, 1, 4, 2, 5])
    >>> packed.batch_sizes, packed.sorted_indices
    (array([2, 2, 1]), array([1, 0]))
    """
    members = members_of(X)
    lengths = np.array([len(x) for x in members])
    order = np.argsort(-lengths, kind="stable").astype(np.int64)
    steps = np.concatenate([np.arange(n) for n in lengths[order]])
    rows = np.argsort(steps, kind="stable")  # by step, and of the same step by the order of the sequences
    data = np.concatenate([members[i] for i in order])[rows]
    return Packed(data, np.bincount(steps).astype(np.int64), order, np.argsort(order).astype(np.int64))


def _check_padding(padding: str) -> None:
    if padding not in ("post", "pre"):
        raise ValueError(f"padding must be 'post' (at the end) or 'pre' (at the beginning), got {padding!r}.")


def _padding_of(dtype: np.dtype[Any], padding_value: Any) -> NDArray[Any]:
    """Make an array (dim 0) of the value in the dtype, which must have it: floats, but for rounding."""
    value, kind = np.empty((), dtype), dtype.kind
    if kind == "O":
        value[()] = padding_value
        return value
    if kind in "fcmM" and is_missing(padding_value):
        return np.array("NaT" if kind in "mM" else np.nan, dtype)
    if kind in "US":
        value = np.asarray(padding_value)  # of any length
        is_held = value.dtype.kind == kind
    else:
        try:
            with np.errstate(invalid="ignore", over="ignore"):
                value = np.asarray(padding_value).astype(dtype)
                is_held = bool(np.isfinite(value) == np.isfinite(padding_value) if kind in "fc" else value == padding_value)
        except (TypeError, ValueError):
            is_held = False
    if not is_held:
        raise ValueError(
            f"padding_value={padding_value} is no value of {dtype}, which X holds. Choose another one, or another dtype of X."
        )
    return value


def _equals(array: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
    """Compare to one value (dim 0), where all missing values are the same."""
    if array.dtype != object:
        return np.asarray(array != array if is_missing(value[()]) else array == value)
    missing = np.array([is_missing(x) for x in array.flat], dtype=bool).reshape(array.shape)
    if is_missing(value[()]):
        return missing
    equal = np.zeros(array.shape, dtype=bool)
    equal[~missing] = array[~missing] == value[()]
    return equal


def _check_lengths(lengths: ArrayLike, n_sequences: int, n_steps: int) -> NDArray[np.integer]:
    array = np.asarray(lengths)
    if array.shape != (n_sequences,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"lengths must be one integer for each of the {n_sequences} sequences, got shape {array.shape} and {array.dtype}."
        )
    for i in np.flatnonzero((array < 1) | (array > n_steps)):
        raise ValueError(f"lengths[{i}] is {array[i]}, but X has {n_steps} time steps: from 1 to {n_steps} is required.")
    return array
