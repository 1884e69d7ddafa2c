"""Gradient checks by central differences, and a problem for tapes in which nothing is zero, constant or symmetric."""

import inspect

import numpy as np

from skrnn._core import bptt
from skrnn._core.cells import ACTIVATIONS, CELLS
from skrnn._core.parameters import Layout
from skrnn._core.workspace import Tape

EPSILON = 1e-5
TOLERANCE = 1e-7


def central_difference(function, point, direction):
    return (function(point + EPSILON * direction) - function(point - EPSILON * direction)) / (2 * EPSILON)


def assert_gradient(function, point, gradient, rng, *, n_directions=4, every_coordinate=False):
    """Assert that ``gradient`` is that of the scalar ``function`` at ``point``.

    Directions are unit vectors of random signs, so each coordinate takes part in every one of them. Their derivatives are
    compared on the scale of their root mean square, ``norm(gradient) / sqrt(size)``, and single coordinates on that of the
    largest: small gradients are checked as closely as large ones.
    """
    assert point.dtype == np.float64
    assert np.isfinite(gradient).all()
    assert gradient.any()
    rms = np.linalg.norm(gradient) / np.sqrt(point.size)
    for _ in range(n_directions):
        direction = rng.choice([-1.0, 1.0], point.size) / np.sqrt(point.size)
        error = abs(central_difference(function, point, direction) - gradient @ direction)
        assert error <= TOLERANCE * rms, f"gradient wrong along a direction, by {error / rms:.1e}"
    if every_coordinate:
        differences = np.array([central_difference(function, point, unit) for unit in np.eye(point.size)])
        errors, scale = abs(differences - gradient), abs(gradient).max()
        wrong = np.flatnonzero(errors > TOLERANCE * scale)
        assert not len(wrong), f"gradient wrong in coordinates {wrong}, by {errors.max() / scale:.1e}"


def cell_variants():
    """``name -> (F, H) -> cell``, every registered cell with each of the activations it takes."""
    variants = {}
    for name, cell in CELLS.items():
        if "activation" in inspect.signature(cell).parameters:
            for activation in ACTIVATIONS:
                variants[f"{name}-{activation}"] = lambda F, H, c=cell, a=activation: c(F, H, a)
        else:
            variants[name] = cell
    return variants


CELL_VARIANTS = cell_variants()


def entries_of(lengths):
    """Entries of sequences that end together; ``lengths`` from the longest to the shortest."""
    steps = [max(lengths) - length for length in lengths]
    return [(t, slice(steps.index(t), len(steps) - steps[::-1].index(t))) for t in sorted(set(steps))]


class TapeProblem:
    """A scalar function of the weights, the inputs and the initial states of one tape, and its gradient by ``bptt``.

    The function is a random linear form of all hidden states and of the last state (h, and c). Everything is random, and the
    initial states are not zero. ``point`` holds all variables; inputs in the padding have no effect.
    """

    def __init__(self, cell, rng, lengths=(11, 7, 7, 2)):
        T, N, F, H, S = max(lengths), len(lengths), cell.n_features, cell.n_hidden, cell.n_states
        self.cell, self.n_steps, self.entries = cell, T, entries_of(lengths)
        self.own = (np.arange(T)[:, None, None] >= T - np.array(lengths)).astype(float)  # (T, 1, N)
        self.layout = Layout(cell.shapes() | {"x": (T, F, N), "initial": (S, H, N)})
        self.point = rng.standard_normal(self.layout.size)
        for name, shape in cell.shapes().items():
            self.layout.views(self.point)[name][...] *= shape[1] ** -0.5
        self.dy, self.dlast = rng.standard_normal((T, H, N)) * self.own, rng.standard_normal((S, H, N))
        self.tape = Tape(cell, N, T, np.float64, training=True)

    def forward(self, point):
        """Run the tape; return its hidden states and its last state."""
        tape, views, H = self.tape, self.layout.views(point), self.cell.n_hidden
        tape.load(views)
        tape.reset()
        tape.hx[: self.n_steps, H : H + 1] = self.own
        tape.hx[: self.n_steps, H + 1 :] = views["x"] * self.own
        bptt.forward(tape, self.n_steps, self.entries, views["initial"])
        return tape.states(self.n_steps), np.array(self.cell.state(tape, self.n_steps))

    def value(self, point):
        y, last = self.forward(point)
        return float(np.sum(self.dy * y) + np.sum(self.dlast * last))

    def gradient(self):
        """The gradient at ``point``, a vector like it."""
        self.forward(self.point)
        grad = np.zeros_like(self.point)
        grads = self.layout.views(grad)
        self.tape.dstate[...] = self.dlast
        bptt.backward(self.tape, self.n_steps, self.entries, grads, self.dy, grads["x"])
        grads["initial"][...] = self.tape.dinitial
        return grad

    def check(self, rng, **options):
        assert_gradient(self.value, self.point, self.gradient(), rng, **options)
