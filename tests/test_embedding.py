"""Embeddings of token ids: a network of them is one of one-hot vectors, whose input weights are a product of two matrices."""

import numpy as np
import pytest
from _gradcheck import assert_gradient
from _reference import Network as ReferenceNetwork
from numpy.testing import assert_allclose, assert_array_equal
from test_network import (
    LONGER,
    Problem,
    assert_close,
    assert_same_bits,
    both_targets,
    each_cell,
    every_cell,
    every_depth,
    every_direction,
    every_target,
)

from skrnn import RNNClassifier, RNNRegressor, _passes
from skrnn._core.cells import CELLS
from skrnn._network import Network
from skrnn.inspection import gradient_flow, loss_gradient
from skrnn.sequences import Batch, Sequences, from_padded

V, F = 6, 3
every_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
TRUNCATIONS = [(1, 1), (4, 2), (3, 3), (7, 3), (20, 4)]


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    """Without a least interval, as sequences are short here."""
    monkeypatch.setattr(_passes, "LEAST_INTERVAL", 1)


class TokenProblem(Problem):
    """Random token ids; 0 and the last occur, and one does not."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, n_features=F, **options)
        rng = np.random.default_rng(7)
        ids = rng.integers(0, V, len(self.sequences.values))
        ids[ids == 2] = V - 1
        plain, loss = self.network.architecture, self.network.loss
        self.network = Network(plain._replace(n_tokens=V), loss, self.network.alpha, self.network.unrolling)
        self.theta = np.append(self.theta, 0.8 * rng.standard_normal(V * F))
        self.sequences = Sequences(ids[:, None], self.lengths, dtype=np.dtype(np.float64))
        #: the same network without a table
        self.one_hot = Network(plain._replace(n_features=V), loss, 0.0, self.network.unrolling)

    def expected(self, length=None, stride=None):
        """Of the reference with one-hot vectors, by the chain rule."""
        inputs = np.zeros(self.one_hot.layout.size)
        table = self.network.layout.views(self.theta)["embedding"]
        for (_, gates), (_, of_one_hot) in zip(self.network.gates(self.theta), self.one_hot.gates(inputs), strict=True):
            for name, gate in gates.items():
                for part, target in zip(gate, of_one_hot[name], strict=True):
                    if part is not None and part is not gate.input:
                        target[...] = part
                is_first = of_one_hot[name].input.shape != gate.input.shape
                of_one_hot[name].input[...] = gate.input @ table.T if is_first else gate.input
        self.one_hot.layout.views(inputs)["readout"][...] = self.network.layout.views(self.theta)["readout"]
        members, *targets = self.of_sequences()
        members = [np.eye(V)[ids[:, 0]] for ids in members]
        loss, gradient = ReferenceNetwork(self.one_hot, inputs).loss_and_gradient(self.loss, members, *targets, length, stride)
        grad = np.zeros_like(self.theta)
        views = self.network.layout.views(grad)
        all_gates = (self.network.gates(vector) for vector in (self.theta, grad))
        for (_, gates), (_, grads), (_, of_one_hot) in zip(*all_gates, self.one_hot.gates(gradient), strict=True):
            for name, gate in gates.items():
                for target, part in zip(grads[name], of_one_hot[name], strict=True):
                    if target is not None and target is not grads[name].input:
                        target[...] = part
                if of_one_hot[name].input.shape == gate.input.shape:
                    grads[name].input[...] = of_one_hot[name].input
                else:
                    grads[name].input[...] = of_one_hot[name].input @ table
                    views["embedding"] += of_one_hot[name].input.T @ gate.input
        views["readout"][...] = self.one_hot.layout.views(gradient)["readout"]
        for name, weights in self.network.named(self.theta)[0].items():
            loss += self.network.alpha / 2 * np.sum(weights**2)
            self.network.named(grad)[0][name][...] += self.network.alpha * weights
        return loss, grad


@every_cell
@every_depth
@every_direction
@every_target
def test_loss_and_gradient_are_those_of_one_hot_vectors_in_naive_loops(cell, activation, sizes, bidirectional, pooling):
    problem = TokenProblem(cell, activation, sizes, bidirectional, pooling)
    assert_close(problem.loss_and_gradient(), problem.expected())


@each_cell
@both_targets
def test_the_gradient_agrees_with_central_differences(cell, pooling):
    problem = TokenProblem(cell, "tanh", (3, 2), pooling=pooling)
    _, grad = problem.loss_and_gradient()
    assert_gradient(problem.value, problem.theta, grad, np.random.default_rng(2), every_coordinate=True)


@each_cell
@every_depth
@both_targets
@pytest.mark.parametrize("lengths", [LONGER, (13, 13, 13)], ids=["ragged", "equal"])
@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=str)
def test_truncated_backpropagation_is_that_of_naive_loops(cell, sizes, pooling, lengths, truncation):
    length, stride = truncation
    problem = TokenProblem(cell, "tanh", sizes, False, pooling, lengths=lengths, length=length, stride=stride)
    assert_close(problem.loss_and_gradient(), problem.expected(length, stride))


@each_cell
@both_targets
@pytest.mark.parametrize("interval", [1, 3, 7, "auto"])
def test_checkpoints_give_the_gradient_of_full_backpropagation(cell, pooling, interval):
    full, problem = (TokenProblem(cell, "tanh", (4, 3), False, pooling, lengths=LONGER, interval=k) for k in (None, interval))
    assert_close(problem.loss_and_gradient(), full.loss_and_gradient())


@both_targets
@every_direction
def test_a_ragged_batch_equals_its_sequences_one_by_one(pooling, bidirectional):
    problem = TokenProblem("gru", "tanh", (4, 3), bidirectional, pooling)
    parts = [problem.loss_and_gradient([i], problem.total_weight()) for i in range(len(problem.lengths))]
    assert_close(problem.loss_and_gradient(), [sum(part) for part in zip(*parts, strict=True)])
    assert_allclose(
        problem.predictions(), np.hstack([problem.predictions([i]) for i in range(len(problem.lengths))]), atol=1e-13
    )


def test_predictions_see_a_change_of_the_table_alone():
    problem = TokenProblem(bidirectional=False)
    before = problem.predictions()
    problem.network.layout.views(problem.theta)["embedding"][...] *= 2
    assert (problem.predictions() != before).all()


def test_two_calls_are_the_same_bits():
    problem = TokenProblem()
    assert_same_bits(problem.loss_and_gradient(), problem.loss_and_gradient())


# ---------------------------------------------------------------- the estimators


def tokens(n=60, n_steps=8, *, ragged=True, seed=0):
    """Sequences of ids, and whether there are more of the lower ones."""
    rng = np.random.default_rng(seed)
    X = np.empty(n, dtype=object)
    X[:] = [rng.integers(0, 10, rng.integers(2, n_steps) if ragged else n_steps) for _ in range(n)]
    return (X if ragged else np.stack(X)), np.array([np.mean(x < 5) > 0.5 for x in X])


def new(Estimator, **parameters):
    defaults = {"hidden_layer_sizes": 8, "embedding_dim": 4, "learning_rate": "cosine", "max_iter": 5, "random_state": 0}
    return Estimator(**defaults | parameters)


@every_estimator
@pytest.mark.parametrize("cell", CELLS)
def test_what_matters_in_tokens_is_learned(Estimator, cell):
    X, y = tokens(200)
    est = new(Estimator, cell=cell, learning_rate_init=0.01, max_iter=60).fit(X, y)
    X_new, y_new = tokens(200, seed=1)
    assert np.mean((est.predict(X_new) > 0.5) == y_new) > 0.8


@every_estimator
def test_every_form_of_the_same_tokens_is_the_same(Estimator):
    X, y = tokens(ragged=False)
    expected = new(Estimator).fit(X, y)
    for form in (X[:, :, None], list(X), [x[:, None] for x in X], X.astype(np.uint8), X.astype(float), X.astype(object),
                 np.asfortranarray(X), X.tolist()):  # fmt: skip
        found = new(Estimator).fit(form, y)
        assert_array_equal(found._theta, expected._theta)
        assert_array_equal(found.predict(form), expected.predict(X))
    assert expected.n_tokens_ == 10
    assert expected.coefs_["embedding"].shape == (10, 4)


@every_estimator
def test_bits_are_those_of_a_network_whose_input_is_the_table(Estimator):
    X, y = tokens()
    est = new(Estimator).fit(X, y)
    table = est.coefs_["embedding"]
    dense = new(Estimator, embedding_dim=None, max_iter=1).fit([table[x] for x in X], y)
    dense._theta[...] = est._theta[: dense._theta.size]
    assert_array_equal(est.predict(X), dense.predict([table[x] for x in X]))
    states, expected = est.hidden_states(X), dense.hidden_states([table[x] for x in X])
    for a, b in zip(states, expected, strict=True):
        assert_array_equal(a, b)


@every_estimator
def test_one_step_after_the_other_is_the_whole(Estimator):
    X, y = tokens(ragged=False)
    X = X[:, :, None]
    est = new(Estimator).fit(X, y)
    state = None
    for t in range(X.shape[1]):
        y_pred, state = est.predict(X[:, t : t + 1], initial_state=state, return_state=True)
    assert_allclose(np.asarray(y_pred, float), np.asarray(est.predict(X), float), atol=1e-12)


@every_estimator
def test_n_tokens_leaves_room_for_those_to_come(Estimator):
    X, y = tokens()
    first = {"classes": [False, True]} if Estimator is RNNClassifier else {}
    est = new(Estimator, n_tokens=20).partial_fit(X, y, **first)
    assert est.n_tokens_ == 20
    assert est.coefs_["embedding"].shape == (20, 4)
    est.partial_fit([[19, 3], [11]], y[:2])
    est.predict([[12, 19], [3]])
    with pytest.raises(ValueError, match="less than n_tokens=20, but X has 20"):
        est.predict([[20, 3], [4]])


@every_estimator
def test_without_n_tokens_the_first_call_says_which_there_are(Estimator):
    X, y = tokens()
    first = {"classes": [False, True]} if Estimator is RNNClassifier else {}
    est = new(Estimator).partial_fit(X, y, **first)
    before = est._theta.copy()
    est.partial_fit([[1, 2], [0]], y[:2])  # fewer
    assert (est._theta != before).any()
    assert est.n_tokens_ == 10
    before = est._theta.copy()
    with pytest.raises(ValueError, match="Set n_tokens"):
        est.partial_fit([[10], [3]], y[:2])
    assert_array_equal(est._theta, before)
    with pytest.raises(ValueError, match="n_tokens changed since the last fit"):
        est.set_params(n_tokens=30).partial_fit(X, y)
    est.set_params(n_tokens=30).fit(X, y)
    assert est.n_tokens_ == 30


@every_estimator
def test_a_fit_on_numbers_forgets_the_tokens(Estimator):
    X, y = tokens(ragged=False)
    est = new(Estimator).fit(X, y)
    est.set_params(embedding_dim=None).fit(X / 10, y)
    assert est.n_tokens_ is None
    assert "embedding" not in est.coefs_
    est.predict(X / 7)


@pytest.mark.parametrize(("dtype", "expected"), [("auto", np.float64), ("float32", np.float32), (np.float64, np.float64)])
def test_the_dtype_of_weights_is_that_asked_for(dtype, expected):
    X, y = tokens()
    clf = new(RNNClassifier, dtype=dtype).fit(X, y)
    assert clf._theta.dtype == expected
    assert clf.predict_proba(X).dtype == expected


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "lbfgs"])
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
def test_every_solver_moves_the_rows_of_tokens_that_occur(solver):
    X, y = tokens()
    parameters = {"n_tokens": 12, "alpha": 0.0, "solver": solver, "learning_rate_init": 1e-3}
    start = new(RNNClassifier, **parameters | {"solver": "sgd", "learning_rate_init": 1e-300}).fit(X, y)
    end = new(RNNClassifier, **parameters).fit(X, y)
    moved = (start.coefs_["embedding"] != end.coefs_["embedding"]).any(axis=1)
    assert_array_equal(moved, np.arange(12) < 10)


@every_estimator
def test_embeddings_go_with_targets_at_every_step_truncation_streams_and_dropout(Estimator):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (6, 40, 1))
    y = (np.roll(X, 2, axis=1) == X)[:, :, 0]
    first = {"classes": [False, True]} if Estimator is RNNClassifier else {}
    est = new(
        Estimator, n_tokens=5, return_sequences=True, truncation_length=8, truncation_stride=4, stateful=True, dropout=0.2,
        recurrent_dropout=0.2,
    )  # fmt: skip
    for start in range(0, 40, 10):
        est.partial_fit(X[:, start : start + 10], y[:, start : start + 10], **first)
    assert est.predict(X).shape == y.shape


def test_several_calls_are_one_long_call_with_overlapping_windows():
    """The steps of the call before, which gradients reach, are those of its tokens."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, (3, 24, 1)), rng.standard_normal((3, 24))
    windows = {"return_sequences": True, "truncation_length": 7, "truncation_stride": 3, "stateful": True}
    parameters = {"n_tokens": 5, "learning_rate": "constant", **windows}
    whole = new(RNNRegressor, **parameters).partial_fit(X, y)
    pieces = new(RNNRegressor, **parameters)
    for start, stop in [(0, 9), (9, 12), (12, 24)]:
        pieces.partial_fit(X[:, start:stop], y[:, start:stop])
    assert_allclose(pieces._theta, whole._theta, rtol=0, atol=1e-12)


