"""Ways to write the training step in PyTorch and JAX: which is fastest, and what compilation costs.

    python tests/benchmarks/variants.py

The other benchmarks compare with the first of each table.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _common import CELLS, Table, main, medians
from _peers import JaxTrainer, Net, TorchTrainer, peers, random_data, torch_loop

#: sequences, steps, features, hidden units
GRID = [(32, 50, 8, 32), (64, 28, 28, 128)]
EAGER = {
    "fused Adam": TorchTrainer,
    "foreach Adam": partial(TorchTrainer, adam={"foreach": True}),
    "plain Adam": partial(TorchTrainer, adam={"foreach": False}),
}
COMPILED = {
    "compiled layers": partial(TorchTrainer, compiled=True),
    "compiled loop": partial(TorchTrainer, compiled=True, new_model=torch_loop),
}
JAX = {f"unroll={unroll}": partial(JaxTrainer, unroll=unroll) for unroll in (1, 2, 4, 8)}


def figures(
    net: Net, N: int, T: int, variants: dict[str, Callable[[Net], Any]], seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Median milliseconds of each variant that can be compiled here, NaN of others; and seconds of the first call."""
    data, calls, first = random_data([T] * N, net.n_features, net.n_classes, net.dtype), {}, {}
    for name, new in variants.items():
        trainer = new(net)
        trainer.load(*data)
        call, start = partial(trainer.step, *trainer.batch(np.arange(N))), time.perf_counter()
        try:
            call()
        except Exception as error:  # whatever a compiler that is missing leads to
            print(f"{name}: {type(error).__name__}")
        else:
            calls[name], first[name] = call, time.perf_counter() - start
    times = medians(calls, seconds)
    return {name: 1e3 * times.get(name, np.nan) for name in variants}, first


def new_table(name: str, title: str, variants: dict[str, Any], more: list[str], caption: str) -> Table:
    return Table(name, title, ["cell", "N, T, F, H", *variants, *more], caption=caption)


def note_best(table: Table, variants: dict[str, Any]) -> None:
    """Say where another variant is faster than the first."""
    names = list(variants)
    for cell, point, *values in table.rows:
        best = int(np.nanargmin(values[: len(names)]))
        if best:
            table.note(f"{cell} {point}: {names[best]} is {values[0] / values[best]:.2f} times as fast as {names[0]}.")


def torch_table(points: list[tuple[Net, int, int]], seconds: float) -> Table:
    variants = EAGER | COMPILED
    caption = (
        "Milliseconds a training step, float32, one thread; compilation in seconds. compiled layers: torch.compile of model "
        "and loss with PyTorch's own layers; compiled loop: of a layer written as a loop over the steps, compiled for one "
        "shape of batch."
    )
    columns = [f"{name}, s" for name in COMPILED]
    table = new_table("variants_torch", "Variants of PyTorch's step", variants, columns, caption)
    import torch

    for net, N, T in points:
        torch.compiler.reset()
        times, first = figures(net, N, T, variants, seconds)
        label = f"{N}, {T}, {net.n_features}, {net.n_units}"
        table.add(net.cell, label, *times.values(), *(first.get(name, np.nan) for name in COMPILED))
    note_best(table, variants)
    return table


def jax_table(points: list[tuple[Net, int, int]], seconds: float) -> Table:
    caption = "Milliseconds a training step, float32, one thread; compilation in seconds. unroll is lax.scan's."
    table = new_table("variants_jax", "Variants of JAX's step", JAX, [f"{name}, s" for name in JAX], caption)
    for net, N, T in points:
        times, first = figures(net, N, T, JAX, seconds)
        table.add(net.cell, f"{N}, {T}, {net.n_features}, {net.n_units}", *times.values(), *(first[name] for name in JAX))
    note_best(table, JAX)
    return table


def tables(options: argparse.Namespace) -> Iterator[Table]:
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # for the time of compilation; before PyTorch is imported
    others = peers(1)
    grid = GRID[:1] if options.quick else GRID
    cells = CELLS[:1] if options.quick else CELLS
    points = [(Net(cell, F, H), N, T) for N, T, F, H in grid for cell in cells]
    if "PyTorch" in others:
        yield torch_table(points, options.seconds)
    if "JAX" in others:
        yield jax_table(points, options.seconds)


if __name__ == "__main__":
    main(tables, argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
