"""Loops over time: gradients, ragged entries, blocks, windows and padding, for every registered cell."""

import numpy as np
import pytest
from _gradcheck import CELL_VARIANTS, TapeProblem, entries_of
from _reference import new_cell, run, run_back
from numpy.testing import assert_allclose, assert_array_equal

from skrnn._core import bptt, workspace
from skrnn._core.workspace import Tape

every_cell = pytest.mark.parametrize("variant", CELL_VARIANTS)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 4 steps."""
    monkeypatch.setattr(workspace, "BLOCK_STEPS", 4)
    monkeypatch.setattr(workspace, "BLOCK_COLUMNS", 1)


in_small_blocks = pytest.mark.usefixtures("small_blocks")


def new_problem(variant, lengths=(11, 7, 7, 2), seed=0):
    return TapeProblem(CELL_VARIANTS[variant](2, 3), np.random.default_rng(seed), lengths)


# ---------------------------------------------------------------- gradients


@in_small_blocks
@every_cell
def test_the_gradient_of_every_variable_agrees_with_central_differences(variant, global_random_seed):
    problem = new_problem(variant, seed=global_random_seed)
    assert problem.tape.block == 4
    assert problem.n_steps % 4 == 3
    problem.check(np.random.default_rng(1), every_coordinate=True)


@in_small_blocks
@every_cell
@pytest.mark.parametrize("lengths", [(9, 9, 9), (8, 4), (12,), (6, 5, 1), (1, 1)], ids=str)
def test_the_gradient_is_right_for_any_lengths(variant, lengths):
    new_problem(variant, lengths).check(np.random.default_rng(1))


@in_small_blocks
@every_cell
def test_the_gradient_of_the_last_state_alone_needs_no_dy(variant):
    problem = new_problem(variant)
    problem.dy[...] = 0
    expected = problem.gradient()
    problem.tape.dstate[...] = problem.dlast
    grad = np.zeros_like(expected)
    bptt.backward(problem.tape, problem.n_steps, problem.entries, problem.layout.views(grad))
    problem.layout.views(grad)["initial"][...] = problem.tape.dinitial
    problem.layout.views(grad)["x"][...] = problem.layout.views(expected)["x"]  # not asked for
    assert_array_equal(grad, expected)
    problem.check(np.random.default_rng(1))


@every_cell
def test_weight_gradients_are_added_to_what_is_there(variant):
    problem = new_problem(variant)
    once = problem.gradient()
    grads = problem.layout.views(2 * once)
    problem.tape.dstate[...] = problem.dlast
    bptt.backward(problem.tape, problem.n_steps, problem.entries, grads, problem.dy)
    for name in problem.cell.shapes():
        assert_allclose(grads[name], 3 * problem.layout.views(once)[name], rtol=1e-13)


@every_cell
def test_states_and_gradients_are_those_of_the_published_equations(variant, global_random_seed):
    name, _, activation = variant.partition("-")
    reference, problem = new_cell(name, activation or "tanh"), new_problem(variant, seed=global_random_seed)
    views, gradient = problem.layout.views(problem.point), problem.layout.views(problem.gradient())
    y, last = problem.forward(problem.point)
    weights, expected = problem.cell.gates(views), np.zeros_like(problem.point)
    grads = problem.cell.gates(problem.layout.views(expected))
    for column in range(problem.tape.n_sequences):
        own = np.flatnonzero(problem.own[:, 0, column])
        xs = views["x"][own, :, column]
        states = run(reference, weights, xs, tuple(views["initial"][:, :, column]))
        assert_allclose(y[own, :, column], [state[0] for state in states[1:]], rtol=0, atol=1e-12)
        assert_allclose(last[:, :, column], states[-1], rtol=0, atol=1e-12)
        dhs, dlast = problem.dy[own, :, column], tuple(problem.dlast[:, :, column])
        dxs, dinitial = run_back(reference, weights, grads, xs, states, dhs, dlast)
        assert_allclose(gradient["x"][own, :, column], dxs, rtol=1e-10, atol=1e-12)
        assert_allclose(gradient["initial"][:, :, column], dinitial, rtol=1e-10, atol=1e-12)
    for shape_name in problem.cell.shapes():
        assert_allclose(gradient[shape_name], problem.layout.views(expected)[shape_name], rtol=1e-10, atol=1e-12)


@every_cell
@pytest.mark.parametrize("steps", [1, 3, 64])
def test_the_size_of_blocks_does_not_change_the_gradient(variant, steps, monkeypatch):
    expected = new_problem(variant).gradient()
    monkeypatch.setattr(workspace, "BLOCK_STEPS", steps)
    monkeypatch.setattr(workspace, "BLOCK_COLUMNS", 1)
    problem = new_problem(variant)
    assert problem.tape.block == steps
    assert_allclose(problem.gradient(), expected, rtol=1e-12, atol=1e-13)


# ---------------------------------------------------------------- ragged batches, windows, padding


@in_small_blocks
@every_cell
def test_a_ragged_batch_equals_its_sequences_one_by_one(variant):
    problem = new_problem(variant)
    views, gradient = problem.layout.views(problem.point), problem.layout.views(problem.gradient())
    y, last = problem.forward(problem.point)
    total = {name: np.zeros(shape) for name, shape in problem.cell.shapes().items()}
    for column in range(problem.tape.n_sequences):
        n_steps = int(problem.own[:, 0, column].sum())
        alone = new_problem(variant, (n_steps,))
        own, here = slice(problem.n_steps - n_steps, None), slice(column, column + 1)
        alone_views = alone.layout.views(alone.point)
        for name in problem.cell.shapes():
            alone_views[name][...] = views[name]
        alone_views["x"][...] = views["x"][own, :, here]
        alone_views["initial"][...] = views["initial"][:, :, here]
        alone.dy, alone.dlast = problem.dy[own, :, here], problem.dlast[:, :, here]
        alone_gradient = alone.layout.views(alone.gradient())
        alone_y, alone_last = alone.forward(alone.point)
        assert_allclose(y[own, :, here], alone_y, rtol=0, atol=1e-12)
        assert_allclose(last[:, :, here], alone_last, rtol=0, atol=1e-12)
        assert_allclose(gradient["x"][own, :, here], alone_gradient["x"], rtol=1e-12, atol=1e-12)
        assert_allclose(gradient["initial"][:, :, here], alone_gradient["initial"], rtol=1e-12, atol=1e-12)
        for name in total:
            total[name] += alone_gradient[name]
    for name, value in total.items():
        assert_allclose(gradient[name], value, rtol=1e-12, atol=1e-12)


@every_cell
def test_padding_keeps_exactly_zero_states_and_adds_exactly_nothing(variant):
    problem = new_problem(variant)
    problem.layout.views(problem.point)["initial"][...] = 0  # it stands in the row of the step before the first
    gradient, padding = problem.layout.views(problem.gradient()), problem.own == 0
    tape, T = problem.tape, problem.n_steps
    assert tape.block >= T  # adjoints of all steps are still there
    before_own = np.broadcast_to(padding, (T, problem.cell.n_hidden, tape.n_sequences))
    for state in (tape.states(T), gradient["x"]):
        assert not state[np.broadcast_to(padding, state.shape)].any()
    for k in range(*problem.cell.gradient_rows.indices(problem.cell.n_adjoint)):
        assert not tape.adjoints[:T, k][before_own].any()


@every_cell
def test_a_gradient_that_explodes_before_a_sequence_begins_is_dropped(variant):
    """One step into 40 steps of padding with recurrent weights of 1e10: an uncleared gradient ends as 0 x inf."""
    problem = new_problem(variant, (40, 1))
    views = problem.layout.views(problem.point)
    for gate in problem.cell.gates(views).values():
        gate.recurrent[...] *= 1e10
        gate.bias[...] = 0
    views["initial"][...] = 0
    views["x"][:, :, 0] = 0
    problem.dy[:, :, 0] = problem.dlast[:, :, 0] = 0
    gradient = problem.layout.views(problem.gradient())
    assert all(np.isfinite(value).all() for value in gradient.values())
    assert gradient["x"][-1, :, 1].all()
    assert not gradient["x"][:-1].any()


@in_small_blocks
@every_cell
def test_what_an_earlier_batch_left_behind_never_matters(variant):
    problem = new_problem(variant)
    expected = problem.gradient()
    tape = problem.tape
    for array in (tape.hx, tape.kept, tape.scratch, tape.adjoints, tape.flat, tape.dinitial):
        array.fill(np.nan)
    assert_array_equal(problem.gradient(), expected)


@every_cell
@pytest.mark.parametrize("training", [True, False])
def test_consecutive_windows_equal_one(variant, training):
    problem = new_problem(variant, (10, 10, 10))
    expected, last = (a.copy() for a in problem.forward(problem.point))
    views, H = problem.layout.views(problem.point), problem.cell.n_hidden
    tape = Tape(problem.cell, 3, 4, np.float64, training=training)
    tape.load(views)
    for state, initial in zip(problem.cell.state(tape, 0), views["initial"], strict=True):
        state[...] = initial
    for start in (0, 4, 8):
        n_steps = min(4, 10 - start)
        if start:
            tape.carry(4)
        tape.hx[:n_steps, H] = 1
        tape.hx[:n_steps, H + 1 :] = views["x"][start : start + n_steps]
        bptt.forward(tape, n_steps)
        assert_array_equal(tape.states(n_steps), expected[start : start + n_steps])
    assert_array_equal(problem.cell.state(tape, 2), last)


# ---------------------------------------------------------------- helpers


@pytest.mark.parametrize(
    ("n_steps", "blocks"),
    [(1, [(0, 1)]), (4, [(0, 4)]), (5, [(4, 5), (0, 4)]), (11, [(8, 11), (4, 8), (0, 4)])],
)
def test_blocks_come_last_first_and_start_at_multiples(n_steps, blocks):
    assert list(bptt.reversed_blocks(n_steps, 4)) == blocks


def test_segments_end_where_columns_enter():
    entries = entries_of((9, 9, 6, 4, 4))
    assert entries == [(0, slice(0, 2)), (3, slice(2, 3)), (5, slice(3, 5))]
    assert list(bptt.reversed_segments(4, 8, entries)) == [(5, 8, slice(3, 5)), (4, 5, None)]
    assert list(bptt.reversed_segments(0, 4, entries)) == [(3, 4, slice(2, 3)), (0, 3, slice(0, 2))]
    assert list(bptt.reversed_segments(6, 9, entries)) == [(6, 9, None)]
    assert list(bptt.reversed_segments(3, 5, entries)) == [(3, 5, slice(2, 3))]


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_vanishes_ends_as_zero_and_not_in_denormal_numbers(variant, dtype):
    """Denormal numbers would make the loops several times slower, for nothing."""
    T, N, H = 800, 40, 3
    cell = CELL_VARIANTS[variant](2, H)
    rng = np.random.default_rng(0)
    weights = {name: (0.05 * rng.normal(size=shape)).astype(dtype) for name, shape in cell.shapes().items()}
    tape = Tape(cell, N, T, dtype, training=True)
    tape.hx[:-1, H] = 1
    tape.hx[:-1, H + 1 :] = rng.normal(size=(T, 2, N))
    grads = {name: np.zeros_like(array) for name, array in weights.items()}
    tape.load(weights)
    bptt.forward(tape, T)
    tape.dstate[0] = 1e-200 if dtype == np.float64 else 1.0
    bptt.backward(tape, T, [(0, slice(0, N))], grads)
    gradients = np.concatenate([tape.dinitial.ravel(), *(grad.ravel() for grad in grads.values())])
    assert np.isfinite(gradients).all()
    assert not tape.dinitial.any()
    assert any(grad.any() for grad in grads.values())
