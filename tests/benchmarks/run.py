"""All benchmarks in one go, and the page of the documentation with their results.

    python tests/benchmarks/run.py                           # all, printed
    python tests/benchmarks/run.py --output docs             # and docs/benchmarks.rst with its plots
    python tests/benchmarks/run.py --quick training_step     # does it run?

Peers that are not installed are left out; ``pip install ".[bench]"`` installs them all. It takes about an hour, and wants a
quiet machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _common import CELLS, GRID, Table, geometric_mean

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: script -> its heading on the page, and the arguments of each run
BENCHMARKS: dict[str, tuple[str, list[list[str]]]] = {
    "training_step": (
        "One training step",
        [["--dtype", dtype, "--threads", threads] for threads in "12" for dtype in ("float32", "float64")],
    ),
    "variants": ("Variants of the peers' steps", [[]]),
    "ragged": ("Sequences of unequal lengths", [["--threads", threads] for threads in "12"]),
    "fit": ("A whole fit", [["--threads", threads] for threads in "12"]),
    "phases": ("Phases of a fit", [[]]),
    "predict": ("Prediction", [[]]),
    "one_step": ("One step of one sequence", [[]]),
    "streams": ("Streams", [[]]),
    "growth": ("Growth", [[]]),
    "long_sequences": ("Long sequences", [[]]),
    "checkpointing": ("Checkpoints", [[]]),
    "installation": ("Installation and import", [[]]),
}
PACKAGES = ["numpy", "scipy", "scikit-learn", "torch", "jax", "optax", "onnxruntime"]
#: these make OpenBLAS choose other kernels and block sizes than it would by itself
OPENBLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

INTRODUCTION = (
    "Competitors run in one process and take turns; figures are medians. Timings differ between machines, and by some per cent "
    "from run to run, so compare within a table. N sequences have T steps and F features, layers H hidden units; a ratio above "
    "1 means that skrnn is faster."
)


def environment() -> dict[str, str]:
    """Return the variables of a benchmark's process."""
    kept = {key: value for key, value in os.environ.items() if key not in OPENBLAS_VARIABLES}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def run(name: str, common: list[str], folder: Path) -> tuple[list[Table], list[str]]:
    """Run a benchmark in each of its ways that ``folder`` has no result of; return its tables, and the commands that failed."""
    written, failed = [], []
    for number, arguments in enumerate(BENCHMARKS[name][1]):
        shown, file = " ".join([f"{name}.py", *arguments]), folder / f"{name}_{number}.json"
        print(f"\n=== {shown}", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), *arguments, *common]
        if not file.exists():
            subprocess.run([*command, "--json", str(file)], env=environment(), check=False)
        if file.exists():
            written += [Table(**table) for table in json.loads(file.read_text())]
        else:
            failed.append(shown)
    return written, failed


# ---------------------------------------------------------------- the page


def heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def wrapped(text: str, **options: str) -> str:
    return textwrap.fill(text, 116, break_long_words=False, break_on_hyphens=False, **options)


def escaped(text: str) -> str:
    """Text of a cell without markup; none is empty, since a row that begins with an empty cell continues the one above."""
    return re.sub(r"([*`|\\]|_(?!\w))", r"\\\1", text) or r"\ "


