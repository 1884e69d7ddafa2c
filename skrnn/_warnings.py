"""Warnings that point at the line of the user's, not at ours."""

from __future__ import annotations

import sys
import warnings

from sklearn.exceptions import ConvergenceWarning

#: what stands between a call of ``fit`` and us
WRAPPERS = ("skrnn", "sklearn.base", "sklearn.callback")


def warn(message: str) -> None:
    """Warn of convergence, at the first line up the stack that is neither of this package nor of scikit-learn's wrappers."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals['__name__']}.".startswith(tuple(f"{name}." for name in WRAPPERS)):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, ConvergenceWarning, stacklevel=level + 1)
