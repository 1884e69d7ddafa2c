"""ONNX Runtime predicts what the estimator does."""

import re
import sys

import numpy as np
import pytest
from _networks import KINDS, LENGTHS, F, N, T, classifier, fitted, new_X, ragged, real_predictions, regressor
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PolynomialFeatures, SplineTransformer, StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.losses import REGRESSION_LOSSES
from skrnn._core.pooling import POOLINGS
from skrnn.export import to_onnx
from skrnn.preprocessing import PerStep, SequenceVectorizer, SlidingWindow

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(model, X, **inputs):
    """Outputs by name."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X, **inputs}), strict=True))


def padded(X):
    """What is beyond the lengths must not matter."""
    X = X.copy()
    for x, length in zip(X, LENGTHS, strict=True):
        x[length:] = np.nan
    return X


def same(estimator, X, outputs, expected=None):
    """Compare types, shapes and values with those of the estimator."""
    expected = real_predictions(estimator, X) if expected is None else expected
    if "label" in outputs:
        assert_array_equal(outputs["label"], estimator.predict(X))
    computed = outputs.get("probabilities", outputs.get("prediction"))
    assert computed.dtype == expected.dtype
    assert_allclose(computed, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sizes", [(4,), (5, 3)])
@pytest.mark.parametrize(("cell", "activation"), KINDS)
def test_every_kind_of_network(cell, activation, sizes, bidirectional, dtype, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng, dtype)
    clf = classifier(
        rng, X, cell=cell, activation=activation, hidden_layer_sizes=sizes, bidirectional=bidirectional,
        pooling=("last", "mean", "max"),
    )  # fmt: skip
    same(clf, X, run(to_onnx(clf), X))
    model = to_onnx(clf, ragged=True)
    same(clf, ragged(X), run(model, padded(X), lengths=LENGTHS))
    assert len(run(model, X[:1, :1], lengths=np.array([1]))["label"]) == 1  # any number of sequences and steps


@pytest.mark.parametrize("pooling", [*POOLINGS, ("max", "last"), ("mean", "max")])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_pooling(pooling, bidirectional, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    reg = regressor(rng, X, pooling=pooling, bidirectional=bidirectional)
    same(reg, X, run(to_onnx(reg), X))
    same(reg, ragged(X), run(to_onnx(reg, ragged=True), padded(X), lengths=LENGTHS))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_step(n_classes, bidirectional, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    clf = classifier(rng, X, n_classes, return_sequences=True, bidirectional=bidirectional, hidden_layer_sizes=(4, 3))
    same(clf, X, run(to_onnx(clf), X))
    outputs = run(to_onnx(clf, ragged=True), padded(X), lengths=LENGTHS)
    expected = clf.predict_proba(ragged(X)), clf.predict(ragged(X))
    for i, length in enumerate(LENGTHS):
        assert_allclose(outputs["probabilities"][i, :length], expected[0][i], rtol=0, atol=1e-5)
        assert_array_equal(outputs["label"][i, :length], expected[1][i])


LABELS = {
    "int": [3, 5, 9, 3, 5],
    "int8": np.array([3, 5, 9, 3, 5], np.int8),
    "two int": [7, -1, 7, -1, -1],
    "str": ["wüst", "b", "a", "b", "a"],
    "object": np.array(["x", "yy", "x", "x", "yy"], object),
    "float": [0.0, 1.0, 0.0, 7.0, 7.0],
    "bool": [True, False, True, False, False],
    "one class": ["only"] * N,
    "multilabel": [[0, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 1]],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_keep_their_type(kind, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    clf = fitted(RNNClassifier(4), X, LABELS[kind], rng)
    outputs = run(to_onnx(clf), X)
    same(clf, X, outputs)
    predicted = clf.predict(X)
    assert outputs["label"].shape == predicted.shape
    assert outputs["label"].dtype.kind == {"U": "O"}.get(predicted.dtype.kind, predicted.dtype.kind)


def test_labels_that_onnx_does_not_have(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    clf = fitted(RNNClassifier(4), X, np.array(["2020", "2021", "2020", "2021", "2021"], "datetime64[Y]"), rng)
    with pytest.raises(ValueError, match=r"Labels of type datetime64.*LabelEncoder"):
        to_onnx(clf)


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
@pytest.mark.parametrize("n_outputs", [None, 1, 2])
def test_targets_of_every_loss(loss, n_outputs, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    y = rng.uniform(1, 2, size=N if n_outputs is None else (N, n_outputs))
    reg = fitted(RNNRegressor(loss, hidden_layer_sizes=4), X, y, rng)
    outputs = run(to_onnx(reg), X)
    assert outputs["prediction"].shape == y.shape
    same(reg, X, outputs)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_token_ids(cell, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    ids = rng.integers(0, 9, size=(N, T))
    clf = classifier(rng, ids, cell=cell, embedding_dim=3, n_tokens=9, pooling=("last", "max"))
    same(clf, ids, run(to_onnx(clf), ids))
    outputs = run(to_onnx(clf, ragged=True), ids, lengths=LENGTHS)
    same(clf, [row[:length] for row, length in zip(ids, LENGTHS, strict=True)], outputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cell", "activation"), KINDS)
def test_a_stream_in_pieces(cell, activation, dtype, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng, dtype)
    reg = regressor(rng, X, cell=cell, activation=activation, hidden_layer_sizes=(4, 3), return_sequences=True)
    model = to_onnx(reg, return_state=True)
    expected, state = reg.predict(X, return_state=True)
    first = run(model, X[:, :4], initial_state=np.zeros_like(state))
    second = run(model, X[:, 4:], initial_state=first["state"])
    assert second["state"].dtype == state.dtype
    assert_allclose(np.hstack([first["prediction"], second["prediction"]]), expected, rtol=1e-5, atol=1e-5)
    assert_allclose(second["state"], state, rtol=1e-5, atol=1e-5)


def test_states_of_sequences_of_unequal_lengths(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    reg = regressor(rng, X, cell="lstm", pooling="mean")
    initial = rng.normal(size=(N, 8))
    outputs = run(to_onnx(reg, ragged=True, return_state=True), padded(X), lengths=LENGTHS, initial_state=initial)
    expected, state = reg.predict(ragged(X), initial, return_state=True)
    same(reg, None, outputs, expected)
    assert_allclose(outputs["state"], state, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_precision_than_that_of_the_weights(dtype, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    reg = regressor(rng, X, dtype="float64" if dtype == "float32" else "float32")
    outputs = run(to_onnx(reg, dtype=dtype), X.astype(dtype))
    assert outputs["prediction"].dtype == dtype
    assert_allclose(outputs["prediction"], reg.predict(X), rtol=0, atol=1e-5)


def test_rows(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    rows = X.reshape(N, -1)
    reg = fitted(RNNRegressor(hidden_layer_sizes=4, n_features_per_step=F), rows, X[:, 0, 0], rng)
    model = to_onnx(reg)
    assert [len(value.type.tensor_type.shape.dim) for value in model.graph.input] == [2]
    same(reg, rows, run(model, rows))
    with pytest.raises(ValueError, match="ragged=True is for sequences"):
        to_onnx(reg, ragged=True)


# ---------------------------------------------------------------- pipelines


@pytest.fixture
def skl2onnx():
    return pytest.importorskip("skl2onnx")


@pytest.mark.usefixtures("skl2onnx")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pipeline_per_step(dtype, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = 3 + 2 * new_X(rng, dtype)
    model = make_pipeline(
        PerStep(StandardScaler()), PerStep(make_pipeline(MinMaxScaler(), PCA(2))), "passthrough",
        RNNClassifier(4, max_iter=1, bidirectional=True, pooling="mean", random_state=0),
    ).fit(X, np.arange(N) % 3)  # fmt: skip
    same(model, X, run(to_onnx(model), X))
    same(model, ragged(X), run(to_onnx(model, ragged=True), padded(X), lengths=LENGTHS))


@pytest.mark.usefixtures("skl2onnx")
def test_a_pipeline_of_rows(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    rows = new_X(rng).reshape(N, -1)
    model = make_pipeline(
        StandardScaler(),
        PerStep(PCA(2), n_features_per_step=F),
        RNNRegressor(n_features_per_step=2, max_iter=1, random_state=0),
    ).fit(rows, rng.normal(size=N))
    same(model, rows, run(to_onnx(model), rows))


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_scaled_targets(scaler, n_outputs, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    y = rng.normal(50, 20, size=N if n_outputs is None else (N, n_outputs))
    reg = TransformedTargetRegressor(RNNRegressor(hidden_layer_sizes=4, max_iter=1, random_state=0), transformer=scaler)
    model = make_pipeline("passthrough", reg).fit(X, y)
    outputs = run(to_onnx(model), X)
    assert outputs["prediction"].shape == y.shape
    same(model, X, outputs)


def test_targets_that_cant_be_scaled_back():
    X = np.zeros((N, T, F)) + np.arange(N)[:, None, None]
    reg = RNNRegressor(hidden_layer_sizes=2, max_iter=1)
    model = TransformedTargetRegressor(reg, func=np.log1p, inverse_func=np.expm1).fit(X, np.arange(N))
    with pytest.raises(TypeError, match=r"(?s)FunctionTransformer.*can't be undone in ONNX, but only StandardScaler"):
        to_onnx(model)


@pytest.mark.usefixtures("skl2onnx")
@pytest.mark.parametrize(
    "transformer", [SplineTransformer(), PolynomialFeatures()], ids=["no converter", "a graph that is wrong"]
)
def test_what_skl2onnx_does_not_know_is_named(transformer):
    X = new_X(np.random.default_rng(0))
    model = make_pipeline(PerStep(transformer), RNNRegressor(hidden_layer_sizes=2, max_iter=1)).fit(X, X[:, 0, 0])
    message = f"skl2onnx can't convert {transformer!r} of the step 'perstep' for float64 input. dtype='float32' may help."
    with pytest.raises(ValueError, match=re.escape(message)):
        to_onnx(model)


@pytest.mark.parametrize(
    ("step", "X"),
    [
        (SequenceVectorizer(), ["ab", "bc", "cd"]),
        (SlidingWindow(2), np.random.default_rng(0).normal(size=(5, 2))),
        (FunctionTransformer(), np.random.default_rng(0).normal(size=(5, 3, 2))),
    ],
)
def test_other_steps_cant_be_expressed(step, X):
    reg = RNNRegressor(hidden_layer_sizes=2, max_iter=1, embedding_dim=2 if isinstance(step, SequenceVectorizer) else None)
    model = make_pipeline(step, reg).fit(X, np.arange(len(X)) / 5)
    with pytest.raises(TypeError, match=f"{type(step).__name__}, can't be expressed in ONNX"):
        to_onnx(model)


def test_no_transformer_of_token_ids():
    ids = np.arange(N * T).reshape(N, T, 1) % 7
    model = make_pipeline(PerStep(FunctionTransformer()), RNNRegressor(hidden_layer_sizes=2, max_iter=1, embedding_dim=2))
    with pytest.raises(TypeError, match="PerStep, can't be expressed in ONNX: before a network of numbers"):
        to_onnx(model.fit(ids, np.arange(N) / N))


# ---------------------------------------------------------------- errors


def test_what_is_not_ours():
    with pytest.raises(TypeError, match="got LogisticRegression"):
        to_onnx(LogisticRegression())
    with pytest.raises(NotFittedError):
        to_onnx(RNNRegressor())
    with pytest.raises(NotFittedError):
        to_onnx(make_pipeline(PerStep(StandardScaler()), RNNRegressor()))
    X = new_X(np.random.default_rng(0))
    with pytest.raises(NotFittedError, match="PerStep"):
        to_onnx(make_pipeline(PerStep(StandardScaler()), regressor(np.random.default_rng(0), X)))


def test_parameters_that_cant_be():
    X = new_X(np.random.default_rng(0))
    reg = regressor(np.random.default_rng(0), X, bidirectional=True)
    with pytest.raises(ValueError, match="return_state=True can't be used with bidirectional=True"):
        to_onnx(reg, return_state=True)
    with pytest.raises(ValueError, match="dtype must be float32, float64 or None, got 'int8'"):
        to_onnx(reg, dtype="int8")


@pytest.mark.parametrize("missing", ["onnx", "skl2onnx"])
def test_the_extra_is_named(missing, monkeypatch):
    X = new_X(np.random.default_rng(0))
    model = make_pipeline(PerStep(StandardScaler()), RNNRegressor(hidden_layer_sizes=2, max_iter=1)).fit(X, X[:, 0, 0])
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=f"needs the package {missing}, which the extra 'onnx'"):
        to_onnx(model)


def test_ids_beyond_the_length_may_be_no_tokens():
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 7, n_steps) for n_steps in (3, 5, 2, 6)]
    clf = RNNClassifier(hidden_layer_sizes=4, embedding_dim=3, n_tokens=7, max_iter=1, random_state=0).fit(ids, [0, 1, 0, 1])
    padded = np.full((4, 6), 100)
    for row, x in zip(padded, ids, strict=True):
        row[: len(x)] = x
    session = onnxruntime.InferenceSession(to_onnx(clf, ragged=True).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"X": padded, "lengths": np.array([3, 5, 2, 6])})[0]
    assert_allclose(found, clf.predict_proba(ids), atol=1e-5)
