"""What it takes to have this package: the time of its import, its wheel, and the size of what it needs, beside PyTorch and JAX.

python tests/benchmarks/installation.py
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from _common import Table, main, medians

ROOT = Path(__file__).parents[2]
MB = 1e6
#: those that are installed
PEERS = [name for name in ("torch", "jax") if find_spec(name)]
OURS, STACK, NEEDS, NOTHING = "skrnn", "numpy, scipy, sklearn", "what skrnn imports", "nothing"


def imports_from_elsewhere() -> str:
    """All that the modules of ``import skrnn`` import at their top, but for each other, as the text of a program."""
    loaded = run("import sys, skrnn; print(*(m.__file__ for name, m in sys.modules.items() if name.split('.')[0] == 'skrnn'))")
    nodes = [node for path in loaded.split() for node in ast.parse(Path(path).read_text()).body]
    imports = [node for node in nodes if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)]
    statements = {ast.unparse(node): None for node in imports if getattr(node, "module", "") != "__future__"}
    return "\n".join(statements)


def run(program: str) -> str:
    """Run a program in an interpreter of its own and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}  # as when installed
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment).stdout


def import_times(seconds: float) -> Table:
    table = Table(
        "import",
        "Time of import",
        ["import", "ms", "without start", "times skrnn"],
        caption="Median milliseconds of a new interpreter that imports this, and whose files have been read before; the same "
        "without the start of an interpreter that imports nothing; and that as a multiple of skrnn's. What skrnn imports are "
        "the import statements at the top of its modules, but for those of each other.",
        formats={"times skrnn": ".2f"},
    )
    programs = {name: f"import {name}" for name in (OURS, STACK, *PEERS)} | {NEEDS: imports_from_elsewhere(), NOTHING: ""}
    times = medians({name: partial(run, program) for name, program in programs.items()}, seconds, least=7)
    ours = times[OURS] - times[NOTHING]
    for name, median in times.items():
        table.add(name, 1e3 * median, 1e3 * (median - times[NOTHING]), (median - times[NOTHING]) / ours)
    for name in (STACK, NEEDS):
        ratios = times[OURS] / times[name], ours / (times[name] - times[NOTHING])
        table.note(
            f"skrnn takes {ratios[0]:.2f} times as long as {name}, {ratios[1]:.2f} times without the interpreter's start."
        )
    return table


def requirements(names: list[str]) -> dict[str, Distribution]:
    """The distributions that names like ``numpy>=1.26`` need, and that are installed, themselves included."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        requirement, _, marker = waiting.pop().partition(";")
        name = re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")
        if name in found or "extra" in marker:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of another platform or version of Python
            continue
        waiting += found[name].requires or []
    return found


def size(distributions: dict[str, Distribution]) -> float:
    """MB of the files of distributions, as they are on the disk; links to the same file count once."""
    files = {Path(path.locate()).resolve() for of in distributions.values() for path in of.files or []}
    return sum(file.stat().st_size for file in files if file.is_file()) / MB


def wheel() -> float | None:
    """MB of the wheel built from this tree; None where it can't be built."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
        if subprocess.run(command, capture_output=True, cwd=folder).returncode:
            return None
        return sum(path.stat().st_size for path in Path(folder).glob("*.whl")) / MB


def sizes() -> Table:
    table = Table(
        "sizes",
        "Size of an installation",
        ["what", "MB", "packages"],
        caption="Megabytes (millions of bytes) of files as they are installed here, those of skrnn without bytecode. What a "
        "package needs is what its metadata require, without extras, and what that requires.",
    )
    needs = requirements(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    own = sum(path.stat().st_size for path in (ROOT / "skrnn").rglob("*") if path.is_file() and path.suffix != ".pyc") / MB
    of_wheel = wheel()
    if of_wheel is not None:
        table.add("skrnn wheel", of_wheel, "")
    table.add("skrnn", own, "")
    table.add("what it needs", size(needs), ", ".join(sorted(needs)))
    for name in PEERS:
        of_peer = requirements([name])
        table.add(name, size(of_peer), ", ".join(sorted(of_peer)))
        both = f"{own + size(needs):.0f} MB against {size(of_peer):.0f} MB"
        table.note(f"skrnn with all it needs and {name} with all it needs: {both}.")
    return table


def tables(options: argparse.Namespace) -> Iterator[Table]:
    yield import_times(options.seconds)
    yield sizes()


if __name__ == "__main__":
    main(tables, argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
