"""The classical synthetic tasks that ask a recurrent network to remember."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from ..sequences import split_steps

# Temporal order: the distractors come first.
SYMBOLS = "abcdXYEB"
N_DISTRACTORS = 4

# Copy memory: the categories below BLANK are the symbols to copy.
N_COPIED = 10
BLANK = 8
DELIMITER = 9


def _constraints(min_timesteps: int) -> dict[str, list[Any]]:
    """Constraints on the parameters that all the tasks share."""
    return {
        "n_sequences": [Interval(Integral, 1, None, closed="left")],
        "n_timesteps": [Interval(Integral, min_timesteps, None, closed="left")],
        "random_state": ["random_state"],
    }


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    _constraints(min_timesteps=2), prefer_skip_nested_validation=True
)
def make_adding(
    n_sequences: int = 1000,
    n_timesteps: int = 100,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Generate the adding problem: the sum of two marked values in a long sequence (regression).

    The protocol is that of Arjovsky, Shah and Bengio [1]_, with values in [0, 1] as in Le, Jaitly and Hinton
    [2]_. The first feature of each step is a value drawn uniformly from [0, 1). The second is a marker, 1 at
    exactly two steps and 0 elsewhere: one marked step is drawn uniformly from the first half of the sequence
    (steps 0 to ``n_timesteps // 2 - 1``), the other from the second half (the remaining steps). The target is
    the sum of the two marked values.

    Always predicting the mean, 1, has a mean squared error of 1/6 = 0.1667, the variance of the sum of two
    independent uniform values; knowing only one of the two marked values leaves 1/12.

    Parameters
    ----------
    n_sequences : int, default=1000
        Number of sequences, at least 1.
    n_timesteps : int, default=100
        Number of steps of every sequence, at least 2.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same sequences at every call.

    Returns
    -------
    X : ndarray of shape (n_sequences, n_timesteps, 2)
        The values, in [0, 1), and the markers, 0 or 1.
    y : ndarray of shape (n_sequences,)
        The sum of the two marked values, in [0, 2).

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    The original, Experiment 4 of Hochreiter and Schmidhuber [3]_, differs: values are in [-1, 1]; lengths are
    drawn from T to T + T/10; X1 is marked among the first 10 steps, then X2 among the first T/2 - 1 steps
    still unmarked; the markers of the first and the last step are -1, and X1 is set to 0 where it falls on
    the first step; the target is ``0.5 + (X1 + X2) / 4``. Mean squared errors of the two do not compare.

    References
    ----------
    .. [1] M. Arjovsky, A. Shah and Y. Bengio (2016). "Unitary evolution recurrent neural networks". ICML.
       https://arxiv.org/abs/1511.06464
    .. [2] Q. V. Le, N. Jaitly and G. E. Hinton (2015). "A simple way to initialize recurrent networks of
       rectified linear units". https://arxiv.org/abs/1504.00941
    .. [3] S. Hochreiter and J. Schmidhuber (1997). "Long short-term memory". Neural Computation 9(8),
       1735-1780. https://doi.org/10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> from skrnn.datasets import make_adding
    >>> X, y = make_adding(n_sequences=500, n_timesteps=40, random_state=0)
    >>> X.shape, y.shape
    ((500, 40, 2), (500,))
    >>> values, markers = X[0].T
    >>> bool(y[0] == values[markers == 1].sum())
    True
    """
    rng = check_random_state(random_state)
    half = n_timesteps // 2
    first = rng.randint(half, size=n_sequences)
    second = rng.randint(half, n_timesteps, size=n_sequences)
    marked = np.column_stack([first, second])
    rows = np.arange(n_sequences)[:, np.newaxis]

    X = np.zeros((n_sequences, n_timesteps, 2))
    X[:, :, 0] = rng.uniform(size=(n_sequences, n_timesteps))
    X[rows, marked, 1] = 1.0
    return X, X[rows, marked, 0].sum(axis=1)


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    _constraints(min_timesteps=10), prefer_skip_nested_validation=True
)
def make_temporal_order(
    n_sequences: int = 1000,
    n_timesteps: int = 100,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int_]]:
    """Generate the temporal order problem: the order of two symbols far apart (classification).

    With the default ``n_timesteps``, this is Task 6a of Hochreiter and Schmidhuber [1]_. Each step is one of
    the eight symbols a, b, c, d, X, Y, E, B, one-hot in this order. A sequence starts with E, ends with the
    trigger B, and otherwise consists of random distractors a, b, c, d, except at two steps t1 and t2, which
    are X or Y. The length is drawn from 100 to 110, t1 from 10 to 20 and t2 from 50 to 60, all uniformly,
    both ends included, with steps counted from 0. The class is the order of the two symbols:

    =====  =========  =========  =================
    label  symbol t1  symbol t2  name in the paper
    =====  =========  =========  =================
    0      X          X          Q
    1      X          Y          R
    2      Y          X          S
    3      Y          Y          U
    =====  =========  =========  =================

    Guessing is right for 1 sequence in 4, and remembering only one of the symbols for 1 in 2.

    Parameters
    ----------
    n_sequences : int, default=1000
        Number of sequences, at least 1.
    n_timesteps : int, default=100
        Number of steps of the shortest sequences, T, at least 10. The published ranges scale with it: with
        w = T // 10, lengths are drawn from T to T + w, t1 from w to 2 w and t2 from T // 2 to T // 2 + w.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same sequences at every call.

    Returns
    -------
    X : ndarray of shape (n_sequences,) and dtype object
        Each member is a one-hot float64 array of shape (n_timesteps_i, 8).
    y : ndarray of shape (n_sequences,)
        The class, an int from 0 to 3.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber (1997). "Long short-term memory". Neural Computation 9(8),
       1735-1780. https://doi.org/10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> from skrnn.datasets import make_temporal_order
    >>> X, y = make_temporal_order(n_sequences=3, n_timesteps=20, random_state=0)
    >>> for sequence, label in zip(X, y):
    ...     print("".join("abcdXYEB"[symbol] for symbol in sequence.argmax(axis=1)), label)
    EcaXbbbabaYadbcddacB 1
    EbdXcdabbbdaXcaddcdcB 0
    EaaaXbcaabYabccdabbB 1
    """
    rng = check_random_state(random_state)
    width = n_timesteps // 10
    half = n_timesteps // 2
    rows = np.arange(n_sequences)

    lengths = rng.randint(n_timesteps, n_timesteps + width + 1, size=n_sequences)
    t1 = rng.randint(width, 2 * width + 1, size=n_sequences)
    t2 = rng.randint(half, half + width + 1, size=n_sequences)
    is_y = rng.randint(2, size=(2, n_sequences))

    symbols = rng.randint(N_DISTRACTORS, size=(n_sequences, n_timesteps + width))
    symbols[:, 0] = SYMBOLS.index("E")
    symbols[rows, t1] = SYMBOLS.index("X") + is_y[0]
    symbols[rows, t2] = SYMBOLS.index("X") + is_y[1]
    symbols[rows, lengths - 1] = SYMBOLS.index("B")
    in_sequence = np.arange(n_timesteps + width) < lengths[:, np.newaxis]
    return split_steps(np.eye(len(SYMBOLS))[symbols[in_sequence]], lengths), 2 * is_y[0] + is_y[1]


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    _constraints(min_timesteps=1), prefer_skip_nested_validation=True
)
def make_copy_memory(
    n_sequences: int = 1000,
    n_timesteps: int = 100,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int_]]:
    """Generate the copy memory problem: repeat ten symbols after a long delay (one label a step).

    The protocol is that of Arjovsky, Shah and Bengio [1]_, after Hochreiter and Schmidhuber [2]_. There are
    ten categories: 0 to 7 are the symbols to copy, 8 is the blank and 9 the delimiter. With T =
    ``n_timesteps``, sequences have T + 20 steps:

    ======  ========================  =======  =========  =========
    steps   first 10                  T - 1    1          last 10
    ======  ========================  =======  =========  =========
    input   symbols, uniform in 0..7  blanks   delimiter  blanks
    target  blanks                    blanks   blank      the first 10 symbols, in order
    ======  ========================  =======  =========  =========

    Without memory, the best is to predict a blank for T + 10 steps and all eight symbols alike for the last
    ten. The mean log loss per step is then ``10 * log(8) / (T + 20)``, 0.1733 for T = 100, and the mean
    accuracy per step ``(T + 11.25) / (T + 20)``. A network that does better has remembered symbols for T
    steps.

    Parameters
    ----------
    n_sequences : int, default=1000
        Number of sequences, at least 1.
    n_timesteps : int, default=100
        The delay T, at least 1. The sequences have T + 20 steps.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same sequences at every call.

    Returns
    -------
    X : ndarray of shape (n_sequences, n_timesteps + 20, 10)
        The input categories, one-hot.
    y : ndarray of shape (n_sequences, n_timesteps + 20)
        The target category of each step, an int from 0 to 8.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] M. Arjovsky, A. Shah and Y. Bengio (2016). "Unitary evolution recurrent neural networks". ICML.
       https://arxiv.org/abs/1511.06464
    .. [2] S. Hochreiter and J. Schmidhuber (1997). "Long short-term memory". Neural Computation 9(8),
       1735-1780. https://doi.org/10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> from skrnn.datasets import make_copy_memory
    >>> X, y = make_copy_memory(n_sequences=500, n_timesteps=5, random_state=0)
    >>> X.shape, y.shape
    ((500, 25, 10), (500, 25))
    >>> print(*X[0].argmax(axis=1))
    4 7 5 0 3 3 3 7 1 3 8 8 8 8 9 8 8 8 8 8 8 8 8 8 8
    >>> print(*y[0])
    8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 4 7 5 0 3 3 3 7 1 3
    """
    rng = check_random_state(random_state)
    copied = rng.randint(BLANK, size=(n_sequences, N_COPIED))

    categories = np.full((n_sequences, n_timesteps + 2 * N_COPIED), BLANK)
    y = categories.copy()
    categories[:, :N_COPIED] = copied
    categories[:, -N_COPIED - 1] = DELIMITER
    y[:, -N_COPIED:] = copied
    return np.eye(DELIMITER + 1)[categories], y
