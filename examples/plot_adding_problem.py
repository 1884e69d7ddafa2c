"""
The adding problem: remembering over a hundred steps
====================================================

Two numbers of a sequence are marked; the target is their sum. Nothing but the marked numbers matters, so a network must carry
the first one over dozens of steps of noise. Predicting the mean gives a squared error of 1/6. A GRU learns to do better within
a few epochs, and so does a relu network whose recurrent weights start as the identity (Le, Jaitly and Hinton, 2015). A plain
tanh network, whose gradient vanishes on the way back, learns next to nothing.
"""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_squared_error

from skrnn import RNNRegressor
from skrnn.datasets import make_adding

X, y = make_adding(8000, n_timesteps=100, random_state=0)
X_test, y_test = make_adding(1000, n_timesteps=100, random_state=1)
X, X_test = X.astype(np.float32), X_test.astype(np.float32)

networks = {
    "GRU": RNNRegressor(cell="gru", hidden_layer_sizes=32, learning_rate_init=1e-2, batch_size=64),
    "relu, identity": RNNRegressor(
        cell="rnn",
        activation="relu",
        recurrent_init_scheme="identity",
        hidden_layer_sizes=64,
        learning_rate_init=3e-3,
    ),
    "tanh": RNNRegressor(cell="rnn", hidden_layer_sizes=64, learning_rate_init=3e-3),
}

figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
axes.axhline(1 / 6, color="0.5", linestyle=":", label="mean predictor")
for name, network in networks.items():
    network.set_params(max_iter=20, random_state=0)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the one that does not learn it
        network.fit(X, y)
    error = mean_squared_error(y_test, network.predict(X_test))
    print(f"{name:15} test MSE {error:.5f} after {time.perf_counter() - start:.0f} s")
    axes.plot(np.arange(1, network.n_iter_ + 1), 2 * np.array(network.loss_curve_), label=f"{name}: {error:.4f} on test data")
axes.set(yscale="log", xlabel="epoch", ylabel="mean squared error", title="The adding problem with 100 steps")
axes.xaxis.get_major_locator().set_params(integer=True)
axes.legend(frameon=False)
figure.savefig("adding_problem.png", dpi=150)