@every_estimator
def test_inspection_names_the_embedding(Estimator):
    X, y = tokens()
    est = new(Estimator).fit(X, y)
    _, gradient = loss_gradient(est, X, y)
    assert gradient["embedding"].shape == (10, 4)
    assert gradient["embedding"].any()
    assert gradient_flow(est, X, y)["layer0.forward"].shape == (7,)


def test_padding_is_no_token():
    """A padded array is cut into sequences, and none of its padding is looked up."""
    X, y = tokens()
    padded = np.full((len(X), 9), -1)
    for row, x in zip(padded, X, strict=True):
        row[: len(x)] = x
    found = new(RNNClassifier).fit(from_padded(padded, padding_value=-1), y)
    assert_array_equal(found._theta, new(RNNClassifier).fit(X, y)._theta)


def test_packing_returns_the_ids_and_zeroes_the_padding():
    problem = TokenProblem(lengths=(4, 2))
    batch = Batch(problem.sequences, np.arange(2))
    table, out = np.arange(1.0, 1 + V * F).reshape(V, F), np.full((4, 1 + F, 2), np.nan)
    ids = batch.pack(out, 0, 4, table=table)
    values = problem.sequences.values[:, 0]
    assert_array_equal(ids[:, 0], values[:4])
    assert_array_equal(ids[2:, 1], values[4:])
    assert_array_equal(out[:, 1:, 0], table[values[:4]])
    assert_array_equal(out[2:, 1:, 1], table[values[4:]])
    assert not out[:2, :, 1].any()


