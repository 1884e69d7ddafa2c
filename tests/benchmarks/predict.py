"""``RNNClassifier.predict_proba`` beside PyTorch and ONNX Runtime with the same weights, in one run.

    python tests/benchmarks/predict.py
    python tests/benchmarks/predict.py --threads 1

Predictions are compared first. Each of the others has its best: the layout it is fastest with, its input made ready before, and
all sequences at once or in chunks, whichever takes least time.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from _common import CELLS, Table, main, medians
from _inference_peers import PEERS, onnx_call, torch_layers
from _peers import N_CLASSES, compare

from skrnn import RNNClassifier

N_STEPS, N_FEATURES = 100, 12
EQUAL, RAGGED, BIDIRECTIONAL = "equal", "ragged", "two-way"
#: sequences, hidden units, form
POINTS = [
    (1, 64, EQUAL), (10, 64, EQUAL), (100, 64, EQUAL), (1_000, 64, EQUAL), (10_000, 64, EQUAL),
    (1, 128, EQUAL), (1_000, 128, EQUAL), (1_000, 64, RAGGED), (1_000, 64, BIDIRECTIONAL),
]  # fmt: skip
CHUNKS = (256, 1024)
COLUMNS = [column for peer in PEERS for column in (f"{peer}, ms", f"{peer} / skrnn")]
#: which way of calling it, and the call, which returns probabilities
Candidates = dict[str, Callable[[], np.ndarray]]


class Data(NamedTuple):
    """Padded sequences (N, T, F), the longest first, and their lengths."""

    X: np.ndarray
    lengths: np.ndarray

    @property
    def is_ragged(self) -> bool:
        return bool(self.lengths[-1] < self.lengths[0])

    def chunks(self, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Sequences with no more padding than they need, and their lengths."""
        parts = [slice(start, start + size) for start in range(0, len(self.X), size)]
        return [(self.X[part, : self.lengths[part][0]], self.lengths[part]) for part in parts]

    def as_input(self) -> Any:
        """What the estimator takes."""
        return [x[:length] for x, length in zip(self.X, self.lengths, strict=True)] if self.is_ragged else self.X


def new_data(n_sequences: int, form: str) -> Data:
    """Noise, of 10 to 200 steps if it is ragged."""
    rng = np.random.default_rng(0)
    lengths = np.sort(rng.integers(10, 201, n_sequences))[::-1] if form == RAGGED else np.full(n_sequences, N_STEPS)
    return Data(rng.standard_normal((n_sequences, int(lengths[0]), N_FEATURES), np.float32), lengths)


def fitted(cell: str, n_units: int, bidirectional: bool, n_threads: int) -> RNNClassifier:
    """A classifier that has seen a little noise."""
    rng = np.random.default_rng(1)
    clf = RNNClassifier(
        hidden_layer_sizes=n_units, cell=cell, bidirectional=bidirectional, max_iter=1, learning_rate="cosine",
        learning_rate_init=0.01, n_jobs=n_threads, random_state=0,
    )  # fmt: skip
    return clf.fit(rng.standard_normal((90, 10, N_FEATURES), np.float32), np.arange(90) % N_CLASSES)


def chunk_sizes(data: Data) -> dict[str, int]:
    """All at once, and what is less, by name."""
    return {"whole": len(data.X)} | {f"{size:,} at a time": size for size in CHUNKS if size < len(data.X)}


def torch_candidates(clf: RNNClassifier, data: Data, n_threads: int) -> Candidates:
    """PyTorch with batches or steps first, whole or in chunks; ragged sequences packed, or padded and the last steps taken."""
    import torch

    torch.set_num_threads(n_threads)

    def call(layers: tuple[Any, Any], batches: Sequence[tuple[Any, Any]], batch_first: bool, packed: bool) -> np.ndarray:
        layer, readout = layers
        probabilities = []
        with torch.inference_mode():
            for x, lengths in batches:
                if packed:
                    x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first)
                outputs, last = layer(x)
                if data.is_ragged and not packed:
                    columns = torch.arange(len(lengths))
                    last = outputs[(columns, lengths - 1) if batch_first else (lengths - 1, columns)]
                else:
                    last = torch.cat(tuple(last[0] if clf.cell == "lstm" else last), dim=1)
                probabilities.append(torch.softmax(readout(last), dim=1))
        return torch.cat(probabilities).numpy()

    candidates = {}
    forms = product((True, False), (True, False) if data.is_ragged else (False,), chunk_sizes(data).items())
    for batch_first, packed, (amount, size) in forms:
        axes = (0, 1, 2) if batch_first else (1, 0, 2)
        batches = [
            (torch.from_numpy(np.ascontiguousarray(x.transpose(axes))), torch.from_numpy(lengths.copy()))
            for x, lengths in data.chunks(size)
        ]
        name = f"{'batch' if batch_first else 'time'}-major {amount}" + " packed" * packed
        candidates[name] = partial(call, torch_layers(clf, batch_first=batch_first), batches, batch_first, packed)
    return candidates


