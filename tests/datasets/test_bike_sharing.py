from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from skrnn.datasets import load_bike_sharing

# Facts of the source file, in its order.
NAMES = ["hr", "weekday", "holiday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"]
TOTAL = 1243103  # as Capital Bikeshare reports for 2011
FIRST = [0, 6, 0, 0, 1, 0.24, 0.2879, 0.81, 0.0]
LAST = [23, 6, 0, 0, 1, 0.36, 0.3788, 0.66, 0.0]
SUM_IN_TEN_THOUSANDTHS = {"temp": 42280000, "atemp": 40545089, "hum": 55624500, "windspeed": 16526842}
HOURS_OF_WEATHER = [5645, 2218, 781, 1]


def test_form():
    X, y = load_bike_sharing(return_X_y=True)
    assert X.shape == (8760, 9)
    assert X.dtype == np.float64
    assert y.shape == (8760,)
    assert y.dtype == np.int64


def test_values_are_those_of_the_source_exactly():
    X, y = load_bike_sharing(return_X_y=True)
    assert X[0].tolist() == FIRST
    assert X[-1].tolist() == LAST
    assert (y[0], y[-1], y.max(), y.sum()) == (16, 31, 651, TOTAL)
    for name, total in SUM_IN_TEN_THOUSANDTHS.items():
        values = X[:, NAMES.index(name)]
        known = values[~np.isnan(values)]
        assert np.rint(known * 1e4).astype(np.int64).sum() == total
        assert [float(f"{value:.4f}") for value in known] == known.tolist()
        assert 0 <= known.min() < known.max() <= 1
    weather = X[:, 4]
    assert_array_equal(np.bincount(weather[~np.isnan(weather)].astype(int))[1:], HOURS_OF_WEATHER)


def test_hours_without_a_row_have_no_rentals_and_no_weather():
    X, y = load_bike_sharing(return_X_y=True)
    assert_array_equal(np.isnan(X), np.isin(np.arange(9), range(4, 9)) & (y == 0)[:, np.newaxis])
    assert (y == 0).sum() == 115


def test_calendar():
    bunch = load_bike_sharing(as_frame=True)
    time, data = bunch.frame.index, bunch.data
    assert_array_equal(bunch.time, np.arange("2011-01-01", "2012-01-01", dtype="datetime64[h]"))
    assert_array_equal(time, bunch.time)
    assert_array_equal(data["hr"], time.hour)
    assert_array_equal(data["weekday"], (time.day_of_week + 1) % 7)
    days = data.groupby(time.day_of_year)
    assert (days[["holiday", "workingday"]].nunique() == 1).to_numpy().all()
    weekend = data["weekday"].isin([0, 6])
    assert_array_equal(data["workingday"], 1 - np.maximum(data["holiday"], weekend))
    holidays = pd.unique(time[data["holiday"] == 1].strftime("%m-%d")).tolist()
    assert len(holidays) == 10
    assert {"01-17", "07-04", "11-24"} <= set(holidays)


def test_bunch():
    bunch = load_bike_sharing()
    X, y = load_bike_sharing(return_X_y=True)
    assert isinstance(bunch, Bunch)
    assert_array_equal(bunch.data, X)
    assert_array_equal(bunch.target, y)
    assert bunch.frame is None
    assert bunch.feature_names == NAMES
    assert bunch.target_names == ["rentals"]
    for fact in ("Fanaee-T", "UCI Machine Learning", "CC BY 4.0", "ISLP 0.6.0", "no row for 115 hours"):
        assert fact in bunch.DESCR.replace("\n", " ")


def test_frames():
    X, y = load_bike_sharing(return_X_y=True)
    bunch = load_bike_sharing(as_frame=True)
    data, target = load_bike_sharing(return_X_y=True, as_frame=True)
    pd.testing.assert_frame_equal(bunch.data, data)
    pd.testing.assert_series_equal(bunch.target, target)
    assert_array_equal(data, X)
    assert_array_equal(target, y)
    assert list(data.columns) == NAMES
    assert target.name == "rentals"
    assert list(bunch.frame.columns) == [*NAMES, "rentals"]
    assert bunch.frame.index.freq is not None


def test_without_pandas_frames_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="load_bike_sharing with as_frame=True requires pandas"):
        load_bike_sharing(as_frame=True)
    assert len(load_bike_sharing().data) == 8760


def test_each_call_returns_its_own_arrays():
    bunch = load_bike_sharing()
    bunch.data[:], bunch.target[:] = 0, 0
    bunch.feature_names.clear()
    again = load_bike_sharing()
    assert again.data[0].tolist() == FIRST
    assert again.target.sum() == TOTAL
    assert again.feature_names == NAMES


@pytest.mark.parametrize("name", ["return_X_y", "as_frame"])
@pytest.mark.parametrize("value", ["yes", None, 1])
def test_parameter_errors(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of load_bike_sharing must be"):
        load_bike_sharing(**{name: value})
