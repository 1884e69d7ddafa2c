"""Imports go down only: who may import whom, inside the package and beyond it."""

import ast
import sys
from pathlib import Path

import pytest

import skrnn

ROOT = Path(skrnn.__file__).parent
#: part of the package -> (parts that it may import, packages that it may import besides the standard library's)
LAYERS = {
    "_core": (set(), {"numpy", "scipy", "threadpoolctl"}),
    "_optim": (set(), {"numpy"}),
    "_warnings": (set(), {"sklearn"}),
    "_scale": ({"_warnings"}, {"numpy"}),
    "_runtime": (set(), {"joblib", "numpy", "threadpoolctl"}),
    "_callbacks": (set(), {"numpy", "sklearn"}),
    "_version": (set(), set()),
    "persistence": (set(), set()),
    "sequences": (set(), {"numpy", "scipy", "sklearn"}),  # and by name, when a frame is asked for, pandas or polars
    "_stack": ({"_core"}, {"numpy"}),
    "_readout": ({"_stack", "_core"}, {"numpy"}),
    "_passes": ({"_readout", "_stack", "_core"}, set()),
    "_network": ({"_passes", "_readout", "_stack", "_core"}, {"numpy"}),
    "_data": ({"sequences"}, {"numpy", "sklearn"}),
    "_training": ({"_data", "_network", "_passes", "_core", "_optim", "_callbacks", "_warnings"}, {"numpy", "scipy"}),
    "_kept": ({"_network"}, {"numpy"}),
    "_runs": ({"_training", "_data", "_kept", "_network", "_passes", "sequences"}, {"numpy", "sklearn"}),
    "_prediction": ({"_data", "_network", "sequences"}, {"numpy"}),
    "_hyperparameters": ({"_training", "_kept", "_network", "_passes", "_core", "_optim"}, {"numpy", "sklearn"}),
    "metrics": ({"sequences"}, {"numpy", "scipy", "sklearn"}),
    "preprocessing": ({"_callbacks", "sequences"}, {"numpy", "scipy", "sklearn"}),
    "datasets": ({"sequences"}, {"numpy", "scipy", "sklearn"}),
}
#: the scikit-learn face and what stands beside it may import any of the above and each other, but nothing above imports them
TOP = {"__init__", "_base", "_classifier", "_regressor", "inspection", "export"}
MODULES = sorted(ROOT.rglob("*.py"))


def part_of(name):
    """The part of the package that a dotted name below ``skrnn`` belongs to."""
    return name.split(".")[1] if "." in name else "__init__"


def imports(tree, package):
    """Absolute names of all modules imported anywhere, but for type checking only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            # `from . import a` imports modules, `from .a import b` names of one
            yield from (f"{module}.{alias.name}" for alias in node.names) if not node.module else [module]
        yield from imports(node, package)


def imports_of(path):
    package = ["skrnn", *path.relative_to(ROOT).parent.parts]
    return set(imports(ast.parse(path.read_text(encoding="utf-8")), package))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_down_only(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert part in LAYERS.keys() | TOP, f"give {part} its place in LAYERS"
    imported = imports_of(path)
    inner = {part_of(name) for name in imported if name.split(".")[0] == "skrnn"} - {part}
    outer = {name.split(".")[0] for name in imported} - {"skrnn"} - sys.stdlib_module_names
    if part in LAYERS:
        parts, packages = LAYERS[part]
        assert inner <= parts
        assert outer <= packages
    else:
        assert inner <= LAYERS.keys() | TOP


def test_every_way_to_import_is_seen():
    source = """
import numpy.linalg, os
from scipy import linalg
from . import _training
from .._optim.solvers import SGD
from ..sequences import Batch
if TYPE_CHECKING:
    from .._base import BaseRNN
def function():
    if True:
        from skrnn.export import to_onnx
"""
    names = set(imports(ast.parse(source), ["skrnn", "_core"]))
    assert names == {
        "numpy.linalg",
        "os",
        "scipy",
        "skrnn._core._training",
        "skrnn._optim.solvers",
        "skrnn.sequences",
        "skrnn.export",
    }
    assert {part_of(name) for name in names if name.startswith("skrnn")} == {"_core", "_optim", "sequences", "export"}


def test_the_modules_are_there():
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES} >= {"_core", "_optim", "_network"}
