"""Eigenvalues of recurrent weights under four init schemes, and what is left of the gradient at every lag."""

import matplotlib.pyplot as plt
import numpy as np

from skrnn import RNNRegressor
from skrnn.datasets import make_adding
from skrnn.inspection import gradient_flow

X, y = make_adding(50, n_timesteps=50, random_state=0)
networks = {
    "uniform": {"recurrent_init_scheme": "uniform"},
    "glorot_uniform": {"recurrent_init_scheme": "glorot_uniform"},
    "orthogonal": {"recurrent_init_scheme": "orthogonal"},
    "he_normal": {"recurrent_init_scheme": "he_normal"},
    "identity, relu": {"recurrent_init_scheme": "identity", "activation": "relu"},
}
figure, axes = plt.subplot_mosaic([list("abcd"), list("eeee")], figsize=(7, 5.2), height_ratios=[1, 1.5])
circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
for panel, (name, parameters) in zip("abcd ", networks.items(), strict=True):
    network = RNNRegressor(cell="rnn", learning_rate_init=1e-12, random_state=0, **parameters).partial_fit(X, y)
    flow = gradient_flow(network, X, y)["layer0.forward"]
    (line,) = axes["e"].plot(flow / flow[0], label=name)
    if panel in axes:
        values = np.linalg.eigvals(network.coefs_["layer0.forward.h.recurrent"])
        axes[panel].plot(circle.real, circle.imag, color="0.7", linewidth=0.8)
        axes[panel].plot(values.real, values.imag, ".", markersize=4, color=line.get_color())
        axes[panel].set(aspect="equal", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        axes[panel].set_title(name, fontsize=10)
axes["e"].set(xlabel="lag: steps before the last", ylabel="norm of the gradient,\nrelative to the last step", yscale="log")
axes["e"].set(xlim=(0, 49), ylim=(1e-10, 1e3))
axes["e"].legend()
