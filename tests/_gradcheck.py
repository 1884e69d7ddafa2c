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


def runs_of(lengths):
    """``(length, columns)`` of runs of equal ``lengths``, which go from the longest to the shortest."""
    lengths = list(lengths)
    runs = [(n, slice(lengths.index(n), len(lengths) - lengths[::-1].index(n))) for n in sorted(set(lengths), reverse=True)]
    assert sum(columns.stop - columns.start for _, columns in runs) == len(lengths)
    return runs


def entries_of(lengths):
    """Where sequences that end together begin."""
    return [(max(lengths) - length, columns) for length, columns in runs_of(lengths)]


def exits_of(lengths):
    """Where the padding of sequences that begin together begins."""
    return [(length, columns) for length, columns in runs_of(lengths)[:0:-1]]


class TapeProblem:
    """A scalar function of the weights, the inputs and the initial states of one tape, and its gradient by ``bptt``.

    The function is a random linear form of all hidden states and of the last state (h, and c). Everything is random, and the
    initial states are not zero. ``point`` holds all variables; what stands in the padding has no effect.

    Sequences begin together, and padding comes last; or they end together, and it comes first. A sequence that does not
    reach from the first step to the last has no last state on the tape in the first case, where that of h is one of the
    hidden states; and begins with zero in the second.

    Parameters
    ----------
    cell, rng
    lengths : tuple of int
        From the longest to the shortest.
    padding : "first" or "last"
    first : int
        The row of the tape that holds the first step.
    masked : bool
        Multiply the state, where it enters the matrix products, by a random mask.
    """

    def __init__(self, cell, rng, lengths=(11, 7, 7, 2), padding="last", first=0, masked=False):
        T, N, F, H, S = max(lengths), len(lengths), cell.n_features, cell.n_hidden, cell.n_states
        self.cell, self.n_steps, self.lengths, self.rows = cell, T, np.array(lengths), slice(first, first + T)
        steps, is_full = np.arange(T)[:, None, None], self.lengths == T
        if padding == "last":
            self.edges, self.exits = [], [(first + step, columns) for step, columns in exits_of(lengths)]
            self.own, self.begins, self.ends = steps < self.lengths, np.ones(N, bool), is_full
        else:
            # the gradient of the state before the first row is asked for, so nothing ends there
            self.edges, self.exits = [(first + step, columns) for step, columns in entries_of(lengths) if step], []
            self.own, self.begins, self.ends = steps >= T - self.lengths, is_full, np.ones(N, bool)
        self.layout = Layout(cell.shapes() | {"x": (T, F, N), "initial": (S, H, N)})
        self.tape = Tape(cell, N, first + T, np.float64, training=True, masked=masked)
        if masked:
            self.tape.mask[...] = rng.uniform(0, 2, (H, N))
        self.point = self._draw(rng)
        while self._is_close_to_a_kink():
            self.point = self._draw(rng)
        self.dy, self.dlast = rng.standard_normal((T, H, N)) * self.own, rng.standard_normal((S, H, N)) * self.ends

    def _draw(self, rng):
        point = rng.standard_normal(self.layout.size)
        for name, shape in self.cell.shapes().items():
            weights = self.layout.views(point)[name]
            weights[...] = weights.reshape(shape[::-1]).T * shape[0] ** -0.5
        return point

    def _is_close_to_a_kink(self):
        """That of relu; there is no derivative."""
        if getattr(self.cell, "activate", None) is not ACTIVATIONS["relu"][0]:
            return False
        self.forward(self.point)
        a = np.matmul(self.tape.W.rows, self.tape.hx[self.rows])
        return abs(a[np.broadcast_to(self.own, a.shape)]).min() < 100 * EPSILON

    def own_steps(self, column):
        """The steps of one sequence."""
        return np.flatnonzero(self.own[:, 0, column])

    def forward(self, point):
        """Run the tape; return its hidden states and its last state."""
        tape, views, H, rows = self.tape, self.layout.views(point), self.cell.n_hidden, self.rows
        tape.load(views)
        for state, initial in zip(self.cell.state(tape, rows.start), views["initial"], strict=True):
            state[...] = np.where(self.begins, initial, 0)
        tape.hx[rows, H : H + 1] = self.own
        tape.hx[rows, H + 1 :] = np.where(self.own, views["x"], 0)
        bptt.forward(tape, rows.start, rows.stop, self.exits)
        return tape.states(rows.start, rows.stop), np.array(self.cell.state(tape, rows.stop))

    def value(self, point):
        y, last = self.forward(point)
        return float(np.sum(self.dy * y) + np.sum(self.dlast * last))

    def backward(self, grads, **options):
        """Run ``bptt.backward``, with ``dy`` where it is not zero; return the gradient of the inputs."""
        dy, dx = (np.full((self.rows.stop, *shape), np.nan) for shape in (self.dy.shape[1:], self.layout.shapes["x"][1:]))
        dy[self.rows] = self.dy
        self.tape.dstate[...] = self.dlast
        bptt.backward(
            self.tape, self.rows.start, self.rows.stop, self.edges, grads, dy if self.dy.any() else None, dx, **options
        )
        return dx[self.rows]

    def gradient(self):
        """The gradient at ``point``, a vector like it."""
        self.forward(self.point)
        grad = np.zeros_like(self.point)
        grads = self.layout.views(grad)
        grads["x"][...] = self.backward(grads)
        grads["initial"][...] = self.tape.dstate
        return grad

    def check(self, rng, **options):
        assert_gradient(self.value, self.point, self.gradient(), rng, **options)
