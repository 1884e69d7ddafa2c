"""Tapes: what they allocate, how long their blocks are, and what they hand to the matrix products."""

import numpy as np
import pytest
from _gradcheck import CELL_VARIANTS
from numpy.testing import assert_array_equal

from skrnn._core import bptt, workspace
from skrnn._core.parameters import Layout
from skrnn._core.workspace import Tape

every_cell = pytest.mark.parametrize("variant", CELL_VARIANTS)
N, T, F, H = 4, 7, 2, 6


def new_tape(variant, *, training=True, n_sequences=N, n_steps=T, dtype=np.float64, n_hidden=H, **options):
    """A tape with random weights and inputs, run from its zero state."""
    rng = np.random.default_rng(0)
    cell = CELL_VARIANTS[variant](F, n_hidden)
    tape = Tape(cell, n_sequences, n_steps, dtype, training=training, **options)
    if tape.mask is not None:
        tape.mask[...] = rng.choice([0, 2], tape.mask.shape)
    layout = Layout(cell.shapes())
    tape.load(layout.views(rng.standard_normal(layout.size).astype(dtype) * n_hidden**-0.5))
    tape.hx[:, n_hidden:] = rng.standard_normal((n_steps + 1, 1 + F, n_sequences))
    tape.hx[:, n_hidden] = 1
    bptt.forward(tape, 0, n_steps)
    return tape


def start_from_zero(tape):
    for state in tape.cell.state(tape, 0):
        state.fill(0)


@every_cell
@pytest.mark.parametrize("training", [True, False])
def test_running_again_gives_the_same_bits(variant, training):
    tape = new_tape(variant, training=training)
    states = tape.states(0, T).copy()
    start_from_zero(tape)
    bptt.forward(tape, 0, T)
    assert_array_equal(tape.states(0, T), states)
    assert states.any()


@every_cell
def test_states_of_some_steps_are_those_after_them(variant):
    tape = new_tape(variant)
    for start, stop in ((0, T), (2, 5), (T - 1, T), (3, 3)):
        assert_array_equal(tape.states(start, stop), [tape.hx[t + 1, :H] for t in range(start, stop)] or np.empty((0, H, N)))
        assert np.shares_memory(tape.states(start, stop), tape.hx) or start == stop


@every_cell
@pytest.mark.parametrize("training", [True, False])
def test_carry_continues_from_the_last_state(variant, training):
    for n_steps in (T, 3, 1) if training else (T,):
        tape = new_tape(variant, training=training)
        last = [state.copy() for state in tape.cell.state(tape, n_steps)]
        assert all(state.any() for state in last)
        tape.carry(n_steps)
        assert_array_equal(tape.cell.state(tape, 0), last)


@every_cell
@pytest.mark.parametrize("n_steps", [T, T - 2])
@pytest.mark.parametrize("history", [1, 2, 5])
@pytest.mark.parametrize("masked", [False, True])
def test_carry_brings_all_that_the_adjoint_needs_of_the_history(variant, n_steps, history, masked):
    tape = new_tape(variant, masked=masked)
    cell, rng, first = tape.cell, np.random.default_rng(1), n_steps - history
    dlast, dy = rng.standard_normal(tape.dstate.shape), rng.standard_normal((T, H, N))

    def backward(start, stop, dy):
        grads = {name: np.zeros(shape) for name, shape in cell.shapes().items()}
        tape.dstate[...] = dlast
        bptt.backward(tape, start, stop, [], grads, dy)
        return [*grads.values(), tape.dstate.copy()]

    expected = backward(first, n_steps, dy)
    last = [state.copy() for state in cell.state(tape, n_steps)]
    tape.carry(n_steps, history)
    assert_array_equal(cell.state(tape, history), last)
    for computed, value in zip(backward(0, history, dy[first:]), expected, strict=True):
        np.testing.assert_allclose(computed, value, rtol=1e-12, atol=1e-13)


@every_cell
def test_prediction_gives_the_bits_of_training_and_keeps_nothing_for_it(variant):
    training, prediction = new_tape(variant), new_tape(variant, training=False)
    assert_array_equal(prediction.states(0, T), training.states(0, T))
    assert prediction.kept.shape[0] == 1
    assert training.kept.shape[0] == T + 1
    assert not hasattr(prediction, "adjoints")


