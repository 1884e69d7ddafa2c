"""Cells: their parameters gate by gate, and proof that the gradient check sees a wrong adjoint."""

from inspect import signature

import numpy as np
import pytest
from _gradcheck import CELL_VARIANTS, TapeProblem

from skrnn._core.cells import ACTIVATIONS, CELLS
from skrnn._core.parameters import Layout
from skrnn._core.workspace import WeightGradients

every_cell = pytest.mark.parametrize("variant", CELL_VARIANTS)
N_PARAMETERS = {"rnn": 3 * (3 + 1 + 2), "gru": 3 * 3 * (3 + 1 + 2) + 3, "lstm": 4 * 3 * (3 + 1 + 2)}


def new_problem(variant, seed=0):
    return TapeProblem(CELL_VARIANTS[variant](2, 3), np.random.default_rng(seed))


@every_cell
def test_gates_share_out_every_parameter_once(variant):
    cell = CELL_VARIANTS[variant](2, 3)
    layout = Layout(cell.shapes())
    theta = np.arange(float(layout.size))
    gates = cell.gates(layout.views(theta)).values()
    arrays = [array for gate in gates for array in gate if array is not None]
    assert layout.size == N_PARAMETERS[variant.partition("-")[0]]
    assert sorted(np.concatenate([array.ravel() for array in arrays])) == theta.tolist()
    assert {gate.recurrent.shape for gate in gates} == {(3, 3)}
    assert {gate.input.shape for gate in gates} == {(3, 2)}
    assert {gate.bias.shape for gate in gates} == {(3,)}
    assert all(np.shares_memory(array, theta) for array in arrays)


def test_only_the_candidate_of_a_gru_has_a_second_bias():
    second = {
        (name, gate)
        for name, cell in CELLS.items()
        for gate, views in cell(2, 3).gates(Layout(cell(2, 3).shapes()).views(np.zeros(80))).items()
        if views.recurrent_bias is not None
    }
    assert second == {("gru", "n")}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_of_an_activation_is_a_function_of_its_value(name):
    activate, derivative = ACTIVATIONS[name]
    a = np.array([-2.0, -0.3, 0.4, 3.0])
    h, slope = np.empty(4), np.empty(4)
    activate(a, h)
    derivative(h, slope)
    above, below = np.empty(4), np.empty(4)
    activate(a + 1e-6, above)
    activate(a - 1e-6, below)
    np.testing.assert_allclose(slope, (above - below) / 2e-6, atol=1e-9)


# ---------------------------------------------------------------- the check must be able to fail


def assert_check_fails(variant, **options):
    with pytest.raises(AssertionError, match="gradient wrong"):
        new_problem(variant).check(np.random.default_rng(1), **options)


#: what each adjoint reads of a step
TERMS = {
    "gru": ("U", "one", "h", "z", "r", "rm", "n"),
    "lstm": ("U", "one", "h", "oif", "i_f", "gc", "o", "i", "f", "g", "tanh_c"),
}


def corrupt(monkeypatch, variant, changes):
    """Let the adjoint of a cell see some of its views, given by name, changed."""
    cell = type(CELL_VARIANTS[variant](2, 3))
    adjoint, names = cell.adjoint, list(signature(cell.adjoint).parameters)

    def corrupted(*views):
        adjoint(*(changes.get(name, lambda unchanged: unchanged)(view) for name, view in zip(names, views, strict=True)))

    monkeypatch.setattr(cell, "adjoint", staticmethod(corrupted))


@pytest.mark.parametrize("every_coordinate", [False, True])
@pytest.mark.parametrize(("variant", "term"), [(variant, term) for variant, terms in TERMS.items() for term in terms])
def test_the_check_sees_one_term_that_is_a_percent_off(variant, term, every_coordinate, monkeypatch):
    corrupt(monkeypatch, variant, {term: lambda view: 1.01 * view})
    assert_check_fails(variant, **({"n_directions": 0, "every_coordinate": True} if every_coordinate else {}))


@pytest.mark.parametrize("variant", [variant for variant in CELL_VARIANTS if variant not in TERMS])
def test_the_check_sees_a_derivative_of_the_activation_that_is_a_percent_off(variant, monkeypatch):
    cell = type(CELL_VARIANTS[variant](2, 3))
    derivatives = cell.derivatives

    def corrupted(self, tape, start, stop):
        derivatives(self, tape, start, stop)
        tape.adjoints[: stop - start] *= 1.01

    monkeypatch.setattr(cell, "derivatives", corrupted)
    assert_check_fails(variant)


def recurrent_matrices(change):
    """Change the list of the (H, H) transposed recurrent matrices, one for each gate."""
    return lambda U: np.concatenate(change(np.split(U, U.shape[1] // len(U), axis=1)), axis=1)


CORRUPTIONS = [
    *[(variant, "a missing transpose", {"U": recurrent_matrices(lambda Us: [U.T for U in Us])}) for variant in CELL_VARIANTS],
    *[(variant, "swapped gates", {"U": recurrent_matrices(lambda Us: [Us[1], Us[0], *Us[2:]])}) for variant in TERMS],
    *[(variant, "one wrong gate", {"U": recurrent_matrices(lambda Us: [*Us[:-1], Us[-1].T])}) for variant in TERMS],
    ("gru", "no share through z", {"z": np.zeros_like}),
    ("lstm", "no forget gate", {"f": np.ones_like}),
]


@pytest.mark.parametrize(("variant", "changes"), [pytest.param(v, c, id=f"{v}: {what}") for v, what, c in CORRUPTIONS])
def test_the_check_sees_a_wrong_adjoint(variant, changes, monkeypatch):
    corrupt(monkeypatch, variant, changes)
    assert_check_fails(variant)


@every_cell
def test_the_check_sees_a_weight_gradient_with_states_of_the_wrong_step(variant, monkeypatch):
    add = WeightGradients.add

    def corrupted(self, tape, start, stop, grads):
        H, hx = tape.cell.n_hidden, tape.hx
        before = hx.copy()
        hx[:-1, :H] = before[1:, :H]
        add(self, tape, start, stop, grads)
        hx[...] = before

    monkeypatch.setattr(WeightGradients, "add", corrupted)
    assert_check_fails(variant)
