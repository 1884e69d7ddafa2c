"""Time of one loss and gradient with ``checkpoint_interval="auto"``, relative to all activations kept, in one run.

Buffers are made before, so what is compared is computation alone: medians of alternating runs on one thread.

    python tests/benchmarks/checkpointing.py
"""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

from skrnn._core.losses import SquaredError
from skrnn._network import Architecture, Network
from skrnn._passes import Unrolling
from skrnn.sequences import Batch, Sequences

#: cell, sequences, steps, hidden units, dtype, a target at every step?
GRID = [
    ("lstm", 32, 1000, 64, "float64", False),
    ("lstm", 32, 5000, 64, "float64", False),
    ("lstm", 64, 1000, 128, "float32", False),
    ("gru", 32, 1000, 64, "float32", False),
    ("gru", 16, 2000, 128, "float32", True),
    ("gru", 32, 300, 32, "float32", False),
    ("rnn", 32, 1000, 64, "float32", False),
    ("rnn", 32, 1000, 32, "float64", False),
    ("rnn", 8, 1000, 16, "float32", True),
]
FEATURES, REPEATS = 4, 9


def calls(cell, N, T, H, dtype, every_step):
    """The same evaluation with all activations kept, and with checkpoints."""
    rng = np.random.default_rng(0)
    sequences = Sequences(rng.standard_normal((N * T, FEATURES)).astype(dtype), np.full(N, T))
    y = rng.standard_normal((1, N * T if every_step else N)).astype(dtype)
    batch = Batch(sequences, np.arange(N), y, np.ones(N), every_step=every_step)
    for unrolling in (Unrolling(), Unrolling(checkpoint_interval="auto")):
        architecture = Architecture(FEATURES, (H,), cell, "tanh", False, ("last",), 1, every_step)
        network = Network(architecture, SquaredError(), unrolling=unrolling)
        theta = (0.1 * np.random.default_rng(1).standard_normal(network.layout.size)).astype(dtype)
        grad = np.empty_like(theta)
        yield lambda network=network, theta=theta, grad=grad: network.loss_and_gradient(theta, batch, grad)


def main():
    print(f"{'cell':5}{'N':>4}{'T':>6}{'H':>5}  {'dtype':8}{'target':>11} | {'kept, ms':>9} {'auto, ms':>9}  ratio")
    with threadpool_limits(1):
        for cell, N, T, H, dtype, every_step in GRID:
            competitors = list(calls(cell, N, T, H, dtype, every_step))
            times = [[] for _ in competitors]
            for _ in range(REPEATS):
                for of_competitor, call in zip(times, competitors, strict=True):
                    start = time.perf_counter()
                    call()
                    of_competitor.append(time.perf_counter() - start)
            kept, auto = (1000 * np.median(of_competitor[1:]) for of_competitor in times)
            target = "every step" if every_step else "last"
            print(f"{cell:5}{N:4}{T:6}{H:5}  {dtype:8}{target:>11} | {kept:9.1f} {auto:9.1f}  {auto / kept:5.2f}")


if __name__ == "__main__":
    main()
