"""Estimators survive pickle, joblib (memory-mapped too), skops, deepcopy and clone, and training goes on after them."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrnn import RNNClassifier, RNNRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])


LENGTHS = np.random.default_rng(0).integers(1, 8, 40)


def make_data():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(T, 2)) for T in LENGTHS], np.arange(40) % 3


def new(Estimator, **parameters):
    return Estimator(**{"hidden_layer_sizes": (5, 4), "max_iter": 3, "batch_size": 9, "random_state": 0, **parameters})


def by_pickle(estimator, _path):
    return pickle.loads(pickle.dumps(estimator))


def by_oldest_pickle(estimator, _path):
    return pickle.loads(pickle.dumps(estimator, protocol=2))


def by_deepcopy(estimator, _path):
    return copy.deepcopy(estimator)


def by_joblib(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path)


def by_compressed_joblib(estimator, path):
    joblib.dump(estimator, path, compress=3)
    return joblib.load(path)


def by_memory_map(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path, mmap_mode="r")


def by_skops(estimator, path):
    io = pytest.importorskip("skops.io")
    io.dump(estimator, path)
    return io.load(path, trusted=io.get_untrusted_types(file=path))


WAYS = [by_pickle, by_oldest_pickle, by_deepcopy, by_joblib, by_compressed_joblib, by_memory_map, by_skops]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)

VARIANTS = {
    "classifier": (RNNClassifier, {}),
    "binary, strings": (RNNClassifier, {"cell": "lstm"}),
    "multilabel": (RNNClassifier, {"cell": "rnn"}),
    "early stopping": (RNNClassifier, {"early_stopping": True, "validation_fraction": 0.25}),
    "regressor": (RNNRegressor, {"pooling": ("last", "max"), "bidirectional": True}),
    "several outputs": (RNNRegressor, {"loss": "poisson", "clip_norm": None}),
    "sgd": (RNNRegressor, {"solver": "sgd"}),
    "rmsprop": (RNNRegressor, {"solver": "rmsprop", "random_state": None}),
    "float32": (RNNRegressor, {"dtype": np.float32}),
    "dtype instance": (RNNClassifier, {"dtype": np.dtype("float32")}),
    "generator": (RNNRegressor, {"random_state": np.random.RandomState(0)}),
    "every step": (RNNClassifier, {"return_sequences": True, "truncation_length": 4, "truncation_stride": 2}),
    "every step, both directions": (RNNRegressor, {"return_sequences": True, "bidirectional": True, "cell": "lstm"}),
    "checkpoints": (RNNRegressor, {"checkpoint_interval": 2, "truncation_length": 5}),
}
TARGETS = {
    "binary, strings": lambda y: np.array(["no", "yes", "yes"])[y],
    "multilabel": lambda y: np.array([[0, 1], [1, 1], [1, 0]])[y],
    "several outputs": lambda y: np.column_stack([y, y + 1]),
    "every step": lambda y: [np.array(["a", "b", "c"])[(k + np.arange(T)) % 3] for k, T in zip(y, LENGTHS, strict=True)],
    "every step, both directions": lambda y: [k + np.arange(T) % 2 for k, T in zip(y, LENGTHS, strict=True)],
}
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def make_fitted(variant):
    """A fitted estimator and its data."""
    Estimator, parameters = VARIANTS[variant]
    X, y = make_data()
    y = TARGETS.get(variant, np.asarray)(y)
    return new(Estimator, **copy.deepcopy(parameters)).fit(X, y), X, y


def assert_same(one, other):
    """Are two predictions, which may be ragged, the same?"""
    assert one.dtype == other.dtype
    if one.dtype != object:
        assert_array_equal(one, other)
        return
    for a, b in zip(one, other, strict=True):
        assert_same(a, b)


def assert_views(estimator):
    """Are ``coefs_`` and ``intercepts_`` views of the weights with which the estimator predicts?"""
    for views in (estimator.coefs_, estimator.intercepts_):
        assert all(np.shares_memory(view, estimator._theta) for view in views.values())


@each_way
@each_variant
def test_a_loaded_estimator_predicts_and_goes_on_as_the_original(way, variant, tmp_path):
    estimator, X, y = make_fitted(variant)
    loaded = way(estimator, tmp_path / "estimator")
    assert vars(loaded).keys() == vars(estimator).keys()
    for name in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(estimator, name):
            assert_same(getattr(loaded, name)(X), getattr(estimator, name)(X))
    assert loaded.loss_curve_ == estimator.loss_curve_
    if variant != "generator":  # whose equality is identity
        assert loaded.get_params() == estimator.get_params()
    assert_views(loaded)
    for each in (loaded, estimator):
        each.set_params(early_stopping=False).partial_fit(X, y)
    assert_array_equal(loaded._theta, estimator._theta)
    assert loaded.loss_curve_ == estimator.loss_curve_
    assert_views(loaded)


@each_way
@each_variant
def test_a_loaded_estimator_can_be_fitted_again(way, variant, tmp_path):
    if variant == "generator" or VARIANTS[variant][1].get("random_state", 0) is None:
        pytest.skip("not reproducible by design")
    estimator, X, y = make_fitted(variant)
    loaded = way(estimator, tmp_path / "estimator").fit(X, y)
    assert_array_equal(loaded._theta, estimator._theta)


@each_way
@each_estimator
def test_an_unfitted_estimator_stays_unfitted(way, Estimator, tmp_path):
    loaded = way(new(Estimator), tmp_path / "estimator")
    assert loaded.get_params() == new(Estimator).get_params()
    with pytest.raises(NotFittedError):
        loaded.predict(make_data()[0])


@each_way
@each_estimator
def test_a_loaded_estimator_shares_nothing_with_the_original(way, Estimator, tmp_path):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    before = estimator._theta.copy()
    loaded = way(estimator, tmp_path / "estimator")
    assert not np.shares_memory(loaded._theta, estimator._theta)
    loaded.partial_fit(X, y)
    loaded.intercepts_["readout.bias"][...] = 7
    assert_array_equal(estimator._theta, before)
    assert len(estimator.loss_curve_) == 3


@each_estimator
def test_a_memory_mapped_estimator_is_copied_at_the_first_partial_fit(Estimator, tmp_path):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    joblib.dump(estimator, tmp_path / "estimator")
    content = (tmp_path / "estimator").read_bytes()
    loaded = joblib.load(tmp_path / "estimator", mmap_mode="r")
    assert isinstance(loaded._theta, np.memmap)
    assert not loaded._theta.flags.writeable
    assert type(loaded.predict(X)) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        loaded.intercepts_["readout.bias"][...] = 0
    loaded.partial_fit(X, y)
    assert type(loaded._theta) is np.ndarray
    loaded.intercepts_["readout.bias"][...] = 0
    assert (tmp_path / "estimator").read_bytes() == content
    assert_array_equal(joblib.load(tmp_path / "estimator").predict(X), estimator.predict(X))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "dtype instance"])  # that one is the user's
def test_skops_needs_to_trust_the_class_of_the_estimator_alone(variant):
    io = pytest.importorskip("skops.io")
    estimator, X, _ = make_fitted(variant)
    name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    data = io.dumps(estimator)
    assert io.get_untrusted_types(data=data) == [name]
    assert_same(io.loads(data, trusted=[name]).predict(X), estimator.predict(X))


@each_variant
def test_a_clone_is_unfitted_and_trains_alike(variant):
    estimator, X, y = make_fitted(variant)
    copied = clone(estimator)
    assert vars(copied).keys() == copied.get_params().keys()
    with pytest.raises(NotFittedError):
        copied.predict(X)
    if isinstance(estimator.random_state, int):
        assert_array_equal(copied.fit(X, y)._theta, estimator._theta)


@each_estimator
def test_no_workspace_is_pickled(Estimator):
    rng = np.random.default_rng(0)
    small = new(Estimator).fit(rng.normal(size=(40, 3, 2)), np.arange(40) % 3)
    large = new(Estimator).fit(rng.normal(size=(40, 300, 2)), np.arange(40) % 3)
    assert abs(len(pickle.dumps(large)) - len(pickle.dumps(small))) < 100


@pytest.mark.parametrize(
    ("change", "message"), [(1, r"newer format .* Update skrnn\."), (-1, r"older format .* save it again\.")]
)
def test_another_format_is_not_read(change, message):
    state = RNNClassifier(max_iter=1).fit([[0.0, 1.0], [1.0, 0.0]], [0, 1]).__getstate__()
    with pytest.raises(ValueError, match=rf"This RNNClassifier was saved by skrnn .*, in another, {message}"):
        RNNClassifier().__setstate__(state | {"_skrnn_format": state["_skrnn_format"] + change})
