"""
How far back must a gradient reach? Grid search over the truncation length
==========================================================================

Truncated backpropagation through time (Williams and Peng, 1990) carries the gradient no more than ``truncation_length`` steps
back; the state is carried on all the way. In the adding problem two numbers of a sequence are marked, one in its first half,
one in its second, and the target is their sum. GridSearchCV tells which truncation lengths learn it, and ``gradient_flow``
shows how much of the gradient would arrive further back.
"""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV

from skrnn import RNNRegressor
from skrnn.datasets import make_adding
from skrnn.inspection import gradient_flow

# %%
# Two tasks of 40 steps
# ---------------------
# In the adding problem as it is, the second mark may be on any of the last 20 steps. In the other task 10 steps without a
# mark follow on 30 with two, so the second mark is among the last 11 to 25 steps, and the first among the last 26 to 40.


def make_adding_and_wait(n_sequences, random_state):
    """Make 30 steps with two marks, and 10 without."""
    X, y = make_adding(n_sequences, n_timesteps=30, random_state=random_state)
    wait = np.random.default_rng(random_state).uniform(size=(n_sequences, 10, 2)) * [1, 0]
    return np.concatenate([X, wait], axis=1), y


tasks = {
    "40 steps with two marks": (make_adding(3000, 40, random_state=0), make_adding(1000, 40, random_state=2)),
    "30 steps with two marks, then 10 without": (make_adding_and_wait(3000, 0), make_adding_and_wait(1000, 2)),
}

# %%
# The search
# ----------
# Every length has 20 epochs. Where that is too little, skrnn says so in a warning, which is to be expected here.

warnings.simplefilter("ignore", ConvergenceWarning)

network = RNNRegressor(
    hidden_layer_sizes=32,
    learning_rate_init=1e-2,
    batch_size=64,
    max_iter=20,
    tol=0,
    n_iter_no_change=20,
    dtype="float32",
    random_state=0,
)
lengths = [1, 5, 10, 11, 15, 20, 30, 40]
searches = {}
for name, ((X, y), (X_test, y_test)) in tasks.items():
    start = time.perf_counter()
    search = GridSearchCV(network, {"truncation_length": lengths}, cv=3, scoring="neg_mean_squared_error", n_jobs=2).fit(X, y)
    error = mean_squared_error(y_test, search.predict(X_test))
    print(f"{name}: best {search.best_params_}, test MSE {error:.4f} after {time.perf_counter() - start:.0f} s")
    searches[name] = search

# %%
# In the first task any truncation will do, even to the last step alone: what to do at a mark is learned from the sequences
# whose second mark is in reach, and the same weights then do it at every step. In the second task the last 10 steps have
# nothing to learn from, and the error stays that of the mean. Eleven steps reach the second mark of one sequence in 15, and
# no first mark; yet both numbers are added. So a truncation need not be as long as the dependency. It must reach something to
# learn from, and with more of it the error tends to fall.
#
# What arrives
# ------------
# ``gradient_flow`` leaves truncation aside: it gives the norm of the gradient with respect to the state so many steps before
# the last. In networks that solve the task it arrives at every step. Those that never saw a mark mostly learned to forget,
# and then it vanishes exponentially. A flat line alone means little, though: the network that was trained with 10 steps has
# one (with some other seeds it vanishes too), but training cut the gradient off one step before the first that could tell it
# something.

(X, y), (X_test, y_test) = tasks["30 steps with two marks, then 10 without"]
flows, errors = {}, {}
for length in lengths:
    fitted = clone(network).set_params(truncation_length=length).fit(X, y)
    flow = gradient_flow(fitted, X_test, y_test)["layer0.forward"]
    flows[length] = flow / flow[0]
    errors[length] = mean_squared_error(y_test, fitted.predict(X_test))
    print(f"truncation_length={length:2}: test MSE {errors[length]:.4f}, gradient at lag 39 / lag 0: {flow[-1] / flow[0]:.1g}")

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
for (name, search), marker in zip(searches.items(), "os", strict=True):
    left.plot(lengths, -search.cv_results_["mean_test_score"], marker=marker, label=name)
left.axhline(1 / 6, color="0.5", linestyle=":", label="mean predictor")
left.set(yscale="log", xlabel="truncation_length", ylabel="mean squared error", title="Cross-validated error")
left.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.88))

for first, last, name in ((10, 24, "second mark"), (25, 39, "first mark")):
    right.axvspan(first - 0.4, last + 0.4, color="0.94", zorder=0)
    right.text((first + last) / 2, 5, name, ha="center", color="0.4")
solved = [length for length in lengths if errors[length] < 0.1]
unsolved = [length for length in lengths if errors[length] >= 0.1]
for cmap, group in (("Reds", unsolved), ("Blues", solved)):
    for shade, length in zip(np.linspace(0.4, 0.95, len(group)), group, strict=True):
        color = plt.get_cmap(cmap)(shade)
        right.plot(flows[length], color=color, linewidth=1, linestyle="--")
        right.plot(flows[length][:length], color=color, linewidth=2, marker="o", markevery=[length - 1], label=length)
right.set(
    yscale="log",
    ylim=(4e-6, 12),
    xlabel="lag: steps before the last one",
    ylabel="norm of the gradient, relative to lag 0",
    title="Gradient flow in the second task (dashed: cut off in training)",
)
right.legend(frameon=False, title="truncation_length", loc="lower left")
figure.savefig("truncation_length.png", dpi=150)
