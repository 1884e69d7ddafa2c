from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from skrnn.datasets import load_sunspots

# Facts of the source file, in its order.
FIRST = [5, 11, 16, 23, 36, 58, 29, 20, 10, 8, 3, 0, 0, 2]
LAST = [119.6, 111.0, 104.0, 63.7, 40.4, 29.8, 15.2, 7.5, 2.9]
SUM_IN_TENTHS = 153734


def test_form():
    bunch = load_sunspots()
    assert isinstance(bunch, Bunch)
    assert bunch.data.shape == (309, 1)
    assert bunch.data.dtype == np.float64
    assert bunch.year.dtype == np.int64
    assert_array_equal(bunch.year, np.arange(1700, 2009))
    assert bunch.feature_names == ["sunspots"]


def test_values_are_those_of_the_source_exactly():
    bunch = load_sunspots()
    values = bunch.data[:, 0]
    assert values[: len(FIRST)].tolist() == FIRST
    assert values[-len(LAST) :].tolist() == LAST
    assert [float(f"{value:.1f}") for value in values] == values.tolist()
    assert np.rint(values * 10).sum() == SUM_IN_TENTHS
    assert bunch.year[values == 0].tolist() == [1711, 1712, 1810]
    assert (bunch.year[values.argmax()], values.max()) == (1957, 190.2)
    assert bunch.year[values % 1 > 0][0] == 1749


def test_description_names_source_licence_and_changes():
    description = load_sunspots().DESCR.replace("\n", " ")
    for fact in ("Royal Observatory of Belgium", "statsmodels 0.15.0", "This data is public domain", "Only the names"):
        assert fact in description


def test_frame():
    bunch = load_sunspots()
    frame = load_sunspots(as_frame=True).data
    expected = pd.DataFrame({"sunspots": bunch.data[:, 0]}, index=pd.Index(bunch.year, name="year"))
    pd.testing.assert_frame_equal(frame, expected)
    assert frame.loc[1957, "sunspots"] == 190.2


def test_without_pandas_a_frame_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="load_sunspots with as_frame=True requires pandas"):
        load_sunspots(as_frame=True)
    assert len(load_sunspots().data) == 309


def test_each_call_returns_its_own_arrays():
    bunch = load_sunspots()
    bunch.data[:], bunch.year[:] = 0, 0
    bunch.feature_names.clear()
    again = load_sunspots()
    assert again.data[:4, 0].tolist() == FIRST[:4]
    assert again.year[0] == 1700
    assert again.feature_names == ["sunspots"]


@pytest.mark.parametrize("value", ["yes", None, 1])
def test_parameter_errors(value):
    with pytest.raises(ValueError, match="The 'as_frame' parameter of load_sunspots must be"):
        load_sunspots(as_frame=value)
