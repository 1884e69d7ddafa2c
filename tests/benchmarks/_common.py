"""What the benchmarks share: fair timing, and tables that are printed and can be written as JSON for the page of the docs.

A benchmark is a script that yields ``Table`` after ``Table``. Its competitors take turns, so that a machine whose speed
drifts slows all of them; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

#: sequences, steps, features, hidden units
GRID = [
    (32, 50, 1, 16), (32, 50, 8, 32), (32, 100, 16, 64), (64, 28, 28, 128), (64, 100, 32, 128), (200, 100, 12, 64),
    (128, 100, 64, 256),
]  # fmt: skip
CELLS = ("rnn", "gru", "lstm")


@dataclass
class Table:
    """Figures by rows and columns; cells are text or numbers, and ``formats`` says how a column's numbers are written."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[str | float]] = field(default_factory=list)
    #: what the figures are, and in which unit
    caption: str = ""
    #: sentences that follow from the figures, such as the geometric mean of a ratio
    notes: list[str] = field(default_factory=list)
    formats: Mapping[str, str] = field(default_factory=dict)

    def add(self, *cells: str | float) -> None:
        """Add a row and print it, below the heading if it is the first."""
        if not self.rows:
            print(f"\n{self.title}\n{self.caption}\n" + self._line(self.columns), flush=True)
        self.rows.append(list(cells))
        print(self._line(self.text(cells)), flush=True)

    def note(self, sentence: str) -> None:
        """Add a sentence below the table and print it."""
        self.notes.append(sentence)
        print(sentence, flush=True)

    def text(self, cells: list[str | float] | tuple[str | float, ...]) -> list[str]:
        """Return a row as text; figures have three digits where ``formats`` says nothing."""
        return [
            cell
            if isinstance(cell, str)
            else format(cell, self.formats.get(column, ""))
            if column in self.formats
            else digits(cell)
            for column, cell in zip(self.columns, cells, strict=True)
        ]

    def _line(self, cells: list[str]) -> str:
        return "  ".join(cell.rjust(max(len(column), 9)) for column, cell in zip(self.columns, cells, strict=True))


def digits(number: float) -> str:
    """Three significant digits, without an exponent; nothing for NaN."""
    if number != number:
        return ""
    if number == 0 or isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.{max(0, 2 - int(np.floor(np.log10(abs(number)))))}f}"


def medians(calls: Mapping[str, Callable[[], object]], seconds: float, least: int = 5) -> dict[str, float]:
    """Median seconds of each call: rounds of all of them in turn, each for about as long as the others."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    rounds = {}
    for name, call in calls.items():
        call()  # compiles, allocates
        call()
        begin = time.perf_counter()
        call()
        rounds[name] = max(1, min(1000, int(0.02 / (time.perf_counter() - begin))))
    start = time.perf_counter()
    while time.perf_counter() - start < seconds * len(calls) or min(map(len, times.values())) < least:
        for name, call in calls.items():
            for _ in range(rounds[name]):
                begin = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - begin)
    return {name: float(np.median(of_call)) for name, of_call in times.items()}


def geometric_mean(ratios: list[float]) -> float:
    """Geometric mean of what is not NaN."""
    return float(np.exp(np.nanmean(np.log(ratios))))


def main(tables: Callable[[argparse.Namespace], Iterator[Table]], parser: argparse.ArgumentParser) -> None:
    """Run a benchmark as a script: print its tables, and with ``--json`` write them to a file."""
    parser.add_argument("--json", type=Path, help="file to write the tables to")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each competitor and point")
    parser.add_argument("--quick", action="store_true", help="few points and short times: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.seconds = 0.02
    written = [asdict(table) for table in tables(options)]
    if options.json:
        options.json.write_text(json.dumps(written))
