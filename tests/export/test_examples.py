"""The examples that need ONNX run where it is installed; elsewhere, the doctests leave them out."""

import doctest
from pathlib import Path

import numpy as np
import pytest

from skrnn.export import register_skl2onnx, to_onnx

GUIDE = Path(__file__).parents[2] / "docs" / "user_guide" / "export.rst"
TEXTS = {
    "to_onnx": to_onnx.__doc__,
    "register_skl2onnx": register_skl2onnx.__doc__,
    "guide": GUIDE.read_text(encoding="utf-8"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_examples(name, tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime", "skl2onnx"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    text = TEXTS[name]
    assert "# doctest: +SKIP" in text
    example = doctest.DocTestParser().get_doctest(text.replace("# doctest: +SKIP", ""), {"np": np}, name, None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
