"""Training steps of this package, PyTorch and JAX that do the same work, and the bare arithmetic of such a step.

A trainer is made for a ``Net``, loads sequences with their targets, makes batches of them, and steps: forward, loss, backward,
the norm clipped to 1, Adam. What is used of PyTorch and JAX is what was fastest of what ``variants.py`` shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from _common import CELLS, Table, geometric_mean

from skrnn._core.losses import MulticlassLogLoss, SquaredError
from skrnn._core.workspace import aligned_zeros
from skrnn._network import Architecture, Network
from skrnn._optim.clipping import clip
from skrnn._optim.solvers import Adam
from skrnn._runtime import computing, threads
from skrnn.sequences import Batch, Sequences, split_steps

N_CLASSES = 9
LEARNING_RATE = 1e-3
#: ragged batches of JAX are padded to a multiple of this, because it compiles for each number of steps
JAX_PADDING = 32
GATES = {"rnn": 1, "gru": 3, "lstm": 4}

#: which of the loaded sequences, or the batch made of them
Index = np.ndarray[Any, np.dtype[np.intp]]
NativeBatch = tuple[Any, ...]


class Net(NamedTuple):
    """A stack of layers with a linear readout on the last state of each direction."""

    cell: str
    n_features: int
    n_units: int
    dtype: str = "float32"
    n_layers: int = 1
    bidirectional: bool = False
    #: of the softmax; None is one real target with half the squared error
    n_classes: int | None = N_CLASSES

    @property
    def n_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def n_outputs(self) -> int:
        return self.n_classes or 1


def random_data(lengths: Sequence[int], n_features: int, n_classes: int | None, dtype: str) -> tuple[Sequences, np.ndarray]:
    """Noise, with targets that have nothing to do with it: it takes as long as anything else."""
    rng = np.random.default_rng(0)
    sequences = Sequences(rng.standard_normal((sum(lengths), n_features)).astype(dtype), np.array(lengths))
    y = rng.integers(0, n_classes, len(lengths)) if n_classes else rng.standard_normal(len(lengths)).astype(dtype)
    return sequences, y


def in_words(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


@contextmanager
def as_in_fit(n_jobs: int) -> Iterator[Any]:
    """BLAS on one thread; yields what a network takes for more threads, if there may be any."""
    with computing(), threads(n_jobs) as submit:
        yield submit


class SkrnnTrainer:
    """The package's own step; copying a batch into its layout is part of it."""

    def __init__(self, net: Net, submit: Any = None) -> None:
        self.net, classes = net, net.n_classes
        sizes = (net.n_units,) * net.n_layers
        architecture = Architecture(net.n_features, sizes, net.cell, "tanh", net.bidirectional, ("last",), net.n_outputs)
        self.network = Network(architecture, MulticlassLogLoss(classes) if classes else SquaredError())
        self.network.submit = submit
        self.theta = self.network.initialize(
            np.random.RandomState(0), np.zeros(net.n_outputs), net.dtype,
            init_scheme="glorot_uniform", recurrent_init_scheme="orthogonal", forget_bias=1.0, n_steps=100,
        )  # fmt: skip
        self.solver, self.grad = Adam(self.theta.size, self.theta.dtype), aligned_zeros(self.theta.shape, self.theta.dtype)

    def load(self, sequences: Sequences, y: np.ndarray) -> None:
        self.sequences, self.y, self.weight = sequences, y if self.net.n_classes else y[None], np.ones(len(y))

    def batch(self, index: Index) -> NativeBatch:
        return (Batch(self.sequences, index, self.y, self.weight),)

    def step(self, batch: Batch) -> float:
        loss = self.network.loss_and_gradient(self.theta, batch, self.grad)
        clip(self.grad, None, 1.0)
        self.solver.step(self.theta, self.grad, LEARNING_RATE)
        return loss


