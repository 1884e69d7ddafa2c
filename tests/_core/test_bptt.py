"""Loops over time: gradients, ragged batches, edges, blocks, windows and padding, for every registered cell."""

import functools
import itertools

import numpy as np
import pytest
from _gradcheck import CELL_VARIANTS, TapeProblem, entries_of, exits_of
from _reference import new_cell, run, run_back
from numpy.testing import assert_allclose, assert_array_equal

from skrnn._core import bptt, workspace
from skrnn._core.workspace import Tape

every_cell = pytest.mark.parametrize("variant", CELL_VARIANTS)
both_paddings = pytest.mark.parametrize("padding", ["first", "last"])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 4 steps."""
    monkeypatch.setattr(workspace, "BLOCK_STEPS", 4)
    monkeypatch.setattr(workspace, "PRODUCT_COLUMNS", 1)


in_small_blocks = pytest.mark.usefixtures("small_blocks")


def new_problem(variant, lengths=(11, 7, 7, 2), seed=0, **options):
    return TapeProblem(CELL_VARIANTS[variant](2, 3), np.random.default_rng(seed), lengths, **options)


def assert_close(a, b):
    assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- gradients


@in_small_blocks
@every_cell
@both_paddings
def test_the_gradient_of_every_variable_agrees_with_central_differences(variant, padding, global_random_seed):
    problem = new_problem(variant, seed=global_random_seed, padding=padding)
    assert problem.tape.block == 4
    assert problem.n_steps % 4 == 3
    problem.check(np.random.default_rng(1), every_coordinate=True)


@in_small_blocks
@every_cell
@both_paddings
@pytest.mark.parametrize("lengths", [(9, 9, 9), (8, 4), (12,), (6, 5, 1), (1, 1)], ids=str)
def test_the_gradient_is_right_for_any_lengths(variant, padding, lengths):
    new_problem(variant, lengths, padding=padding).check(np.random.default_rng(1))


@in_small_blocks
@every_cell
@both_paddings
def test_the_gradient_of_the_last_state_alone_needs_no_dy(variant, padding):
    problem = new_problem(variant, padding=padding)
    problem.dy[...] = 0
    expected = problem.gradient()
    grads = problem.layout.views(np.zeros_like(expected))
    dx = np.empty_like(grads["x"])
    problem.tape.dstate[...] = problem.dlast
    bptt.backward(problem.tape, 0, problem.n_steps, problem.edges, grads, np.zeros_like(problem.dy), dx)
    for name in problem.cell.shapes():
        assert_array_equal(grads[name], problem.layout.views(expected)[name])
    assert_array_equal(dx, problem.layout.views(expected)["x"])
    problem.check(np.random.default_rng(1))


@every_cell
@both_paddings
def test_weight_gradients_are_added_to_what_is_there(variant, padding):
    problem = new_problem(variant, padding=padding)
    once = problem.gradient()
    grads = problem.layout.views(2 * once)
    problem.backward(grads)
    for name in problem.cell.shapes():
        assert_allclose(grads[name], 3 * problem.layout.views(once)[name], rtol=1e-13)


@every_cell
@both_paddings
def test_states_and_gradients_are_those_of_the_published_equations(variant, padding, global_random_seed):
    name, _, activation = variant.partition("-")
    reference, problem = new_cell(name, activation or "tanh"), new_problem(variant, seed=global_random_seed, padding=padding)
    views, gradient = problem.layout.views(problem.point), problem.layout.views(problem.gradient())
    y, last = problem.forward(problem.point)
    weights, expected = problem.cell.gates(views), np.zeros_like(problem.point)
    grads = problem.cell.gates(problem.layout.views(expected))
    for column in range(problem.tape.n_sequences):
        own, begins = problem.own_steps(column), problem.begins[column]
        xs = views["x"][own, :, column]
        steps = run(reference, weights, xs, tuple(views["initial"][:, :, column] * begins))
        assert_allclose(y[own, :, column], [step.h for step in steps], rtol=0, atol=1e-12)
        if problem.ends[column]:
            assert_allclose(last[:, :, column], steps[-1].after, rtol=0, atol=1e-12)
        dhs, dlast = problem.dy[own, :, column], tuple(problem.dlast[:, :, column])
        dxs, dinitial = run_back(reference, weights, grads, steps, dhs, dlast)
        assert_allclose(gradient["x"][own, :, column], dxs, rtol=1e-10, atol=1e-12)
        assert_allclose(gradient["initial"][:, :, column], np.array(dinitial) * begins, rtol=1e-10, atol=1e-12)
    for shape_name in problem.cell.shapes():
        assert_allclose(gradient[shape_name], problem.layout.views(expected)[shape_name], rtol=1e-10, atol=1e-12)


@every_cell
@both_paddings
@pytest.mark.parametrize("steps", [1, 2, 3, 64])
def test_the_size_of_blocks_does_not_change_the_gradient(variant, padding, steps, monkeypatch):
    expected = new_problem(variant, padding=padding).gradient()
    monkeypatch.setattr(workspace, "BLOCK_STEPS", steps)
    monkeypatch.setattr(workspace, "PRODUCT_COLUMNS", 1)
    problem = new_problem(variant, padding=padding)
    assert problem.tape.block == steps
    assert_allclose(problem.gradient(), expected, rtol=1e-12, atol=1e-13)


@in_small_blocks
@every_cell
@both_paddings
def test_with_a_mask_on_the_state_the_gradient_agrees_with_central_differences(variant, padding):
    new_problem(variant, padding=padding, masked=True).check(np.random.default_rng(1), every_coordinate=True)


@in_small_blocks
@every_cell
def test_a_mask_acts_where_the_state_is_multiplied_with_recurrent_weights_and_nowhere_else(variant):
    masked, plain = new_problem(variant, (9,), masked=True), new_problem(variant, (9,))
    plain.point, plain.dy, plain.dlast = masked.point.copy(), masked.dy, masked.dlast
    for gate in plain.cell.gates(plain.layout.views(plain.point)).values():
        gate.recurrent[...] *= masked.tape.mask[:, 0]
    for computed, expected in zip(masked.forward(masked.point), plain.forward(plain.point), strict=True):
        assert_close(computed, expected)
    gradient, expected = (problem.layout.views(problem.gradient()) for problem in (masked, plain))
    for gate in plain.cell.gates(expected).values():
        gate.recurrent[...] *= masked.tape.mask[:, 0]
    for name, value in expected.items():
        assert_close(gradient[name], value)


class Late:
    """A future whose function runs when its result is asked for, which is as late as it may."""

    def __init__(self, function, *arguments):
        self.result = functools.partial(function, *arguments)


@in_small_blocks
@every_cell
@both_paddings
def test_another_thread_may_add_the_weight_gradient_of_a_block_while_the_next_is_computed(variant, padding, monkeypatch):
    problem = new_problem(variant, padding=padding)
    expected, blocks = problem.layout.views(problem.gradient()), []
    monkeypatch.setattr(bptt, "LEAST_OPERATIONS", problem.tape.weight_gradient.n_operations)

    def submit(function, tape, first, last, grads):
        blocks.append((first, last))
        return Late(function, tape, first, last, grads)

    grads = problem.layout.views(np.zeros_like(problem.point))
    dx = problem.backward(grads, submit=submit)
    assert blocks == [(8, 11), (4, 8), (0, 4)]
    for name in problem.cell.shapes():
        assert_array_equal(grads[name], expected[name])
    assert_array_equal(dx, expected["x"])


def test_another_thread_adds_nothing_where_there_is_little_to_do(monkeypatch):
    problem = new_problem("lstm")
    monkeypatch.setattr(bptt, "LEAST_OPERATIONS", problem.tape.weight_gradient.n_operations + 1)
    grads = problem.layout.views(np.zeros_like(problem.point))
    problem.forward(problem.point)
    problem.backward(grads, submit=None)
    expected = grads["weights"].copy()
    grads["weights"][...] = 0
    problem.backward(grads, submit=lambda *_: pytest.fail("a thread was asked"))
    assert_array_equal(grads["weights"], expected)


@in_small_blocks
@every_cell
@both_paddings
@pytest.mark.parametrize("bounds", [(0, 4, 11), (0, 3, 5, 11), tuple(range(12))], ids=str)
def test_forward_in_parts_keeps_what_backward_needs_of_all_steps(variant, padding, bounds):
    problem = new_problem(variant, padding=padding)
    expected = problem.layout.views(problem.gradient())
    problem.tape.kept[1:] = problem.tape.hx[1:, :3] = np.nan
    for start, stop in itertools.pairwise(bounds):
        bptt.forward(problem.tape, start, stop, [(t, columns) for t, columns in problem.exits if start <= t < stop])
    grads = problem.layout.views(np.zeros_like(problem.point))
    assert_array_equal(problem.backward(grads), expected["x"])
    for name in problem.cell.shapes():
        assert_array_equal(grads[name], expected[name])


@in_small_blocks
@every_cell
@both_paddings
@pytest.mark.parametrize("first", [1, 3, 4, 6])
def test_it_does_not_matter_in_which_rows_of_a_tape_the_steps_are(variant, padding, first):
    problem = new_problem(variant, padding=padding, first=first)
    for array in (problem.tape.hx, problem.tape.kept):
        array[:first] = np.nan
    assert_close(problem.gradient(), new_problem(variant, padding=padding).gradient())
    problem.check(np.random.default_rng(1))


@in_small_blocks
@every_cell
@both_paddings
@pytest.mark.parametrize("bounds", [(0, 11), (0, 1, 11), (0, 4, 8, 11), (0, 2, 7, 11), tuple(range(12))], ids=str)
def test_backward_over_parts_of_the_steps_is_backward_over_all_of_them(variant, padding, bounds):
    problem = new_problem(variant, padding=padding)
    expected = problem.layout.views(problem.gradient())
    grads, dx = problem.layout.views(np.zeros_like(problem.point)), np.empty_like(expected["x"])
    problem.tape.dstate[...] = problem.dlast
    for start, stop in zip(bounds[-2::-1], bounds[:0:-1], strict=True):
        edges = [(step, columns) for step, columns in problem.edges if start <= step < stop]
        bptt.backward(problem.tape, start, stop, edges, grads, problem.dy, dx)
    for name in problem.cell.shapes():
        assert_close(grads[name], expected[name])
    assert_close(dx, expected["x"])
    assert_close(problem.tape.dstate, expected["initial"])


@in_small_blocks
@every_cell
@pytest.mark.parametrize("with_dy", [True, False])
def test_the_gradients_of_all_states_are_those_that_shorter_ways_back_end_with(variant, with_dy):
    problem = new_problem(variant)
    if not with_dy:
        problem.dy[...] = 0
    whole, expected = problem.gradient(), np.empty_like(problem.dy)
    for t in range(problem.n_steps):
        problem.tape.dstate[...] = problem.dlast
        if t < problem.n_steps - 1:
            bptt.backward(problem.tape, t + 1, problem.n_steps, [], problem.layout.views(np.zeros_like(whole)), problem.dy)
        expected[t] = problem.tape.dstate[0] + problem.dy[t]
    dh, grad = np.full_like(problem.dy, np.nan), np.zeros_like(whole)
    problem.backward(problem.layout.views(grad), dh=dh)
    assert_close(dh, expected)
    for name in problem.cell.shapes():
        assert_close(problem.layout.views(grad)[name], problem.layout.views(whole)[name])


# ---------------------------------------------------------------- edges


@in_small_blocks
@every_cell
@pytest.mark.parametrize(
    "firsts", [(5, 3, 3, 0), (4, 4, 4, 4), (8, 8, 1, 1), (10, 9, 6, 5), (7, 0, 0, 0), (1, 0, 0, 0)], ids=str
)
def test_no_gradient_goes_back_beyond_an_edge(variant, firsts):
    """Steps before an edge are constants, for some sequences."""
    name, _, activation = variant.partition("-")
    reference, problem = new_cell(name, activation or "tanh"), new_problem(variant, (11, 11, 11, 11))
    runs = [(first, slice(firsts.index(first), firsts.index(first) + firsts.count(first))) for first in sorted(set(firsts))]
    problem.edges = [(first, columns) for first, columns in runs if first]
    gradient, views = problem.layout.views(problem.gradient()), problem.layout.views(problem.point)
    weights, expected = problem.cell.gates(views), problem.layout.views(np.zeros_like(problem.point))
    grads = problem.cell.gates(expected)
    for column, first in enumerate(firsts):
        steps = run(reference, weights, views["x"][:, :, column], tuple(views["initial"][:, :, column]))
        dhs, dlast = problem.dy[first:, :, column].copy(), tuple(problem.dlast[:, :, column])
        dxs, dinitial = run_back(reference, weights, grads, steps[first:], dhs, dlast)
        assert_close(gradient["x"][first:, :, column], dxs)
        # what comes from dy of earlier steps goes its own way
        own_steps, dhs = steps[:first], problem.dy[:first, :, column]
        dxs, dearlier = run_back(reference, weights, grads, own_steps, dhs, [np.zeros(3) for _ in dinitial])
        if first:
            assert_close(gradient["x"][:first, :, column], dxs)
            dinitial = dearlier
        assert_close(gradient["initial"][:, :, column], dinitial)
    for shape_name in problem.cell.shapes():
        assert_close(gradient[shape_name], expected[shape_name])


@every_cell
def test_an_edge_at_the_first_step_leaves_no_gradient_of_the_state_before_it(variant):
    problem = new_problem(variant, (5, 5, 5))
    whole = problem.layout.views(problem.gradient())
    problem.edges = [(0, slice(1, 3))]
    cut = problem.layout.views(problem.gradient())
    assert not cut["initial"][:, :, 1:].any()
    assert_array_equal(cut["initial"][:, :, 0], whole["initial"][:, :, 0])
    for name in (*problem.cell.shapes(), "x"):
        assert_array_equal(cut[name], whole[name])


# ---------------------------------------------------------------- ragged batches, windows, padding


@in_small_blocks
@every_cell
@both_paddings
def test_a_ragged_batch_equals_its_sequences_one_by_one(variant, padding):
    problem = new_problem(variant, padding=padding)
    views, gradient = problem.layout.views(problem.point), problem.layout.views(problem.gradient())
    y, last = problem.forward(problem.point)
    total = {name: np.zeros(shape) for name, shape in problem.cell.shapes().items()}
    for column in range(problem.tape.n_sequences):
        own, here, begins = problem.own_steps(column), slice(column, column + 1), problem.begins[column]
        alone = new_problem(variant, (len(own),), padding=padding)
        alone_views = alone.layout.views(alone.point)
        for name in problem.cell.shapes():
            alone_views[name][...] = views[name]
        alone_views["x"][...] = views["x"][own, :, here]
        alone_views["initial"][...] = views["initial"][:, :, here] * begins
        alone.dy, alone.dlast = problem.dy[own, :, here], problem.dlast[:, :, here]
        alone_gradient = alone.layout.views(alone.gradient())
        alone_y, alone_last = alone.forward(alone.point)
        assert_allclose(y[own, :, here], alone_y, rtol=0, atol=1e-12)
        if problem.ends[column]:
            assert_allclose(last[:, :, here], alone_last, rtol=0, atol=1e-12)
        assert_close(gradient["x"][own, :, here], alone_gradient["x"])
        assert_close(gradient["initial"][:, :, here], alone_gradient["initial"] * begins)
        for name in total:
            total[name] += alone_gradient[name]
    for name, value in total.items():
        assert_close(gradient[name], value)


@every_cell
@both_paddings
def test_padding_has_exactly_zero_states_and_adds_exactly_nothing(variant, padding):
    problem = new_problem(variant, padding=padding)
    gradient, is_padding = problem.layout.views(problem.gradient()), problem.own == 0
    tape, T = problem.tape, problem.n_steps
    assert is_padding.sum() == 17
    assert tape.block >= T  # adjoints of all steps are still there
    for state in (tape.states(0, T), gradient["x"]):
        assert not state[np.broadcast_to(is_padding, state.shape)].any()
    gradients = tape.gradients_of(0, T)
    assert not gradients[np.broadcast_to(is_padding, gradients.shape)].any()


@every_cell
def test_all_states_are_zero_before_the_second_step_of_padding_and_from_there_on(variant):
    """Those before the first one are the last states of the sequence."""
    problem = new_problem(variant)
    problem.forward(problem.point)
    for column, length in enumerate(problem.lengths):
        states = [
            [state[:, column] for state in problem.cell.state(problem.tape, t)] for t in range(length, problem.n_steps + 1)
        ]
        assert variant == "rnn-relu" or all(state.any() for state in states[0])
        assert not np.any(states[1:])


@pytest.mark.parametrize("training", [True, False])
def test_a_state_that_would_explode_after_a_sequence_has_ended_is_not_there(training):
    """One step and 800 of padding with an identity and a recurrent matrix of spectral radius 3; 3^800 overflows."""
    problem = new_problem("rnn-identity", (801, 1))
    views = problem.layout.views(problem.point)
    gate = problem.cell.gates(views)["h"]
    gate.recurrent[...] *= 3 / abs(np.linalg.eigvals(gate.recurrent)).max()
    gate.bias[...] = 0
    views["x"][:, :, 0] = views["initial"][:, :, 0] = 0
    problem.dy[:, :, 0] = problem.dlast[:, :, 0] = 0
    if training:
        gradient = problem.layout.views(problem.gradient())
        assert all(np.isfinite(value).all() for value in gradient.values())
        assert gradient["x"][0, :, 1].all()
        assert gradient["initial"][:, :, 1].all()
    problem.tape = Tape(problem.cell, 2, 801, np.float64, training=training)
    y, last = problem.forward(problem.point)
    assert y[0, :, 1].all()
    assert not y[1:].any()
    assert not last.any()


@every_cell
def test_a_gradient_that_explodes_before_a_sequence_begins_is_dropped(variant):
    """One step into 40 steps of padding with recurrent weights of 1e10: an uncleared gradient ends as 0 x inf."""
    problem = new_problem(variant, (40, 1), padding="first")
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


@every_cell
def test_a_gradient_that_vanishes_within_a_block_leaves_no_denormal_numbers(variant, monkeypatch):
    """They take a CPU a hundred times as long."""
    problem = new_problem(variant, (60, 60))
    views = problem.layout.views(problem.point)
    for gate in problem.cell.gates(views).values():
        gate.recurrent[...] *= 1e-2
        gate.bias[...] = 0
    if variant == "lstm":
        problem.cell.gates(views)["f"].bias[...] = -100
    problem.dy[...] = 0
    seen, product = [], problem.tape.weight_gradient.add
    monkeypatch.setattr(
        problem.tape.weight_gradient, "add", lambda *a: (seen.append(problem.tape.adjoints.copy()), product(*a))
    )
    problem.tape.negligible = 1e-30
    problem.gradient()
    sizes = np.abs(np.concatenate(seen))
    if variant != "gru":  # of which the update gate keeps the state
        assert (sizes == 0).any()
    assert problem.tape.block > bptt.VANISHING_STEPS
    assert not ((sizes > 0) & (sizes < 1e-150)).any()


@in_small_blocks
@every_cell
@both_paddings
def test_what_an_earlier_batch_left_behind_never_matters(variant, padding):
    problem = new_problem(variant, padding=padding)
    expected = problem.gradient()
    tape = problem.tape
    for array in (tape.hx, tape.kept, tape.scratch, tape.adjoints, tape.dstate):
        array.fill(np.nan)
    assert_array_equal(problem.gradient(), expected)


@every_cell
@both_paddings
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("window", [1, 3, 4, 7, 10])
@pytest.mark.parametrize("lengths", [(10, 10, 10), (10, 9, 8, 7, 4, 4, 1)], ids=["equal", "ragged"])
def test_consecutive_windows_equal_one(variant, padding, training, window, lengths):
    problem = new_problem(variant, lengths, padding=padding)
    expected, last = (a.copy() for a in problem.forward(problem.point))
    views, H = problem.layout.views(problem.point), problem.cell.n_hidden
    tape = Tape(problem.cell, len(lengths), window, np.float64, training=training)
    tape.load(views)
    for state, initial in zip(problem.cell.state(tape, 0), views["initial"], strict=True):
        state[...] = initial * problem.begins
    for start in range(0, 10, window):
        stop = min(start + window, 10)
        if start:
            tape.carry(window)
        tape.hx[: stop - start, H : H + 1] = problem.own[start:stop]
        tape.hx[: stop - start, H + 1 :] = np.where(problem.own, views["x"], 0)[start:stop]
        exits = [(step - start, columns) for step, columns in problem.exits if start <= step < stop]
        bptt.forward(tape, 0, stop - start, exits)
        assert_array_equal(tape.states(0, stop - start), expected[start:stop])
    assert_array_equal(problem.cell.state(tape, stop - start), last)


# ---------------------------------------------------------------- helpers


@pytest.mark.parametrize(
    ("start", "stop", "blocks"),
    [
        (0, 1, [(0, 1)]),
        (0, 4, [(0, 4)]),
        (0, 5, [(4, 5), (0, 4)]),
        (0, 11, [(8, 11), (4, 8), (0, 4)]),
        (2, 3, [(2, 3)]),
        (3, 9, [(8, 9), (4, 8), (3, 4)]),
        (4, 12, [(8, 12), (4, 8)]),
        (5, 7, [(5, 7)]),
    ],
)
def test_blocks_come_last_first_and_all_but_the_first_one_start_at_multiples(start, stop, blocks):
    assert list(bptt.reversed_blocks(start, stop, 4)) == blocks


def test_segments_end_at_edges():
    edges = entries_of((9, 9, 6, 4, 4))
    assert edges == [(0, slice(0, 2)), (3, slice(2, 3)), (5, slice(3, 5))]
    assert list(bptt.reversed_segments(4, 8, edges)) == [(5, 8, slice(3, 5)), (4, 5, None)]
    assert list(bptt.reversed_segments(0, 4, edges)) == [(3, 4, slice(2, 3)), (0, 3, slice(0, 2))]
    assert list(bptt.reversed_segments(6, 9, edges)) == [(6, 9, None)]
    assert list(bptt.reversed_segments(3, 5, edges)) == [(3, 5, slice(2, 3))]
    assert list(bptt.reversed_segments(3, 5, [])) == [(3, 5, None)]


def test_the_longest_sequences_do_not_exit():
    assert exits_of((9, 9, 6, 4, 4)) == [(4, slice(3, 5)), (6, slice(2, 3))]
    assert exits_of((5, 5)) == []


def new_vanishing(variant, dtype, T):
    """A tape of many steps through which gradients get about ten times smaller in three steps, and its gradients."""
    cell, N = CELL_VARIANTS[variant](2, 3), 8
    rng = np.random.default_rng(0)
    weights = {name: (0.3 * rng.normal(size=shape)).astype(dtype) for name, shape in cell.shapes().items()}
    tape = Tape(cell, N, T, dtype, training=True)
    tape.hx[:-1, 3] = 1
    tape.hx[:-1, 4:] = rng.normal(size=(T, 2, N))
    tape.load(weights)
    bptt.forward(tape, 0, T)
    tape.dstate[0] = 1e-200 if dtype == np.float64 else 1.0
    return tape, {name: np.zeros_like(array) for name, array in weights.items()}


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_vanishes_ends_as_zero_and_not_in_denormal_numbers(variant, dtype):
    """Denormal numbers would make the loops several times slower, for nothing."""
    T = 600
    tape, grads = new_vanishing(variant, dtype, T)
    dh = np.empty((T, 3, tape.n_sequences), dtype)
    bptt.backward(tape, 0, T, [], grads, dh=dh)
    assert all(np.isfinite(grad).all() for grad in grads.values())
    assert any(grad.any() for grad in grads.values())
    assert not tape.dstate.any()
    assert dh[-1].all()
    assert not dh[0].any()
    assert not np.any((dh != 0) & (abs(dh) < np.finfo(dtype).tiny))


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", [1, 3])
def test_nor_does_it_in_short_windows(variant, dtype, window):
    T = 600
    tape, grads = new_vanishing(variant, dtype, T)
    for stop in range(T, 0, -window):
        bptt.backward(tape, stop - window, stop, [], grads)
        assert not np.any((tape.dstate != 0) & (abs(tape.dstate) < tape.negligible))
    assert not tape.dstate.any()
