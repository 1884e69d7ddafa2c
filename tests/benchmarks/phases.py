"""What one ``fit`` spends its time on, phase by phase, and the least that it could take.

    python tests/benchmarks/phases.py

Timers around the functions of the coarser phases give the time of each. What the loops over time do is told apart by
leaving parts of it out: the fit is run again with the element-wise functions that the cells call replaced by one that does
nothing, and with their matrix products replaced, too. So a phase is its calls and what they compute, and "loops" is what is
left: Python between the calls, and the calls of a function that does nothing. All these fits take turns; figures are
medians.

The floor is the bare matrix products and tanh calls of the same shapes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from unittest.mock import Mock, patch

import numpy as np
from _common import CELLS, Table, main, medians
from _peers import N_CLASSES, Net, floor
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skrnn import RNNClassifier, _training
from skrnn._core import bptt, cells
from skrnn._core.workspace import Tape, WeightGradients
from skrnn._optim.solvers import Solver
from skrnn._readout import PooledReadout
from skrnn.sequences import Batch

#: name -> sequences of a minibatch, steps, features, hidden units; epochs
SIZES = {"small": (32, 50, 8, 32, 20), "medium": (200, 100, 12, 64, 5), "large": (128, 100, 64, 256, 3)}
BATCHES = 4
#: what is timed: owner, attribute, phase
TIMED = [
    (Batch, "pack", "packing"),
    (bptt, "forward", "through time"),
    (bptt, "backward", "through time"),
    (WeightGradients, "add", "weight gradients"),
    (PooledReadout, "loss_and_gradient", "readout and loss"),
    (_training, "clip", "clipping and Adam"),
    (Solver, "step", "clipping and Adam"),
]
PHASES = (
    "packing", "products", "element-wise", "loops", "weight gradients", "readout and loss", "clipping and Adam", "rest",
)  # fmt: skip


def timed(function: Callable, phase: str, spent: Counter) -> Callable:
    """The function, whose time is added to that of the phase."""

    def call(*args, **kwargs):
        begin = time.perf_counter()
        result = function(*args, **kwargs)
        spent[phase] += time.perf_counter() - begin
        return result

    return call


def nothing(*_args, **_kwargs) -> None:
    """Do nothing."""


def is_product(value: object) -> bool:
    return value is np.dot or value is np.matmul


def is_element_wise(value: object) -> bool:
    return isinstance(value, np.ufunc) and not is_product(value)


def is_either(value: object) -> bool:
    return is_product(value) or is_element_wise(value)


@contextmanager
def replaced(is_meant: Callable[[object], bool], by: Callable) -> Iterator[None]:
    """Replace some of the functions that the cells' steps and adjoints call: by name, or as they find them in their views."""
    new_tape = Tape.__init__

    def init(tape: Tape, *args, **kwargs) -> None:
        new_tape(tape, *args, **kwargs)
        for name in ("step_views", "adjoint_views"):
            of_steps = [tuple(by if is_meant(view) else view for view in views) for views in getattr(tape, name)]
            setattr(tape, name, of_steps)

    by_name = {name: by for name, value in vars(cells).items() if is_meant(value)}
    with patch.multiple(cells, **by_name) if by_name else nullcontext(), patch.object(Tape, "__init__", init):
        yield


def spent_in(fit: Callable[[], object]) -> Counter:
    """Run a fit; seconds of its phases, and of the whole."""
    spent: Counter = Counter()
    with ExitStack() as stack:
        for owner, attribute, phase in TIMED:
            stack.enter_context(patch.object(owner, attribute, timed(getattr(owner, attribute), phase, spent)))
        timed(fit, "whole", spent)()
    spent["through time"] -= spent["weight gradients"]  # which are added on the way back
    return spent


def check(fit: Callable[[], object]) -> None:
    """Raise if what is to be left out is not called as it is expected to be."""
    for is_meant in (is_product, is_element_wise):
        function = Mock(return_value=None)
        with replaced(is_meant, function):
            fit()
        if not function.called:
            raise RuntimeError(f"{is_meant.__name__} finds none of the functions that the cells call.")


def milliseconds(fit: Callable[[], object], seconds: float) -> dict[str, float]:
    """Median milliseconds of each phase of a fit."""
    check(fit)
    whole: list[Counter] = []
    products: list[Counter] = []
    loops: list[Counter] = []
    start = time.perf_counter()
    while time.perf_counter() - start < 3 * seconds or len(loops) < 5:
        whole.append(spent_in(fit))
        with replaced(is_element_wise, nothing):
            products.append(spent_in(fit))
        with replaced(is_either, nothing):
            loops.append(spent_in(fit))

    def median(runs: list[Counter], phase: str) -> float:
        return 1e3 * float(np.median([spent[phase] for spent in runs]))

    all_three, with_products, alone = (median(runs, "through time") for runs in (whole, products, loops))
    of_phases = {phase: median(whole, phase) for _, _, phase in TIMED}
    del of_phases["through time"]
    of_phases |= {"products": with_products - alone, "element-wise": all_three - with_products, "loops": alone}
    return of_phases | {"rest": median(whole, "whole") - sum(of_phases.values())}


def tables(options: argparse.Namespace) -> Iterator[Table]:
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name, size in list(SIZES.items())[: 1 if options.quick else None]:
        yield of_size(name, *size, options.seconds)


def of_size(name: str, N: int, T: int, F: int, H: int, epochs: int, seconds: float) -> Table:
    rng, n_sequences = np.random.default_rng(0), N * BATCHES
    X, y = rng.standard_normal((n_sequences, T, F), np.float32), np.arange(n_sequences) % N_CLASSES
    table = Table(
        f"phases_{name}",
        f"Where the time goes: {name}",
        ["phase", *(column for cell in CELLS for column in (f"{cell}, ms", "%"))],
        caption=f"Milliseconds of a training step within a fit of {epochs} epochs with {BATCHES} minibatches of {N} sequences, "
        f"{T} steps, {F} features, {H} units, float32, one thread. Products and element-wise work are those of the steps, on "
        "and back through time; the rest is what is done once a fit (validation, buffers), and Python. The floor is the bare "
        "matrix products and tanh calls.",
        formats={"%": ".0f"},
    )
    of_cells, floors = {}, {}
    for cell in CELLS:
        clf = RNNClassifier(hidden_layer_sizes=H, cell=cell, batch_size=N, max_iter=epochs, random_state=0)
        of_fit = milliseconds(partial(clf.fit, X, y), seconds)
        of_cells[cell] = {phase: figure / (BATCHES * epochs) for phase, figure in of_fit.items()}
        with threadpool_limits(1, user_api="blas"):
            floors[cell] = 1e3 * medians({cell: floor(Net(cell, F, H), N, T)}, seconds)[cell]
    wholes = {cell: sum(of_cells[cell].values()) for cell in CELLS}
    rows = {phase: {cell: of_cells[cell][phase] for cell in CELLS} for phase in PHASES} | {"fit": wholes, "floor": floors}
    for phase, row in rows.items():
        table.add(phase, *(figure for cell in CELLS for figure in (row[cell], 100 * row[cell] / wholes[cell])))
    ratios = ", ".join(f"{cell} {wholes[cell] / floors[cell]:.2f}" for cell in CELLS)
    table.note(f"A fit takes, times the floor: {ratios}.")
    return table


if __name__ == "__main__":
    main(tables, argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
