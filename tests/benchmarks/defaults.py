"""The study behind the defaults: what changes of them do to the scores of small open tasks, and PyTorch beside them.

    python tests/benchmarks/defaults.py --data FOLDER --results FILE                          # all, printed
    python tests/benchmarks/defaults.py --data FOLDER --results FILE --page docs/defaults.rst # and the tables of the page

FOLDER has the files of the archives that the page names; a task whose files are not there is left out. Every score is kept in
FILE and not computed again; the study takes about an hour of one core. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import Table, main
from joblib import Parallel, delayed
from run import simple_table, wrapped
from scipy.stats import rankdata
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.datasets import load_japanese_vowels, make_adding, make_temporal_order
from skrnn.preprocessing import PerStep

Parameters = dict[str, Any]
N_EPOCHS = 100


class Parts(NamedTuple):
    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray


def cosine(rate: float, n_epochs: int, **changes: Any) -> Parameters:
    return {"learning_rate": "cosine", "learning_rate_init": rate, "max_iter": n_epochs} | changes


def constant(rate: float) -> Parameters:
    return {"learning_rate": "constant", "learning_rate_init": rate, "max_iter": 200}


#: the parameters that the study is about; rows say what differs from these, which do not follow the estimators' defaults
COMMON = {
    "hidden_layer_sizes": 64, "cell": "gru", "pooling": "last", "init_scheme": "glorot_uniform",
    "recurrent_init_scheme": "orthogonal", "clip_norm": 1.0, "alpha": 1e-4, "batch_size": 32, "tol": 1e-4,
    "n_iter_no_change": 10,
}  # fmt: skip
RECOMMENDED = "cosine, 0.002, 100"
#: columns of the test parts; PyTorch's own parameters are fixed
MODELS: dict[str, Parameters] = {
    RECOMMENDED: cosine(2e-3, 100),
    "cosine, 0.003, 100": cosine(3e-3, 100),
    "cosine, 0.003, 50": cosine(3e-3, 50),
    "cosine, 0.003, 100, alpha=0.1": cosine(3e-3, 100, alpha=0.1),
    "constant, 0.001, 200 at most": constant(1e-3),
    "PyTorch": {},
}
SCREENING = {f"constant, {rate:g}, 200 at most": constant(rate) for rate in (1e-3, 3e-3, 1e-2)} | {
    f"cosine, {rate:g}, {n_epochs}": cosine(rate, n_epochs)
    for rate, n_epochs in [
        (1e-3, 100),
        (1e-3, 200),
        (2e-3, 100),
        (3e-3, 50),
        (3e-3, 100),
        (3e-3, 200),
        (1e-2, 100),
        (1e-2, 200),
    ]
}
CHANGES = {
    "cosine, 0.003, 100": cosine(3e-3, 100),
    'pooling=("last", "max")': cosine(3e-3, 100, pooling=("last", "max")),
    'pooling=("last", "mean", "max")': cosine(3e-3, 100, pooling=("last", "mean", "max")),
    "batch_size=64": cosine(3e-3, 100, batch_size=64),
    "clip_norm=None": cosine(3e-3, 100, clip_norm=None),
    "alpha=0.1": cosine(3e-3, 100, alpha=0.1),
    'recurrent_init_scheme="glorot_uniform"': cosine(3e-3, 100, recurrent_init_scheme="glorot_uniform"),
    'both schemes "uniform"': cosine(3e-3, 100, init_scheme="uniform", recurrent_init_scheme="uniform"),
}


# ---------------------------------------------------------------- data


def archive(name: str, folder: Path) -> Parts:
    """Read the two parts of an archive's data in the .ts format."""
    return Parts(*read_ts(folder / f"{name}_TRAIN.ts"), *read_ts(folder / f"{name}_TEST.ts"))


