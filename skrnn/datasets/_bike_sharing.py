"""The bike sharing data of Fanaee-T and Gama (2014), hour by hour."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._optional_dependencies import check_pandas_support
from sklearn.utils._param_validation import validate_params

N_HOURS = 365 * 24
FEATURE_NAMES = ["hr", "weekday", "holiday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"]


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    {"return_X_y": ["boolean"], "as_frame": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_bike_sharing(*, return_X_y: bool = False, as_frame: bool = False) -> Bunch | tuple[Any, Any]:
    """Load the bike sharing data of 2011 (forecasting of a series with daily and weekly cycles).

    How many bikes were rented from Capital Bikeshare in Washington, D.C., in each hour of a year, with the calendar and the
    weather. The data ship with the package; nothing is downloaded.

    =================  ==============================================================
    Steps              8760 hours, from 2011-01-01 00:00 to 2011-12-31 23:00
    Features per step  9: hour and kind of day, weather
    Target per step    rentals, 0 to 651
    Missing values     the weather of 115 hours, of which the source has no row
    =================  ==============================================================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        If True, ``data`` is a pandas DataFrame and ``target`` a Series, both with the time as their index.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the attributes:

        data : ndarray of shape (8760, 9) and dtype float64, or DataFrame
            The features, in the order of time:

            ============  ===================================================================================
            "hr"          hour of the day, 0 to 23
            "weekday"     0 (Sunday) to 6 (Saturday)
            "holiday"     1 on the 10 public holidays
            "workingday"  1 on days that are neither a holiday nor at a weekend
            "weathersit"  1 clear or few clouds, 2 mist or clouds, 3 light rain or snow, 4 heavy rain or snow
            "temp"        temperature, of the unit interval
            "atemp"       what the temperature feels like, of the unit interval
            "hum"         relative humidity, of the unit interval
            "windspeed"   wind speed, of the unit interval
            ============  ===================================================================================

            The weather, which is the last five, is NaN in 115 hours.
        target : ndarray of shape (8760,) and dtype int64, or Series
            Rentals in each hour: 0 in the hours of which the source has no row.
        time : ndarray of shape (8760,) and dtype datetime64[h]
            When each hour begins.
        frame : DataFrame of shape (8760, 10)
            Only with ``as_frame=True``: the features, and the target as the column "rentals".
        feature_names : list of str
            The names of the 9 features, in order.
        target_names : list of str
            ``["rentals"]``.
        DESCR : str
            The full description of the data, with its source and licence.

    (data, target) : tuple of ndarray, or of DataFrame and Series
        The two above, if ``return_X_y`` is True.

    Raises
    ------
    ValueError
        If ``return_X_y`` or ``as_frame`` is not a bool.
    ImportError
        If ``as_frame`` is True and pandas is not installed.

    References
    ----------
    .. [1] H. Fanaee-T and J. Gama (2014). "Event labeling combining ensemble detectors and background
       knowledge". Progress in Artificial Intelligence 2, 113-127. https://doi.org/10.1007/s13748-013-0040-3
    .. [2] H. Fanaee-T (2013). Bike Sharing. UCI Machine Learning Repository.
       https://doi.org/10.24432/C5W894 (CC BY 4.0)

    Examples
    --------
    >>> from skrnn.datasets import load_bike_sharing
    >>> X, y = load_bike_sharing(return_X_y=True)
    >>> X.shape, y.shape
    ((8760, 9), (8760,))

    The rush hours of Monday, the third of January:

    >>> time = load_bike_sharing().time
    >>> for hour in (56, 65):
    ...     print(time[hour], y[hour])
    2011-01-03T08 154
    2011-01-03T17 157
    """
    folder = files("skrnn.datasets") / "data"
    with (folder / "bike_sharing.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        rows = archive["hour"]
        target = np.zeros(N_HOURS, dtype=np.int64)
        target[rows] = archive["rentals"]
        data = np.full((N_HOURS, len(FEATURE_NAMES)), np.nan)
        hour = np.arange(N_HOURS)
        data[:, 0] = hour % 24
        data[:, 1] = (hour // 24 + 6) % 7  # the year begins on a Saturday
        for column, name in enumerate(FEATURE_NAMES[2:], start=2):
            if name in ("holiday", "workingday"):
                data[:, column] = np.repeat(archive[name], 24)
            elif name == "weathersit":
                data[rows, column] = archive[name]
            else:
                # The published values have four decimals; the division gives back the very same float64.
                data[rows, column] = archive[name] / 1e4
    time = np.datetime64("2011-01-01", "h") + hour
    frame = None
    if as_frame:
        pandas = check_pandas_support("load_bike_sharing with as_frame=True")
        frame = pandas.DataFrame(data, columns=FEATURE_NAMES, index=pandas.DatetimeIndex(time, name="time", freq="h"))
        frame["rentals"] = target
        data, target = frame[FEATURE_NAMES], frame["rentals"]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        time=time,
        frame=frame,
        feature_names=list(FEATURE_NAMES),
        target_names=["rentals"],
        DESCR=(folder / "bike_sharing.rst").read_text(encoding="utf-8"),
    )
