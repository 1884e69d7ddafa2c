"""Time of one training step (forward, loss, backward, norm clip, Adam) beside PyTorch and JAX, in one run.

    python tests/benchmarks/training_step.py --threads 1 --dtype float32

``floor`` is the time of the bare matrix products and tanh calls of such a step, in NumPy on one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _common import CELLS, GRID, Table, main, medians
from _peers import Net, SkrnnTrainer, add_notes, as_in_fit, floor, in_words, peers, random_data

#: sequences, steps, features, hidden units
DEEPER_GRID = [(32, 100, 16, 64), (64, 100, 32, 128)]
DEEPER = {"2 layers": {"n_layers": 2}, "bidirectional": {"bidirectional": True}}
POINT = "N, T, F, H"


def times(net: Net, N: int, T: int, trainers: dict[str, Callable[[Net], Any]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each competitor's step, and of the floor."""
    sequences, y = random_data([T] * N, net.n_features, net.n_classes, net.dtype)
    calls = {}
    for name, new in trainers.items():
        trainer = new(net)
        trainer.load(sequences, y)
        calls[name] = partial(trainer.step, *trainer.batch(np.arange(N)))
    return {name: 1e3 * of_call for name, of_call in medians(calls | {"floor": floor(net, N, T)}, seconds).items()}


def new_table(name: str, title: str, labels: list[str], trainers: dict[str, Any], options: argparse.Namespace) -> Table:
    others = [other for other in trainers if other != "skrnn"]
    ratios = [f"{other} / skrnn" for other in others] + ["skrnn / floor"]
    return Table(
        f"{name}_{options.dtype}_{options.threads}",
        f"{title}, {options.dtype}, {in_words(options.threads)}",
        [*labels, *trainers, "floor", *ratios],
        caption="Medians in milliseconds a step of N sequences with T steps, F features and H hidden units. The batches are "
        "made before; skrnn's step includes copying the batch into its layout. floor: the bare matrix products and tanh calls "
        "of the step, in NumPy on one thread.",
        formats=dict.fromkeys(ratios, ".2f"),
    )


def add(table: Table, labels: list[str], of: dict[str, float]) -> None:
    ratios = [of[name] / of["skrnn"] for name in of if name not in ("skrnn", "floor")]
    table.add(*labels, *of.values(), *ratios, of["skrnn"] / of["floor"])


def tables(options: argparse.Namespace) -> Iterator[Table]:
    others = peers(options.threads, options.dtype)
    grid, deeper_grid = (GRID[:2], DEEPER_GRID[:1]) if options.quick else (GRID, DEEPER_GRID)
    with as_in_fit(options.threads) as submit:
        trainers = {"skrnn": partial(SkrnnTrainer, submit=submit)} | others
        table = new_table("training_step", "One layer", ["cell", POINT], trainers, options)
        for N, T, F, H in grid:
            for cell in CELLS:
                of = times(Net(cell, F, H, options.dtype), N, T, trainers, options.seconds)
                add(table, [cell, f"{N}, {T}, {F}, {H}"], of)
        add_notes(table, others, 2)
        yield table
        table = new_table("deeper", "Two layers, two directions", ["cell", "layers", POINT], trainers, options)
        for N, T, F, H in deeper_grid:
            for kind, parameters in DEEPER.items():
                for cell in CELLS:
                    of = times(Net(cell, F, H, options.dtype, **parameters), N, T, trainers, options.seconds)
                    add(table, [cell, kind, f"{N}, {T}, {F}, {H}"], of)
        add_notes(table, others, 3)
        yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of the peers, and n_jobs of fit")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    main(tables, parser)