def onnx_candidates(clf: RNNClassifier, data: Data, n_threads: int) -> Candidates:
    """ONNX Runtime, whole or in chunks; its layers read time-major input only."""
    run = onnx_call(clf, n_threads, ragged=data.is_ragged)

    def call(batches: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
        return np.concatenate([run(batch)[0][0] for batch in batches])

    candidates = {}
    for amount, size in chunk_sizes(data).items():
        batches = [
            {"x": np.ascontiguousarray(x.transpose(1, 0, 2))} | ({"lengths": lengths.astype("i4")} if data.is_ragged else {})
            for x, lengths in data.chunks(size)
        ]
        candidates[amount] = partial(call, batches)
    return candidates


def fastest(candidates: Candidates, expected: np.ndarray) -> str:
    """The name of the call that takes least time, after a look at what they predict."""
    for call in candidates.values():
        np.testing.assert_allclose(call(), expected, rtol=0, atol=1e-4)
    times = medians(candidates, 0, least=1)
    return min(times, key=times.__getitem__)


def tables(options: argparse.Namespace) -> Iterator[Table]:
    for n_threads in options.threads:
        yield of_threads(n_threads, POINTS[::3] if options.quick else POINTS, options.seconds)


def of_threads(n_threads: int, points: list[tuple[int, int, str]], seconds: float) -> Table:
    table = Table(
        f"predict_{n_threads}",
        f"Prediction, {n_threads} thread" + "s" * (n_threads > 1),
        ["cell", "sequences", "units", "lengths", "skrnn, ms", *COLUMNS],
        caption=f"Median milliseconds of predict_proba on {N_STEPS} steps (ragged: 10 to 200) of {N_FEATURES} features, "
        f"{N_CLASSES} classes, float32, and ratios to skrnn; two-way is bidirectional=True. skrnn takes an array or list and "
        "checks it. The others have the same weights and predictions, tensors ready in the layout that suits them, sorted by "
        "length and padded, and chunks of 256, of 1,024, or the whole, whichever is fastest.",
        formats=dict.fromkeys(COLUMNS[1::2], ".2f"),
    )
    ways: dict[str, list[str]] = {peer: [] for peer in PEERS}
    for n_sequences, n_units, form in points:
        for cell in CELLS:
            clf, data = fitted(cell, n_units, form == BIDIRECTIONAL, n_threads), new_data(n_sequences, form)
            calls = {"skrnn": partial(clf.predict_proba, data.as_input())}
            for peer in PEERS:
                new = {"PyTorch": torch_candidates, "ONNX Runtime": onnx_candidates}[peer]
                candidates = new(clf, data, n_threads)
                ways[peer].append(fastest(candidates, calls["skrnn"]()))
                calls[peer] = candidates[ways[peer][-1]]
            ours, *others = medians(calls, seconds).values()
            beside = [figure for other in others for figure in (1000 * other, other / ours)]
            table.add(cell, n_sequences, n_units, form, 1000 * ours, *beside)
    add_notes(table, ways)
    return table


def add_notes(table: Table, ways: dict[str, list[str]]) -> None:
    """Say where others are ahead, and how they were called."""
    for peer in PEERS:
        column = table.columns.index(f"{peer} / skrnn")
        compare(table, peer, {f"{row[0]} {row[1]:,} x {row[2]} {row[3]}": row[column] for row in table.rows})
        counts = ", ".join(f"{way} ({count})" for way, count in Counter(ways[peer]).most_common())
        table.note(f"{peer} was fastest, at so many points, {counts}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one table for each number")
    main(tables, parser)