@every_estimator
def test_rows_of_a_table_are_sequences_of_any_length(Estimator):
    """Whether lists of ids happen to be equally long makes no difference."""
    X, y = [[1, 2, 3], [4, 5], [6], [1, 2]] * 5, [0, 1, 0, 1] * 5
    est = new(Estimator).fit(X, y)
    whole = est.predict([[1, 2], [3, 4], [5]])[:2]
    pd = pytest.importorskip("pandas")
    for form in ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), [np.array([1, 2]), [3, 4]], pd.DataFrame([[1, 2], [3, 4]])):
        assert_allclose(np.asarray(est.predict(form), float), np.asarray(whole, float), atol=1e-12)
    assert est.fit(np.array([[1, 2, 3]] * 10), y[:10]).predict([[1], [2, 3]]).shape == (2,)
    assert est.n_features_in_ == 1


def test_pieces_of_a_stream_of_ids_may_differ_in_length():
    X, y = np.arange(24).reshape(2, 12) % 5, np.zeros((2, 12))
    reg = new(RNNRegressor, n_tokens=5, stateful=True, return_sequences=True, truncation_length=4)
    reg.partial_fit(X[:, :8], y[:, :8]).partial_fit(X[:, 8:], y[:, 8:])
    assert reg.n_iter_ == 2


