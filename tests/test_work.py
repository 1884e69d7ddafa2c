"""How much work a training step is: calls of NumPy, multiplications and memory, which can be counted, while times can not.

A change that makes a number greater made training slower; one that makes it smaller is welcome to change the number here.
"""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from skrnn._core import bptt, workspace
from skrnn._core.losses import MulticlassLogLoss
from skrnn._network import Architecture, Network
from skrnn._optim.clipping import clip
from skrnn._optim.solvers import Adam
from skrnn.sequences import Batch, Sequences

N, F, H, CLASSES = 32, 4, 64, 3
#: calls of a step forward, and of one back without its weight gradient
CALLS = {"rnn": (2, 2), "gru": (10, 12), "lstm": (8, 13)}


class Counted(np.ndarray):
    """An array that counts the calls of NumPy with it, and the multiplications of matrix products."""

    calls = multiplications = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        Counted.note(ufunc, inputs)
        if out:
            options["out"] = tuple(plain(array) for array in out)
        return getattr(ufunc, method)(*map(plain, inputs), **options)

    def __array_function__(self, function, types, arguments, options):
        Counted.note(function, arguments)
        return function(*map(plain, arguments), **{name: plain(value) for name, value in options.items()})

    @classmethod
    def note(cls, function, arguments):
        cls.calls += 1
        if function in (np.dot, np.matmul):
            a, b = arguments[:2]
            n_products = len(b) if b.ndim == 3 else 1
            cls.multiplications += n_products * a.size * b.shape[-1]


def plain(array):
    return array.view(np.ndarray) if isinstance(array, Counted) else array


@pytest.fixture
def counted(monkeypatch):
    """Count what is done with the buffers of tapes."""
    original, products = workspace.aligned_zeros, workspace.gradient_product

    def counted_product(shape, n_inner, dtype):
        product = products(shape, n_inner, dtype)

        def add(*addresses):
            Counted.multiplications += shape[0] * shape[1] * n_inner
            Counted.calls += 1
            product(*addresses)

        return add

    monkeypatch.setattr(workspace, "aligned_zeros", lambda shape, dtype: original(shape, dtype).view(Counted))
    monkeypatch.setattr(workspace, "gradient_product", counted_product)


def new_step(cell, n_steps, *, n_sequences=N, n_hidden=H, dtype=np.float32):
    """A training step as ``fit`` makes it."""
    rng = np.random.default_rng(0)
    network = Network(
        Architecture(F, (n_hidden,), cell, "tanh", False, ("last",), CLASSES), MulticlassLogLoss(CLASSES), alpha=1e-4
    )
    theta = 0.1 * rng.standard_normal(network.layout.size).astype(dtype)
    solver, grad = Adam(theta.size, theta.dtype), np.empty_like(theta)
    sequences = Sequences(rng.standard_normal((n_sequences * n_steps, F)).astype(dtype), np.full(n_sequences, n_steps))
    y, weight = rng.integers(0, CLASSES, n_sequences), np.ones(n_sequences)

    def step():
        batch = Batch(sequences, np.arange(n_sequences), y, weight)
        network.loss_and_gradient(theta, batch, grad)
        clip(grad, None, 1.0)
        solver.step(theta, grad, 1e-3)

    return network, step


def count(cell, n_steps):
    """Calls and multiplications of one training step, the second of its size."""
    _, step = new_step(cell, n_steps)
    step()
    Counted.calls = Counted.multiplications = 0
    step()
    return Counted.calls, Counted.multiplications


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("cell", CALLS)
def test_calls_and_multiplications_of_a_step(cell, monkeypatch):
    for name, value in {"BLOCK_STEPS": 8, "PRODUCT_OPERATIONS": 1}.items():  # each step's weight gradient is a product
        monkeypatch.setattr(workspace, name, value)
    (calls, multiplications), (more_calls, more_multiplications) = count(cell, 16), count(cell, 32)
    forward, back = CALLS[cell]
    products = 3 if cell == "gru" else 1  # of the weight gradient
    # the derivatives of an Elman cell, and the search for gradients that have vanished
    in_blocks = (2 if cell == "rnn" else 0) + 1
    assert (more_calls - calls) / 2 == 8 * (forward + back + products) + in_blocks
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    inputs_of_m = H * F if cell == "gru" else 0  # a column of zeros in the product of z, r and m, for speed
    forward = gates * H * (H + 1 + F) + (H * (1 + F) if cell == "gru" else 0)
    gradient = forward - inputs_of_m
    assert (more_multiplications - multiplications) / 16 == N * (forward + gates * H * H + gradient)


def traced(function, *arguments, **options):
    """Bytes by which memory grew at most while a function ran."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    function(*arguments, **options)
    return tracemalloc.get_traced_memory()[1] - before


@pytest.fixture
def tracing():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("cell", CALLS)
@pytest.mark.parametrize("n_steps", [16, 200])
def test_a_minibatch_allocates_a_copy_of_its_inputs_and_nothing_in_the_loops(cell, n_steps, monkeypatch):
    """Choosing and ordering the sequences makes a copy; the loops over time do with what is there from the first one on."""
    in_loops, (forward, backward) = {"forward": [], "backward": []}, (bptt.forward, bptt.backward)
    network, step = new_step(cell, n_steps)
    step()
    whole = traced(step)
    monkeypatch.setattr(bptt, "forward", lambda *given: in_loops["forward"].append(traced(forward, *given)))
    monkeypatch.setattr(bptt, "backward", lambda *given: in_loops["backward"].append(traced(backward, *given)))
    step()
    float32 = np.dtype(np.float32).itemsize
    state, inputs, parameters = N * H * float32, N * n_steps * F * float32, network.layout.size * float32
    assert whole < max(inputs, parameters) + 6 * state
    assert in_loops["forward"][0] < 4096  # half a state; a coverage tool takes some of it
    n_states = 2 if cell == "lstm" else 1
    buffer_of_numpy = 33000 if cell == "rnn" else 0  # for the derivatives of a block, whose states are not side by side
    # absolute values, in the search for what has vanished
    assert in_loops["backward"][0] < 1.7 * n_states * state + buffer_of_numpy + 4096


def test_importing_the_package_imports_nothing_large_that_scikit_learn_does_not():
    """These take longer than the package itself, and are imported where they are used."""
    code = "import sys, sklearn; before = set(sys.modules); import skrnn; print(*(set(sys.modules) - before))"
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "skrnn._core.cells" in imported
    assert not {"sklearn.model_selection", "sklearn.metrics", "sklearn.preprocessing", "pandas", "matplotlib"} & set(imported)