def torch_model(net: Net) -> Any:
    """PyTorch's own layers; called with (N, T, F), or with packed sequences, or with padded ones and their lengths."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[net.cell]
            self.layers = layers(
                net.n_features, net.n_units, net.n_layers, batch_first=True, bidirectional=net.bidirectional
            )  # fmt: skip
            self.readout = torch.nn.Linear(net.n_directions * net.n_units, net.n_outputs)

        def forward(self, x: Any, lengths: Any = None) -> Any:
            outputs, state = self.layers(x)
            if lengths is not None:  # padded; one direction
                return self.readout(outputs[torch.arange(len(lengths)), lengths - 1])
            last = (state[0] if net.cell == "lstm" else state)[-net.n_directions :]
            return self.readout(last.transpose(0, 1).flatten(1))

    return Model()


def torch_loop(net: Net) -> Any:
    """One layer as a loop over the steps, in one direction, for ``torch.compile`` to fuse what lies between the products."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = torch.nn.Linear(net.n_features, GATES[net.cell] * net.n_units)
            self.recurrent = torch.nn.Linear(net.n_units, GATES[net.cell] * net.n_units)
            self.readout = torch.nn.Linear(net.n_units, net.n_outputs)

        def forward(self, x: Any) -> Any:
            state = [torch.zeros(len(x), net.n_units, dtype=x.dtype)] * (2 if net.cell == "lstm" else 1)
            for z in self.input(x.transpose(0, 1)).unbind(0):
                state = self.after(state, z, self.recurrent(state[0]))
            return self.readout(state[0])

        @staticmethod
        def after(state: list[Any], z: Any, r: Any) -> list[Any]:
            if net.cell == "rnn":
                return [torch.tanh(z + r)]
            if net.cell == "gru":
                (z_r, z_z, z_n), (r_r, r_z, r_n) = z.chunk(3, 1), r.chunk(3, 1)
                n = torch.tanh(z_n + torch.sigmoid(z_r + r_r) * r_n)
                return [n + torch.sigmoid(z_z + r_z) * (state[0] - n)]
            i, f, g, o = (z + r).chunk(4, 1)
            c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
            return [torch.sigmoid(o) * torch.tanh(c), c]

    return Model()