def simple_table(table: Table) -> list[str]:
    rows = [list(map(escaped, cells)) for cells in (table.columns, *map(table.text, table.rows))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    border = " ".join("=" * width for width in widths)
    lines = [" ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]
    return [border, lines[0], border, *lines[1:], border, ""]


def of_table(table: Table, line: str = "-") -> list[str]:
    notes = [wrapped(f"* {note}", subsequent_indent="  ") for note in table.notes]
    return [*heading(table.title, line), wrapped(table.caption), "", *simple_table(table), *notes, *([""] if notes else [])]


def summary(tables: list[Table]) -> Table:
    """Compare by every column "<peer> / skrnn"."""
    table = Table("summary", "Summary", ["table", "peer", "geometric mean", "least", "points", "peer is ahead at"])
    table.caption = "Times of the peers over those of skrnn."
    table.formats = {"geometric mean": ".2f", "least": ".2f"}
    for of in tables:
        for column in (column for column in of.columns if column.endswith(" / skrnn")):
            ratios = [ratio for ratio in numbers(of, column) if ratio == ratio]
            if ratios:
                n_ahead = sum(ratio < 1 for ratio in ratios)
                peer = column.removesuffix(" / skrnn")
                table.add(of.title, peer, geometric_mean(ratios), min(ratios), len(ratios), n_ahead)
    return table


def blas() -> list[str]:
    """Name the BLAS libraries of NumPy and SciPy, with the kernels that they choose in a benchmark's process."""
    code = "import json, scipy.linalg, threadpoolctl; print(json.dumps(threadpoolctl.threadpool_info()))"
    output = subprocess.run([sys.executable, "-c", code], env=environment(), check=True, capture_output=True, text=True).stdout
    return sorted({f"{i['internal_api']} {i['version']} ({i.get('architecture', 'any')})" for i in json.loads(output)})


def machine() -> list[str]:
    """Processor, system and versions, as a list."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} is not installed")
    return [
        f"* Processor: {models[0] if models else platform.machine()}, {os.cpu_count()} cores",
        f"* System: {platform.system()} on {platform.machine()}",
        f"* Versions: {', '.join(versions)}",
        f"* BLAS of NumPy and SciPy: {', '.join(blas())}",
        f"* Date: {time.strftime('%Y-%m-%d')}",
    ]


def page(tables: dict[str, list[Table]], failed: list[str], images: list[str], options: argparse.Namespace) -> str:
    arguments = ["--output docs", *arguments_of_all(options), *options.names]
    lines = [
        ".. This page is written by tests/benchmarks/run.py.",
        "",
        *heading("Benchmarks", "="),
        "Everything on this page, sentences about who is ahead included, is written by one command::",
        "",
        '    python -m pip install ".[bench]"',
        f"    python tests/benchmarks/run.py {' '.join(arguments)}",
        "",
        wrapped(INTRODUCTION),
        "",
        *machine(),
        "",
    ]
    if options.quick:
        lines += ["**These are the figures of a trial with few points and short times. Do not quote them.**", ""]
    lines += [line for image in images for line in (f".. image:: images/{image}", f"   :alt: {image.rpartition('.')[0]}", "")]
    compared = summary([table for of_benchmark in tables.values() for table in of_benchmark])
    lines += of_table(compared, "=") if compared.rows else []
    for name, of_benchmark in tables.items():
        lines += heading(BENCHMARKS[name][0], "=") if of_benchmark else []
        lines += [line for table in of_benchmark for line in of_table(table)]
    if failed:
        lines += [*heading("What did not run", "="), *(f"* ``{command}``" for command in failed), ""]
    return "\n".join(lines)


# ---------------------------------------------------------------- plots


def numbers(table: Table, column: str, **where: Any) -> list[float]:
    """Return a column of the rows in which other columns have these values."""
    position = {name: k for k, name in enumerate(table.columns)}
    return [row[position[column]] for row in table.rows if all(row[position[key]] == value for key, value in where.items())]


def plot_ratios(tables: list[Table], file: Path) -> None:
    """Time of the peers over that of skrnn at each point of the grid, one panel a table."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, -(-len(tables) // 2), sharex=True, sharey=True, squeeze=False, figsize=(10, 7), layout="constrained"
    )
    labels = [", ".join(map(str, point)) for point in GRID]
    for ax, table in zip(axes.flat, tables, strict=False):
        ratios = [column for column in table.columns if column.endswith(" / skrnn")]
        for (cell, color), (ratio, style) in itertools.product(
            zip(CELLS, ("C0", "C1", "C2"), strict=True), zip(ratios, ("o-", "s:"), strict=False)
        ):
            values = numbers(table, ratio, cell=cell)
            ax.plot(labels[: len(values)], values, style, color=color, markersize=4, label=f"{ratio}, {cell}")
        ax.axhline(1, color="black", linewidth=1)
        ax.set(yscale="log", title=table.title)
        ax.tick_params(axis="x", labelrotation=30)
    for ax in axes[:, 0]:
        ax.set_ylabel("time over skrnn's")
    axes[0, 0].legend(fontsize="x-small")
    figure.supxlabel("N, T, F, H")
    figure.savefig(file, dpi=100)


def plot_growth(tables: list[Table], file: Path) -> None:
    """Milliseconds over the size that each table varies, a line for each cell and kind."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(tables), squeeze=False, figsize=(4 * len(tables), 4), layout="constrained")
    for ax, table in zip(axes[0], tables, strict=True):
        n_labels = next(k for k, cell in enumerate(table.rows[0]) if not isinstance(cell, str))
        for label, rows in itertools.groupby(table.rows, lambda row, n=n_labels: ", ".join(row[:n])):
            sizes, times = zip(*((row[n_labels], row[table.columns.index("ms")]) for row in rows), strict=True)
            ax.loglog(sizes, times, "o-", markersize=3, label=label)
        ax.set(xlabel=table.columns[n_labels], ylabel="ms", title=table.title)
        ax.legend(fontsize="x-small")
    figure.savefig(file, dpi=100)


def plot(tables: list[Table], folder: Path) -> list[str]:
    """Draw what there are tables for; return the names of the files."""
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed: no plots")
        return []
    plots = {"training_step_": plot_ratios, "growth_": plot_growth}
    drawn = []
    for prefix, draw in plots.items():
        chosen = [table for table in tables if table.name.startswith(prefix)]
        if chosen:
            drawn.append(f"benchmarks_{prefix.strip('_')}.png")
            folder.mkdir(exist_ok=True)
            draw(chosen, folder / drawn[-1])
    return drawn


def arguments_of_all(options: argparse.Namespace) -> list[str]:
    return [*(["--quick"] if options.quick else []), *([f"--seconds={options.seconds}"] if options.seconds else [])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"benchmarks to run: {', '.join(BENCHMARKS)}; by default all")
    parser.add_argument("--quick", action="store_true", help="few points and short times: do they run?")
    parser.add_argument("--seconds", type=float, help="for each competitor and point")
    parser.add_argument("--output", type=Path, help="folder for benchmarks.rst and images/benchmarks_*.png")
    parser.add_argument(
        "--results", type=Path, help="existing folder to keep results in; those that are there are not run again"
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown benchmarks: {', '.join(sorted(unknown))}")
    tables, failed = {}, []
    with nullcontext(options.results) if options.results else tempfile.TemporaryDirectory() as folder:
        for name in options.names or BENCHMARKS:
            tables[name], failures = run(name, arguments_of_all(options), Path(folder))
            failed += failures
    if options.output:
        images = plot([table for of_benchmark in tables.values() for table in of_benchmark], options.output / "images")
        (options.output / "benchmarks.rst").write_text(page(tables, failed, images, options), encoding="utf-8")
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
