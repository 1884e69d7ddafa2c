"""Warnings about features and targets that are orders of magnitude away from one, where networks learn slowly or not at all."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

#: root mean squares of a feature that go without a warning
LEAST, LARGEST = 0.01, 100.0
#: and standard deviations of a target, which matter more: the readout has to learn them at the rate of all other weights
LEAST_TARGET, LARGEST_TARGET = 0.05, 20.0
#: and how many times as large as another one a feature may be, if it is larger than this
LARGEST_RATIO, LARGE = 1000.0, 10.0
#: what is so much smaller than other numbers comes from rounding
NEGLIGIBLE = 1e-8


def warn_of_features(values: NDArray[Any]) -> None:
    """Warn if a feature of all steps, (n_steps_in_total, n_features), is far from one or from the others."""
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.sqrt(np.einsum("ij,ij->j", values, values, dtype=np.float64) / len(values))
        greatest = float(size.max())
        known = size[size > NEGLIGIBLE * greatest] if np.isfinite(greatest) else size[size > 0]
    if len(known) == 0:
        return
    differ = greatest > LARGE and greatest > LARGEST_RATIO * known.min()
    if LEAST <= greatest <= LARGEST and not differ:
        return
    largest = int(size.argmax())
    which = f"feature {largest} has a root mean square of {greatest:.2g}"
    if differ:
        smallest = int(np.flatnonzero(size == known.min())[0])
        which += f", feature {smallest} of {size[smallest]:.2g}"
    ids = " If it is a token id, set embedding_dim." if len(size) == 1 and (values == np.rint(values)).all() else ""
    _warn(
        f"X is not scaled: {which}. Networks learn best from features of about one; scale them, for example with "
        f"make_pipeline(PerStep(StandardScaler()), ...) of skrnn.preprocessing and scikit-learn.{ids}"
    )


def warn_of_targets(y: NDArray[Any], weight: NDArray[Any]) -> None:
    """Warn if the spread of real targets, (n_outputs, n), is far from one; those of weight zero don't count."""
    y = y[:, weight > 0]
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.std(y, axis=1, dtype=np.float64)
        known = spread[spread > NEGLIGIBLE * np.abs(y).max(axis=1)]
    if len(known) and not (known.min() >= LEAST_TARGET and known.max() <= LARGEST_TARGET):
        worst = known.min() if known.max() <= LARGEST_TARGET else known.max()
        _warn(
            f"y is not scaled: its standard deviation is {worst:.2g}. Networks learn best to predict what varies by about one; "
            "scale them, for example with TransformedTargetRegressor(..., transformer=StandardScaler()) of scikit-learn."
        )


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=2)
