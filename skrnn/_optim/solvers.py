"""First-order solvers: vector lines over one flat parameter vector, in place.

A solver's state is its ``state`` dict of plain arrays and an integer, so it can be stored, copied and resumed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]


class Solver(ABC):
    """Abstract; its subclasses are final.

    Parameters
    ----------
    size : int
    dtype : dtype
    state : dict, optional
        The state of an earlier solver of the same kind, to go on from.
    """

    #: names of the vectors that make up the state
    vectors: tuple[str, ...] = ()

    def __init__(self, size: int, dtype: np.dtype[Any], state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self.n_updates = int(state.get("n_updates", 0))
        self._work = np.empty(size, dtype)
        for name in self.vectors:
            setattr(self, name, np.array(state[name]) if name in state else np.zeros(size, dtype))

    @property
    def state(self) -> dict[str, Any]:
        """Copies of the vectors and the number of updates so far."""
        return {"n_updates": self.n_updates, **{name: getattr(self, name).copy() for name in self.vectors}}

    def step(self, theta: Vector, grad: Vector, learning_rate: float) -> bool:
        """Update ``theta`` in place and return True, or leave it and return False if the update is not finite.

        ``grad`` may be overwritten.
        """
        self.n_updates += 1
        update = self._update(grad, learning_rate)
        if not math.isfinite(float(np.dot(update, update))):
            return False
        theta -= update
        return True

    @abstractmethod
    def _update(self, grad: Vector, learning_rate: float) -> Vector:
        """Take in a gradient and return, in ``_work``, what is to be subtracted from the parameters."""


class SGD(Solver):
    r"""Stochastic gradient descent with momentum [1]_, as in PyTorch.

    .. math:: v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v

    or, with Nesterov's momentum [2]_, :math:`\theta \leftarrow \theta - \eta (g + \mu v)`.

    References
    ----------
    .. [1] B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).
    .. [2] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML (2013).
    """

    vectors = ("velocity",)
    velocity: Vector

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        state: dict[str, Any] | None = None,
        *,
        momentum: float = 0.9,
        nesterov: bool = True,
    ) -> None:
        super().__init__(size, dtype, state)
        self.momentum, self.nesterov = momentum, nesterov

    def _update(self, grad: Vector, learning_rate: float) -> Vector:
        velocity, update = self.velocity, self._work
        velocity *= self.momentum
        velocity += grad
        if self.nesterov:
            np.multiply(velocity, self.momentum, out=update)
            update += grad
            update *= learning_rate
        else:
            np.multiply(velocity, learning_rate, out=update)
        return update


class Adam(Solver):
    r"""Adam [1]_, with epsilon outside the bias-corrected root as in the paper's Algorithm 1 and in PyTorch.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \theta &\leftarrow \theta - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    The sums are kept without their factors, ``m / (1 - beta_1)`` and ``v / (1 - beta_2)``, which saves two passes.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR (2015).
    """

    vectors = ("first_moment", "second_moment")
    first_moment: Vector
    second_moment: Vector

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        state: dict[str, Any] | None = None,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(size, dtype, state)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def _update(self, grad: Vector, learning_rate: float) -> Vector:
        m, v, update = self.first_moment, self.second_moment, self._work
        # bias-corrected means are the sums times these
        mean_1 = (1 - self.beta_1) / (1 - self.beta_1**self.n_updates)
        mean_2 = (1 - self.beta_2) / (1 - self.beta_2**self.n_updates)
        m *= self.beta_1
        m += grad
        v *= self.beta_2
        v += np.multiply(grad, grad, out=grad)
        np.sqrt(v, out=update)
        update += self.epsilon / mean_2**0.5
        np.divide(m, update, out=update)
        update *= learning_rate * mean_1 / mean_2**0.5
        return update


class RMSprop(Solver):
    r"""RMSprop [1]_, as in PyTorch.

    .. math::
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad \theta \leftarrow \theta - \eta \frac{g}{\sqrt v + \epsilon}

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera: Neural Networks for Machine Learning (2012).
    """

    vectors = ("second_moment",)
    second_moment: Vector

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        state: dict[str, Any] | None = None,
        *,
        beta_2: float = 0.99,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(size, dtype, state)
        self.beta_2, self.epsilon = beta_2, epsilon

    def _update(self, grad: Vector, learning_rate: float) -> Vector:
        v, update = self.second_moment, self._work
        v *= self.beta_2
        np.multiply(grad, grad, out=update)
        update *= 1 - self.beta_2
        v += update
        np.sqrt(v, out=update)
        update += self.epsilon
        np.divide(grad, update, out=update)
        update *= learning_rate
        return update


SOLVERS: dict[str, type[Solver]] = {"adam": Adam, "sgd": SGD, "rmsprop": RMSprop}
