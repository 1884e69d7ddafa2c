"""scikit-learn's callbacks (from 1.9 on): the tasks that ``fit`` is made of, and what their hooks are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from sklearn.utils import _safe_indexing, indexable

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9, where no estimator has callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]  # in place of the one that could not be imported
        """Nothing to support."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Epochs", "has_callbacks", "with_epochs", "with_inner"]


def has_callbacks(estimator: Any) -> bool:
    """Tell whether anybody listens; otherwise there is no task."""
    return bool(getattr(estimator, "_skl_callbacks", None))


@dataclass
class Epochs:
    """The leaves of the tree of tasks: epochs, or iterations of L-BFGS. Without a context, nobody listens."""

    #: that of ``fit``, whose subtasks these are
    context: Any = None
    estimator: Any = None
    #: what ``fit`` was given
    X: Any = None
    y: Any = None
    sample_weight: Any = None
    #: (run) -> attributes of an estimator that is fitted by it, copied
    attributes: Any = None
    #: which of the sequences are trained on, if not all
    index: NDArray[Any] | None = None
    _epoch: Any = None

    @property
    def has_begun(self) -> bool:
        """Whether an epoch has begun and not ended."""
        return self._epoch is not None

    def begin(self, left: Callable[[], Any]) -> None:
        """Begin an epoch; ``left()`` is the run as it is left if training stops now."""
        if self.context is not None:
            self._epoch = self.context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._given(left))

    def end(self, left: Callable[[], Any]) -> bool:
        """End it, and tell whether training shall stop."""
        if not self.has_begun:
            return False
        epoch, self._epoch = self._epoch, None
        return bool(epoch.call_on_fit_task_end(**self._given(left)))

    def _given(self, left: Callable[[], Any]) -> dict[str, Any]:
        """Return what a hook may ask for; scikit-learn calls the functions only if it does."""
        return {
            "estimator": self.estimator,
            "X": lambda: self._trained_on(self.X),
            "y": lambda: self._trained_on(self.y),
            "metadata": lambda: _metadata(self._trained_on(self.sample_weight)),
            "reconstruction_attributes": lambda: self.attributes(left()),
        }

    def _trained_on(self, values: Any) -> Any:
        return values if values is None or self.index is None else _safe_indexing(indexable(values)[0], self.index)


@with_callbacks  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
def with_epochs(estimator: Any, train: Callable[[Epochs], Any], n_epochs: int, **given: Any) -> None:
    """Call ``train`` with ``Epochs(**given)`` for an estimator that has callbacks, and set these up before and down after it.

    Parameters
    ----------
    estimator : estimator
    train : callable
        Sets the fitted attributes, and returns the run.
    n_epochs : int
        The most that there can be.
    **given
        ``X``, ``y``, ``sample_weight`` and ``attributes`` of ``Epochs``.
    """
    context = estimator._init_callback_context(max_subtasks=n_epochs)
    data = {"X": given["X"], "y": given["y"], "metadata": _metadata(given["sample_weight"])}
    context.call_on_fit_task_begin(estimator=estimator, **data)
    run = train(Epochs(context, estimator, **given))
    attributes = given["attributes"]
    context.call_on_fit_task_end(estimator=estimator, **data, reconstruction_attributes=lambda: attributes(run))


@with_callbacks  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
def with_inner(estimator: Any, inner: Any, fit: Callable[[], Any], X: Any, y: Any) -> None:
    """Call ``fit``, which fits ``inner``, as the one task of an estimator that has callbacks; hand these on to ``inner``."""
    context = estimator._init_callback_context(max_subtasks=1)
    data = {"estimator": estimator, "X": X, "y": y}
    context.call_on_fit_task_begin(**data)
    task = context.subcontext(task_name="fit-transformer")
    with task.propagate_callback_context(inner):
        task.call_on_fit_task_begin(**data)
        fit()
        task.call_on_fit_task_end(**data)
    context.call_on_fit_task_end(**data)


def _metadata(sample_weight: Any) -> dict[str, Any] | None:
    return None if sample_weight is None else {"sample_weight": sample_weight}
