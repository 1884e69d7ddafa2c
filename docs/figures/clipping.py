"""Gradient descent at a cliff of the loss, with and without clipping by norm, after Pascanu, Mikolov and Bengio (2013)."""

import matplotlib.pyplot as plt
import numpy as np

N_STEPS, TARGET, RATE = 50, 0.7, 1.0
W_RANGE, B_RANGE = (3.95, 5.5), (-2.6, -0.6)


def loss_and_gradient(w, b):
    """Run ``h = sigmoid(w h + b)`` from 0.5 over all steps, and differentiate the squared error of the last state."""
    h, by_w, by_b = 0.5 + 0 * w, 0 * w, 0 * w
    for _ in range(N_STEPS):
        before = h
        h = 1 / (1 + np.exp(-(w * h + b)))
        slope = h * (1 - h)
        by_w, by_b = slope * (before + w * by_w), slope * (1 + w * by_b)
    return (h - TARGET) ** 2, np.array([by_w, by_b]) * 2 * (h - TARGET)


def descend(clip_norm, start=(5.2, -1.78), n_updates=28):
    """Return where gradient descent goes."""
    path = [np.array(start)]
    for _ in range(n_updates):
        _, gradient = loss_and_gradient(*path[-1])
        path.append(path[-1] - RATE * gradient * min(1, clip_norm / np.linalg.norm(gradient)))
    return np.array(path)


w, b = np.meshgrid(np.linspace(*W_RANGE, 400), np.linspace(*B_RANGE, 400))
figure, axes = plt.subplots(figsize=(6, 4.4))
loss, _ = loss_and_gradient(w, b)
image = axes.imshow(loss, cmap="Greys", vmax=0.4, origin="lower", extent=(*W_RANGE, *B_RANGE), aspect="auto")
figure.colorbar(image, label="loss", ticks=[0, 0.1, 0.2, 0.3, 0.4])
for clip_norm, label, color in (np.inf, "not clipped", "tab:red"), (0.15, "clipped by norm", "tab:blue"):
    axes.plot(*descend(clip_norm).T, ".-", linewidth=1.2, label=label, color=color)
axes.plot(*descend(np.inf)[0], "ko", label="start")
axes.set(xlim=W_RANGE, ylim=B_RANGE, xlabel="recurrent weight $w$", ylabel="bias $b$")
axes.legend(loc="upper left")
