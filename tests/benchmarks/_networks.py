"""Networks and batches as the estimators make them, for what is timed below the estimators."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skrnn._core.losses import SquaredError
from skrnn._network import Architecture, Network
from skrnn._passes import Unrolling
from skrnn.sequences import Batch, Sequences


class Problem(NamedTuple):
    """A network with its weights, and a batch of random sequences of equal lengths and targets."""

    network: Network
    theta: np.ndarray
    batch: Batch


def regression(
    cell: str, N: int, T: int, F: int, H: int, dtype: str = "float32", *, every_step: bool = False, **unrolling: Any
) -> Problem:
    """One recurrent layer, and one number to be predicted a sequence or a step; ``unrolling`` is that of the network."""
    rng = np.random.default_rng(0)
    sequences = Sequences(rng.standard_normal((N * T, F), dtype), np.full(N, T))
    y = rng.standard_normal((1, N * T if every_step else N), dtype)
    architecture = Architecture(F, (H,), cell, "tanh", False, ("last",), 1, every_step)
    network = Network(architecture, SquaredError(), unrolling=Unrolling(**unrolling))
    theta = network.initialize(
        np.random.RandomState(0), np.zeros(1), dtype,
        init_scheme="glorot_uniform", recurrent_init_scheme="orthogonal", forget_bias=1.0, n_steps=T,
    )  # fmt: skip
    return Problem(network, theta, Batch(sequences, np.arange(N), y, np.ones(N, dtype), every_step=every_step))
