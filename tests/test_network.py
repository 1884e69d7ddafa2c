"""The waist: predictions, loss and gradient of whole networks, for every cell, depth, direction, target and loss."""

import itertools

import numpy as np
import pytest
from _gradcheck import assert_gradient
from _reference import LOSSES as REFERENCE_LOSSES
from _reference import QUANTILE
from _reference import Network as ReferenceNetwork
from numpy.testing import assert_allclose, assert_array_equal

from skrnn import _network, _passes, _readout
from skrnn._core import workspace
from skrnn._core.cells import ACTIVATIONS, CELLS
from skrnn._core.losses import REGRESSION_LOSSES, BinaryLogLoss, MulticlassLogLoss, SquaredError
from skrnn._core.pooling import POOLINGS
from skrnn._network import Architecture, Network
from skrnn._passes import Stream, Unrolling
from skrnn.sequences import Batch, Sequences

LENGTHS = (4, 6, 1, 4, 7)
LONGER = (8, 13, 1, 9, 3, 9)
CELLS_AND_ACTIVATIONS = [(cell, a) for cell in CELLS for a in (ACTIVATIONS if cell == "rnn" else ["tanh"])]
POOLING_CHOICES = [*((name,) for name in POOLINGS), tuple(POOLINGS)]
#: name -> (loss, number of raw predictions)
LOSSES = {
    "multiclass_log_loss": (MulticlassLogLoss(3), 3),
    "binary_log_loss": (BinaryLogLoss(), 1),
    "multilabel_log_loss": (BinaryLogLoss(), 3),
    **{name: (new(QUANTILE), 2) for name, new in REGRESSION_LOSSES.items()},
}
#: length and stride
TRUNCATIONS = [(1, 1), (2, 1), (3, 3), (4, 2), (5, 1), (5, 4), (7, 3), (12, 5), (13, 13), (20, 4)]
INTERVALS = [1, 2, 3, 5, 7, 13, 50, "auto"]

every_cell = pytest.mark.parametrize(("cell", "activation"), CELLS_AND_ACTIVATIONS)
#: where activations make no difference
each_cell = pytest.mark.parametrize("cell", CELLS)
every_depth = pytest.mark.parametrize("sizes", [(4,), (4, 3)], ids=str)
every_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
#: one of a sequence, for each pooling, or, None, one of every step
every_target = pytest.mark.parametrize("pooling", [*POOLING_CHOICES, None], ids=[*map("+".join, POOLING_CHOICES), "steps"])
both_targets = pytest.mark.parametrize("pooling", [tuple(POOLINGS), None], ids=["pooled", "steps"])
every_loss = pytest.mark.parametrize("loss", LOSSES)
ragged_and_equal = pytest.mark.parametrize("lengths", [LONGER, (13, 13, 13)], ids=["ragged", "equal"])
every_truncation = pytest.mark.parametrize("truncation", TRUNCATIONS, ids=str)


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    """Without a least interval, as sequences are short here."""
    monkeypatch.setattr(_passes, "LEAST_INTERVAL", 1)


def targets(loss, n_raw, n_sequences, rng):
    """Random targets that every loss accepts: classes, labels, or positive numbers."""
    if loss == "multiclass_log_loss":
        return rng.integers(0, n_raw, n_sequences)
    if loss in ("binary_log_loss", "multilabel_log_loss"):
        return rng.integers(0, 2, (n_raw, n_sequences))
    return rng.uniform(0.1, 3, (n_raw, n_sequences))


