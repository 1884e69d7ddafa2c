"""
How hot did it get? Regression on recordings of unequal length
==============================================================

An oven has a heater and a fan. A recording of 20 to 80 minutes tells the power of the heater and whether the fan ran, minute by
minute; how hot the oven was at most is to be told from that. Heat adds up and is lost again, faster with the fan, so what
matters is which minutes came after which. A GRU on the recordings as they are has to beat ridge regression and gradient
boosting on summaries of them.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skrnn import RNNRegressor

# %%
# The oven
# --------
# In a minute, the heater adds up to 30 K, and the oven loses 3 % of what it is warmer than the room, with the fan 15 %. Heater
# and fan are switched at random times, and their recordings are a little noisy.


def switched(n_minutes, shortest, longest, rng):
    """Return phases without and with a value from 0.3 to 1, in turn, each for some minutes."""
    durations = rng.integers(shortest, longest + 1, size=n_minutes)
    values = rng.uniform(0.3, 1, size=n_minutes) * ((np.arange(n_minutes) + rng.integers(2)) % 2)
    return np.repeat(values, durations)[:n_minutes]


def temperature(heater, fan):
    """Return how much warmer than the room the oven is after each minute, in K."""
    warmer, trace = 0.0, []
    for power, runs in zip(heater, fan, strict=True):
        warmer += 30 * power - (0.15 if runs else 0.03) * warmer
        trace.append(warmer)
    return np.array(trace)


def record(n_recordings, seed):
    """Return recordings, of shape (n_minutes, 2) each, and the highest temperature of each."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for n_minutes in rng.integers(20, 81, size=n_recordings):
        heater, fan = switched(n_minutes, 2, 12, rng), switched(n_minutes, 3, 15, rng) > 0
        X.append(np.column_stack([heater, fan]) + rng.normal(scale=0.02, size=(n_minutes, 2)))
        y.append(temperature(heater, fan).max())
    return X, np.array(y)


X_train, y_train = record(2000, seed=0)
X_test, y_test = record(1000, seed=1)
print(f"highest temperature {y_test.mean():.0f} K above the room's on average, standard deviation {y_test.std():.0f} K")

# %%
# Summaries
# ---------
# Of both columns and of their product: mean, standard deviation, smallest and largest value, and how much they change in a
# minute. And all the heat that was added, and the number of minutes.


def summarise(X):
    """Return 17 numbers for each recording."""
    rows = []
    for x in X:
        columns = np.column_stack([x, x.prod(axis=1)])
        change = np.abs(np.diff(columns, axis=0)).mean(axis=0)
        statistics = [columns.mean(axis=0), columns.std(axis=0), columns.min(axis=0), columns.max(axis=0), change]
        rows.append([*np.concatenate(statistics), x[:, 0].sum(), len(x)])
    return np.array(rows)


models = {
    "mean": DummyRegressor(),
    "summaries, ridge": make_pipeline(FunctionTransformer(summarise), StandardScaler(), RidgeCV(np.logspace(-3, 3, 7))),
    "summaries, boosting": make_pipeline(FunctionTransformer(summarise), GradientBoostingRegressor(random_state=0)),
}

# %%
# The recordings themselves
# -------------------------
# ``X`` is a list of arrays of different lengths. The highest temperature is asked for, so ``pooling="max"`` lets the readout
# see the largest value that each hidden unit had. The target is scaled to about one.

models["network"] = TransformedTargetRegressor(
    RNNRegressor(
        hidden_layer_sizes=32,
        pooling="max",
        learning_rate_init=1e-2,
        max_iter=30,
        random_state=0,
    ),
    transformer=StandardScaler(),
)

predictions, r2 = {}, {}
for name, model in models.items():
    start = time.perf_counter()
    predictions[name] = model.fit(X_train, y_train).predict(X_test)
    error, r2[name] = mean_absolute_error(y_test, predictions[name]), r2_score(y_test, predictions[name])
    print(f"{name:20s} mean absolute error {error:5.1f} K, R² {r2[name]:6.3f}, {time.perf_counter() - start:.0f} s")
assert all(r2["network"] > r2[name] + 0.1 for name in models if name != "network")

# %%
# A thermometer that was never shown
# ----------------------------------
# The network has seen highest temperatures only. Asked after every minute, it follows the temperature as it rises, and stays at
# the highest value while it falls. So it has learned the oven, from one number a recording. The first minutes are a guess:
# no recording that it learned from was so short.

panels = [["recordings", "temperature"], ["recordings", "heater"]]
figure, axes = plt.subplot_mosaic(panels, figsize=(11, 4.4), width_ratios=[1, 1.5], height_ratios=[3, 1], layout="constrained")
for name, color in {"summaries, boosting": "0.6", "network": "tab:blue"}.items():
    axes["recordings"].plot(y_test, predictions[name], ".", color=color, markersize=4, label=name)
axes["recordings"].axline((100, 100), slope=1, color="black", linewidth=0.8)
axes["recordings"].set(xlabel="highest temperature (K above the room's)", ylabel="predicted (K)", title="1000 recordings")
axes["recordings"].legend(frameon=False, markerscale=3)

longest = max(X_test, key=len)
minutes = np.arange(1, len(longest) + 1)
heater, fan = longest[:, 0], longest[:, 1] > 0.15
warmer = temperature(heater, fan)
after_every_minute = models["network"].predict([longest[:minute] for minute in minutes])
axes["temperature"].plot(minutes, warmer, color="tab:red", label="temperature")
axes["temperature"].plot(minutes, np.maximum.accumulate(warmer), color="tab:red", linestyle=":", label="highest so far")
axes["temperature"].plot(minutes, after_every_minute, color="tab:blue", label="network")
axes["temperature"].set(ylabel="K above the room's", ylim=(-5, 295), title="One of them, minute by minute")
axes["temperature"].legend(frameon=False, loc="upper center", ncols=3)
axes["temperature"].sharex(axes["heater"])
axes["temperature"].tick_params(labelbottom=False)
axes["heater"].fill_between(minutes, heater, step="mid", color="tab:orange", linewidth=0, label="heater")
axes["heater"].fill_between(minutes, 0, 1.05, where=fan, step="mid", color="0.5", alpha=0.25, linewidth=0, label="fan runs")
axes["heater"].set(xlabel="minutes", ylabel="power", ylim=(0, 1.05))
axes["heater"].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1.1), fontsize=8)
figure.savefig("peak_temperature.png", dpi=150)
