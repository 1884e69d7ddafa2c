"""First-order solvers: vector lines over one flat parameter vector, in place.

A solver's state is its ``state`` dict of plain arrays and an integer, so it can be stored, copied and resumed. Each of these
vectors has a second place, where an update writes: one that is refused changes nothing, and the last one can be undone.
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
        #: by name, the vectors of the state; what is to become of them, and after the update what they were
        self._now = {name: np.array(state[name]) if name in state else np.zeros(size, dtype) for name in self.vectors}
        self._next = {name: np.empty(size, dtype) for name in self.vectors}
        #: the parameters before the last update; room to work while there is a new one
        self._before = np.empty(size, dtype)

    @property
    def state(self) -> dict[str, Any]:
        """Copies of the vectors and the number of updates so far."""
        return {"n_updates": self.n_updates, **{name: vector.copy() for name, vector in self._now.items()}}

    def step(self, theta: Vector, grad: Vector, learning_rate: float) -> bool:
        """Update ``theta`` in place and return True; if the update is not finite, leave it and the state, and return False.

        ``grad`` is overwritten.
        """
        update = self._update(grad, learning_rate, self.n_updates + 1)
        if not math.isfinite(float(np.dot(update, update))):
            return False
        np.copyto(self._before, theta)
        theta -= update
        self.n_updates += 1
        self._now, self._next = self._next, self._now
        return True

    def undo(self, theta: Vector) -> None:
        """Give ``theta`` and the state back as they were before the last ``step``, which returned True."""
        np.copyto(theta, self._before)
        self.n_updates -= 1
        self._now, self._next = self._next, self._now

    @abstractmethod
    def _update(self, grad: Vector, learning_rate: float, number: int) -> Vector:
        """Write ``_next`` and return, in ``grad``, what the update of this number, from 1 on, subtracts from the parameters."""


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

    def _update(self, grad: Vector, learning_rate: float, _number: int) -> Vector:
        velocity = np.multiply(self._now["velocity"], self.momentum, out=self._next["velocity"])
        velocity += grad
        if self.nesterov:
            grad += np.multiply(velocity, self.momentum, out=self._before)
            grad *= learning_rate
        else:
            np.multiply(velocity, learning_rate, out=grad)
        return grad


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

    def _update(self, grad: Vector, learning_rate: float, number: int) -> Vector:
        # bias-corrected means are the sums times these
        mean_1 = (1 - self.beta_1) / (1 - self.beta_1**number)
        mean_2 = (1 - self.beta_2) / (1 - self.beta_2**number)
        m = np.multiply(self._now["first_moment"], self.beta_1, out=self._next["first_moment"])
        m += grad
        v = np.multiply(self._now["second_moment"], self.beta_2, out=self._next["second_moment"])
        v += np.multiply(grad, grad, out=grad)
        np.sqrt(v, out=grad)
        grad += self.epsilon / mean_2**0.5
        np.divide(m, grad, out=grad)
        grad *= learning_rate * mean_1 / mean_2**0.5
        return grad


class RMSprop(Solver):
    r"""RMSprop [1]_, as in PyTorch.

    .. math::
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad \theta \leftarrow \theta - \eta \frac{g}{\sqrt v + \epsilon}

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera: Neural Networks for Machine Learning (2012).
    """

    vectors = ("second_moment",)

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

    def _update(self, grad: Vector, learning_rate: float, _number: int) -> Vector:
        v = np.multiply(self._now["second_moment"], self.beta_2, out=self._next["second_moment"])
        work = np.multiply(grad, grad, out=self._before)
        work *= 1 - self.beta_2
        v += work
        np.sqrt(v, out=work)
        work += self.epsilon
        grad /= work
        grad *= learning_rate
        return grad


SOLVERS: dict[str, type[Solver]] = {"adam": Adam, "sgd": SGD, "rmsprop": RMSprop}
