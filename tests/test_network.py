"""The waist: predictions, loss and gradient of whole networks, for every cell, depth, direction, pooling and loss."""

import itertools

import numpy as np
import pytest
from _gradcheck import assert_gradient
from _reference import LOSSES as REFERENCE_LOSSES
from _reference import QUANTILE
from _reference import Network as ReferenceNetwork
from numpy.testing import assert_allclose, assert_array_equal

from skrnn import _network
from skrnn._core import workspace
from skrnn._core.cells import ACTIVATIONS, CELLS
from skrnn._core.losses import REGRESSION_LOSSES, BinaryLogLoss, MulticlassLogLoss, SquaredError
from skrnn._core.pooling import POOLINGS
from skrnn._network import Architecture, Network
from skrnn.sequences import Batch, Sequences

LENGTHS = (4, 6, 1, 4, 7)
CELLS_AND_ACTIVATIONS = [(cell, a) for cell in CELLS for a in (ACTIVATIONS if cell == "rnn" else ["tanh"])]
POOLING_CHOICES = [*((name,) for name in POOLINGS), tuple(POOLINGS)]
#: name -> (loss, number of raw predictions)
LOSSES = {
    "multiclass_log_loss": (MulticlassLogLoss(3), 3),
    "binary_log_loss": (BinaryLogLoss(), 1),
    "multilabel_log_loss": (BinaryLogLoss(), 3),
    **{name: (new(QUANTILE), 2) for name, new in REGRESSION_LOSSES.items()},
}

every_cell = pytest.mark.parametrize(("cell", "activation"), CELLS_AND_ACTIVATIONS)
every_depth = pytest.mark.parametrize("sizes", [(4,), (4, 3)], ids=str)
every_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
every_pooling = pytest.mark.parametrize("pooling", POOLING_CHOICES, ids="+".join)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def targets(loss, n_raw, n_sequences, rng):
    """Random targets that every loss accepts: classes, labels, or positive numbers."""
    if loss == "multiclass_log_loss":
        return rng.integers(0, n_raw, n_sequences)
    if loss in ("binary_log_loss", "multilabel_log_loss"):
        return rng.integers(0, 2, (n_raw, n_sequences))
    return rng.uniform(0.1, 3, (n_raw, n_sequences))


