"""
Twenty-seven settings, most of them hopeless: successive halving
================================================================

How far back gradients reach, at which value they are clipped and how recurrent weights begin decide whether Elman's network of
rectified linear units learns to add two marked numbers out of 40. ``HalvingGridSearchCV`` tries every combination on a few
sequences, and only the best third on three times as many, and so on. The result has to beat ridge regression and gradient
boosting on the 80 numbers of a sequence.
"""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # lets the next line find it
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import HalvingGridSearchCV

from skrnn import RNNRegressor
from skrnn.datasets import make_adding

# %%
# The task
# --------
# What makes the adding problem hard is that a number counts only if it is marked, which no sum of functions of single columns
# expresses.

n_timesteps = 40
X, y = make_adding(5400, n_timesteps, random_state=0)
X_test, y_test = make_adding(1000, n_timesteps, random_state=1)

errors = {"mean": mean_squared_error(y_test, np.full(len(y_test), y.mean()))}
for name, model in {"ridge": RidgeCV(), "boosting": HistGradientBoostingRegressor(random_state=0)}.items():
    errors[name] = mean_squared_error(y_test, model.fit(X.reshape(len(X), -1), y).predict(X_test.reshape(len(X_test), -1)))
for name, error in errors.items():
    print(f"{name:8s} test MSE {error:.4f}")

# %%
# The search
# ----------
# In each round all settings that are left train on the same number of sequences. With more sequences there are more updates, so
# scores of different rounds can't be compared. Settings whose gradients explode say so in warnings; the search will drop them.

network = RNNRegressor(
    cell="rnn",
    activation="relu",
    hidden_layer_sizes=32,
    solver="sgd",
    learning_rate_init=0.03,
    max_iter=12,
    tol=0,
    n_iter_no_change=12,
    dtype="float32",
    random_state=0,
)
grid = {
    "recurrent_init_scheme": ["identity", "orthogonal", "glorot_uniform"],
    "clip_value": [None, 0.1, 0.01],
    "truncation_length": [5, 20, 40],
}
start = time.perf_counter()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    search = HalvingGridSearchCV(
        network,
        grid,
        factor=3,
        min_resources=600,
        cv=3,
        scoring="neg_mean_squared_error",
        random_state=0,
    ).fit(X, y)
errors["network"] = mean_squared_error(y_test, search.predict(X_test))
print(f"{search.n_candidates_} settings on {search.n_resources_} sequences took {time.perf_counter() - start:.0f} s")
print(f"best: {search.best_params_}")
print(f"network  test MSE {errors['network']:.4f}")
assert errors["network"] < 0.3 * min(errors["ridge"], errors["boosting"])

# %%
# What has survived
# -----------------
# Left, each line is a setting, as far as it got; the init schemes are drawn side by side. Right, all settings, with the score
# of the last round that each was in.
#
# What learns the task begins with the identity, with which a rectified linear unit keeps what it has added up (Le, Jaitly and
# Hinton, 2015), has gradients that reach at least 20 steps back, and does not clip their elements too tightly.

results = search.cv_results_
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), width_ratios=[1, 1.25], layout="constrained")
colors = {"identity": "tab:blue", "orthogonal": "tab:orange", "glorot_uniform": "tab:green"}
styles = {None: "-", 0.1: "--", 0.01: ":"}
rows = [(init, clip) for init in colors for clip in styles]
table = np.empty((len(rows), len(grid["truncation_length"])))
rounds = np.empty(table.shape, dtype=int)
for setting in {tuple(sorted(parameters.items())): parameters for parameters in results["params"]}.values():
    tried = [k for k, parameters in enumerate(results["params"]) if parameters == setting]
    error = -results["mean_test_score"][tried]
    init, clip = setting["recurrent_init_scheme"], setting["clip_value"]
    resources = results["n_resources"][tried] * 1.08 ** (list(colors).index(init) - 1)
    left.plot(resources, error, "o", linestyle=styles[clip], color=colors[init], markersize=4)
    place = rows.index((init, clip)), grid["truncation_length"].index(setting["truncation_length"])
    table[place], rounds[place] = error[-1], len(tried)
left.axhline(errors["boosting"], color="0.6")
left.text(5400, 1.03 * errors["boosting"], "boosting", color="0.4", va="bottom", ha="right")
for init, color in colors.items():
    left.plot([], [], color=color, label=init)
for clip, style in styles.items():
    left.plot([], [], style, color="0.3", label=f"clip_value={clip}")
left.legend(frameon=False, fontsize=8, ncols=2, loc="lower left")
left.set(xscale="log", yscale="log", xlabel="sequences", ylabel="mean squared error", title="Cross-validated, round by round")
left.set_xticks(search.n_resources_, [str(n) for n in search.n_resources_])
left.minorticks_off()

image = right.imshow(np.log(table), cmap="viridis_r", aspect="auto")
right.set_xticks(range(table.shape[1]), grid["truncation_length"])
right.set_yticks(range(len(rows)), [f"{init}, clip_value={clip}" for init, clip in rows])
right.set(xlabel="truncation_length", title="Mean squared error in the last round that each was in")
for place in np.ndindex(table.shape):
    color = "black" if table[place] < 0.05 else "white"
    right.text(*place[::-1], f"{table[place]:.3f}, round {rounds[place]}", ha="center", va="center", color=color, fontsize=9)
figure.savefig("halving_search.png", dpi=150)
