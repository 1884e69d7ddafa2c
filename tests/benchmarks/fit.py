"""Time of a whole ``fit``, beside the bare training steps and training loops in PyTorch and JAX.

    python tests/benchmarks/fit.py

The loops make the same number of epochs over the same minibatches, with the same clipping and Adam. They hold their data in
tensors and take batches by index, which is faster than a loader. JAX's step is compiled before.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from _common import CELLS, Table, main, medians
from _peers import LEARNING_RATE, N_CLASSES, Net, SkrnnTrainer, TorchTrainer, add_notes, as_in_fit, in_words, peers, random_data
from sklearn.exceptions import ConvergenceWarning

from skrnn import RNNClassifier, RNNRegressor
from skrnn._data import minibatches
from skrnn.datasets import load_japanese_vowels
from skrnn.sequences import Sequences, split_steps


class Problem(NamedTuple):
    """Sequences, what is predicted, and for how long a layer of so many units is trained."""

    name: str
    lengths: np.ndarray
    n_features: int
    n_classes: int | None
    n_units: int
    batch_size: int
    n_epochs: int

    @property
    def label(self) -> str:
        """Sequences, steps, features and units."""
        shortest, longest = self.lengths.min(), self.lengths.max()
        steps = str(longest) if shortest == longest else f"{shortest}-{longest}"
        return f"{len(self.lengths)}, {steps}, {self.n_features}, {self.n_units}"


def problems(*, quick: bool) -> list[Problem]:
    vowels = np.array([len(x) for x in load_japanese_vowels().data])
    unequal = np.random.default_rng(0).integers(10, 200, 512, endpoint=True)
    of_data = Problem("Japanese Vowels", vowels, 12, N_CLASSES, 32, 32, 10)
    if quick:
        return [of_data._replace(n_epochs=1)]
    return [
        Problem("classifier", np.full(512, 50), 8, N_CLASSES, 16, 32, 10),
        Problem("classifier", np.full(1024, 100), 12, N_CLASSES, 64, 64, 3),
        Problem("classifier", np.full(512, 100), 32, N_CLASSES, 128, 64, 2),
        Problem("regressor", np.full(512, 50), 8, None, 16, 32, 10),
        Problem("regressor", np.full(1024, 100), 12, None, 64, 64, 3),
        Problem("classifier", unequal, 12, N_CLASSES, 64, 64, 3),
        of_data,
    ]


def data(problem: Problem) -> tuple[Sequences, np.ndarray]:
    if problem.name != "Japanese Vowels":
        return random_data(problem.lengths, problem.n_features, problem.n_classes, "float32")
    vowels = load_japanese_vowels()
    return Sequences(np.concatenate(vowels.data).astype("float32"), problem.lengths), vowels.target - 1


def index_of_batches(problem: Problem) -> Iterator[np.ndarray]:
    """Yield which sequences form each minibatch of all epochs."""
    rng = np.random.RandomState(0)
    for _ in range(problem.n_epochs):
        yield from minibatches(problem.lengths, problem.batch_size, rng, shuffle=True)


def estimator_fit(problem: Problem, net: Net, sequences: Sequences, y: np.ndarray, threads: int) -> Callable[[], Any]:
    equal = problem.lengths.min() == problem.lengths.max()
    X = (
        sequences.values.reshape(len(sequences), -1, net.n_features)
        if equal
        else split_steps(sequences.values, sequences.lengths)
    )
    estimator = (RNNClassifier if net.n_classes else RNNRegressor)(
        hidden_layer_sizes=net.n_units, cell=net.cell, alpha=0, batch_size=problem.batch_size, max_iter=problem.n_epochs,
        n_iter_no_change=problem.n_epochs, learning_rate_init=LEARNING_RATE, n_jobs=threads, random_state=0,
    )  # fmt: skip
    return partial(estimator.fit, X, y)


def bare_steps(problem: Problem, net: Net, sequences: Sequences, y: np.ndarray, submit: Any) -> Callable[[], None]:
    """Return a function that makes the updates of ``fit``, with batches and buffers made before."""
    trainer = SkrnnTrainer(net, submit)
    trainer.load(sequences, y)
    batches = [trainer.batch(index) for index in index_of_batches(problem)]

    def run() -> None:
        for batch in batches:
            trainer.step(*batch)

    return run


def loop(problem: Problem, net: Net, sequences: Sequences, y: np.ndarray, new: Callable[[Net], Any]) -> Callable[[], None]:
    """Return a training loop of a peer that begins with new weights."""

    def run() -> None:
        trainer = new(net)
        trainer.load(sequences, y)
        for index in index_of_batches(problem):
            trainer.step(*trainer.batch(index))

    return run


def first_seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def tables(options: argparse.Namespace) -> Iterator[Table]:
    warnings.simplefilter("ignore", ConvergenceWarning)
    others = peers(options.threads)
    if "PyTorch" in others:
        others["PyTorch packed"] = partial(TorchTrainer, packed=True)
    ratios = [f"{name} / skrnn" for name in others]
    compiling = ["JAX compiles"] if "JAX" in others else []
    table = Table(
        f"fit_{options.threads}",
        f"A whole fit, float32, {in_words(options.threads)}",
        ["cell", "data", "n, T, F, H", "skrnn", "bare steps", "overhead, %", *others, *ratios, *compiling],
        caption="Medians in milliseconds. n sequences of T steps with F features, H hidden units. skrnn: RNNClassifier.fit or "
        "RNNRegressor.fit, from validation to fitted attributes; bare steps: its updates alone, with batches and buffers made "
        "before; overhead: how much more fit takes. The peers' loops begin with new weights and take the same minibatches (of "
        "similar lengths where these differ) from tensors, padded, or packed where lengths differ. JAX compiles: milliseconds "
        "that its first fit takes longer, for compilation, which is not in the other figures.",
        formats={"overhead, %": ".1f"},
    )
    for problem in problems(quick=options.quick):
        for cell in CELLS:
            net = Net(cell, problem.n_features, problem.n_units, n_classes=problem.n_classes)
            sequences, y = data(problem)
            loops = {
                name: loop(problem, net, sequences, y, new)
                for name, new in others.items()
                if name != "PyTorch packed" or not sequences.are_equal
            }
            first = 1e3 * first_seconds(loops["JAX"]) if compiling else 0.0
            calls = {"skrnn": estimator_fit(problem, net, sequences, y, options.threads)}
            with as_in_fit(options.threads) as submit:
                calls["bare steps"] = bare_steps(problem, net, sequences, y, submit)
                of = {name: 1e3 * of_call for name, of_call in medians(calls | loops, options.seconds).items()}
            of_peers = [of.get(name, np.nan) for name in others]
            overhead = 100 * (of["skrnn"] / of["bare steps"] - 1)
            more = [first - of["JAX"]] if compiling else []
            of_fit = [of["skrnn"], of["bare steps"], overhead, *of_peers, *(other / of["skrnn"] for other in of_peers), *more]
            table.add(cell, problem.name, problem.label, *of_fit)
    column = table.columns.index("overhead, %")
    overheads = [row[column] for row in table.rows]
    extent = f"{min(overheads):.1f} to {max(overheads):.1f} %"
    table.note(f"fit takes {extent} more than its bare steps, {np.median(overheads):.1f} % in the median.")
    add_notes(table, others, 3)
    yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of the peers, and n_jobs")
    main(tables, parser)
