"""The yearly sunspot numbers of Zürich and Brussels, from 1700 on."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._optional_dependencies import check_pandas_support
from sklearn.utils._param_validation import validate_params


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    {"as_frame": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_sunspots(*, as_frame: bool = False) -> Bunch:
    """Load the yearly sunspot numbers from 1700 to 2008 (forecasting of a short series with a cycle).

    How many spots were seen on the sun, year by year: a cycle of about 11 years, which is never the same twice. The first
    autoregression was fitted to these numbers [1]_. The data ship with the package; nothing is downloaded.

    =================  =============================
    Steps              309 years, from 1700 to 2008
    Features per step  1: the sunspot number, 0 to 190.2
    Missing values     none
    =================  =============================

    There is no target, and so no ``return_X_y``: what is to be predicted are later values of the series.

    Parameters
    ----------
    as_frame : bool, default=False
        If True, ``data`` is a pandas DataFrame with the year as its index.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the attributes:

        data : ndarray of shape (309, 1) and dtype float64, or DataFrame
            The mean sunspot number of each year, in the order of time. A sunspot number counts groups of spots tenfold
            and adds the single spots.
        year : ndarray of shape (309,) and dtype int64
            The years.
        feature_names : list of str
            ``["sunspots"]``.
        DESCR : str
            The full description of the data, with its source and licence.

    Raises
    ------
    ValueError
        If ``as_frame`` is not a bool.
    ImportError
        If ``as_frame`` is True and pandas is not installed.

    References
    ----------
    .. [1] G. U. Yule (1927). "On a method of investigating periodicities in disturbed series, with special reference to
       Wolfer's sunspot numbers". Philosophical Transactions of the Royal Society A 226, 267-298.
       https://doi.org/10.1098/rsta.1927.0007
    .. [2] F. Clette, L. Svalgaard, J. M. Vaquero and E. W. Cliver (2014). "Revisiting the sunspot number". Space Science
       Reviews 186, 35-103. https://doi.org/10.1007/s11214-014-0074-2

    Examples
    --------
    >>> from skrnn.datasets import load_sunspots
    >>> sunspots = load_sunspots()
    >>> sunspots.data.shape
    (309, 1)
    >>> int(sunspots.year[sunspots.data.argmax()])
    1957

    Rows and targets for a forecast of the next year:

    >>> X, y = sunspots.data[:-1], sunspots.data[1:, 0]
    """
    folder = files("skrnn.datasets") / "data"
    with (folder / "sunspots.csv").open(encoding="utf-8") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    year, data = table[:, 0].astype(np.int64), table[:, 1:].copy()
    if as_frame:
        pandas = check_pandas_support("load_sunspots with as_frame=True")
        data = pandas.DataFrame(data, columns=["sunspots"], index=pandas.Index(year, name="year"))
    return Bunch(
        data=data,
        year=year,
        feature_names=["sunspots"],
        DESCR=(folder / "sunspots.rst").read_text(encoding="utf-8"),
    )
