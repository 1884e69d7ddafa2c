"""Init schemes: how the weights of one gate are drawn.

``glorot_*`` [1]_, ``he_*`` [2]_ and ``lecun_*`` [3]_ draw with a variance of ``2 / (fan_in + fan_out)``, ``2 / fan_in`` and
``1 / fan_in``; ``orthogonal`` is a random matrix with orthonormal rows or columns [4]_; ``identity`` starts a relu network as
an integrator [5]_; ``uniform`` is PyTorch's, between plus and minus ``1 / sqrt(H)``. Each gate is a matrix of its own.

References
----------
.. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS (2010).
.. [2] K. He et al., "Delving deep into rectifiers", ICCV (2015).
.. [3] Y. LeCun et al., "Efficient BackProp", in Neural Networks: Tricks of the Trade (1998).
.. [4] A. M. Saxe, J. L. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
   neural networks", ICLR (2014).
.. [5] Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent networks of rectified linear units",
   arXiv:1504.00941 (2015).
.. [6] R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network architectures", ICML
   (2015).
.. [7] C. Tallec and Y. Ollivier, "Can recurrent neural networks warp time?", ICLR (2018).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: (rng, rows, columns, n_hidden) -> matrix
InitScheme = Callable[[np.random.RandomState, int, int, int], "NDArray[np.float64]"]


def _scaled(
    distribution: str,
    variance: Callable[[int, int], float],
    rng: np.random.RandomState,
    rows: int,
    columns: int,
    _n_hidden: int,
) -> NDArray[np.float64]:
    """Draw with ``variance(fan_in, fan_out)``."""
    deviation = np.sqrt(variance(columns, rows))
    if distribution == "normal":
        return rng.normal(0.0, deviation, (rows, columns))
    return rng.uniform(-np.sqrt(3) * deviation, np.sqrt(3) * deviation, (rows, columns))


def _orthogonal(rng: np.random.RandomState, rows: int, columns: int, _n_hidden: int) -> NDArray[np.float64]:
    """Uniform over the matrices with orthonormal columns (or rows, where there are fewer of them)."""
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


def _identity(_rng: np.random.RandomState, rows: int, columns: int, _n_hidden: int) -> NDArray[np.float64]:
    return np.eye(rows, columns)


def _uniform(rng: np.random.RandomState, rows: int, columns: int, n_hidden: int) -> NDArray[np.float64]:
    return rng.uniform(-(n_hidden**-0.5), n_hidden**-0.5, (rows, columns))


INIT_SCHEMES: dict[str, InitScheme] = {
    "glorot_uniform": partial(_scaled, "uniform", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    "glorot_normal": partial(_scaled, "normal", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    "he_uniform": partial(_scaled, "uniform", lambda fan_in, _: 2 / fan_in),
    "he_normal": partial(_scaled, "normal", lambda fan_in, _: 2 / fan_in),
    "lecun_uniform": partial(_scaled, "uniform", lambda fan_in, _: 1 / fan_in),
    "lecun_normal": partial(_scaled, "normal", lambda fan_in, _: 1 / fan_in),
    "orthogonal": _orthogonal,
    "identity": _identity,
    "uniform": _uniform,
}


def lstm_biases(
    rng: np.random.RandomState, n_hidden: int, forget_bias: float | Literal["chrono"], n_steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Biases of an LSTM's forget and input gates.

    A positive forget bias lets the cell remember from the start [6]_. "chrono" draws memories of 1 to ``n_steps - 1`` steps:
    the forget bias is ``log(u)`` with ``u`` uniform there, the input bias its negative [7]_.
    """
    if forget_bias == "chrono":
        forget = np.log(rng.uniform(1.0, max(n_steps - 1, 1), n_hidden))
        return forget, -forget
    return np.full(n_hidden, float(forget_bias)), np.zeros(n_hidden)