@pytest.mark.parametrize("form", [list, np.array, lambda X: np.array(X, object), "series", "frame", "polars"])
def test_text_in_place_of_ids_is_answered_by_the_name_of_the_vectorizer(form):
    if form == "series":
        form = pytest.importorskip("pandas").Series
    elif form == "frame":
        form = pytest.importorskip("pandas").DataFrame
    elif form == "polars":
        form = pytest.importorskip("polars").DataFrame
    for text in (["hello there", "so long"] * 3, ["1", "2"] * 3):
        with pytest.raises(TypeError, match=r"X holds text.*SequenceVectorizer"):
            new(RNNClassifier).fit(form(text), [0, 1] * 3)


@pytest.mark.parametrize("ids", [[[1e300, 1.0]] * 4, [[10**11, 1]] * 4, [[10**8, 1]] * 4])
def test_ids_that_are_no_numbers_of_rows_are_refused_before_anything_is_allocated(ids):
    with pytest.raises(ValueError, match="a vector for each token id up to the greatest"):
        new(RNNClassifier).fit(ids, [0, 1, 0, 1])


@every_estimator
@pytest.mark.parametrize(("before", "after"), [(None, 1), (4, None), (4, 3), (None, 4)])
def test_training_goes_on_with_the_same_embedding_only(Estimator, before, after):
    X, y = tokens(ragged=False)
    first = {"classes": [False, True]} if Estimator is RNNClassifier else {}
    est = new(Estimator, embedding_dim=before).partial_fit(X[:, :, None], y, **first)
    with pytest.raises(ValueError, match="embedding_dim changed since the last fit"):
        est.set_params(embedding_dim=after).partial_fit(X[:, :, None], y)


@pytest.mark.parametrize("ids", [[b"1", b"2"] * 3, np.array([[b"1", b"2"]] * 6, object)], ids=["list", "objects"])
def test_bytes_in_place_of_ids_are_text(ids):
    with pytest.raises(TypeError, match=r"X holds text.*SequenceVectorizer"):
        new(RNNClassifier).fit(ids, [0, 1] * 3)
