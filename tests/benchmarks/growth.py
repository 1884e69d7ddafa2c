"""How the time of a training step grows with the steps, the sequences and the hidden units, and that of ``fit`` with epochs.

    python tests/benchmarks/growth.py

One number is predicted a sequence or, where steps are varied, a step; layers have 12 features, float32, one thread. For the
longest sequences about 2 GB of memory are needed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from _common import CELLS, Table, main, medians
from _memory import in_own_process, peak
from _networks import Problem, regression
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skrnn import RNNRegressor
from skrnn._optim.clipping import clip
from skrnn._optim.solvers import Adam

F = 12
STEPS, SEQUENCES, UNITS = (10, 100, 1_000, 10_000, 100_000), (1, 10, 100, 1_000, 10_000), (8, 16, 32, 64, 128, 256, 512, 1024)
EPOCHS = (1, 2, 4, 8, 16)
#: name, unrolling, and the number of steps from which on it makes a difference
UNROLLINGS = [
    ("all", {}, 0),
    ("checkpoints", {"checkpoint_interval": "auto"}, 1_000),
    ("truncated", {"truncation_length": 200}, 1_000),
]
#: what is expected to take more is left out
MOST_MIB = 2_000
FIGURES = ["ms", "ns / (T N H)", "GFLOP/s"]


def training_step(problem: Problem) -> Callable[[], None]:
    """Loss, gradient, clipping and Adam: once, or with truncation as often as there are updates."""
    network, theta, batch = problem
    solver, grad = Adam(theta.size, theta.dtype), np.empty_like(theta)

    def step() -> None:
        for _ in network.updates(theta, batch, grad):
            clip(grad, None, 1.0)
            solver.step(theta, grad, 1e-3)

    return step


def figures(problem: Problem, seconds: float) -> tuple[float, float, float]:
    """Time a training step; the operations are those of its matrix products, two for a weight each time that it is used."""
    network, theta, batch = problem
    with threadpool_limits(1, user_api="blas"):
        (median,) = medians({"step": training_step(problem)}, seconds, least=3).values()
    n_steps, n_units = batch.n_steps * batch.n_sequences, network.architecture.hidden_layer_sizes[0]
    recurrent = sum(gate.recurrent.size for _, gates in network.gates(theta) for gate in gates.values())
    of_layer = theta.size - network.layout.views(theta)["readout"].size
    operations = 2 * n_steps * (2 * of_layer + recurrent)  # forward, the weights' gradient, and that of the state
    return 1e3 * median, 1e9 * median / (n_steps * n_units), 1e-9 * operations / median


def figures_and_memory(cell: str, N: int, T: int, H: int, unrolling: dict[str, object], seconds: float) -> tuple[float, ...]:
    """Time a training step in this process, and say by how many MiB it grew."""
    problem = regression(cell, N, T, F, H, every_step=True, **unrolling)
    figures(regression(cell, 2, 5, F, H, every_step=True), 0)  # what is loaded at the first call only
    before = peak()
    return *figures(problem, seconds), peak() - before


def over_steps(steps: Sequence[int], seconds: float) -> Table:
    N = H = 32
    table = Table(
        "growth_steps",
        "Growth with the number of steps",
        ["cell", "activations", "steps", *FIGURES, "MiB"],
        caption=f"A training step of {N} sequences and {H} units, with a target at every step. Activations: all kept; "
        'checkpoint_interval="auto"; truncation_length=200, with an update every 200 steps. In short sequences what is done '
        "once a training step counts for more, and the activations of long ones, if all are kept, don't fit into the caches. "
        "MiB is by how much the process grew. What checkpoints repeat is not counted as an operation.",
    )
    for name, unrolling, least_steps in UNROLLINGS:
        changes = []
        for cell in CELLS:
            of_steps: dict[int, tuple[float, ...]] = {}
            for T in (T for T in steps if least_steps <= T):
                if of_steps and of_steps[max(of_steps)][-1] * T / max(of_steps) > MOST_MIB:
                    break
                of_steps[T] = in_own_process(figures_and_memory, cell, N, T, H, unrolling, seconds)
                table.add(cell, name, T, *of_steps[T])
            if len(of_steps) > 1:
                shorter, longer = sorted(of_steps)[-2:]
                time, memory = (of_steps[longer][k] / of_steps[shorter][k] for k in (0, -1))
                changes.append(
                    f"{cell} from {shorter:,} to {longer:,} {time:.1f} times the time, {memory:.1f} times the memory"
                )
        if changes:
            table.note(f"Activations {name}: {'; '.join(changes)}.")
    return table


def in_this_process(table: Table, size: str, sizes: Sequence[int], fixed: dict[str, int], seconds: float) -> Table:
    """Fill a table of training steps with one size varied; the note compares the two largest."""
    changes = []
    for cell in CELLS:
        of_sizes = {}
        for value in sizes:
            of_sizes[value] = figures(regression(cell, F=F, **fixed, **{size: value}), seconds)
            table.add(cell, value, *of_sizes[value])
        time, best = of_sizes[sizes[-1]][0] / of_sizes[sizes[-2]][0], max(of_sizes, key=lambda value: of_sizes[value][2])
        changes.append(f"{cell} {time:.1f} times the time (most operations a second at {best:,})")
    table.note(f"From {sizes[-2]:,} to {sizes[-1]:,}: {', '.join(changes)}.")
    return table


def over_sequences(sequences: Sequence[int], seconds: float) -> Table:
    fixed = {"T": 50, "H": 64}
    table = Table(
        "growth_sequences",
        "Growth with the number of sequences",
        ["cell", "sequences", *FIGURES],
        caption="A training step of one minibatch with {T} steps and {H} units, all activations kept. With few sequences the "
        "calls cost more than what they compute, so a few more take little more time; with very many, the states of a step no "
        "longer fit into the caches.".format(**fixed),
    )
    return in_this_process(table, "N", sequences, fixed, seconds)


def over_units(units: Sequence[int], seconds: float) -> Table:
    fixed = {"N": 32, "T": 50}
    table = Table(
        "growth_units",
        "Growth with the number of hidden units",
        ["cell", "units", *FIGURES],
        caption="A training step of {N} sequences with {T} steps, all activations kept. Matrix products grow with the square "
        "of the units, the rest with the units, and the number of calls not at all: so time grows slowly at first and faster "
        "later.".format(**fixed),
    )
    return in_this_process(table, "H", units, fixed, seconds)


def regressor(cell: str, n_units: int, n_epochs: int) -> RNNRegressor:
    """One that is trained for so many epochs."""
    return RNNRegressor(
        hidden_layer_sizes=n_units, cell=cell, batch_size=32, max_iter=n_epochs, n_iter_no_change=n_epochs, random_state=0,
    )  # fmt: skip


def over_epochs(epochs: Sequence[int], seconds: float) -> Table:
    N, T, H = 256, 50, 64
    table = Table(
        "growth_epochs",
        "Growth with the number of epochs",
        ["cell", "epochs", "ms", "ms / epoch"],
        caption=f"fit of an RNNRegressor with {H} units on {N} sequences with {T} steps, in batches of 32.",
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, T, F), np.float32), rng.standard_normal(N, np.float32)
    for cell in CELLS:
        times = medians({n: partial(regressor(cell, H, n).fit, X, y) for n in epochs}, seconds)
        for n, of_fit in times.items():
            table.add(cell, n, 1e3 * of_fit, 1e3 * of_fit / n)
        slope = (times[epochs[-1]] - times[epochs[0]]) / (epochs[-1] - epochs[0])
        share = (times[epochs[0]] - slope * epochs[0]) / slope
        table.note(f"{cell}: an epoch more takes {1e3 * slope:.1f} ms; what is done once takes {share:.2f} epochs' time.")
    return table


def tables(options: argparse.Namespace) -> Iterator[Table]:
    warnings.simplefilter("ignore", ConvergenceWarning)
    largest = -2 if options.quick else None
    for over, sizes in ((over_steps, STEPS), (over_sequences, SEQUENCES), (over_units, UNITS), (over_epochs, EPOCHS)):
        yield over(sizes[:largest], options.seconds)


if __name__ == "__main__":
    main(tables, argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
