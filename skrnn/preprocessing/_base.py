"""What transformers have in common that return sequences."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import TransformerMixin


class SequenceTransformer(TransformerMixin, auto_wrap_output_keys=None):  # type: ignore[call-arg, misc]  # no stubs
    """A transformer whose output is never wrapped in a frame."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Switch scikit-learn's wrapping off in the subclass too."""
        super().__init_subclass__(auto_wrap_output_keys=None, **kwargs)

    def set_output(self, *, transform: str | None = None) -> Self:  # noqa: ARG002  # the name is scikit-learn's
        """Do nothing, so that ``set_output`` of a pipeline works: sequences are always returned as arrays.

        Parameters
        ----------
        transform : str, default=None
            Ignored.

        Returns
        -------
        self : estimator
        """
        return self