def read_ts(file: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Read sequences (n_timesteps, n_features) and their labels, which are numbers where they can be."""
    lines = [line.strip().split(":") for line in file.read_text().splitlines() if line.strip() and line[0] not in "#@"]
    X = [np.array([channel.split(",") for channel in channels], float).T for *channels, _ in lines]
    labels = np.array([label for *_, label in lines])
    try:
        return X, labels.astype(float)
    except ValueError:
        return X, labels


def vowels(_folder: Path) -> Parts:
    return Parts(*load_japanese_vowels("train", return_X_y=True), *load_japanese_vowels("test", return_X_y=True))


def digits(_folder: Path) -> Parts:
    """Images of 8 by 8 pixels, read row by row."""
    X, y = load_digits(return_X_y=True)
    return halves(X.reshape(-1, 8, 8), y, 600)


def co2(folder: Path) -> Parts:
    """The change of the next week from those of the 26 weeks before; every other week, and no target that is not measured."""
    level = np.array([line.split(",")[1] or "nan" for line in (folder / "co2.csv").read_text().splitlines()[1:]], float)
    measured = np.isfinite(level)
    weeks = np.arange(len(level))
    X, y = windows(np.diff(np.interp(weeks, weeks[measured], level[measured])), 26)
    kept = (measured[1:] & measured[:-1])[26:] & (np.arange(len(y)) % 2 == 0)
    return halves(X[kept], y[kept], 700)


def sunspots(folder: Path) -> Parts:
    """The next year's number from those of the 22 years before."""
    X, y = windows(np.loadtxt(folder / "sunspots.csv", delimiter=",", skiprows=1)[:, 1], 22)
    return halves(X, y, 200)


def windows(series: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    return np.lib.stride_tricks.sliding_window_view(series[:-1], length)[:, :, np.newaxis], series[length:]


def halves(X: Any, y: np.ndarray, n: int) -> Parts:
    return Parts(X[:n], y[:n], X[n:], y[n:])


def adding(_folder: Path) -> Parts:
    return halves(*make_adding(2200, 30, random_state=0), 1200)


def temporal_order(_folder: Path) -> Parts:
    return halves(*make_temporal_order(1300, 50, random_state=0), 300)


@dataclass(frozen=True)
class Task:
    """Data with a test part. ``folds`` of the training part validate: all three, only one, or the end of a time series."""

    name: str
    load: Callable[[Path], Parts]
    regression: bool = False
    folds: str = "three"

    def splits(self, y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        if self.folds == "end":
            return [tuple(np.split(np.arange(len(y)), [2 * len(y) // 3]))]
        folds = (KFold if self.regression else StratifiedKFold)(3, shuffle=True, random_state=seed)
        return list(folds.split(y, y))[: 3 if self.folds == "three" else 1]


TASKS = [
    Task("Japanese Vowels", vowels),
    Task("Italy Power Demand", partial(archive, "ItalyPowerDemand")),
    Task("digits", digits, folds="one"),
    Task("temporal order", temporal_order, folds="one"),
    Task("Covid3Month", partial(archive, "Covid3Month"), regression=True),
    Task("CO2", co2, regression=True, folds="end"),
    Task("sunspots", sunspots, regression=True, folds="end"),
    Task("adding", adding, regression=True, folds="one"),
]
#: data that came in after the screening
OTHERS = [
    Task("Basic Motions", partial(archive, "BasicMotions")),
    Task("Gun Point", partial(archive, "GunPoint")),
    Task("Arrow Head", partial(archive, "ArrowHead")),
    Task("Cardano Sentiment", partial(archive, "CardanoSentiment"), regression=True),
]
#: those on which PyTorch takes seconds
SMALL = ("Japanese Vowels", "Italy Power Demand", "digits", "Covid3Month", "sunspots")
BY_NAME = {task.name: task for task in TASKS + OTHERS}


@cache
def parts(name: str, folder: Path) -> Parts:
    return BY_NAME[name].load(folder)


# ---------------------------------------------------------------- scores


def skrnn_model(task: Task, parameters: Parameters, seed: int) -> Any:
    network = (RNNRegressor if task.regression else RNNClassifier)(**(COMMON | parameters), random_state=seed)
    pipeline = make_pipeline(PerStep(StandardScaler()), network)
    return TransformedTargetRegressor(pipeline, transformer=StandardScaler()) if task.regression else pipeline


class TorchModel:
    """A GRU of PyTorch of 64 units with its own init: Adam, half a cosine from 3e-3 to zero, clip norm 1."""

    def __init__(self, task: Task, parameters: Parameters, seed: int) -> None:
        self.regression, self.seed, self.bidirectional = task.regression, seed, parameters.get("bidirectional", False)

    def fit(self, X: Any, y: np.ndarray) -> TorchModel:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        self.scaler = PerStep(StandardScaler()).fit(X)
        if self.regression:
            self.mean, self.scale, n_outputs = y.mean(), y.std(), 1
            targets = torch.tensor((y - self.mean) / self.scale, dtype=torch.float32)
        else:
            self.classes, codes = np.unique(y, return_inverse=True)
            targets, n_outputs = torch.tensor(codes), len(self.classes)
        self.gru = torch.nn.GRU(np.shape(X[0])[1], 64, batch_first=True, bidirectional=self.bidirectional)
        self.readout = torch.nn.Linear(128 if self.bidirectional else 64, n_outputs)
        loss_function = torch.nn.MSELoss() if self.regression else torch.nn.CrossEntropyLoss()
        weights = [*self.gru.parameters(), *self.readout.parameters()]
        optimizer = torch.optim.Adam(weights, 3e-3)
        n_batches = -(-len(y) // 32)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, N_EPOCHS * n_batches)
        sequences = self._tensors(X)
        for _ in range(N_EPOCHS):
            for index in torch.randperm(len(y)).split(32):
                optimizer.zero_grad()
                raw = self._raw([sequences[i] for i in index])
                loss_function(raw[:, 0] if self.regression else raw, targets[index]).backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
        return self

    def predict(self, X: Any) -> np.ndarray:
        import torch

        with torch.no_grad():
            raw = self._raw(self._tensors(X)).numpy()
        return raw[:, 0] * self.scale + self.mean if self.regression else self.classes[raw.argmax(1)]

    def _tensors(self, X: Any) -> list[Any]:
        import torch

        return [torch.tensor(x, dtype=torch.float32) for x in self.scaler.transform(X)]

    def _raw(self, sequences: list[Any]) -> Any:
        """Read out the last state, that of the reverse direction after the first step."""
        import torch

        if len({len(x) for x in sequences}) == 1:
            _, last = self.gru(torch.stack(sequences))
        else:
            _, last = self.gru(torch.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False))
        return self.readout(torch.cat(list(last), 1))


class Job(NamedTuple):
    """One score: of the test part, or by validation on the training part."""

    part: str
    task: str
    parameters: Parameters
    seed: int
    peer: str = "skrnn"

    @property
    def key(self) -> str:
        return json.dumps([self.part, self.task, sorted(self.parameters.items()), self.seed, self.peer])


def figures(job: Job, folder: Path) -> dict[str, float]:
    """Score, as accuracy or as root mean squared error over the standard deviation of all training targets; seconds; epochs."""
    task, (X, y, X_test, y_test) = BY_NAME[job.task], parts(job.task, folder)
    if job.part == "test":
        splits = [(X, y, X_test, y_test)]
    else:
        splits = [(take(X, fitted), y[fitted], take(X, scored), y[scored]) for fitted, scored in task.splits(y, job.seed)]
    of_splits = []
    for X_fitted, y_fitted, X_scored, y_scored in splits:
        start = time.perf_counter()
        model = (skrnn_model if job.peer == "skrnn" else TorchModel)(task, job.parameters, job.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            predicted = model.fit(X_fitted, y_fitted).predict(X_scored)
        error = np.sqrt(np.mean((predicted - y_scored) ** 2)) / y.std() if task.regression else 0.0
        score = error if task.regression else np.mean(predicted == y_scored)
        n_iter = (model.regressor_ if task.regression else model)[-1].n_iter_ if job.peer == "skrnn" else N_EPOCHS
        of_splits.append((score, time.perf_counter() - start, n_iter))
    return dict(zip(("score", "seconds", "n_iter"), np.mean(of_splits, axis=0).round(6).tolist(), strict=True))


def take(X: Any, index: np.ndarray) -> Any:
    return X[index] if isinstance(X, np.ndarray) else [X[i] for i in index]


class Scores:
    """Scores by job, kept in a file; what is not there is computed, seed by seed, by processes side by side."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.file, self.folder, self.n_jobs = options.results, options.data, options.jobs
        self.of = json.loads(self.file.read_text()) if self.file and self.file.exists() else {}

    def figures(self, jobs: Sequence[Job]) -> list[dict[str, float]]:
        """Return the figures of each job."""
        missing = {job.key: job for job in sorted(jobs, key=lambda job: job.seed) if job.key not in self.of}
        found = Parallel(n_jobs=self.n_jobs, return_as="generator", batch_size=1)(
            delayed(figures)(job, self.folder) for job in missing.values()
        )
        for number, (key, of_job) in enumerate(zip(missing, found, strict=True), 1):
            self.of[key] = of_job
            if self.file:
                written = self.file.with_suffix(".part")
                written.write_text(json.dumps(self.of, indent=0))
                written.replace(self.file)
            print(f"\r{number} of {len(missing)} scores", end="", flush=True)
        return [self.of[job.key] for job in jobs]

    def arrays(self, jobs: list[list[list[Job]]]) -> tuple[np.ndarray, ...]:
        """Return scores, seconds and epochs of the jobs of a table, by row, column and seed."""
        of_jobs = self.figures([job for row in jobs for cell in row for job in cell])
        shape = len(jobs), len(jobs[0]), len(jobs[0][0])
        return tuple(np.reshape([of[name] for of in of_jobs], shape) for name in ("score", "seconds", "n_iter"))


# ---------------------------------------------------------------- tables


def validation(
    scores: Scores, tasks: Sequence[Task], name: str, title: str, rows: Mapping[str, Parameters], n_seeds: int
) -> Table:
    """Median scores by validation on the training parts, and how the rows rank."""
    jobs = [[[Job("validation", task.name, row, seed) for seed in range(n_seeds)] for task in tasks] for row in rows.values()]
    of_seeds, _, n_iter = scores.arrays(jobs)
    medians = np.median(of_seeds, axis=2)
    # what is equal to four digits shares a rank
    ranks = rankdata(np.round(medians, 4) * [1 if task.regression else -1 for task in tasks], axis=0)
    titles = [task.name for task in tasks]
    table = Table(
        name, title, ["configuration", *titles, "median rank", "mean rank", "epochs"],
        caption=f"Validation on the training parts, medians of {n_seeds} seeds: accuracies first, then errors. The best rank "
        "is 1. Epochs are the mean of those made. The range is that from the worst to the best seed, the median over the rows.",
        formats=dict.fromkeys(titles, ".4f") | dict.fromkeys(["median rank", "mean rank"], ".1f") | {"epochs": ".0f"},
    )  # fmt: skip
    for label, row, of_row, epochs in zip(rows, medians, ranks, n_iter.mean(axis=(1, 2)), strict=True):
        table.add(label, *row.tolist(), float(np.median(of_row)), float(of_row.mean()), float(epochs))
    table.add("range over the seeds", *np.median(np.ptp(of_seeds, axis=2), axis=0).tolist(), "", "", "")
    return table


def on_test_parts(
    scores: Scores, tasks: Sequence[Task], name: str, title: str, models: Sequence[str], n_seeds: int, **extra: Any
) -> Table:
    """Scores of the test parts, those of PyTorch beside them."""
    table = Table(
        name, title, ["task", *models, "s", "PyTorch, s"],
        caption=f"The test parts, medians of {n_seeds} seeds with the least and the greatest: accuracies first, then errors. "
        "The last two columns are median seconds to fit and predict, of the first model and of PyTorch.",
        formats=dict.fromkeys(["s", "PyTorch, s"], ".1f"),
    )  # fmt: skip
    peers = ["PyTorch" if model == "PyTorch" else "skrnn" for model in models]
    jobs = [
        [
            [Job("test", task.name, MODELS[model] | extra, seed, peer) for seed in range(n_seeds)]
            for model, peer in zip(models, peers, strict=True)
        ]
        for task in tasks
    ]
    for task, of_models, seconds in zip(tasks, *scores.arrays(jobs)[:2], strict=True):
        of_task = [f"{np.median(of):.4f} ({of.min():.3f}-{of.max():.3f})" for of in of_models]
        table.add(task.name, *of_task, float(np.median(seconds[0])), float(np.median(seconds[models.index("PyTorch")])))
    return table


def is_there(task: Task, folder: Path) -> bool:
    try:
        return bool(parts(task.name, folder))
    except FileNotFoundError:
        return False


def write_into(page: Path, table: Table) -> None:
    """Replace what stands between two comments with the table's name."""
    begin, end = f".. begin {table.name}\n", f".. end {table.name}\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    lines = ["", wrapped(table.caption), "", *simple_table(table)]
    page.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    scores, few, many = Scores(options), *((1, 1) if options.quick else (3, 5))
    tasks, others = ([task for task in of if is_there(task, options.data)] for of in (TASKS, OTHERS))
    if options.quick:
        tasks, others = [BY_NAME["digits"]], []
    small = [task for task in tasks if task.name in SMALL]
    makers = [
        partial(validation, scores, tasks, "screening", "Schedule, rate and epochs", SCREENING, few),
        partial(validation, scores, tasks, "changes", "One change", CHANGES, few),
        partial(on_test_parts, scores, tasks, "test", "Test parts", list(MODELS), many),
        partial(on_test_parts, scores, small, "both", "Two directions", [RECOMMENDED, "PyTorch"], many, bidirectional=True),
        *([partial(on_test_parts, scores, others, "others", "Other small data", list(MODELS), few)] if others else []),
    ]
    for make in makers:
        table = make()
        if options.page:
            write_into(options.page, table)
        yield table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(), help="folder with the files of the archives")
    parser.add_argument("--results", type=Path, help="file to keep scores in; those that are there are not computed again")
    parser.add_argument("--page", type=Path, help="page to write the tables into")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    main(tables, parser)