class TorchTrainer:
    """PyTorch's step.

    Ragged batches are padded, and the last states gathered, or ``packed``. ``adam`` are parameters of the optimizer;
    ``compiled`` lets ``torch.compile`` make one function of model and loss.
    """

    def __init__(
        self,
        net: Net,
        *,
        packed: bool = False,
        adam: Mapping[str, bool] | None = None,
        compiled: bool = False,
        new_model: Callable[[Net], Any] = torch_model,
    ) -> None:
        import torch

        self.net, self.packed = net, packed
        model = new_model(net).to(getattr(torch, net.dtype))
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, LEARNING_RATE, **({"fused": True} if adam is None else adam))
        loss_function = torch.nn.CrossEntropyLoss() if net.n_classes else lambda raw, y: 0.5 * ((raw[:, 0] - y) ** 2).mean()

        def loss(y: Any, *inputs: Any) -> Any:
            return loss_function(model(*inputs), y)

        self.loss = torch.compile(loss) if compiled else loss

    def load(self, sequences: Sequences, y: np.ndarray) -> None:
        import torch

        self.are_equal, self.lengths, self.y = sequences.are_equal, torch.from_numpy(sequences.lengths), torch.from_numpy(y)
        if self.are_equal:
            self.X = torch.from_numpy(sequences.values.reshape(len(sequences), sequences.longest, -1))
        else:
            self.X = [torch.from_numpy(x) for x in split_steps(sequences.values, sequences.lengths)]

    def batch(self, index: Index) -> NativeBatch:
        import torch

        rows = torch.from_numpy(index)
        if self.are_equal:
            return self.y[rows], self.X[rows]
        lengths, order = self.lengths[rows].sort(descending=True)
        rows = rows[order]
        return self.y[rows], torch.nn.utils.rnn.pad_sequence([self.X[i] for i in rows], batch_first=True), lengths

    def step(self, y: Any, x: Any, lengths: Any = None) -> float:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        if self.packed:
            loss = self.loss(y, torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))
        else:
            loss = self.loss(y, x, lengths) if lengths is not None else self.loss(y, x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return loss.item()


@cache
def jax_functions(net: Net, unroll: int) -> tuple[Callable[[], Any], Callable[..., Any]]:
    """Return the function that starts training, and the jitted step; kept, since each copy would be compiled anew."""
    import jax
    import jax.numpy as jnp
    import optax

    H, optimizer = net.n_units, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(LEARNING_RATE))

    def start() -> Any:
        rng = np.random.default_rng(0)

        def uniform(*shape: int) -> Any:
            return jnp.asarray(rng.uniform(-(H**-0.5), H**-0.5, shape).astype(net.dtype))

        def direction(n_inputs: int) -> dict[str, Any]:
            n = GATES[net.cell] * H
            extra = {"c": uniform(n)} if net.cell == "gru" else {}
            return {"W": uniform(n_inputs, n), "U": uniform(H, n), "b": uniform(n)} | extra

        sizes = [net.n_features] + [net.n_directions * H] * (net.n_layers - 1)
        layers = [[direction(size) for _ in range(net.n_directions)] for size in sizes]
        theta = {"layers": layers, "V": uniform(net.n_directions * H, net.n_outputs), "d": uniform(net.n_outputs)}
        return theta, optimizer.init(theta)

    def after(p: dict[str, Any], state: Any, z: Any) -> Any:
        r = state[0] @ p["U"]
        if net.cell == "rnn":
            return (jnp.tanh(z + r),)
        if net.cell == "gru":
            (z_r, z_z, z_n), (r_r, r_z, r_n) = jnp.split(z, 3, 1), jnp.split(r + p["c"], 3, 1)
            n = jnp.tanh(z_n + jax.nn.sigmoid(z_r + r_r) * r_n)
            return (n + jax.nn.sigmoid(z_z + r_z) * (state[0] - n),)
        i, f, g, o = jnp.split(z + r, 4, 1)
        c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def run(p: dict[str, Any], x: Any, is_step: Any, *, reverse: bool) -> tuple[Any, Any]:
        """States after every step (T, N, H), and the last one; they stand still in padding."""
        z = x @ p["W"] + p["b"]

        def step(state: Any, inputs: Any) -> Any:
            z, is_step = inputs
            new = after(p, state, z)
            if is_step is not None:
                new = tuple(jnp.where(is_step[:, None], *both) for both in zip(new, state, strict=True))
            return new, new[0]

        zero = (jnp.zeros((x.shape[1], H), x.dtype),) * (2 if net.cell == "lstm" else 1)
        last, states = jax.lax.scan(step, zero, (z, is_step), reverse=reverse, unroll=unroll)
        return states, last[0]

    def loss(theta: Any, y: Any, x: Any, lengths: Any = None) -> Any:
        x = jnp.swapaxes(x, 0, 1)
        is_step = None if lengths is None else jnp.arange(len(x))[:, None] < lengths
        for directions in theta["layers"]:
            both = [run(p, x, is_step, reverse=k == 1) for k, p in enumerate(directions)]
            x = jnp.concatenate([states for states, _ in both], axis=2)
        raw = jnp.concatenate([last for _, last in both], axis=1) @ theta["V"] + theta["d"]
        if net.n_classes:
            return optax.softmax_cross_entropy_with_integer_labels(raw, y).mean()
        return 0.5 * ((raw[:, 0] - y) ** 2).mean()

    def step(theta: Any, state: Any, *batch: Any) -> Any:
        value, grad = jax.value_and_grad(loss)(theta, *batch)
        updates, state = optimizer.update(grad, state, theta)
        return optax.apply_updates(theta, updates), state, value

    return start, jax.jit(step, donate_argnums=(0, 1))


