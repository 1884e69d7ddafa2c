"""``SlidingWindow``: rows in time become overlapping sequences."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import SequenceTransformer


class SlidingWindow(OneToOneFeatureMixin, SequenceTransformer, BaseEstimator):  # type: ignore[misc]  # no stubs
    """Make a window of the last rows of each row in time.

    Window ``i`` holds row ``i`` and the ``width - 1`` rows before it, and nothing later. There is one window for each row, so
    ``y`` stays as it is: the target of row ``i`` is whatever is to be predicted when row ``i`` has just been seen.

    Parameters
    ----------
    width : int
        Number of rows in a window, this row included.

    padding : {"edge"} or None, default=None
        What the first ``width - 1`` windows hold where there is no earlier row: None makes them shorter; "edge" repeats the
        first row.

    follows_fit : bool, default=False
        Let ``transform`` take its rows to follow those given to ``fit`` without a gap, so that its first windows begin with
        the last rows of these. ``fit_transform`` makes the windows of the rows that it fits, as ever; those rows must not be
        given to ``transform`` again.

    Attributes
    ----------
    width_ : int
        The ``width`` at the time of ``fit``, which ``transform`` keeps to.

    last_rows_ : ndarray of shape (n_remembered, n_features)
        The last ``width - 1`` rows given to ``fit``, or fewer if there were fewer; none with ``follows_fit=False``.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Names of the features, where the input was a frame with string names.

    See Also
    --------
    sklearn.model_selection.TimeSeriesSplit : Splits rows in time, the training part before the test part.
    PerStep : Transforms every step of sequences; before ``SlidingWindow``, transformers are used as they are.

    Notes
    -----
    Windows are read-only views of one copy of the rows, which overlap. Sparse rows, of a ``OneHotEncoder`` for instance, become
    dense. Nothing is learned but the last rows, if asked for: windows of ``transform`` never depend on later rows. What is
    learned from the rows, such as a scale, belongs before this step in a pipeline, and is then learned from the training rows
    of each split.

    With ``follows_fit=True``, ``fit_transform`` differs from ``fit`` and ``transform`` on the same rows, which would put the
    last of them before the first.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.preprocessing import SlidingWindow
    >>> X = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> [window.ravel() for window in SlidingWindow(3).fit_transform(X)]
    [array([1.]), array([1., 2.]), array([1., 2., 3.]), array([2., 3., 4.])]
    >>> SlidingWindow(3, padding="edge").fit_transform(X)[:, :, 0]
    array([[1., 1., 1.],
           [1., 1., 2.],
           [1., 2., 3.],
           [2., 3., 4.]])
    >>> [window.ravel() for window in SlidingWindow(3, follows_fit=True).fit(X).transform([[5.0], [6.0]])]
    [array([3., 4., 5.]), array([4., 5., 6.])]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "padding": [StrOptions({"edge"}), None],
        "follows_fit": ["boolean"],
    }

    def __init__(self, width: int, padding: Literal["edge"] | None = None, follows_fit: bool = False) -> None:
        self.width = width
        self.padding = padding
        self.follows_fit = follows_fit

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  # the name is scikit-learn's
        """Validate the rows, and remember the last of them with ``follows_fit=True``.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_rows, n_features)
            Rows in time, from the first to the last.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : SlidingWindow
            Fitted.
        """
        self._fit(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:  # noqa: ARG002  # the name is scikit-learn's
        """Fit to the rows and make their windows, of which the first have no earlier rows.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_rows, n_features)
            Rows in time, from the first to the last.
        y : object, default=None
            Ignored.

        Returns
        -------
        windows : ndarray of shape (n_rows,) and dtype object, or (n_rows, width, n_features)
            As of ``transform``.
        """
        rows = self._fit(X)
        return self._windows_of(rows[:0], rows)

    def transform(self, X: Any) -> NDArray[Any]:
        """Make a window for each row.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_rows, n_features)
            Rows in time, from the first to the last; with ``follows_fit=True``, those that follow the rows given to ``fit``.

        Returns
        -------
        windows : ndarray of shape (n_rows,) and dtype object, or (n_rows, width, n_features)
            With ``padding=None`` an object array, of which member ``i`` has shape ``(n_i, n_features)`` and ``n_i`` is at
            most ``width``; with ``padding="edge"`` one array. Both are read-only, and have the dtype of ``X``.
        """
        check_is_fitted(self)
        rows = self._check(X, reset=False)
        return self._windows_of(self.last_rows_, rows)

    def _check(self, X: Any, *, reset: bool) -> NDArray[Any]:
        if np.ma.is_masked(X):
            raise ValueError("X is a masked array with masked values. Fill them, with NaN for instance, and impute them.")
        X = validate_data(self, X, reset=reset, accept_sparse=True, dtype="numeric", ensure_all_finite=False)
        rows: NDArray[Any] = X.toarray() if issparse(X) else X
        return rows

    def _fit(self, X: Any) -> NDArray[Any]:
        rows = self._check(X, reset=True)
        self.width_ = self.width
        n_remembered = min(self.width_ - 1, len(rows)) if self.follows_fit else 0
        self.last_rows_ = rows[len(rows) - n_remembered :].copy()
        return rows

    def _windows_of(self, earlier: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        """One window for each of the rows, which may begin in the earlier ones."""
        if self.padding == "edge":
            first = np.concatenate([earlier, rows[:1]])[:1]
            earlier = np.concatenate([np.repeat(first, self.width_ - 1 - len(earlier), axis=0), earlier])
        n_windows, rows = len(rows), np.concatenate([earlier, rows])
        rows.flags.writeable = False  # windows overlap, so writing into one would change others
        if self.padding == "edge":
            return sliding_window_view(rows, self.width_, axis=0).transpose(0, 2, 1)
        windows = np.empty(n_windows, dtype=object)
        for i, stop in enumerate(range(len(earlier) + 1, len(rows) + 1)):
            windows[i] = rows[max(stop - self.width_, 0) : stop]
        return windows

    def __sklearn_tags__(self) -> Any:
        """Say that NaN and sparse rows pass, and which dtypes are kept."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if self.padding == "edge" else []  # object arrays
        return tags