@every_cell
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_has_the_dtype_and_float32_agrees_with_float64(variant, training, masked, dtype):
    tape = new_tape(variant, training=training, dtype=dtype, masked=masked)
    arrays = [value for value in vars(tape).values() if isinstance(value, np.ndarray)]
    assert len(arrays) >= 4
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    expected = new_tape(variant, masked=masked).states(0, T)
    np.testing.assert_allclose(tape.states(0, T), expected, rtol=0, atol=1e-6 * abs(tape.hx).max())


@every_cell
def test_only_the_weights_of_the_way_forward_are_halved(variant):
    tape = new_tape(variant)
    logistic = tape.cell.n_logistic * tape.cell.n_hidden
    assert_array_equal(tape.U.rows.T[:logistic], 2 * tape.W.rows[:logistic, :H])
    assert_array_equal(tape.U.rows.T[logistic:], tape.W.rows[logistic:, :H])


@every_cell
@pytest.mark.parametrize(("start", "stop"), [(0, 6), (6, 7), (7, 12), (8, 9)])
@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weight_gradients_of_some_steps_are_added(variant, start, stop, side_by_side, dtype, monkeypatch):
    monkeypatch.setattr(workspace, "BLOCK_STEPS", 6)
    monkeypatch.setattr(workspace, "PRODUCT_COLUMNS", 1)
    monkeypatch.setattr(workspace, "PRODUCT_OPERATIONS", 10**9 if side_by_side else 1)
    tape = new_tape(variant, n_steps=12, dtype=dtype)
    rng, cell = np.random.default_rng(1), tape.cell
    assert tape.block == 6
    assert tape.weight_gradient.n_steps == (6 if side_by_side else 1)
    tape.adjoints[...] = rng.standard_normal(tape.adjoints.shape)
    tape.hx[...] = rng.standard_normal(tape.hx.shape)
    before = {name: rng.standard_normal(shape).astype(dtype) for name, shape in cell.shapes().items()}
    grads = {name: grad.copy() for name, grad in before.items()}
    tape.weight_gradient.add(tape, start, stop, grads)
    da = tape.adjoints[start % 12 :][: stop - start, cell.first_gradient :].reshape(stop - start, -1, N)
    for name, inputs, rows in cell.weight_gradients():
        expected = before[name] + np.einsum("trn,tan->ra", tape.hx[start:stop, inputs], da[:, rows])
        tolerance = 1e-4 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(grads[name], expected, rtol=tolerance, atol=tolerance)


def test_a_gradient_of_another_dtype_or_order_is_refused():
    tape = new_tape("lstm")
    shape = tape.cell.shapes()["weights"]
    for grad in (np.zeros(shape, np.float32), np.zeros(shape[::-1]).T):
        with pytest.raises(ValueError, match="a C-contiguous array of float64 is needed"):
            tape.weight_gradient.add(tape, 0, 1, {"weights": grad})


@pytest.mark.parametrize(
    ("n_sequences", "n_hidden", "block", "product_steps"),
    [
        (1, 2, 64, 64),  # BLOCK_STEPS, all in one product
        (32, 32, 64, 64),
        (64, 32, 32, 32),  # a block of adjoints fills the cache
        (64, 64, 16, 1),  # a step is enough for a product
        (32, 128, 16, 1),
        (16, 128, 32, 32),  # but not of so few sequences
        (512, 128, 1, 1),  # a single step fills the cache
    ],
)
def test_blocks_and_products_are_neither_too_narrow_nor_too_large(n_sequences, n_hidden, block, product_steps, monkeypatch):
    constants = {"BLOCK_ELEMENTS": 65536, "BLOCK_STEPS": 64, "PRODUCT_COLUMNS": 32, "PRODUCT_OPERATIONS": 200_000}
    for name, value in constants.items():
        monkeypatch.setattr(workspace, name, value)
    tape = new_tape("rnn-tanh", n_sequences=n_sequences, n_steps=2, n_hidden=n_hidden)
    assert (tape.block, tape.weight_gradient.n_steps) == (block, product_steps)
    assert len(tape.adjoints) == 2 * tape.block  # another thread may add the gradients of one of them


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (5, 2, 7), (0, 4)])
def test_buffers_begin_at_a_cache_line_and_are_zero(shape, dtype):
    buffers = [workspace.aligned_zeros(shape, dtype) for _ in range(5)]
    for buffer in buffers:
        assert buffer.shape == shape
        assert buffer.dtype == dtype
        assert not buffer.any()
        assert buffer.flags.c_contiguous
        assert buffer.flags.writeable
        assert buffer.ctypes.data % 64 == 0 or not buffer.size
