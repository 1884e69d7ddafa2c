"""Elman's network, folded and unrolled: which way states go, and which way gradients."""

import matplotlib.pyplot as plt
from matplotlib.patches import Circle, FancyArrowPatch

FORWARD, BACKWARD, RADIUS = "tab:blue", "tab:red", 0.3
figure, axes = plt.subplots(figsize=(7, 3.3))
axes.set(xlim=(-0.8, 7.3), ylim=(-0.4, 3.4), aspect="equal")
axes.set_axis_off()


def node(x, y, text, color="whitesmoke"):
    """Draw a circle with a name in it."""
    axes.add_patch(Circle((x, y), RADIUS, facecolor=color, edgecolor="0.3", zorder=3))
    axes.text(x, y, text, ha="center", va="center", zorder=4)


def arrow(start, end, text, at, color=FORWARD, bend=0.0):
    """Draw an arrow and, at a place, what goes along it."""
    style = {"arrowstyle": "-|>", "mutation_scale": 12, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3}
    axes.add_patch(FancyArrowPatch(start, end, color=color, connectionstyle=f"arc3,rad={bend}", **style))
    axes.text(*at, text, ha="center", va="center", color=color)


node(0, 1, "$h_t$", "lightsteelblue")
node(0, 0, "$x_t$")
arrow((0, 0.3), (0, 0.7), "$W_x$", (0.32, 0.5))
arrow((-0.2, 1.25), (0.2, 1.25), "$W_h$", (0, 2.0), bend=-2.2)
axes.text(1.0, 1, "=", ha="center", va="center", fontsize=16)

start, width = 2.0, 1.5
for t in range(4):
    x = start + width * t
    node(x, 1, f"$h_{t}$", "lightsteelblue" if t else "white")
    if t:
        node(x, 0, f"$x_{t}$")
        arrow((x, 0.3), (x, 0.7), "$W_x$", (x + 0.32, 0.5))
        arrow((x - width + 0.27, 1.12), (x - 0.27, 1.12), "$W_h$", (x - width / 2, 1.45), bend=-0.2)
    if t > 1:
        arrow((x - 0.27, 0.88), (x - width + 0.27, 0.88), f"$dh_{t - 1}$", (x - width / 2, 0.52), BACKWARD, bend=-0.2)
node(x, 2, r"$\hat y$")
node(x, 3, "$L$")
arrow((x - 0.08, 1.3), (x - 0.08, 1.7), "$W_o$", (x - 0.38, 1.5))
arrow((x + 0.08, 1.7), (x + 0.08, 1.3), "$dh_3$", (x + 0.4, 1.5), BACKWARD)
arrow((x - 0.08, 2.3), (x - 0.08, 2.7), r"$\ell$", (x - 0.28, 2.5))
arrow((x + 0.08, 2.7), (x + 0.08, 2.3), r"$d\hat y$", (x + 0.36, 2.5), BACKWARD)
