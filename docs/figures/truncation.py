"""The updates of a sequence of ten steps under truncated backpropagation through time."""

import matplotlib.pyplot as plt

N_STEPS, LENGTH = 10, 6
figure, both = plt.subplots(2, 1, figsize=(6, 4.4), height_ratios=[4, 2])
for axes, stride in zip(both, [3, 6], strict=True):
    ends = [*range(stride, N_STEPS, stride), N_STEPS]
    begin = 0
    for row, end in enumerate(ends):
        first = max(0, end - LENGTH)
        for step in range(first, end):
            color = "tab:blue" if step >= begin else "lightsteelblue"
            axes.add_patch(plt.Rectangle((step + 0.55, row - 0.36), 0.9, 0.72, color=color))
        axes.annotate("", (first + 0.6, row), (end + 0.4, row), arrowprops={"arrowstyle": "-|>", "color": "tab:red"})
        begin = end
    axes.set(xlim=(0.4, N_STEPS + 0.6), ylim=(len(ends) - 0.5, -0.5), title=f"length {LENGTH}, stride {stride}")
    axes.set_xticks(range(1, N_STEPS + 1))
    axes.set_yticks(range(len(ends)), [f"update {row + 1}" for row in range(len(ends))])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
both[1].set_xlabel("step")