class Problem:
    """A network with random weights and random ragged sequences, targets and sample weights."""

    def __init__(
        self, cell="gru", activation="tanh", sizes=(4, 3), bidirectional=True, pooling=tuple(POOLINGS),
        loss="squared_error", alpha=0.1, lengths=LENGTHS, n_features=3, seed=0, dtype=np.float64,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.loss, self.lengths = loss, np.array(lengths)
        loss, n_raw = LOSSES[loss]
        architecture = Architecture(n_features, sizes, cell, activation, bidirectional, pooling, n_raw)
        self.network = Network(architecture, loss, alpha)
        self.theta = (0.35 * rng.standard_normal(self.network.layout.size)).astype(dtype)
        values = rng.standard_normal((self.lengths.sum(), n_features)).astype(dtype)
        self.sequences = Sequences(values, self.lengths)
        self.y = targets(self.loss, n_raw, len(lengths), rng)
        self.weight = rng.uniform(0.2, 2, len(lengths))

    def members(self):
        return np.split(self.sequences.values, self.sequences.offsets[1:-1])

    def batch(self, index=None, total=None):
        index = np.arange(len(self.lengths)) if index is None else np.asarray(index)
        return Batch(self.sequences, index, self.y, self.weight.astype(self.theta.dtype), total)

    def loss_and_gradient(self, batch=None):
        grad = np.full_like(self.theta, np.nan)
        return self.network.loss_and_gradient(self.theta, batch or self.batch(), grad), grad

    def value(self, theta):
        return self.network.loss_and_gradient(theta, self.batch(), np.empty_like(theta))

    def predictions(self, index=None):
        """Raw predictions in the order of ``index``."""
        batch = self.batch(index)
        raw, where = self.network.raw_predictions(self.theta, batch), np.argsort(batch.index)
        return raw[:, where]


# ---------------------------------------------------------------- against the naive reference


@every_cell
@every_depth
@every_direction
@every_pooling
def test_predictions_loss_and_gradient_are_those_of_naive_loops(
    cell, activation, sizes, bidirectional, pooling, global_random_seed
):
    problem = Problem(cell, activation, sizes, bidirectional, pooling, seed=global_random_seed)
    reference = ReferenceNetwork(problem.network, problem.theta)
    raw = np.transpose([reference.raw_prediction(xs) for xs in problem.members()])
    assert_allclose(problem.predictions(), raw, rtol=0, atol=1e-12)
    expected, gradient = reference.loss_and_gradient(problem.loss, problem.members(), problem.y.T, problem.weight)
    loss, grad = problem.loss_and_gradient()
    assert_allclose(loss, expected, rtol=1e-12)
    assert_allclose(grad, gradient, rtol=0, atol=1e-12 * abs(gradient).max())


@every_loss
def test_every_loss_is_that_of_naive_loops(loss):
    assert REFERENCE_LOSSES.keys() == LOSSES.keys()
    problem = Problem(loss=loss)
    reference = ReferenceNetwork(problem.network, problem.theta)
    expected, gradient = reference.loss_and_gradient(loss, problem.members(), problem.y.T, problem.weight)
    value, grad = problem.loss_and_gradient()
    assert_allclose(value, expected, rtol=1e-12)
    assert_allclose(grad, gradient, rtol=0, atol=1e-12 * abs(gradient).max())


@every_cell
@every_depth
@every_direction
def test_hidden_states_are_those_of_naive_loops(cell, activation, sizes, bidirectional):
    problem = Problem(cell, activation, sizes, bidirectional)
    reference, batch = ReferenceNetwork(problem.network, problem.theta), problem.batch()
    states = problem.network.hidden_states(problem.theta, batch)
    assert states.shape == (7, sizes[-1] * (1 + bidirectional), 5)
    for column, i in enumerate(batch.index):
        padding = 7 - problem.lengths[i]
        assert not states[:padding, :, column].any()
        expected = reference.states(problem.members()[i])[1]
        assert_allclose(states[padding:, :, column], expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- gradients


@every_cell
@every_depth
@every_direction
@every_pooling
@every_loss
def test_the_gradient_agrees_with_central_differences(cell, activation, sizes, bidirectional, pooling, loss):
    problem = Problem(cell, activation, sizes, bidirectional, pooling, loss, seed=1)  # of all, some come close to a kink
    _, grad = problem.loss_and_gradient()
    assert_gradient(problem.value, problem.theta, grad, np.random.default_rng(2), n_directions=3)


@every_cell
def test_the_gradient_of_every_weight_agrees_with_central_differences(cell, activation):
    problem = Problem(cell, activation, sizes=(3, 2), n_features=2)
    _, grad = problem.loss_and_gradient()
    assert_gradient(problem.value, problem.theta, grad, np.random.default_rng(2), every_coordinate=True)


def test_the_penalty_is_on_weights_and_not_on_biases():
    problem = Problem(alpha=0.1)
    without = Problem(alpha=0.0)
    loss, grad = problem.loss_and_gradient()
    loss_without, grad_without = without.loss_and_gradient()
    weights, biases = problem.network.named(problem.theta)
    penalty = np.zeros_like(grad)
    for name, view in problem.network.named(penalty)[0].items():
        view[...] = 0.1 * weights[name]
    assert biases
    assert_allclose(grad - grad_without, penalty, atol=1e-14)
    assert_allclose(loss - loss_without, 0.05 * sum(np.sum(w**2) for w in weights.values()), rtol=1e-12)


def test_batches_whose_weights_add_up_to_the_total_add_up_to_the_objective():
    problem = Problem()
    loss, grad = problem.loss_and_gradient()
    parts = [problem.loss_and_gradient(problem.batch(i, problem.weight.sum())) for i in ([0, 4], [1, 2], [3])]
    assert_allclose(sum(part[0] for part in parts), loss, rtol=1e-13)
    assert_allclose(sum(part[1] for part in parts), grad, rtol=0, atol=1e-14)


# ---------------------------------------------------------------- batches


@every_cell
@every_direction
def test_a_ragged_batch_equals_its_sequences_one_by_one(cell, activation, bidirectional):
    problem = Problem(cell, activation, bidirectional=bidirectional)
    alone = [problem.predictions([i])[:, 0] for i in range(len(LENGTHS))]
    assert_allclose(problem.predictions(), np.transpose(alone), rtol=0, atol=1e-12)
    parts = [problem.loss_and_gradient(problem.batch([i], problem.weight.sum())) for i in range(len(LENGTHS))]
    loss, grad = problem.loss_and_gradient()
    assert_allclose(loss, sum(part[0] for part in parts), rtol=1e-12)
    assert_allclose(grad, sum(part[1] for part in parts), rtol=0, atol=1e-12)


@every_cell
@every_direction
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e200])
def test_what_stands_beside_a_sequence_never_matters(cell, activation, bidirectional, garbage):
    """Padding is filled from whatever rows lie before and after a sequence."""
    problem, soiled = (Problem(cell, activation, bidirectional=bidirectional) for _ in range(2))
    index = [0, 2, 4]
    for neighbour in (1, 3):
        soiled.members()[neighbour][...] = garbage
    assert_array_equal(soiled.predictions(index), problem.predictions(index))
    loss, grad = problem.loss_and_gradient(problem.batch(index))
    soiled_loss, soiled_grad = soiled.loss_and_gradient(soiled.batch(index))
    assert soiled_loss == loss
    assert_array_equal(soiled_grad, grad)


