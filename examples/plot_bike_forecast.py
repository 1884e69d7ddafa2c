"""
How many bikes in the next six hours? Forecasting with windows
==============================================================

A year of hourly bike rentals: commuters ride twice a day, others on fine afternoons. ``SlidingWindow`` makes a sequence of the
last 24 hours for each hour, and GRUs forecast the next six at once. They have to beat the same hour of the day before and of
the week before, and an autoregression, a linear model of the last 24 or 168 hours. Gradient boosting is asked too. All learn
from January to September and are tested from October to December.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.dates import DateFormatter, DayLocator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from skrnn import RNNRegressor
from skrnn.datasets import load_bike_sharing
from skrnn.preprocessing import SlidingWindow

# %%
# Rows and targets
# ----------------
# Row ``i`` of the table is what is known in hour ``i``; its targets are the rentals of the six hours that follow. Everything
# works on square roots of rentals, which make the noise of busy and of quiet hours alike. The calendar is known in advance: the
# time of day, and whether the hour six hours from now is on a working day.

horizon = 6
bikes = load_bike_sharing()
rentals = bikes.target.astype(float)
hour, working_day = bikes.data[:, bikes.feature_names.index("hr")], bikes.data[:, bikes.feature_names.index("workingday")]
angle = 2 * np.pi * hour / 24

n_rows = len(rentals) - horizon
y = np.lib.stride_tricks.sliding_window_view(rentals[1:], horizon)
tables = {
    "rentals": np.sqrt(rentals)[:n_rows, None],
    "rentals and calendar": np.column_stack(
        [np.sqrt(rentals)[:n_rows], working_day[horizon:], np.sin(angle)[:n_rows], np.cos(angle)[:n_rows]]
    ),
}

first_forecast = np.flatnonzero(bikes.time == np.datetime64("2011-10-01T00"))[0]
train, test = slice(0, first_forecast - horizon), slice(first_forecast - 1, n_rows)


# %%
# The models
# ----------
# All see the same windows, of which autoregression and boosting make one long row. Windows never hold what comes later, so they
# can be made of all rows at once. The penalty of the autoregression is chosen by cross-validation. The errors of networks that
# differ in their seed alone differ by a bike or two, so four of them forecast, and the mean is taken.


def square(root):
    """Return rentals for predicted square roots."""
    return np.maximum(root, 0) ** 2


def forecaster(regressor):
    """Let a pipeline learn standardised square roots of the targets."""
    roots = make_pipeline(FunctionTransformer(np.sqrt, square, check_inverse=False), StandardScaler())
    return TransformedTargetRegressor(regressor, transformer=roots)


def flatten(windows):
    """Make one row of each window."""
    return windows.reshape(len(windows), -1)


def autoregression(width):
    """Return a linear model of the last hours."""
    window = SlidingWindow(width, padding="edge")
    return forecaster(make_pipeline(StandardScaler(), window, FunctionTransformer(flatten), RidgeCV(np.logspace(-2, 4, 7))))


def boosting(width):
    """Return trees that see the last hours, and are boosted for each hour of the forecast."""
    trees = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
    return forecaster(make_pipeline(SlidingWindow(width, padding="edge"), FunctionTransformer(flatten), trees))


def network(width, seed):
    """Return a GRU that reads the last hours."""
    gru = RNNRegressor(pooling=("last", "mean"), learning_rate_init=5e-3, max_iter=10, dtype="float32", random_state=seed)
    return forecaster(make_pipeline(StandardScaler(), SlidingWindow(width, padding="edge"), gru))


models = {
    "autoregression, 24 hours": [autoregression(24)],
    "autoregression, 168 hours": [autoregression(168)],
    "boosting, 24 hours": [boosting(24)],
    "GRUs, 24 hours": [network(24, seed) for seed in range(4)],
}


def rmse(forecast):
    """Return the root mean squared error of each of the six hours, in bikes, in the months of the test."""
    return np.sqrt(np.mean((forecast[test] - y[test]) ** 2, axis=0))


def overall(error):
    """Return the error of all six hours together."""
    return np.sqrt(np.mean(error**2))


forecasts = {}
for name, lag in {"the same hour yesterday": 24, "the same hour a week ago": 168}.items():
    forecasts[name] = np.lib.stride_tricks.sliding_window_view(rentals, horizon)[1 - lag + np.arange(n_rows)]
for table, X in tables.items():
    for name, members in models.items():
        start = time.perf_counter()
        with threadpool_limits(1):  # several threads of the trees would only wait for each other
            of_members = [model.fit(X[train], y[train]).predict(X) for model in members]
        forecasts[f"{name} of {table}"] = np.mean(of_members, axis=0)
        each = ", ".join(f"{overall(rmse(forecast)):.1f}" for forecast in of_members)
        print(f"{name} of {table}: {each} after {time.perf_counter() - start:.0f} s")

# %%
# The test
# --------
# The root mean squared error, in bikes, of each of the six hours:

errors = {name: rmse(forecast) for name, forecast in forecasts.items()}
for name, error in errors.items():
    print(f"{name:50s}" + "".join(f"{e:6.1f}" for e in error) + f"   all {overall(error):5.1f}")
for table in tables:
    assert overall(errors[f"GRUs, 24 hours of {table}"]) < overall(errors[f"autoregression, 168 hours of {table}"])

# %%
# From a day's rentals the networks tell what kind of day it is. A linear model needs a week for that, and is still behind; so
# is boosting, which sees the same day. With the calendar all are better, and closer to each other: the networks are ahead by
# about one bike, and only on average, since one of the four alone is behind. The forecasts on the right were made every six
# hours.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=[1, 1.7], layout="constrained")
ahead = np.arange(1, horizon + 1)
colors = {
    "the same": "0.6",
    "autoregression, 24 hours": "tab:orange",
    "autoregression, 168 hours": "tab:red",
    "boosting": "tab:green",
    "GRUs": "tab:blue",
}
for name, error in errors.items():
    color = next(color for start, color in colors.items() if name.startswith(start))
    left.plot(ahead, error, "o--" if name.endswith("of rentals") else "o-", color=color, markersize=4)
left.text(1, errors["the same hour yesterday"][0] + 2, "the same hour yesterday", color="0.4")
left.text(1, errors["the same hour a week ago"][0] - 2, "the same hour\na week ago", color="0.4", va="top")
for label, style in {"rentals": "--", "rentals and calendar": "-"}.items():
    left.plot([], [], style, color="0.3", label=label)
for _ in range(2):  # the second column of the legend is longer
    left.plot([], [], " ", label=" ")
for name in models:
    color = next(color for start, color in colors.items() if name.startswith(start))
    left.plot([], [], color=color, label=name.replace("autoregression", "AR"))
left.legend(frameon=False, loc="lower right", ncols=2, fontsize=9)
left.set(xlabel="hours ahead", ylabel="root mean squared error (bikes)", ylim=(0, 98), title="October to December")

shown = np.flatnonzero((bikes.time >= np.datetime64("2011-10-07")) & (bikes.time < np.datetime64("2011-10-12")))
right.fill_between(bikes.time[shown].astype("datetime64[s]"), rentals[shown], color="0.88", label="rented")
for name, color in (("autoregression, 168 hours", "tab:red"), ("GRUs, 24 hours", "tab:blue")):
    for k, row in enumerate(range(shown[0] - 1, shown[-1], horizon)):
        forecast = forecasts[f"{name} of rentals and calendar"][row]
        label = name if k == 0 else None
        right.plot(bikes.time[row + 1 : row + 1 + horizon].astype("datetime64[s]"), forecast, color=color, lw=1.6, label=label)
right.xaxis.set_major_locator(DayLocator())
right.xaxis.set_major_formatter(DateFormatter("%a %d %b"))
right.set(ylabel="bikes", ylim=(0, 690), title="Six hours at a time, with the calendar")
right.legend(frameon=False, loc="upper center", ncols=3)
figure.savefig("bike_forecast.png", dpi=150)