class Problem:
    """A network with random weights and random ragged sequences, targets and weights of sequences or of steps."""

    def __init__(
        self, cell="gru", activation="tanh", sizes=(4, 3), bidirectional=True, pooling=tuple(POOLINGS),
        loss="squared_error", alpha=0.1, lengths=LENGTHS, n_features=3, seed=0, dtype=np.float64, *,
        length=None, stride=None, interval=None, step_weights=False,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.loss, self.lengths, self.every_step = loss, np.array(lengths), pooling is None
        loss, n_raw = LOSSES[loss]
        architecture = Architecture(n_features, sizes, cell, activation, bidirectional, pooling or (), n_raw, self.every_step)
        self.network = Network(architecture, loss, alpha, Unrolling(length, stride, interval))
        self.theta = (0.35 * rng.standard_normal(self.network.layout.size)).astype(dtype)
        values = rng.standard_normal((self.lengths.sum(), n_features)).astype(dtype)
        self.sequences = Sequences(values, self.lengths)
        n_steps, n_sequences = self.lengths.sum(), len(lengths)
        self.y = targets(self.loss, n_raw, n_steps if self.every_step else n_sequences, rng)
        self.weight = rng.uniform(0.2, 2, n_steps if step_weights else n_sequences)

    def split(self, values):
        """Of values of all steps, those of each sequence."""
        return np.split(values, self.sequences.offsets[1:-1])

    def members(self):
        return self.split(self.sequences.values)

    def batch(self, index=None):
        index = np.arange(len(self.lengths)) if index is None else np.asarray(index)
        return Batch(self.sequences, index, self.y, self.weight.astype(self.theta.dtype), every_step=self.every_step)

    def loss_and_gradient(self, index=None, total=None):
        grad = np.full_like(self.theta, np.nan)
        return self.network.loss_and_gradient(self.theta, self.batch(index), grad, total), grad

    def value(self, theta):
        return self.network.loss_and_gradient(theta, self.batch(), np.empty_like(theta))

    def total_weight(self):
        return sum(np.sum(weight) for weight in self.of_sequences()[2])

    def predictions(self, index=None):
        """Raw predictions, in the order of ``index``: of sequences, or of their steps, one after the other."""
        index = np.arange(len(self.lengths)) if index is None else np.asarray(index)
        columns = self.sequences.steps_of(index) if self.every_step else index
        out = np.full((self.network.architecture.n_raw, self.y.shape[-1]), np.nan, self.theta.dtype)
        self.network.raw_predictions(self.theta, self.batch(index), out)
        assert np.isnan(np.delete(out, columns, axis=1)).all()
        return out[:, columns]

    def of_sequences(self):
        """Members, targets and weights as the reference takes them."""
        if not self.every_step:
            return self.members(), self.y.T, self.weight
        weight = self.weight if len(self.weight) > len(self.lengths) else np.repeat(self.weight, self.lengths)
        return self.members(), self.split(self.y.T), self.split(weight)

    def reference(self):
        return ReferenceNetwork(self.network, self.theta)

    def expected(self, length=None, stride=None):
        """The loss and gradient of the reference."""
        return self.reference().loss_and_gradient(self.loss, *self.of_sequences(), length, stride)


def assert_close(result, expected):
    """Loss and gradient agree to rounding errors."""
    assert_allclose(result[0], expected[0], rtol=1e-12)
    assert_allclose(result[1], expected[1], rtol=0, atol=1e-12 * abs(expected[1]).max())


def assert_same_bits(result, expected):
    assert result[0] == expected[0]
    assert_array_equal(result[1], expected[1])


# ---------------------------------------------------------------- against the naive reference


@every_cell
@every_depth
@every_direction
@every_target
def test_predictions_loss_and_gradient_are_those_of_naive_loops(
    cell, activation, sizes, bidirectional, pooling, global_random_seed
):
    problem = Problem(cell, activation, sizes, bidirectional, pooling, seed=global_random_seed)
    reference = problem.reference()
    raw = np.vstack([reference.raw_predictions(reference.passes(xs)) for xs in problem.members()])
    assert_allclose(problem.predictions(), raw.T, rtol=0, atol=1e-12)
    assert_close(problem.loss_and_gradient(), problem.expected())


@every_loss
@both_targets
@pytest.mark.parametrize("truncation", [(None, None), (3, 2)], ids=["full", "truncated"])
def test_every_loss_is_that_of_naive_loops(loss, pooling, truncation):
    assert REFERENCE_LOSSES.keys() == LOSSES.keys()
    length, stride = truncation
    problem = Problem("gru", "tanh", (4, 3), length is None, pooling, loss, length=length, stride=stride)
    assert_close(problem.loss_and_gradient(), problem.expected(length, stride))


@every_cell
@every_depth
@every_direction
@both_targets
def test_hidden_states_are_those_of_naive_loops(cell, activation, sizes, bidirectional, pooling):
    problem = Problem(cell, activation, sizes, bidirectional, pooling)
    reference, batch = problem.reference(), problem.batch()
    states = problem.network.hidden_states(problem.theta, batch)
    assert states.shape == (7, sizes[-1] * (1 + bidirectional), 5)
    for column, i in enumerate(batch.index):
        first = 0 if problem.every_step else 7 - problem.lengths[i]
        own = np.arange(first, first + problem.lengths[i])
        assert not np.delete(states[:, :, column], own, axis=0).any()
        expected = reference.outputs(reference.passes(problem.members()[i]))
        assert_allclose(states[own, :, column], expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- gradients


@every_cell
@every_depth
@every_direction
@every_target
@every_loss
def test_the_gradient_agrees_with_central_differences(cell, activation, sizes, bidirectional, pooling, loss):
    problem = Problem(cell, activation, sizes, bidirectional, pooling, loss, seed=1)  # of all, some come close to a kink
    _, grad = problem.loss_and_gradient()
    assert_gradient(problem.value, problem.theta, grad, np.random.default_rng(2), n_directions=3)


@every_cell
@both_targets
def test_the_gradient_of_every_weight_agrees_with_central_differences(cell, activation, pooling):
    problem = Problem(cell, activation, sizes=(3, 2), pooling=pooling, n_features=2)
    _, grad = problem.loss_and_gradient()
    assert_gradient(problem.value, problem.theta, grad, np.random.default_rng(2), every_coordinate=True)


@pytest.mark.parametrize("truncation", [(None, None), (3, 2)], ids=["full", "truncated"])
@both_targets
def test_the_penalty_is_on_weights_and_not_on_biases(pooling, truncation):
    length, stride = truncation
    problem, without = (
        Problem("gru", "tanh", (4, 3), False, pooling, "squared_error", alpha, length=length, stride=stride)
        for alpha in (0.1, 0.0)
    )
    loss, grad = problem.loss_and_gradient()
    loss_without, grad_without = without.loss_and_gradient()
    weights, biases = problem.network.named(problem.theta)
    penalty = np.zeros_like(grad)
    for name, view in problem.network.named(penalty)[0].items():
        view[...] = 0.1 * weights[name]
    assert biases
    assert_allclose(grad - grad_without, penalty, atol=1e-14)
    assert_allclose(loss - loss_without, 0.05 * sum(np.sum(w**2) for w in weights.values()), rtol=1e-12)


@pytest.mark.parametrize("truncation", [(None, None), (3, 2)], ids=["full", "truncated"])
@both_targets
def test_batches_whose_weights_add_up_to_the_total_add_up_to_the_objective(pooling, truncation):
    length, stride = truncation
    problem = Problem("gru", "tanh", (4, 3), False, pooling, length=length, stride=stride)
    loss, grad = problem.loss_and_gradient()
    parts = [problem.loss_and_gradient(index, problem.total_weight()) for index in ([0, 4], [1, 2], [3])]
    assert_allclose(sum(part[0] for part in parts), loss, rtol=1e-13)
    assert_allclose(sum(part[1] for part in parts), grad, rtol=0, atol=1e-14)


@every_cell
@every_depth
@every_direction
@both_targets
def test_gradients_of_all_hidden_states_agree_with_central_differences(cell, activation, sizes, bidirectional, pooling):
    """The reference adds something to each of them."""
    lengths = (3, 5, 1)
    if activation == "relu" and pooling:
        pooling = ("last", "mean")  # a maximum of zeros has a kink
    problem = Problem(cell, activation, sizes, bidirectional, pooling, alpha=0.0, lengths=lengths)
    batch, reference, sequences = problem.batch(), problem.reference(), problem.of_sequences()
    found = problem.network.state_gradients(problem.theta, batch, problem.total_weight())
    gradient = []
    for n, length in enumerate(lengths):
        column = batch.index.tolist().index(n)
        first = 0 if problem.every_step else max(lengths) - length
        for dh in itertools.chain(*found):
            gradient.append(dh[first : first + length, :, column].ravel())
            assert not np.delete(dh[:, :, column], np.arange(first, first + length), axis=0).any()
    gradient = np.concatenate(gradient)

    def value(point):
        parts, nudges = iter(np.split(point, np.cumsum(sizes_of_parts)[:-1])), []
        for length in lengths:
            nudges.append([[next(parts).reshape(length, H) for _ in range(1 + bidirectional)] for H in sizes])
        return reference.loss(problem.loss, *sequences, nudges)

    sizes_of_parts = [length * H for length in lengths for H in sizes for _ in range(1 + bidirectional)]
    assert_gradient(value, np.zeros(sum(sizes_of_parts)), gradient, np.random.default_rng(2), every_coordinate=True)


# ---------------------------------------------------------------- truncated backpropagation through time


@each_cell
@every_depth
@both_targets
@ragged_and_equal
@every_truncation
def test_truncated_backpropagation_is_that_of_naive_loops(cell, sizes, pooling, lengths, truncation):
    length, stride = truncation
    problem = Problem(cell, "tanh", sizes, False, pooling, lengths=lengths, length=length, stride=stride)
    assert_close(problem.loss_and_gradient(), problem.expected(length, stride))


@each_cell
@both_targets
@ragged_and_equal
@pytest.mark.parametrize("truncation", [(13, None), (13, 13), (20, None), (20, 20), (20, 13)], ids=str)
def test_a_truncation_as_long_as_the_sequences_gives_the_bits_of_none(cell, pooling, lengths, truncation):
    length, stride = truncation
    full = Problem(cell, "tanh", (4, 3), False, pooling, lengths=lengths)
    problem = Problem(cell, "tanh", (4, 3), False, pooling, lengths=lengths, length=length, stride=stride)
    assert_same_bits(problem.loss_and_gradient(), full.loss_and_gradient())


@each_cell
@every_depth
@both_targets
@pytest.mark.parametrize("length", [1, 4, 9])
def test_the_stride_is_the_length_by_default(cell, sizes, pooling, length):
    problems = [Problem(cell, "tanh", sizes, False, pooling, lengths=LONGER, length=length, stride=s) for s in (None, length)]
    assert_same_bits(*(problem.loss_and_gradient() for problem in problems))


@each_cell
@both_targets
@every_truncation
def test_truncation_does_not_change_the_loss(cell, pooling, truncation):
    """Hidden states are carried on."""
    length, stride = truncation
    full = Problem(cell, "tanh", (4, 3), False, pooling, lengths=LONGER)
    problem = Problem(cell, "tanh", (4, 3), False, pooling, lengths=LONGER, length=length, stride=stride)
    assert_allclose(problem.loss_and_gradient()[0], full.loss_and_gradient()[0], rtol=1e-13)


@each_cell
@both_targets
@every_truncation
def test_a_truncated_ragged_batch_equals_its_sequences_one_by_one(cell, pooling, truncation):
    length, stride = truncation
    problem = Problem(cell, "tanh", (4, 3), False, pooling, lengths=LONGER, length=length, stride=stride)
    parts = [problem.loss_and_gradient([i], problem.total_weight()) for i in range(len(LONGER))]
    assert_close(problem.loss_and_gradient(), [sum(part) for part in zip(*parts, strict=True)])


@every_depth
@ragged_and_equal
@pytest.mark.parametrize("truncation", [(None, None), (4, 2), (3, 3)], ids=str)
def test_weights_of_steps_are_those_of_naive_loops(sizes, lengths, truncation):
    length, stride = truncation
    is_full = length is None
    problem = Problem("gru", "tanh", sizes, is_full, None, lengths=lengths, length=length, stride=stride, step_weights=True)
    assert len(problem.weight) == sum(lengths)
    assert_close(problem.loss_and_gradient(), problem.expected(length, stride))
    problem.weight = np.repeat(problem.weight[: len(lengths)], lengths)
    expected = problem.loss_and_gradient()
    problem.weight = problem.weight[np.cumsum(lengths) - 1]
    assert_close(problem.loss_and_gradient(), expected)


def test_truncation_in_float32_agrees():
    for pooling, length, stride in itertools.product([tuple(POOLINGS), None], [3, 5], [2, 3]):
        double, single = (
            Problem("lstm", "tanh", (4, 3), False, pooling, dtype=dtype, lengths=LONGER, length=length, stride=stride)
            for dtype in (np.float64, np.float32)
        )
        (value, grad), (single_value, single_grad) = double.loss_and_gradient(), single.loss_and_gradient()
        assert single_grad.dtype == np.float32
        assert_allclose(single_value, value, rtol=5e-6)
        assert_allclose(single_grad, grad, rtol=0, atol=5e-6 * abs(grad).max())


# ---------------------------------------------------------------- update by update


def new_updates(problem):
    """The updates of the engine and of the reference, loss, gradient and weight, side by side."""
    length, stride, _ = problem.network.unrolling
    grad = np.full_like(problem.theta, np.nan)
    found = problem.network.updates(problem.theta, problem.batch(), grad)
    expected = problem.reference().updates(problem.loss, *problem.of_sequences(), length, stride or length)
    for update, reference in zip(found, expected, strict=True):
        yield update, grad, reference


@each_cell
@every_depth
@ragged_and_equal
@every_truncation
def test_steps_stay_as_they_were_run_when_weights_change_between_updates(cell, sizes, lengths, truncation):
    """Gradients come back with the present weights through the activations of earlier ones."""
    length, stride = truncation
    problem = Problem(cell, "tanh", sizes, False, None, lengths=lengths, length=length, stride=stride, step_weights=True)
    rng, n_updates = np.random.default_rng(3), 0
    for update, grad, (loss, gradient, weight) in new_updates(problem):
        assert_close((update.loss, grad), (loss, gradient))
        assert_allclose(update.weight, weight, rtol=1e-13)
        assert update.done == n_updates * stride / 13
        n_updates += 1
        problem.theta += 0.1 * rng.standard_normal(problem.theta.shape)
    assert n_updates == -(-13 // stride)


@both_targets
def test_without_truncation_there_is_one_update(pooling):
    problem = Problem("gru", "tanh", (4, 3), False, pooling)
    grad = np.empty_like(problem.theta)
    ((loss, weight, done),) = problem.network.updates(problem.theta, problem.batch(), grad)
    assert_same_bits((loss, grad), problem.loss_and_gradient())
    assert_allclose(weight, problem.total_weight(), rtol=1e-13)
    assert done == 0


def test_one_target_a_sequence_makes_one_update_however_truncated():
    problem = Problem("gru", "tanh", (4, 3), False, lengths=LONGER, length=5, stride=2)
    assert len(list(problem.network.updates(problem.theta, problem.batch(), np.empty_like(problem.theta)))) == 1


@pytest.mark.parametrize("length", [3, 5])
def test_windows_without_weight_make_no_update_and_carry_their_states_on(length):
    problem = Problem("lstm", "tanh", (4, 3), False, None, lengths=LONGER, length=length, stride=3, step_weights=True)
    steps = np.concatenate([np.arange(n_steps) for n_steps in LONGER])
    problem.weight[(steps < 3) | ((steps >= 6) & (steps < 9))] = 0
    done = []
    for update, grad, (loss, gradient, weight) in new_updates(problem):
        assert_close((update.loss, grad), (loss, gradient))
        assert_allclose(update.weight, weight, rtol=1e-13)
        done.append(update.done)
        problem.theta -= 0.1 * grad
    assert_allclose(done, np.array([3, 9, 12]) / 13)
    assert_close(problem.loss_and_gradient(), problem.expected(length, 3))


@pytest.mark.parametrize("interval", [None, 2])
@pytest.mark.parametrize("truncation", [(None, None), (3, 2)], ids=["full", "truncated"])
@both_targets
def test_a_batch_without_weight_makes_no_update_and_has_no_loss(pooling, truncation, interval):
    length, stride = truncation
    problem = Problem("gru", "tanh", (4, 3), False, pooling, length=length, stride=stride, interval=interval)
    problem.weight[:] = 0
    assert list(problem.network.updates(problem.theta, problem.batch(), np.empty_like(problem.theta))) == []
    for total in (None, 3.0):
        loss, grad = problem.loss_and_gradient(total=total)
        assert loss == 0
        assert not grad.any()


# ---------------------------------------------------------------- checkpoints


@each_cell
@every_depth
@every_target
@ragged_and_equal
@pytest.mark.parametrize("interval", INTERVALS)
def test_checkpoints_do_not_change_loss_and_gradient(cell, sizes, pooling, lengths, interval):
    full = Problem(cell, "tanh", sizes, False, pooling, lengths=lengths)
    problem = Problem(cell, "tanh", sizes, False, pooling, lengths=lengths, interval=interval)
    assert_close(problem.loss_and_gradient(), full.loss_and_gradient())
    tapes = problem.network._workspaces[0][len(lengths), np.dtype(np.float64), True, False].stack.n_steps
    assert tapes == {"auto": 4, 50: 13}.get(interval, interval)


@each_cell
@every_target
@pytest.mark.parametrize("length", [1, 4, 9, 13, 20])
@pytest.mark.parametrize("interval", [1, 2, 3, 5, "auto"])
def test_checkpoints_do_not_change_truncation(cell, pooling, length, interval):
    full, problem = (
        Problem(cell, "tanh", (4, 3), False, pooling, lengths=LONGER, length=length, interval=i) for i in (None, interval)
    )
    assert_close(problem.loss_and_gradient(), full.loss_and_gradient())


@both_targets
def test_checkpoints_work_with_windows_of_prediction_that_are_shorter(pooling, monkeypatch):
    full = Problem("lstm", "tanh", (4, 3), False, pooling, lengths=LONGER)
    monkeypatch.setattr(_network, "WINDOW_ELEMENTS", 2 * (4 + 1 + 3) * len(LONGER))
    problem = Problem("lstm", "tanh", (4, 3), False, pooling, lengths=LONGER, interval=5)
    assert_close(problem.loss_and_gradient(), full.loss_and_gradient())
    assert problem.network._workspaces[0][len(LONGER), np.dtype(np.float64), False, False].stack.n_steps == 2


def test_the_least_interval_of_auto_is_for_short_sequences(monkeypatch):
    monkeypatch.setattr(_passes, "LEAST_INTERVAL", 6)
    problem = Problem("gru", "tanh", (4,), False, lengths=LONGER, interval="auto")
    problem.loss_and_gradient()
    assert problem.network._workspaces[0][len(LONGER), np.dtype(np.float64), True, False].stack.n_steps == 6


# ---------------------------------------------------------------- states that are carried on

N_STREAMS, N_STEPS = 3, 12


class StreamProblem(Problem):
    """Long sequences of equal lengths, of which parts can be taken."""

    def __init__(self, cell, sizes=(4, 3), pooling=None, **options):
        lengths = (N_STEPS,) * N_STREAMS
        super().__init__(cell, "tanh", sizes, False, pooling, lengths=lengths, step_weights=pooling is None, **options)

    def part(self, start, stop):
        """A batch of some steps."""

        def of_steps(values):
            return values.reshape(*values.shape[:-1], N_STREAMS, N_STEPS)[..., start:stop].reshape(*values.shape[:-1], -1)

        sequences = Sequences(of_steps(self.sequences.values.T).T.copy(), np.full(N_STREAMS, stop - start))
        y, weight = (of_steps(self.y), of_steps(self.weight)) if self.every_step else (self.y, self.weight)
        return Batch(sequences, np.arange(N_STREAMS), y, weight, every_step=self.every_step)

    def train(self, bounds, stream, rate=0.3):
        """Descend along every gradient, part after part; return all losses and gradients."""
        results, grad = [], np.empty_like(self.theta)
        for start, stop in itertools.pairwise(bounds):
            for update in self.network.updates(self.theta, self.part(start, stop), grad, stream=stream):
                results.append((update.loss, grad.copy()))
                self.theta -= rate * grad
        return results


PARTS = [
    # length, stride, bounds of the parts
    (4, 4, (0, 4, 8, 12)),
    (4, 4, (0, 8, 12)),
    (3, 1, (0, 1, 2, 3, 4, 8, 9, 12)),
    (5, 2, (0, 2, 4, 8, 10, 12)),
    (5, 2, (0, 6, 12)),
    (9, 3, (0, 3, 6, 12)),
    (9, 3, (0, 9, 12)),
    (20, 4, (0, 4, 8, 12)),
    (20, 2, tuple(range(0, 13, 2))),
]


@each_cell
@every_depth
@pytest.mark.parametrize(("length", "stride", "bounds"), PARTS)
def test_a_stream_in_parts_gives_the_bits_of_the_whole(cell, sizes, length, stride, bounds):
    whole, parts = (StreamProblem(cell, sizes, length=length, stride=stride) for _ in range(2))
    stream, end = Stream(), Stream()
    expected, results = whole.train((0, N_STEPS), end), parts.train(bounds, stream)
    assert len(expected) == N_STEPS / stride
    for result, value in zip(results, expected, strict=True):
        assert_same_bits(result, value)
    assert_array_equal(parts.theta, whole.theta)
    assert_array_equal(stream.state, end.state)
    assert stream.history == end.history == min(length - stride, N_STEPS)
    forgetful = StreamProblem(cell, sizes, length=length, stride=stride)
    forgetful.train(bounds[:2], None)
    (loss, _), *_ = forgetful.train(bounds[1:], None)
    assert loss != expected[bounds[1] // stride][0]


@each_cell
@pytest.mark.parametrize(("length", "stride"), [(5, 2), (2, 2)])
@pytest.mark.parametrize("bounds", [(0, 4, 8, 12), (0, 6, 8, 10, 12)], ids=str)
def test_a_stream_goes_on_through_windows_without_weight(cell, length, stride, bounds):
    whole, parts = (StreamProblem(cell, length=length, stride=stride) for _ in range(2))
    for problem in (whole, parts):
        problem.weight.reshape(N_STREAMS, N_STEPS)[:, [0, 1, 4, 5, 6, 7]] = 0
    expected, results = whole.train((0, N_STEPS), Stream()), parts.train(bounds, Stream())
    assert len(expected) == 3
    for result, value in zip(results, expected, strict=True):
        assert_same_bits(result, value)


@pytest.mark.parametrize("bounds", [(0, 4, 8, 12), (0, 8, 12)], ids=str)
def test_checkpoints_do_not_shorten_the_history_of_a_stream(bounds):
    whole, parts = (StreamProblem("gru", length=8, stride=4, interval=interval) for interval in (None, 2))
    for result, value in zip(parts.train(bounds, Stream()), whole.train((0, N_STEPS), Stream()), strict=True):
        assert_same_bits(result, value)


@each_cell
@pytest.mark.parametrize(("before", "after"), [((9, 2), (5, 2)), ((9, 4), (4, 4)), ((9, 4), (2, 1))], ids=str)
def test_a_stream_goes_on_with_a_shorter_truncation(cell, before, after):
    """Of its history, no more is used."""
    (length, stride), (shorter, shorter_stride) = before, after
    problem, other = (
        StreamProblem(cell, length=length, stride=stride),
        StreamProblem(cell, length=shorter, stride=shorter_stride),
    )
    stream = Stream()
    problem.train((0, 8), stream, rate=0)
    expected, results = other.train((0, 12), None, rate=0), other.train((8, 12), stream, rate=0)
    for result, value in zip(results, expected[-len(results) :], strict=True):
        assert_same_bits(result, value)
    assert stream.history == shorter - shorter_stride


def test_a_stream_that_is_left_before_its_last_update_stays_where_it_was():
    problem, stream = StreamProblem("gru", length=3), Stream()
    problem.train((0, 4), stream)
    before = dict(vars(stream))
    updates = problem.network.updates(problem.theta, problem.part(4, 12), np.empty_like(problem.theta), stream=stream)
    for _ in range(2):
        next(updates)
    updates.close()
    assert all(vars(stream)[name] is value for name, value in before.items())


@each_cell
@every_depth
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("length", "stride"), [(5, None), (5, 4), (20, 6)])
def test_a_stream_in_parts_shorter_than_the_stride_has_an_update_for_each(cell, sizes, length, stride, size):
    whole = StreamProblem(cell, sizes, length=length, stride=size)
    parts = StreamProblem(cell, sizes, length=length, stride=stride)
    expected, results = whole.train((0, N_STEPS), Stream()), parts.train(range(0, N_STEPS + 1, size), Stream())
    for result, value in zip(results, expected, strict=True):
        assert_same_bits(result, value)


@each_cell
@every_depth
@pytest.mark.parametrize(
    ("pooling", "length"), [(tuple(POOLINGS), None), (tuple(POOLINGS), 3), (tuple(POOLINGS), 20), (None, None)]
)
@pytest.mark.parametrize("interval", [None, 2, 4])
def test_a_stream_with_one_update_a_part_only_hands_on_its_states(cell, sizes, pooling, length, interval):
    problem = StreamProblem(cell, sizes, pooling, length=length, interval=interval)
    reference, stream, grad = problem.reference(), Stream(), np.empty_like(problem.theta)
    (members, targets, weights), states = problem.of_sequences(), None
    for start, stop in [(0, 5), (5, 6), (6, 12)]:
        batch, xs = problem.part(start, stop), [x[start:stop] for x in members]
        updates = list(problem.network.updates(problem.theta, batch, grad, total=2.0, stream=stream))
        if problem.every_step:
            y, weight = [y[start:stop] for y in targets], [weight[start:stop] for weight in weights]
        else:
            y, weight = targets, weights
        # the reference divides by the sum of the weights
        share = sum(np.sum(w) for w in weight) / 2
        loss, gradient = reference.loss_and_gradient(problem.loss, xs, y, weight, length, initial=states)
        assert_close((sum(update.loss for update in updates), grad), (share * loss, share * gradient))
        states = [reference.last_state(reference.passes(x, None if states is None else states[n])) for n, x in enumerate(xs)]
        assert_allclose(stream.state, np.transpose(states), rtol=0, atol=1e-12)


@each_cell
@every_depth
@both_targets
@pytest.mark.parametrize("window", [None, 1, 2, 5])
def test_predictions_from_given_states_are_those_of_naive_loops(cell, sizes, pooling, window, monkeypatch):
    if window:
        monkeypatch.setattr(_network, "WINDOW_ELEMENTS", window * (max(sizes) + 1 + 4) * N_STREAMS)
    problem = StreamProblem(cell, sizes, pooling)
    network, reference = problem.network, problem.reference()
    initial = np.random.default_rng(4).standard_normal((network.n_state_units, N_STREAMS))
    raw = np.empty((network.architecture.n_raw, problem.y.shape[-1]))
    state = network.raw_predictions(problem.theta, problem.batch(), raw, initial)
    passes = [reference.passes(xs, initial[:, n]) for n, xs in enumerate(problem.members())]
    assert_allclose(raw.T, np.vstack([reference.raw_predictions(p) for p in passes]), rtol=0, atol=1e-12)
    assert_allclose(state.T, [reference.last_state(p) for p in passes], rtol=0, atol=1e-12)


@each_cell
@every_depth
@both_targets
@pytest.mark.parametrize("bounds", [(0, 4, 8, 12), (0, 1, 2, 12), (0, 7, 12)], ids=str)
def test_predictions_in_parts_are_those_of_the_whole(cell, sizes, pooling, bounds):
    problem = StreamProblem(cell, sizes, pooling and ("last",))
    whole, last = problem.predictions(), None
    raw = np.empty((2, N_STREAMS, 12))
    for start, stop in itertools.pairwise(bounds):
        out = np.empty((2, N_STREAMS * (stop - start if problem.every_step else 1)))
        last = problem.network.raw_predictions(problem.theta, problem.part(start, stop), out, last)
        raw[:, :, start:stop] = out.reshape(2, N_STREAMS, -1)
    assert_allclose(raw.reshape(2, -1) if problem.every_step else raw[:, :, -1], whole, rtol=0, atol=1e-14)
    expected = problem.network.raw_predictions(problem.theta, problem.batch(), np.empty_like(whole))
    assert_array_equal(last, expected)


# ---------------------------------------------------------------- batches

#: forms of target and ways back through time
KINDS = {
    "pooled": {"bidirectional": False},
    "pooled, bidirectional": {},
    "pooled, truncated": {"bidirectional": False, "length": 4},
    "pooled, checkpoints": {"bidirectional": False, "interval": 2},
    "pooled, truncated, checkpoints": {"bidirectional": False, "length": 4, "interval": 3},
    "steps": {"bidirectional": False, "pooling": None},
    "steps, bidirectional": {"pooling": None},
    "steps, truncated": {"bidirectional": False, "pooling": None, "length": 3},
    "steps, overlapping": {"bidirectional": False, "pooling": None, "length": 5, "stride": 2},
    "steps, checkpoints": {"bidirectional": False, "pooling": None, "interval": 2},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_cell
@every_kind
def test_a_ragged_batch_equals_its_sequences_one_by_one(cell, activation, kind):
    problem = Problem(cell, activation, **KINDS[kind])
    alone = [problem.predictions([i]) for i in range(len(LENGTHS))]
    assert_allclose(problem.predictions(), np.concatenate(alone, axis=1), rtol=0, atol=1e-12)
    parts = [problem.loss_and_gradient([i], problem.total_weight()) for i in range(len(LENGTHS))]
    assert_close(problem.loss_and_gradient(), [sum(part) for part in zip(*parts, strict=True)])


@every_cell
@every_kind
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e200])
def test_what_stands_beside_a_sequence_never_matters(cell, activation, kind, garbage):
    """Padding is filled from whatever rows lie before and after a sequence."""
    problem, soiled = (Problem(cell, activation, **KINDS[kind]) for _ in range(2))
    index = [0, 2, 4]
    for neighbour in (1, 3):
        soiled.members()[neighbour][...] = garbage
    assert_array_equal(soiled.predictions(index), problem.predictions(index))
    assert_same_bits(soiled.loss_and_gradient(index), problem.loss_and_gradient(index))


@every_cell
@every_kind
@pytest.mark.parametrize("training", [True, False])
def test_a_workspace_used_before_gives_the_same_bits_as_a_fresh_one(cell, activation, kind, training):
    def compute(problem, index):
        return problem.loss_and_gradient(index) if training else problem.predictions(index)

    used = Problem(cell, activation, **KINDS[kind])
    # other lengths, other sizes, and back
    indices = [[0, 1, 4], [2], [0, 2, 3], [4], [0, 2, 4], [0, 1, 2, 3, 4], [2, 0, 3], [0, 1, 4]]
    results = [compute(used, index) for index in indices]
    for index, result in zip(indices, results, strict=True):
        fresh = compute(Problem(cell, activation, **KINDS[kind]), index)
        for a, b in zip(result, fresh, strict=True):
            assert_array_equal(a, b)


def arrays_of_workspace(stack, readout):
    """All that is written anew for every batch; without weights and constants."""
    for tape in stack.all_tapes:
        names = ("hx", "kept", "scratch", "adjoints", "flat", "dstate", "Wt")
        yield from (getattr(tape, name) for name in names if hasattr(tape, name))
    yield from itertools.chain(*getattr(stack, "dx", []))
    for name in ("draw", "dcolumns", "_draw", "_columns", "_dcolumns"):
        if hasattr(readout, name):
            yield getattr(readout, name)
    if hasattr(readout, "columns"):
        yield readout.columns[:-1]  # its last row is the readout's 1
    yield from readout.dy or []
    yield from readout.dlast or []


@every_cell
@every_kind
def test_what_an_interrupted_or_diverged_update_left_behind_never_matters(cell, activation, kind):
    problem = Problem(cell, activation, **KINDS[kind])
    before, raw = problem.loss_and_gradient(), problem.predictions()
    workspaces = list(problem.network._workspaces[0].values())
    assert len(workspaces) == 2
    for buffers in workspaces:
        for array in arrays_of_workspace(*buffers):
            array.fill(np.nan)
    assert_same_bits(problem.loss_and_gradient(), before)
    assert_array_equal(problem.predictions(), raw)


@every_cell
@every_depth
@every_direction
@every_target
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
    alone, gradient = problem.loss_and_gradient([1])
    loss, grad = problem.loss_and_gradient()
    assert np.isfinite(gradient).all()
    assert loss == alone
    assert_allclose(grad, gradient, rtol=1e-12, atol=1e-14)


@every_kind
@pytest.mark.parametrize("sizes", [(4,), (4, 3)], ids=str)
def test_a_state_that_would_explode_after_a_sequence_has_ended_is_not_there(kind, sizes):
    """The identity with recurrent weights of spectral radius 3 over 700 steps of zeros, beside one of a single step."""
    problem = Problem("rnn", "identity", sizes, lengths=(701, 1), **KINDS[kind])
    problem.sequences.values[:701] = 0
    weights, biases = problem.network.named(problem.theta)
    for name, recurrent in weights.items():
        if name.endswith(".recurrent"):
            recurrent *= 3 / abs(np.linalg.eigvals(recurrent)).max()
    for name, bias in biases.items():
        if name != "readout.bias":
            bias[...] = 0
    problem.weight[0] = 0
    assert np.isfinite(problem.predictions()).all()
    assert_close(problem.loss_and_gradient(), problem.loss_and_gradient([1]))


@every_kind
def test_a_workspace_grows_when_other_sequences_are_longer_than_any_before(kind):
    problem, longer = Problem(**KINDS[kind]), Problem(lengths=(3, 9, 20, 2, 1), **KINDS[kind])
    first = problem.loss_and_gradient()
    grad = np.empty_like(problem.theta)
    loss = problem.network.loss_and_gradient(problem.theta, longer.batch(), grad)
    assert longer.network.layout.shapes == problem.network.layout.shapes
    assert_array_equal(longer.theta, problem.theta)
    assert_same_bits((loss, grad), longer.loss_and_gradient())
    assert_same_bits(problem.loss_and_gradient(), first)


def test_only_the_latest_workspaces_are_kept():
    problem = Problem(lengths=range(1, 9))
    for n in range(1, 9):
        problem.loss_and_gradient(range(n))
    assert [key[0] for key in problem.network._workspaces[0]] == [3, 4, 5, 6, 7, 8]


@every_cell
@every_target
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
    assert problem.network._workspaces[0][len(lengths), np.dtype(np.float64), False, False].stack.n_steps == window
    assert_allclose(windowed, whole, rtol=0, atol=1e-12)
    assert_allclose(windowed_states, states, rtol=0, atol=1e-12)


@every_cell
@every_kind
def test_the_size_of_blocks_does_not_change_the_gradient(cell, activation, kind, monkeypatch):
    expected = Problem(cell, activation, **KINDS[kind]).loss_and_gradient()
    monkeypatch.setattr(workspace, "PRODUCT_COLUMNS", 1)
    for steps in (1, 2, 5):
        monkeypatch.setattr(workspace, "BLOCK_STEPS", steps)
        problem = Problem(cell, activation, **KINDS[kind])
        assert_close(problem.loss_and_gradient(), expected)
        assert problem.network._workspaces[0][5, np.dtype(np.float64), True, False].stack.tapes[0][0].block == steps


@pytest.mark.parametrize("kind", [kind for kind, options in KINDS.items() if "pooling" in options])
@pytest.mark.parametrize("columns", [1, 10, 15])
def test_the_size_of_blocks_of_the_readout_does_not_change_the_gradient(kind, columns, monkeypatch):
    whole = Problem(**KINDS[kind])
    expected, raw = whole.loss_and_gradient(), whole.predictions()
    monkeypatch.setattr(_readout, "BLOCK_COLUMNS", columns)
    problem = Problem(**KINDS[kind])
    assert_close(problem.loss_and_gradient(), expected)
    assert_allclose(problem.predictions(), raw, rtol=0, atol=1e-12)


@every_cell
@every_direction
@both_targets
@every_loss
def test_float32_stays_float32_and_agrees(cell, activation, bidirectional, pooling, loss):
    problem, single = (
        Problem(cell, activation, (4, 3), bidirectional, pooling, loss, dtype=dtype) for dtype in (np.float64, np.float32)
    )
    raw, single_raw = problem.predictions(), single.predictions()
    assert single_raw.dtype == np.float32
    assert_allclose(single_raw, raw, rtol=0, atol=2e-6 * abs(raw).max())
    value, grad = problem.loss_and_gradient()
    single_value, single_grad = single.loss_and_gradient()
    assert single_grad.dtype == np.float32
    assert_allclose(single_value, value, rtol=5e-6)
    assert_allclose(single_grad, grad, rtol=0, atol=5e-6 * abs(grad).max())


@every_kind
def test_a_sequence_of_weight_zero_is_as_if_it_were_not_there(kind):
    problem = Problem(**KINDS[kind])
    problem.weight[[1, 4]] = 0
    assert_close(problem.loss_and_gradient(), problem.loss_and_gradient([0, 2, 3]))


@every_kind
def test_inputs_are_not_modified(kind):
    problem = Problem(**KINDS[kind])
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
        if name == "readout.bias":
            assert bias.tolist() == [0.5, -2.0]
        else:
            assert set(bias) == ({1.5} if cell == "lstm" and name.endswith(".f.bias") else {0.0})


def test_chrono_biases_are_drawn_for_every_lstm():
    network = Problem("lstm", sizes=(40, 30)).network
    biases = network.named(initialize(network, forget_bias="chrono", n_steps=21))[1]
    forget = {name: bias for name, bias in biases.items() if name.endswith(".f.bias")}
    assert len(forget) == 4
    for name, bias in forget.items():
        assert bias.min() >= 0
        assert np.log(15) < bias.max() <= np.log(20)
        assert_array_equal(biases[name.replace(".f.", ".i.")], -bias)


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


def test_squared_error_of_constant_predictions_at_every_step_is_right_by_hand():
    architecture = Architecture(1, (2,), "gru", "tanh", False, (), 1, return_sequences=True)
    y, weight = np.array([[1.0, 4.0, 5.0]]), np.array([1.0, 3.0])
    for unrolling in (Unrolling(), Unrolling(1), Unrolling(2, 1)):
        network = Network(architecture, SquaredError(), unrolling=unrolling)
        theta = np.zeros(network.layout.size)
        theta[-1] = 3
        batch = Batch(Sequences(np.ones((3, 1)), np.array([2, 1])), np.arange(2), y, weight, every_step=True)
        grad = np.empty_like(theta)
        assert_allclose(network.loss_and_gradient(theta, batch, grad), (1 * 4 / 2 + 1 * 1 / 2 + 3 * 4 / 2) / 5, rtol=1e-15)
        assert_allclose(grad[-1], (1 * 2 + 1 * -1 + 3 * -2) / 5, rtol=1e-15)
        assert not grad[:-1].any()
