"""The norm of the gradient at every lag, as the recurrent weights are made smaller or larger."""

import matplotlib.pyplot as plt
import numpy as np

from skrnn import RNNRegressor
from skrnn.datasets import make_adding
from skrnn.inspection import gradient_flow

X, y = make_adding(50, n_timesteps=50, random_state=0)
panels = {"identity": ("without activation", [0.9, 1.0, 1.1]), "tanh": ("tanh", [0.5, 1.0, 1.5, 3.0])}
colors = {0.5: "tab:purple", 0.9: "tab:blue", 1.0: "tab:green", 1.1: "tab:orange", 1.5: "tab:brown", 3.0: "tab:red"}

figure, both = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True)
for axes, (activation, (title, factors)) in zip(both, panels.items(), strict=True):
    network = RNNRegressor(cell="rnn", activation=activation, learning_rate_init=1e-12, random_state=0).partial_fit(X, y)
    weights = network.coefs_["layer0.forward.h.recurrent"]
    orthogonal = weights.copy()
    for factor in factors:
        weights[...] = factor * orthogonal
        flow = gradient_flow(network, X, y)["layer0.forward"]
        share = flow / flow[0]
        axes.plot(share, color=colors[factor])
        axes.text(50, share[-1], f" {factor}", va="center", color=colors[factor])
    axes.set(title=title, xlabel="lag: steps before the last", xlim=(0, 57), yscale="log", ylim=(1e-16, 1e9))
    axes.set_yticks(10.0 ** np.arange(-15, 10, 5))
both[0].set_ylabel("norm of the gradient,\nrelative to the last step")
