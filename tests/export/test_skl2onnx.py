"""skl2onnx converts networks wherever it meets them."""

import sys

import numpy as np
import pytest
from _networks import F, N, T, classifier, fitted, new_X, real_predictions, regressor
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.export import register_skl2onnx
from skrnn.preprocessing import PerStep

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")
types = pytest.importorskip("skl2onnx.common.data_types")

OPSETS = {"": 18, "ai.onnx.ml": 3}
TENSORS = {"float32": types.FloatTensorType, "float64": types.DoubleTensorType, "int64": types.Int64TensorType}


@pytest.fixture(autouse=True)
def registered():
    register_skl2onnx()


def run(estimator, X, zipmap=False, opsets=OPSETS):
    """Outputs by name, of a model for X's type and shape, where sequences and steps are any number."""
    shape = [None] * (X.ndim - 1) + [None if X.dtype == np.int64 else X.shape[-1]]
    options = {"zipmap": zipmap} if hasattr(estimator, "predict_proba") else None
    model = skl2onnx.convert_sklearn(
        estimator, initial_types=[("X", TENSORS[X.dtype.name](shape))], options=options, target_opset=opsets
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


def same(estimator, X, outputs):
    values = list(outputs.values())
    if hasattr(estimator, "predict_proba"):
        assert_array_equal(values[0], estimator.predict(X))
    expected = real_predictions(estimator, X)
    assert values[-1].shape == expected.shape
    assert_allclose(values[-1], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pipeline(dtype, global_random_seed):
    X = 3 + 2 * new_X(np.random.default_rng(global_random_seed), dtype)
    clf = RNNClassifier(4, max_iter=1, random_state=0, cell="lstm", pooling=("last", "mean"))
    model = make_pipeline(PerStep(StandardScaler()), clf).fit(X, np.array(["a", "b", "c", "a", "b"]))
    outputs = run(model, X)
    assert outputs["probabilities"].dtype == dtype
    same(model, X, outputs)
    same(model, X, run(model, X, opsets=None))


def test_a_pipeline_of_rows(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    rows = new_X(rng).reshape(N, T * F)
    reg = RNNRegressor(hidden_layer_sizes=4, n_features_per_step=F, max_iter=1, random_state=0)
    model = make_pipeline(StandardScaler(), PerStep(StandardScaler(), n_features_per_step=F), reg)
    model.fit(rows, rng.normal(size=N))
    same(model, rows, run(model, rows))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_as_a_dictionary(n_classes, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng, "float32")
    clf = classifier(rng, X, n_classes)
    (_, of_sequences) = run(clf, X, zipmap=True).values()
    assert_allclose([list(of.values()) for of in of_sequences], clf.predict_proba(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "y", [[True, False, True, True, False], [0.0, 1.0, 2.0, 1.0, 0.0], [[0, 1], [1, 1], [0, 0]] + 2 * [[1, 0]]]
)
def test_other_labels(y, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    clf = fitted(RNNClassifier(4), X, y, rng)
    same(clf, X, run(clf, X))


def test_every_step(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    for estimator in (classifier(rng, X, return_sequences=True), regressor(rng, X, return_sequences=True)):
        same(estimator, X, run(estimator, X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_token_ids(dtype, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    ids = rng.integers(0, 9, size=(N, T))
    clf = classifier(rng, ids, embedding_dim=3, n_tokens=9, dtype=dtype)
    outputs = run(clf, ids)
    assert outputs["probabilities"].dtype == dtype
    same(clf, ids, outputs)


def test_a_network_within_another_estimator(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = np.concatenate([new_X(rng, "float32") for _ in range(4)])
    clf = RNNClassifier(4, max_iter=1, random_state=0)
    calibrated = CalibratedClassifierCV(clf, cv=2).fit(X, np.arange(len(X)) % 3)
    same(calibrated, X, run(calibrated, X))


def test_an_older_opset(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    with pytest.raises(ValueError, match="need a target_opset of at least 18"):
        run(classifier(rng, X), X, opsets={"": 17, "ai.onnx.ml": 3})


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="needs the package skl2onnx, which the extra 'onnx'"):
        register_skl2onnx()
