"""Peak memory and time of one epoch on long sequences: all activations kept, checkpointed, truncated.

Each setting runs in a process of its own, which reports by how much it grew beyond its data while it fitted:

    python tests/benchmarks/long_sequences.py
    python tests/benchmarks/long_sequences.py --target every_step --dtype float32
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator

import numpy as np
from _common import Table, main
from _memory import MIB, in_own_process, peak

ALL, CHECKPOINTS, TRUNCATED = "all", "checkpoints", "truncated"
PARAMETERS = {ALL: {}, CHECKPOINTS: {"checkpoint_interval": "auto"}, TRUNCATED: {"truncation_length": 200}}
#: steps, activations
POINTS = [(10_000, ALL), (10_000, CHECKPOINTS), (10_000, TRUNCATED), (100_000, CHECKPOINTS), (100_000, TRUNCATED)]


def measure(n_steps, parameters, options):
    """One epoch in this process: MiB by which it grew, MiB of its input, and seconds."""
    from skrnn import RNNRegressor

    warnings.simplefilter("ignore")  # one epoch does not converge
    every_step, n_sequences = options.target == "every_step", options.sequences
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_sequences, n_steps, 1), options.dtype)  # straight into place: the peak so far is what is in use
    y = rng.standard_normal((n_sequences, n_steps) if every_step else n_sequences, options.dtype)
    reg = RNNRegressor(
        hidden_layer_sizes=options.units, cell="lstm", return_sequences=every_step, max_iter=1, batch_size=n_sequences,
    )  # fmt: skip
    reg.fit(X[:2, :50], y[:2, :50] if every_step else y[:2])  # what is loaded at the first call only
    before = peak()
    start = time.perf_counter()
    reg.set_params(**parameters).fit(X, y)
    return peak() - before, X.nbytes / MIB, time.perf_counter() - start


def tables(options: argparse.Namespace) -> Iterator[Table]:
    table = Table(
        "long_sequences",
        "Memory and time of long sequences",
        ["steps", "activations", "growth, MiB", "input, MiB", "seconds"],
        caption=f"One epoch of an LSTM with {options.units} units on {options.sequences} sequences with one feature, "
        f'{options.dtype}, target: {options.target.replace("_", " ")}. Activations: all kept; checkpoint_interval="auto"; or '
        "truncation_length=200. Each row is one run in a process of its own, and growth is by how much more memory it needed "
        "than before it began to fit.",
    )
    for n_steps, activations in POINTS[1:3] if options.quick else POINTS:
        table.add(n_steps, activations, *in_own_process(measure, n_steps, PARAMETERS[activations], options))
    yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="last", choices=("last", "every_step"))
    parser.add_argument("--dtype", default="float64", choices=("float32", "float64"))
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--units", type=int, default=64)
    main(tables, parser)