class JaxTrainer:
    """JAX's jitted step: ``lax.scan``, the products with the inputs before it, and optax. Ragged batches are padded."""

    def __init__(self, net: Net, *, unroll: int = 1) -> None:
        start, self.jitted = jax_functions(net, unroll)
        self.theta, self.state = start()

    def load(self, sequences: Sequences, y: np.ndarray) -> None:
        self.sequences, self.y = sequences, y
        if sequences.are_equal:
            self.X = sequences.values.reshape(len(sequences), sequences.longest, -1)
        else:
            self.X = split_steps(sequences.values, sequences.lengths)

    def batch(self, index: Index) -> NativeBatch:
        import jax.numpy as jnp

        if self.sequences.are_equal:
            return jnp.asarray(self.y[index]), jnp.asarray(self.X[index])
        lengths = self.sequences.lengths[index]
        n_steps = -(-lengths.max() // JAX_PADDING) * JAX_PADDING
        padded = np.zeros((len(index), n_steps, self.sequences.n_features), self.sequences.values.dtype)
        for row, i in zip(padded, index, strict=True):
            row[: len(self.X[i])] = self.X[i]
        return jnp.asarray(self.y[index]), jnp.asarray(padded), jnp.asarray(lengths)

    def step(self, *batch: Any) -> float:
        self.theta, self.state, value = self.jitted(self.theta, self.state, *batch)
        return float(value)


def peers(threads: int, dtype: str = "float32") -> dict[str, Callable[[Net], Any]]:
    """Trainers of the peers that are installed, set to so many threads; to be called before JAX is imported."""
    trainers: dict[str, Callable[[Net], Any]] = {}
    try:
        import torch

        torch.set_num_threads(threads)
        trainers["PyTorch"] = TorchTrainer
    except ImportError:
        print("PyTorch is not installed")
    os.environ["NPROC"] = str(threads)  # of XLA's thread pool
    if threads == 1:
        one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {one}".strip()
    try:
        import jax
        import optax  # noqa: F401  # without it JAX is left out: its trainer needs both

        jax.config.update("jax_enable_x64", dtype == "float64")
        trainers["JAX"] = JaxTrainer
    except ImportError:
        print("JAX or optax is not installed")
    return trainers


def floor(net: Net, n_sequences: int, n_steps: int) -> Callable[[], None]:
    """Return the bare matrix products and tanh calls of a training step: no step in NumPy is much faster on one thread."""
    parts = [
        _floor_of_cell(
            net, net.n_features if layer == 0 else net.n_directions * net.n_units, n_sequences, n_steps, lower=layer > 0
        )
        for layer in range(net.n_layers)
        for _ in range(net.n_directions)
    ]

    def run() -> None:
        for part in parts:
            part()

    return run


def _floor_of_cell(net: Net, n_inputs: int, N: int, T: int, *, lower: bool) -> Callable[[], None]:
    rng, H, n_gates = np.random.default_rng(0), net.n_units, GATES[net.cell] * net.n_units

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(net.dtype)

    W, U, V = array(n_gates, H + 1 + n_inputs), array(H, n_gates), array(n_inputs, n_gates)
    hx, a, dh, grad = array(H + 1 + n_inputs, N), array(n_gates, N), array(H, N), array(n_gates, H + 1 + n_inputs)
    to_squash = array(n_gates + (H if net.cell == "lstm" else 0), N)
    squashed = np.empty_like(to_squash)
    da, inputs = array(n_gates, T * N), array(H + 1 + n_inputs, T * N)
    dx = array(n_inputs, T * N) if lower else None

    def run() -> None:
        for _ in range(T):
            np.dot(W, hx, out=a)
            np.tanh(to_squash, out=squashed)
            np.dot(U, a, out=dh)
        np.dot(da, inputs.T, out=grad)
        if dx is not None:  # the gradient for the layer below
            np.dot(V, da, out=dx)

    return run


def add_notes(table: Table, names: Iterable[str], n_labels: int) -> None:
    """Add notes about the columns "<name> / skrnn"; the first columns, cell first, name a point."""
    for name in names:
        column = table.columns.index(f"{name} / skrnn")
        ratios = {" ".join(map(str, row[:n_labels])): row[column] for row in table.rows if row[column] == row[column]}
        if ratios:
            compare(table, name, ratios)


def compare(table: Table, peer: str, ratios: Mapping[str, float]) -> None:
    """Add notes about a peer's time over this package's, by points that begin with the cell."""
    by_cell = {cell: [ratio for point, ratio in ratios.items() if point.split()[0] == cell] for cell in CELLS}
    means = ", ".join(f"{cell} {geometric_mean(of_cell):.2f}" for cell, of_cell in by_cell.items() if of_cell)
    mean, point = geometric_mean(list(ratios.values())), min(ratios, key=ratios.__getitem__)
    table.note(f"{peer} / skrnn: geometric mean {mean:.2f} ({means}); least {ratios[point]:.2f} ({point}).")
    ahead = [f"{point} ({ratio:.2f})" for point, ratio in ratios.items() if ratio < 1]
    if ahead:
        table.note(f"{peer} is ahead at {len(ahead)} of {len(ratios)} points: {'; '.join(ahead)}.")
    else:
        table.note(f"skrnn is ahead of {peer} at every point.")