@every_cell
@every_direction
@pytest.mark.parametrize("training", [True, False])
def test_a_workspace_used_before_gives_the_same_bits_as_a_fresh_one(cell, activation, bidirectional, training):
    def compute(problem, index):
        return problem.loss_and_gradient(problem.batch(index)) if training else problem.predictions(index)

    used = Problem(cell, activation, bidirectional=bidirectional)
    # other lengths, other sizes, and back
    indices = [[0, 1, 4], [2], [0, 2, 3], [4], [0, 2, 4], [0, 1, 2, 3, 4], [2, 0, 3], [0, 1, 4]]
    results = [compute(used, index) for index in indices]
    for index, result in zip(indices, results, strict=True):
        fresh = compute(Problem(cell, activation, bidirectional=bidirectional), index)
        for a, b in zip(result, fresh, strict=True):
            assert_array_equal(a, b)


@every_cell
@every_direction
@every_pooling
def test_what_an_interrupted_or_diverged_update_left_behind_never_matters(cell, activation, bidirectional, pooling):
    problem = Problem(cell, activation, (4, 3), bidirectional, pooling)
    (loss, grad), raw = problem.loss_and_gradient(), problem.predictions()
    for buffers in problem.network._workspaces.values():
        arrays = [*getattr(buffers, "dy", []), *itertools.chain(*getattr(buffers, "dx", []))]
        arrays += [getattr(buffers, name) for name in ("draw", "dpooled") if hasattr(buffers, name)]
        arrays.append(buffers.pooled[:-1])  # its last row is the readout's 1
        for tape in itertools.chain(*buffers.tapes):
            names = ("hx", "kept", "scratch", "adjoints", "flat", "dstate", "dinitial", "Wt")
            arrays += [getattr(tape, name) for name in names if hasattr(tape, name)]
        for array in arrays:
            array.fill(np.nan)
    again, grad_again = problem.loss_and_gradient()
    assert again == loss
    assert_array_equal(grad_again, grad)
    assert_array_equal(problem.predictions(), raw)


@every_cell
@every_depth
@every_direction
@every_pooling
def test_a_gradient_that_would_explode_in_the_padding_is_not_there(cell, activation, sizes, bidirectional, pooling):
    """A sequence of one step beside one of 40 of zeros and without weight; recurrent weights are 1e10."""
    problem = Problem(cell, activation, sizes, bidirectional, pooling, lengths=(40, 1))
    problem.weight[0] = 0
    problem.sequences.values[:40] = 0
    weights, biases = problem.network.named(problem.theta)
    for name, recurrent in weights.items():
        if name.endswith(".recurrent"):
            recurrent *= 1e10
    for bias in biases.values():
        bias[...] = 0
    alone, gradient = problem.loss_and_gradient(problem.batch([1]))
    loss, grad = problem.loss_and_gradient()
    assert np.isfinite(gradient).all()
    assert loss == alone
    assert_allclose(grad, gradient, rtol=1e-12, atol=1e-14)


