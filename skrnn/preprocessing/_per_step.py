"""``PerStep``: scikit-learn's transformers, applied to every time step of sequences."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import _safe_indexing, check_consistent_length, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .._callbacks import CallbackSupportMixin, has_callbacks, with_inner
from ..sequences import Sequences, check_sequences, check_steps, is_stepwise
from ._base import SequenceTransformer


def _transformer_has(method: str) -> Callable[[PerStep], bool]:
    def check(self: PerStep) -> bool:
        getattr(getattr(self, "transformer_", self.transformer), method)
        return True

    return check


class PerStep(CallbackSupportMixin, SequenceTransformer, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no stubs
    """Apply a transformer to every time step of sequences.

    The transformer sees one row for each step of each sequence and one column for each feature: a ``StandardScaler`` computes
    one mean and one scale for each feature, over all steps of all sequences.

    Parameters
    ----------
    transformer : transformer
        Any transformer of scikit-learn that returns one row for each row; a clone of it is fitted. Whether NaN, text or other
        than real numbers are allowed is up to the transformer.

    n_features_per_step : int, default=1
        How many columns of 2-D input make up one step; the row is read step by step. Ignored for other input.

    Attributes
    ----------
    transformer_ : transformer
        The fitted transformer.

    n_features_in_ : int
        Number of columns of 2-D input, of features per step otherwise.

    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Names of the columns, where the input was a frame with string names.

    n_features_per_step_ : int
        Number of features per step, in every form of input.

    See Also
    --------
    sklearn.compose.ColumnTransformer : Transforms some of the features, also within ``PerStep``.

    Notes
    -----
    What comes out has the form of what came in: a 3-D array for a 3-D array, a 1-D object array of 2-D arrays for separate
    sequences in a list or object array, and rows of flattened sequences for a 2-D array or frame. If the transformer changes
    the number of features, ``n_features_per_step`` of the next step of a pipeline changes with it for 2-D input.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrnn.preprocessing import PerStep
    >>> X = [np.array([[1.0, 10.0], [3.0, 30.0]]), np.array([[2.0, 20.0]])]
    >>> for x in PerStep(StandardScaler()).fit_transform(X):
    ...     print(x.round(2))
    [[-1.22 -1.22]
     [ 1.22  1.22]]
    [[0. 0.]]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "transformer": [HasMethods(["fit", "transform"])],
        "n_features_per_step": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, transformer: Any, n_features_per_step: int = 1) -> None:
        self.transformer = transformer
        self.n_features_per_step = n_features_per_step

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit the transformer to all steps of all sequences.

        Parameters
        ----------
        X : array (n_sequences, n_timesteps, n_features), list or object array of (n_timesteps_i, n_features) arrays, or \
                array or frame (n_sequences, n_columns)
            Sequences.
        y : array-like of shape (n_sequences,) or (n_sequences, n_outputs), default=None
            Targets, repeated for every step of their sequence. Targets for each step can't be told apart from these: they do
            no harm to a transformer that ignores ``y``, and are of no use to others.
        **fit_params : dict
            Passed on to ``fit`` of the transformer; what has one entry for each sequence, such as ``sample_weight``, is
            repeated like ``y``. A ``sample_weight`` may also have one entry for each step. With scikit-learn's metadata
            routing, the transformer gets what it requests.

        Returns
        -------
        self : PerStep
            Fitted.
        """
        transformer = clone(self.transformer)
        sequences = self._check(X, reset=True)
        if _routing_enabled():
            fit_params = process_routing(self, "fit", **fit_params).transformer.fit
        y_of_steps = None if y is None else _repeat(y, sequences)
        for name, value in fit_params.items():
            if name == "sample_weight" and is_stepwise(value):
                fit_params[name] = check_steps(value, sequences, name)
            elif np.shape(value)[:1] == (len(sequences),):
                fit_params[name] = _repeat(value, sequences)

        def fit() -> None:
            self.transformer_ = transformer.fit(sequences.values, y_of_steps, **fit_params)
            self.n_features_per_step_ = sequences.n_features

        if has_callbacks(self):
            with_inner(self, transformer, fit, X, y)
        else:
            fit()
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Transform every step.

        Parameters
        ----------
        X : array, list of arrays or frame
            Sequences in any form that ``fit`` takes; their number of steps may differ, except for 2-D input.

        Returns
        -------
        X_new : ndarray of shape (n_sequences, n_timesteps, n_features_new), (n_sequences,) and dtype object, or \
                (n_sequences, n_columns_new)
            In the form of ``X``.
        """
        check_is_fitted(self)
        sequences = self._check(X, reset=False)
        if sequences.n_features != self.n_features_per_step_:
            raise ValueError(
                f"X has {sequences.n_features} features per step, but PerStep was fitted with {self.n_features_per_step_}."
            )
        return _apply(self.transformer_.transform, sequences.values, sequences)

    @available_if(_transformer_has("inverse_transform"))  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Undo the transformation of every step.

        Parameters
        ----------
        X : array, list of arrays or frame
            Transformed sequences, in any form that ``transform`` returns.

        Returns
        -------
        X_original : ndarray
            In the form of ``X``.
        """
        check_is_fitted(self)
        # a copy takes any number of features: that of transformed steps is known to the transformer only
        sequences = check_sequences(copy(self), X, reset=True, dtype=None, ensure_all_finite=False)
        steps = sequences.values
        if sequences.flat:
            if sequences.longest % self._n_steps_of_row:
                raise ValueError(
                    f"X has {sequences.longest} columns, which is not a multiple of the {self._n_steps_of_row} steps of the "
                    "rows PerStep was fitted with."
                )
            steps = steps.reshape(len(sequences) * self._n_steps_of_row, -1)
        return _apply(self.transformer_.inverse_transform, steps, sequences)

    @available_if(_transformer_has("get_feature_names_out"))  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Name the features of a transformed step; for 2-D input, the columns, step by step.

        Parameters
        ----------
        input_features : array-like of str of shape (``n_features_in_``,), default=None
            Names of the input; None takes ``feature_names_in_`` or x0, x1, ...

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        steps = np.split(_check_feature_names_in(self, input_features), self._n_steps_of_row)
        return np.concatenate([self.transformer_.get_feature_names_out(names) for names in steps])

    def get_metadata_routing(self) -> MetadataRouter:
        """Say what the transformer requests of the metadata that ``fit`` is given.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        methods = MethodMapping().add(caller="fit", callee="fit").add(caller="fit_transform", callee="fit")
        return MetadataRouter(owner=self).add(transformer=self.transformer, method_mapping=methods)

    @property
    def _n_steps_of_row(self) -> int:
        """Steps of a row of 2-D input; 1 for other input."""
        return int(self.n_features_in_ // self.n_features_per_step_)

    def _check(self, X: Any, *, reset: bool) -> Sequences:
        return check_sequences(
            self, X, reset=reset, n_features_per_step=self.n_features_per_step, dtype=None, ensure_all_finite=False
        )

    def __sklearn_tags__(self) -> Any:
        """Take from the transformer what it says of its input, output and target."""
        tags, inner = super().__sklearn_tags__(), get_tags(self.transformer)
        tags.input_tags = replace(inner.input_tags, two_d_array=True, three_d_array=True, sparse=False, pairwise=False)
        tags.target_tags.required = inner.target_tags.required
        tags.transformer_tags = inner.transformer_tags or tags.transformer_tags
        tags.non_deterministic = inner.non_deterministic
        tags.no_validation = inner.no_validation
        return tags


def _repeat(values: Any, sequences: Sequences) -> Any:
    """Repeat what is given for each sequence for each of its steps."""
    if not isinstance(values, list | tuple):
        array = np.asarray(values)
        values = array if array.ndim == 1 else list(array)  # of rows, which are repeated without being copied
    check_consistent_length(sequences.lengths, values)
    return _safe_indexing(values, np.repeat(np.arange(len(sequences)), sequences.lengths))


def _apply(function: Callable[[NDArray[Any]], Any], steps: NDArray[Any], sequences: Sequences) -> NDArray[Any]:
    """Transform the steps and arrange the result in the form of the input."""
    new = function(steps)
    new = new.toarray() if issparse(new) else np.asarray(new)
    if len(new) != len(steps):
        raise ValueError(f"The transformer returned {len(new)} rows for {len(steps)} steps; PerStep needs one row for each.")
    if sequences.flat:
        return new.reshape(len(sequences), -1)
    return sequences.in_form_of_input(new.reshape(len(steps), -1))
