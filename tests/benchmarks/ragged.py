"""Real steps a second in training on sequences of unequal lengths, beside equal lengths, PyTorch and JAX.

    python tests/benchmarks/ragged.py

Lengths are uniform in 10..200. Minibatches are random ones, or of sequences of similar lengths, as ``fit`` makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _common import CELLS, Table, main, medians
from _peers import Net, SkrnnTrainer, TorchTrainer, add_notes, as_in_fit, in_words, peers, random_data

from skrnn._data import minibatches
from skrnn.sequences import Sequences

N_FEATURES, N_UNITS, BATCH_SIZE, SHORTEST, LONGEST = 12, 64, 64, 10, 200


def random_batches(lengths: np.ndarray) -> list[np.ndarray]:
    return np.split(np.random.default_rng(0).permutation(len(lengths)), len(lengths) // BATCH_SIZE)


def similar_batches(lengths: np.ndarray) -> list[np.ndarray]:
    return list(minibatches(lengths, BATCH_SIZE, np.random.RandomState(0), shuffle=True))


def epoch(trainer: Any, data: tuple[Sequences, np.ndarray], batches: list[np.ndarray]) -> Callable[[], None]:
    """Return a function that steps through batches made before."""
    trainer.load(*data)
    native = [trainer.batch(index) for index in batches]

    def run() -> None:
        for batch in native:
            trainer.step(*batch)

    return run


def rates(
    net: Net,
    lengths: np.ndarray,
    batches: list[np.ndarray],
    trainers: dict[str, Callable[[Net], Any]],
    seconds: float,
) -> dict[str, float]:
    """Thousands of real steps a second: of this package with equal lengths, and of all with ``lengths``."""
    equal = np.full(len(lengths), round(lengths.mean()))
    data, equal_data = (random_data(of, N_FEATURES, net.n_classes, net.dtype) for of in (lengths, equal))
    calls = {"equal lengths": epoch(trainers["skrnn"](net), equal_data, random_batches(equal))}
    calls |= {name: epoch(new(net), data, batches) for name, new in trainers.items()}
    times = medians(calls, seconds, least=3)
    return {name: (equal if name == "equal lengths" else lengths).sum() / of / 1e3 for name, of in times.items()}


def new_table(kind: str, n_sequences: int, trainers: dict[str, Any], options: argparse.Namespace) -> Table:
    ratios = ["skrnn / equal lengths"] + [f"{name} / skrnn" for name in trainers if name != "skrnn"]
    return Table(
        f"ragged_{kind}_{options.threads}",
        f"Minibatches of {kind} lengths, {in_words(options.threads)}",
        ["cell", "equal lengths", *trainers, *ratios],
        caption=f"Thousands of real steps a second in training on {n_sequences} sequences of {SHORTEST} to {LONGEST} steps, in "
        f"minibatches of {BATCH_SIZE}, with {N_FEATURES} features and {N_UNITS} units, {options.dtype}. equal lengths: skrnn "
        "with as many sequences, all of the mean length. The last ratios are of times. All competitors have the same "
        "minibatches, padded (PyTorch: and sorted) before; packing is part of the step. JAX pads to multiples of 32 steps and "
        "masks; PyTorch padded gathers the last states.",
        formats=dict.fromkeys(ratios, ".2f"),
    )


def tables(options: argparse.Namespace) -> Iterator[Table]:
    others = peers(options.threads, options.dtype)
    if "PyTorch" in others:
        others = {"PyTorch packed": partial(TorchTrainer, packed=True), "PyTorch padded": others.pop("PyTorch")} | others
    n_sequences = BATCH_SIZE * (2 if options.quick else 8)
    lengths = np.random.default_rng(0).integers(SHORTEST, LONGEST, n_sequences, endpoint=True)
    with as_in_fit(options.threads) as submit:
        trainers = {"skrnn": partial(SkrnnTrainer, submit=submit)} | others
        for kind, make in (("random", random_batches), ("similar", similar_batches)):
            table = new_table(kind, n_sequences, trainers, options)
            for cell in CELLS:
                net = Net(cell, N_FEATURES, N_UNITS, options.dtype)
                of = rates(net, lengths, make(lengths), trainers, options.seconds)
                ratio_to_peers = [of["skrnn"] / of[name] for name in others]
                table.add(cell, *of.values(), of["skrnn"] / of["equal lengths"], *ratio_to_peers)
            column = table.columns.index("skrnn / equal lengths")
            least = min(row[column] for row in table.rows)
            table.note(f"Unequal lengths are trained on at least {least:.2f} times as fast as equal ones, by real steps.")
            add_notes(table, others, 1)
            yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    main(tables, parser)