def test_a_workspace_grows_when_other_sequences_are_longer_than_any_before():
    problem, longer = Problem(), Problem(lengths=(3, 9, 20, 2, 1))
    first = problem.loss_and_gradient()
    grad = np.empty_like(problem.theta)
    loss = problem.network.loss_and_gradient(problem.theta, longer.batch(), grad)
    longer_loss, longer_grad = longer.loss_and_gradient()
    assert longer.network.layout.shapes == problem.network.layout.shapes
    assert_array_equal(longer.theta, problem.theta)
    assert loss == longer_loss
    assert_array_equal(grad, longer_grad)
    again = problem.loss_and_gradient()
    assert again[0] == first[0]
    assert_array_equal(again[1], first[1])


@every_cell
@every_pooling
@pytest.mark.parametrize("lengths", [LENGTHS, (6, 6, 6)], ids=["ragged", "equal"])
@pytest.mark.parametrize("window", [1, 2, 3])
def test_prediction_in_windows_equals_one_window(cell, activation, pooling, lengths, window, monkeypatch):
    def predict():
        problem = Problem(cell, activation, (4, 3), False, pooling, lengths=lengths)
        return problem, problem.predictions(), problem.network.hidden_states(problem.theta, problem.batch())

    _, whole, states = predict()
    n_block = 4 + 1 + 3  # [h; 1; x] of both layers
    monkeypatch.setattr(_network, "WINDOW_ELEMENTS", window * n_block * len(lengths))
    problem, windowed, windowed_states = predict()
    assert problem.network._workspaces[len(lengths), np.dtype(np.float64), False].n_steps == window
    assert_allclose(windowed, whole, rtol=0, atol=1e-12)
    assert_allclose(windowed_states, states, rtol=0, atol=1e-12)


@every_cell
def test_the_size_of_blocks_does_not_change_the_gradient(cell, activation, monkeypatch):
    _, expected = Problem(cell, activation).loss_and_gradient()
    monkeypatch.setattr(workspace, "BLOCK_COLUMNS", 1)
    for steps in (1, 2, 5):
        monkeypatch.setattr(workspace, "BLOCK_STEPS", steps)
        problem = Problem(cell, activation)
        _, grad = problem.loss_and_gradient()
        assert problem.network._workspaces[5, np.dtype(np.float64), True].tapes[0][0].block == steps
        assert_allclose(grad, expected, rtol=0, atol=1e-13)


@every_cell
@every_direction
@every_loss
def test_float32_stays_float32_and_agrees(cell, activation, bidirectional, loss):
    problem = Problem(cell, activation, bidirectional=bidirectional, loss=loss)
    single = Problem(cell, activation, bidirectional=bidirectional, loss=loss, dtype=np.float32)
    raw, single_raw = problem.predictions(), single.predictions()
    assert single_raw.dtype == np.float32
    assert_allclose(single_raw, raw, rtol=0, atol=2e-6 * abs(raw).max())
    value, grad = problem.loss_and_gradient()
    single_value, single_grad = single.loss_and_gradient()
    assert single_grad.dtype == np.float32
    assert_allclose(single_value, value, rtol=5e-6)
    assert_allclose(single_grad, grad, rtol=0, atol=5e-6 * abs(grad).max())


def test_a_sequence_of_weight_zero_is_as_if_it_were_not_there():
    problem = Problem()
    problem.weight[[1, 4]] = 0
    loss, grad = problem.loss_and_gradient()
    expected, gradient = problem.loss_and_gradient(problem.batch([0, 2, 3]))
    assert_allclose(loss, expected, rtol=1e-13)
    assert_allclose(grad, gradient, rtol=0, atol=1e-14)


def test_inputs_are_not_modified():
    problem = Problem()
    theta, values = problem.theta.copy(), problem.sequences.values.copy()
    for array in (problem.theta, problem.sequences.values, problem.y, problem.weight):
        array.flags.writeable = False
    problem.loss_and_gradient()
    problem.predictions()
    assert_array_equal(problem.theta, theta)
    assert_array_equal(problem.sequences.values, values)


