"""The Japanese Vowels data of Kudo, Toyama and Shimbo (1999)."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from ..sequences import split_steps

N_SPEAKERS = 9
N_COEFFICIENTS = 12


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    {"subset": [StrOptions({"train", "test"})], "return_X_y": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_japanese_vowels(
    subset: Literal["train", "test"] = "train", return_X_y: bool = False
) -> Bunch | tuple[npt.NDArray[np.object_], npt.NDArray[Any]]:
    """Load the Japanese Vowels data (classification of multivariate sequences of unequal length).

    Nine male speakers uttered the vowels /ae/; which of them speaks is to be told from 7 to 29 frames of 12
    coefficients. The split is the official one. The data ship with the package; nothing is downloaded.

    ===================  ==================================
    Classes              9 speakers
    Sequences            270 in "train", 370 in "test"
    Sequences per class  30 in "train", 24 to 88 in "test"
    Steps per sequence   7 to 29
    Features per step    12, real, about -1.9 to 2.2
    ===================  ==================================

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The part of the official split to load.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the attributes:

        data : ndarray of shape (n_sequences,) and dtype object
            Each member is a float64 array of shape (n_timesteps_i, 12): the LPC cepstrum coefficients of
            consecutive frames.
        target : ndarray of shape (n_sequences,) and dtype int64
            The speaker, 1 to 9. The sequences are sorted by speaker.
        feature_names : list of str
            The names of the 12 features, in order.
        target_names : list of str
            The names of the 9 classes, in the order of their labels.
        DESCR : str
            The full description of the data, with its source and licence.

    (data, target) : tuple of ndarray
        The two arrays above, if ``return_X_y`` is True.

    Raises
    ------
    ValueError
        If ``subset`` is neither "train" nor "test".

    References
    ----------
    .. [1] M. Kudo, J. Toyama and M. Shimbo (1999). "Multidimensional curve classification using
       passing-through regions". Pattern Recognition Letters 20(11-13), 1103-1111.
       https://doi.org/10.1016/S0167-8655(99)00077-X
    .. [2] M. Kudo, J. Toyama and M. Shimbo (1999). Japanese Vowels. UCI Machine Learning Repository.
       https://doi.org/10.24432/C5NS47 (CC BY 4.0)

    Examples
    --------
    >>> from skrnn.datasets import load_japanese_vowels
    >>> X, y = load_japanese_vowels(return_X_y=True)
    >>> X.shape, X[0].shape, X[1].shape
    ((270,), (20, 12), (26, 12))
    >>> int(y[0]), int(y[-1])
    (1, 9)
    """
    folder = files("skrnn.datasets") / "data"
    with (folder / "japanese_vowels.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        # The published values have six decimals; as integer millionths they take half the space, and the
        # division gives back the very same float64.
        steps = archive[f"{subset}_millionths"] / 1e6
        lengths = archive[f"{subset}_lengths"]
        target = archive[f"{subset}_target"]
    data = split_steps(steps, lengths)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        feature_names=[f"lpc_cepstrum_{k}" for k in range(1, N_COEFFICIENTS + 1)],
        target_names=[f"speaker {k}" for k in range(1, N_SPEAKERS + 1)],
        DESCR=(folder / "japanese_vowels.rst").read_text(encoding="utf-8"),
    )
