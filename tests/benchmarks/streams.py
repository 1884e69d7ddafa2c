"""Characters a second in training a language model on Grimm's tales, as a stream: beside PyTorch, in one run.

Both read 32 rows of text with one-hot inputs, are updated every 64 steps by Adam after clipping the norm to 1, and carry their
state on. This package does so through ``partial_fit``, validation included; PyTorch in a hand-written loop.

    python tests/benchmarks/streams.py --threads 1
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import cycle

import numpy as np
from _common import CELLS, Table, main, medians

from skrnn import RNNClassifier
from skrnn.datasets import load_grimm_tales

ROWS, WINDOW, WINDOWS_A_CALL, CALLS = 32, 64, 8, 16
STEPS_A_CALL = WINDOW * WINDOWS_A_CALL
#: ``train(X, Y) -> mean loss`` on one-hot inputs (rows, steps, characters) and targets (rows, steps)
Trainer = Callable[[np.ndarray, np.ndarray], float]


def skrnn_trainer(cell: str, n_units: int, n_characters: int, n_threads: int) -> Trainer:
    network = RNNClassifier(
        cell=cell, hidden_layer_sizes=n_units, return_sequences=True, stateful=True, truncation_length=WINDOW, alpha=0,
        learning_rate_init=3e-3, n_jobs=n_threads, random_state=0,
    )  # fmt: skip
    return lambda X, Y: network.partial_fit(X, Y, classes=np.arange(n_characters)).loss_


def torch_trainer(cell: str, n_units: int, n_characters: int, n_threads: int) -> Trainer:
    import torch

    torch.set_num_threads(n_threads)
    new_layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    model = torch.nn.ModuleDict(
        {"rnn": new_layer(n_characters, n_units, batch_first=True), "readout": torch.nn.Linear(n_units, n_characters)}
    )
    optimizer, state = torch.optim.Adam(model.parameters(), 3e-3, foreach=True), None

    def train(X: np.ndarray, Y: np.ndarray) -> float:
        nonlocal state
        inputs, targets, losses = torch.from_numpy(X), torch.from_numpy(Y), []
        for start in range(0, inputs.shape[1], WINDOW):
            window = slice(start, start + WINDOW)
            optimizer.zero_grad(set_to_none=True)
            outputs, state = model["rnn"](inputs[:, window], state)
            state = tuple(s.detach() for s in state) if cell == "lstm" else state.detach()
            loss = torch.nn.functional.cross_entropy(model["readout"](outputs).flatten(0, 1), targets[:, window].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    return train


def text() -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Inputs and targets of call after call, and the number of different characters."""
    characters, codes = np.unique(list("\n".join(load_grimm_tales().data)), return_inverse=True)
    n_columns, one_hot = (len(codes) - 1) // ROWS, np.eye(len(characters), dtype=np.float32)
    inputs, targets = (codes[shift:][: ROWS * n_columns].reshape(ROWS, n_columns) for shift in (0, 1))
    steps = [slice(start, start + STEPS_A_CALL) for start in range(0, CALLS * STEPS_A_CALL, STEPS_A_CALL)]
    return [(one_hot[inputs[:, part]], np.ascontiguousarray(targets[:, part])) for part in steps], len(characters)


def tables(options: argparse.Namespace) -> Iterator[Table]:
    data, n_characters = text()
    for n_threads in options.threads:
        yield of_threads(n_threads, options.units, data, n_characters, options.seconds)


def go_on(losses: dict[str, float], name: str, trainer: Trainer, parts: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    """Train on the next part of the text, and keep the loss."""
    losses[name] = trainer(*next(parts))


def of_threads(
    n_threads: int, n_units: int, data: list[tuple[np.ndarray, np.ndarray]], n_characters: int, seconds: float
) -> Table:
    trainers = {"skrnn": skrnn_trainer} | ({"PyTorch": torch_trainer} if find_spec("torch") else {})
    ratios = {name: f"{name} / skrnn" for name in trainers if name != "skrnn"}
    table = Table(
        f"streams_{n_threads}",
        f"A stream of characters, {n_threads} thread" + "s" * (n_threads > 1),
        ["cell", *trainers, *ratios.values(), *(f"loss, {name}" for name in trainers)],
        caption=f"Characters a second in training on {ROWS} rows of text with one-hot inputs: {n_units} units, float32, an "
        f"update every {WINDOW} steps, state carried on. skrnn runs partial_fit with its validation, {WINDOWS_A_CALL} updates "
        "a call; PyTorch a loop by hand. The ratio is that of the times. The loss is that of the last call, from the initial "
        "weights that are usual for each.",
        formats=dict.fromkeys(ratios.values(), ".2f") | dict.fromkeys(trainers, ",.0f"),
    )
    for cell in CELLS:
        losses: dict[str, float] = {}
        calls = {
            name: partial(go_on, losses, name, new(cell, n_units, n_characters, n_threads), cycle(data))
            for name, new in trainers.items()
        }
        rates = {name: ROWS * STEPS_A_CALL / median for name, median in medians(calls, seconds).items()}
        table.add(cell, *rates.values(), *(rates["skrnn"] / rates[name] for name in ratios), *losses.values())
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one table for each number")
    parser.add_argument("--units", type=int, default=128)
    main(tables, parser)
