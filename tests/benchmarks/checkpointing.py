"""Time of one loss and gradient with ``checkpoint_interval="auto"``, relative to all activations kept, in one run.

Buffers are made before, so what is compared is computation alone, on one thread.

    python tests/benchmarks/checkpointing.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from _common import Table, geometric_mean, main, medians
from _networks import regression
from threadpoolctl import threadpool_limits

#: cell, sequences, steps, hidden units, dtype, a target at every step?
POINTS = [
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
FEATURES = 4


def gradient(cell: str, N: int, T: int, H: int, dtype: str, every_step: bool, interval: str | None) -> Callable[[], float]:
    """One evaluation of the loss and its gradient."""
    network, theta, batch = regression(cell, N, T, FEATURES, H, dtype, every_step=every_step, checkpoint_interval=interval)
    grad = np.empty_like(theta)
    return lambda: network.loss_and_gradient(theta, batch, grad)


def tables(options: argparse.Namespace) -> Iterator[Table]:
    table = Table(
        "checkpointing",
        "The price of checkpointing",
        ["cell", "sequences", "steps", "units", "dtype", "target", "kept, ms", "auto, ms", "auto / kept"],
        caption=f"Median milliseconds of one loss and gradient, {FEATURES} features, one thread: all activations kept, or "
        'checkpoint_interval="auto", which runs every step forward twice.',
        formats={"auto / kept": ".2f"},
    )
    ratios = []
    with threadpool_limits(1):
        for cell, N, T, H, dtype, every_step in POINTS[-2:] if options.quick else POINTS:
            calls = {interval: gradient(cell, N, T, H, dtype, every_step, interval) for interval in (None, "auto")}
            kept, auto = medians(calls, options.seconds).values()
            target = "every step" if every_step else "last"
            ratios.append(auto / kept)
            table.add(cell, N, T, H, dtype, target, 1000 * kept, 1000 * auto, auto / kept)
    table.note(f"Checkpointing takes {geometric_mean(ratios):.2f} times as long (geometric mean), {max(ratios):.2f} at most.")
    yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    main(tables, parser)