# ---------------------------------------------------------------- names and initial weights


@every_cell
@every_depth
@every_direction
def test_names_share_out_theta_once(cell, activation, sizes, bidirectional):
    network = Problem(cell, activation, sizes, bidirectional).network
    theta = np.arange(float(network.layout.size))
    weights, biases = network.named(theta)
    assert all(w.ndim == 2 for w in weights.values())
    assert all(b.ndim == 1 for b in biases.values())
    arrays = [*weights.values(), *biases.values()]
    assert sorted(np.concatenate([array.ravel() for array in arrays])) == theta.tolist()
    assert all(np.shares_memory(array, theta) for array in arrays)


def initialize(network, seed=0, dtype=np.float64, **options):
    defaults = {
        "init_scheme": "glorot_uniform",
        "recurrent_init_scheme": "orthogonal",
        "forget_bias": 1.0,
        "n_steps": 10,
    }
    return network.initialize(np.random.RandomState(seed), np.array([0.5, -2.0]), dtype, **(defaults | options))


@every_cell
@every_direction
def test_every_gate_is_drawn_as_a_matrix_of_its_own(cell, activation, bidirectional):
    network = Problem(cell, activation, (30, 20), bidirectional, n_features=8).network
    theta = initialize(network)
    for gate in (gate for _, gates in network.gates(theta) for gate in gates.values()):
        H, F = gate.input.shape
        assert_allclose(gate.recurrent @ gate.recurrent.T, np.eye(H), atol=1e-12)
        bound = np.sqrt(6 / (H + F))
        assert bound * 0.9 < abs(gate.input).max() <= bound
    weights, _ = network.named(theta)
    assert abs(weights["readout"]).max() <= np.sqrt(6 / (2 + network.n_pooled))
    for a, b in itertools.combinations([w for w in weights.values() if w.shape == (20, 20)], 2):
        assert abs(a - b).max() > 0.1


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_biases_start_at_zero_but_for_the_forget_gate_and_the_readout(cell, activation, dtype):
    network = Problem(cell, activation).network
    theta = initialize(network, forget_bias=1.5, dtype=dtype)
    assert theta.dtype == dtype
    for name, bias in network.named(theta)[1].items():
        if name == "readout":
            assert bias.tolist() == [0.5, -2.0]
        else:
            assert set(bias) == ({1.5} if cell == "lstm" and name.endswith(".f") else {0.0})


def test_chrono_biases_are_drawn_for_every_lstm():
    network = Problem("lstm", sizes=(40, 30)).network
    biases = network.named(initialize(network, forget_bias="chrono", n_steps=21))[1]
    forget = {name: bias for name, bias in biases.items() if name.endswith(".f")}
    assert len(forget) == 4
    for name, bias in forget.items():
        assert bias.min() >= 0
        assert np.log(15) < bias.max() <= np.log(20)
        assert_array_equal(biases[name[:-1] + "i"], -bias)


def test_the_same_seed_draws_the_same_weights_in_every_dtype():
    network = Problem().network
    theta = initialize(network)
    assert_array_equal(initialize(network), theta)
    assert_array_equal(initialize(network, dtype=np.float32), theta.astype(np.float32))
    assert abs(initialize(network, seed=1) - theta).max() > 0.1


def test_squared_error_of_a_constant_prediction_is_right_by_hand():
    """Zero weights: the readout's bias is the prediction."""
    network = Network(Architecture(1, (2,), "gru", "tanh", False, ("last",), 1), SquaredError())
    theta = np.zeros(network.layout.size)
    theta[-1] = 3
    batch = Batch(Sequences(np.ones((3, 1)), np.array([2, 1])), np.arange(2), np.array([[1.0, 4.0]]), np.array([1.0, 3.0]))
    grad = np.empty_like(theta)
    assert network.loss_and_gradient(theta, batch, grad) == (1 * 4 / 2 + 3 * 1 / 2) / 4
    assert grad[-1] == (1 * 2 + 3 * -1) / 4
    assert not grad[:-1].any()
