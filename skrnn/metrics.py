"""scikit-learn's metrics on every step, for estimators that predict one target per time step."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from .sequences import concatenate_steps, is_stepwise

__all__ = ["make_step_scorer"]

#: methods whose result has one entry per step
RESPONSE_METHODS = frozenset({"predict", "predict_proba", "predict_log_proba", "decision_function"})


def make_step_scorer(scoring: Any) -> _StepScorer:
    """Make a scorer of targets at every step from any scorer of scikit-learn.

    The steps of all sequences are scored as if each were a sample of its own, so long sequences count more than short ones.

    Parameters
    ----------
    scoring : str, callable, or list, tuple, set or dict of them
        One scorer as for :func:`sklearn.metrics.check_scoring`: a name such as ``"f1_macro"``, the result of
        :func:`sklearn.metrics.make_scorer`, or a callable ``scorer(estimator, X, y)``, whose estimator predicts, and whose
        ``y`` holds, the steps one after the other. Several of them make a scorer that returns a dict, and predicts only once.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y, sample_weight=None)``, where ``y`` and the predictions have one entry per step in
        any form that :func:`skrnn.sequences.concatenate_steps` takes, and weights have one per sequence or one per step. It
        can be ``scoring`` in scikit-learn's searches and cross-validation, also with processes.

    See Also
    --------
    skrnn.sequences.concatenate_steps : The form that scikit-learn's metrics take.

    Notes
    -----
    With metadata routing, it requests what the scorer that it was made from requests:
    ``make_step_scorer(get_scorer("accuracy").set_score_request(sample_weight=True))``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skrnn import RNNClassifier
    >>> from skrnn.metrics import make_step_scorer
    >>> X = np.random.default_rng(0).normal(size=(30, 5, 1))
    >>> y = np.where(X.cumsum(axis=1)[:, :, 0] > 0, "above", "below")
    >>> clf = RNNClassifier(hidden_layer_sizes=4, return_sequences=True, learning_rate="cosine", max_iter=5, random_state=0)
    >>> search = GridSearchCV(clf, {"cell": ["rnn", "gru"]}, scoring=make_step_scorer("f1_macro"), cv=2).fit(X, y)
    >>> search.scorer_
    make_step_scorer('f1_macro')
    >>> bool(0 < search.best_score_ <= 1)
    True
    """
    return _StepScorer(scoring)


class _StepScorer:
    """What ``make_step_scorer`` returns."""

    def __init__(self, scoring: Any) -> None:
        from sklearn.metrics import check_scoring  # takes longer to import than this package

        self._scoring = scoring
        self._scorer = check_scoring(scoring=scoring)

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        """Score the predictions for ``X``; ``params`` go to the scorer as they are."""
        steps, lengths = _concatenate(y, "y")
        if sample_weight is not None:
            params["sample_weight"] = _weights_of_steps(sample_weight, lengths)
        return self._scorer(_StepwiseEstimator(estimator, lengths), X, steps, **params)

    def __repr__(self) -> str:
        return f"make_step_scorer({self._scoring!r})"

    def get_metadata_routing(self) -> Any:
        """Request what the wrapped scorer requests."""
        return get_routing_for_object(self._scorer)

    def _accept_sample_weight(self) -> bool:
        """Answer scikit-learn from 1.9 on, whose searches score with the weights of ``fit`` where this is true."""
        accept = getattr(self._scorer, "_accept_sample_weight", None)
        return accept() if accept else "sample_weight" in signature(self._scorer).parameters


class _StepwiseEstimator:
    """A fitted estimator, whose predictions are concatenated.

    Parameters
    ----------
    estimator : estimator
    lengths : array of int (n_sequences,)
        How many steps are expected of each sequence.
    """

    def __init__(self, estimator: Any, lengths: NDArray[np.intp]) -> None:
        self.estimator_, self._lengths = estimator, lengths

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator_)

    def __getattr__(self, name: str) -> Any:
        """Offer what the estimator offers."""
        if name.startswith("__"):  # of Python's protocols, such as copying
            raise AttributeError(name)
        attribute = getattr(self.estimator_, name)
        if name not in RESPONSE_METHODS:
            return attribute

        def response(X: Any) -> NDArray[Any]:
            return _concatenate(attribute(X), f"{name}(X)", self._lengths)[0]

        response.__name__ = name  # scikit-learn asks for it
        return response


def _concatenate(values: Any, name: str, expected: NDArray[np.intp] | None = None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Concatenate the steps, and return the lengths too, which must be as expected."""
    try:
        steps = concatenate_steps(values)
    except ValueError as error:
        raise ValueError(f"{name} must have one entry per time step: {error}") from error
    lengths = np.array([len(member) for member in _members(values)])
    if expected is None:
        return steps, lengths
    if len(lengths) != len(expected):
        raise ValueError(f"y has {len(expected)} sequences, but {name} has {len(lengths)}.")
    for i in np.flatnonzero(lengths != expected)[:1]:
        raise ValueError(f"y[{i}] has {expected[i]} steps, but {name}[{i}] has {lengths[i]}.")
    return steps, lengths


def _weights_of_steps(sample_weight: Any, lengths: NDArray[np.intp]) -> NDArray[Any]:
    """Repeat the weight of a sequence for each of its steps, or concatenate those of steps."""
    weight = _members(sample_weight)
    if is_stepwise(weight):
        return _concatenate(weight, "sample_weight", lengths)[0]
    check_consistent_length(lengths, weight)
    return np.repeat(weight, lengths)


def _members(values: Any) -> Any:
    """Make the sequences what iteration and index go over, which are the columns of a frame."""
    return values if isinstance(values, list | tuple) else np.asarray(values)
