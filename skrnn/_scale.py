"""Warnings about features and targets that are orders of magnitude away from one, where networks learn slowly or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._warnings import warn

#: root mean squares of features, and standard deviations of targets, that go without a warning
LEAST, LARGEST = 0.05, 20.0
#: how many times as large as the greatest value of another feature a root mean square may be
LARGEST_RATIO = 100.0
#: what is so much smaller than other numbers comes from rounding
NEGLIGIBLE = 1e-8


def warn_of_features(values: NDArray[Any]) -> None:
    """Warn if a feature of all steps, (n_steps_in_total, n_features), is far from one or from the others."""
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.sqrt(np.einsum("ij,ij->j", values, values, dtype=np.float64) / len(values))
        highest, lowest = values.max(axis=0), values.min(axis=0)
        peak = np.maximum(highest, -lowest)  # what is rarely there is not small
        greatest = float(size.max())
        varies = (highest > lowest) & (peak > NEGLIGIBLE * greatest)
    if greatest == 0:
        return
    largest, smallest = int(size.argmax()), int(np.where(varies, peak, np.inf).argmin())
    differ = varies.any() and greatest > LARGEST_RATIO * peak[smallest]
    if LEAST <= greatest <= LARGEST and not differ:
        return
    which = f"feature {largest} has a root mean square of {greatest:.2g}"
    if differ:
        which += f", feature {smallest} of {size[smallest]:.2g}"
    ids = " If it is a token id, set embedding_dim." if len(size) == 1 and (values == np.rint(values)).all() else ""
    warn(
        f"X is not scaled: {which}. Networks learn best from features of about one; scale them, for example with "
        f"make_pipeline(PerStep(StandardScaler()), ...) of skrnn.preprocessing and scikit-learn.{ids}"
    )


def warn_of_targets(y: NDArray[Any], weight: NDArray[Any]) -> None:
    """Warn if the spread of real targets, (n_outputs, n), is far from one; those of weight zero don't count."""
    y = y[:, weight > 0]
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.std(y, axis=1, dtype=np.float64)
        known = spread[spread > NEGLIGIBLE * np.abs(y).max(axis=1)]
    if len(known) and not (known.min() >= LEAST and known.max() <= LARGEST):
        worst = known.min() if known.max() <= LARGEST else known.max()
        warn(
            f"y is not scaled: its standard deviation is {worst:.2g}. Networks learn best to predict what varies by about one; "
            "scale them, for example with TransformedTargetRegressor(..., transformer=StandardScaler()) of scikit-learn."
        )
