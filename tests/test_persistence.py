"""Estimators survive pickle, joblib (memory-mapped too), skops, deepcopy and clone, and training goes on after them."""

import copy
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skrnn
from skrnn import RNNClassifier, RNNRegressor
from skrnn._base import STATE_FORMAT
from skrnn.preprocessing import PerStep

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


def by_cloudpickle(estimator, _path):
    return pickle.loads(cloudpickle.dumps(estimator))


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


def by_skops_of_a_memory_map(estimator, path):
    return by_skops(by_memory_map(estimator, path), path.with_name("of a memory map"))


def by_skops(estimator, path):
    io = pytest.importorskip("skops.io")
    io.dump(estimator, path)
    untrusted = io.get_untrusted_types(file=path)
    of_user = [] if isinstance(estimator.dtype, str | type) else ["numpy.dtype"]
    assert set(untrusted) - set(of_user) == {f"{type(estimator).__module__}.{type(estimator).__qualname__}"}
    return io.load(path, trusted=untrusted)


WAYS = [
    by_pickle,
    by_oldest_pickle,
    by_cloudpickle,
    by_deepcopy,
    by_joblib,
    by_compressed_joblib,
    by_memory_map,
    by_skops,
    by_skops_of_a_memory_map,
]
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
    "embedding": (RNNClassifier, {"embedding_dim": 3}),
    "stream": (RNNRegressor, {"stateful": True, "return_sequences": True, "truncation_length": 4, "truncation_stride": 2}),
    "diverged": (RNNClassifier, {}),
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
    return copy.deepcopy(fit_once(variant))


@cache
def fit_once(variant):
    Estimator, parameters = VARIANTS[variant]
    X, y = make_data()
    y = TARGETS.get(variant, np.asarray)(y)
    estimator = new(Estimator, **copy.deepcopy(parameters))
    if variant == "stream":
        X, y = np.random.default_rng(0).normal(size=(4, 7, 2)), np.arange(28.0).reshape(4, 7) % 3
        return estimator.partial_fit(X, y), X, y
    if variant == "embedding":
        X = [np.arange(T) % 4 for T in LENGTHS]
    estimator.fit(X, y)
    if variant == "diverged":
        with pytest.warns(ConvergenceWarning, match="became non-finite"):
            estimator.set_params(learning_rate_init=1e300).partial_fit(X, y)
        estimator.set_params(learning_rate_init=1e-3)
    return estimator, X, y


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
    assert_array_equal(loaded._theta, clone(estimator).fit(X, y)._theta)


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


@pytest.mark.parametrize("mmap_mode", ["r", "c", "r+"])
@each_variant
def test_training_never_writes_to_a_memory_mapped_file(mmap_mode, variant, tmp_path):
    estimator, X, y = make_fitted(variant)
    joblib.dump(estimator, tmp_path / "estimator")
    content = (tmp_path / "estimator").read_bytes()
    for estimator in (joblib.load(tmp_path / "estimator", mmap_mode=mmap_mode) for _ in range(2)):
        estimator.set_params(early_stopping=False).partial_fit(X, y).partial_fit(X, y)
        estimator.set_params(warm_start=True).fit(X, y)
        assert (tmp_path / "estimator").read_bytes() == content


def test_another_process_goes_on_with_the_same_bits(tmp_path):
    fitted = {variant: make_fitted(variant) for variant in VARIANTS}
    (tmp_path / "fitted").write_bytes(pickle.dumps(fitted))
    script = """
import pickle, sys
fitted = pickle.load(open(sys.argv[1], "rb"))
for estimator, X, y in fitted.values():
    estimator.set_params(early_stopping=False).partial_fit(X, y)
pickle.dump([estimator for estimator, _, _ in fitted.values()], open(sys.argv[1], "wb"))
"""
    root = Path(skrnn.__file__).parents[1]
    subprocess.run([sys.executable, "-c", script, tmp_path / "fitted"], check=True, cwd=root)
    for (estimator, X, y), other in zip(fitted.values(), pickle.loads((tmp_path / "fitted").read_bytes()), strict=True):
        estimator.set_params(early_stopping=False).partial_fit(X, y)
        assert_array_equal(other._theta, estimator._theta)
        assert_same(other.predict(X), estimator.predict(X))


@pytest.mark.parametrize("way", [by_pickle, by_cloudpickle, by_deepcopy, by_memory_map])  # skops asks for their names
def test_callbacks_are_kept(way, tmp_path):
    if not hasattr(RNNClassifier, "set_callbacks"):
        pytest.skip("scikit-learn before 1.9 has no callbacks")
    X, y = make_data()
    estimator = new(RNNClassifier).set_callbacks(CountsEpochs()).fit(X, y)
    loaded = way(estimator, tmp_path / "estimator").fit(X, y)
    assert_array_equal(loaded._theta, estimator._theta)
    assert CountsEpochs.n_epochs == 6
    CountsEpochs.n_epochs = 0


class CountsEpochs:
    n_epochs = 0

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):  # noqa: ARG002  # scikit-learn passes it by name
        CountsEpochs.n_epochs += context.task_name == "epoch"


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "dtype instance"])  # that one is the user's
def test_skops_needs_to_trust_the_class_of_the_estimator_alone(variant):
    io = pytest.importorskip("skops.io")
    estimator, X, _ = make_fitted(variant)
    name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    data = io.dumps(estimator)
    assert io.get_untrusted_types(data=data) == [name]
    assert_same(io.loads(data, trusted=[name]).predict(X), estimator.predict(X))


def test_skops_needs_the_names_of_what_is_ours_in_a_pipeline():
    io = pytest.importorskip("skops.io")
    X, y = make_data()
    pipeline = make_pipeline(PerStep(StandardScaler()), new(RNNClassifier)).fit(X, y)
    assert io.get_untrusted_types(data=io.dumps(pipeline)) == [
        "skrnn._classifier.RNNClassifier",
        "skrnn.preprocessing._per_step.PerStep",
    ]


@each_variant
def test_a_clone_is_unfitted_and_trains_alike(variant):
    estimator, X, y = make_fitted(variant)
    copied = clone(estimator)
    assert vars(copied).keys() == copied.get_params().keys()
    with pytest.raises(NotFittedError):
        copied.predict(X)
    if isinstance(estimator.random_state, int):
        assert_array_equal(copied.fit(X, y)._theta, copy.deepcopy(estimator).fit(X, y)._theta)


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


def test_the_older_format_is_not_read():
    # under this number, theta was laid out in two ways
    with pytest.raises(ValueError, match=r"RNNRegressor was saved by skrnn .*, in another, older format .* save it again\."):
        pickle.loads((PICKLES / "0.1.0.dev0-format1" / "regressor.pickle").read_bytes())


@pytest.mark.parametrize(
    "state", [None, [], {}, {"_skrnn_version": "0.1.0"}, {"_skrnn_version": "0.1.0", "_skrnn_format": "2"}]
)
def test_a_state_without_version_or_format_is_not_read(state):
    with pytest.raises(ValueError, match=r"This RNNRegressor can't be read: the version and the format .* are missing\."):
        RNNRegressor().__setstate__(state)


def test_a_parameter_that_came_after_the_file_has_its_default():
    X, y = make_data()
    estimator = new(RNNClassifier).fit(X, y)
    state = estimator.__getstate__()
    del state["n_jobs"], state["clip_norm"]
    loaded = RNNClassifier(n_jobs=3, clip_norm=7.0)
    loaded.__setstate__(state)
    assert loaded.n_jobs is None
    assert loaded.clip_norm == 1.0
    assert_same(loaded.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("way", ["pickle", "joblib", "compressed", "memory map", "skops"])
def test_a_truncated_file_is_an_error(way, tmp_path):
    path, io = tmp_path / "estimator", pytest.importorskip("skops.io")
    estimator = new(RNNRegressor).fit(*make_data())
    if way == "skops":
        io.dump(estimator, path)
    else:
        joblib.dump(estimator, path, compress=3 if way == "compressed" else 0)
    load = {
        "pickle": lambda: pickle.loads(path.read_bytes()),
        "memory map": lambda: joblib.load(path, mmap_mode="r"),
        "skops": lambda: io.load(path, trusted=["skrnn._regressor.RNNRegressor"]),
    }.get(way, lambda: joblib.load(path))
    if way == "pickle":
        path.write_bytes(pickle.dumps(estimator))
    content = path.read_bytes()
    n_unneeded = 8 if way == "compressed" else 1  # its end is a checksum, which joblib does not read
    for size in np.linspace(0, len(content) - n_unneeded, 40, dtype=int):
        path.write_bytes(content[:size])
        with pytest.raises(Exception):  # noqa: B017, PT011  # each loader has its own, and none returns an estimator
            load()


PICKLES = Path(__file__).with_name("pickles")
KEPT = sorted(path for path in PICKLES.glob("*/*.*") if path.suffix != ".npz" and "format1" not in path.parent.name)


def load_kept(path, **options):
    if path.suffix == ".pickle":
        return pickle.loads(path.read_bytes())
    if path.suffix == ".joblib":
        return joblib.load(path, **options)
    io = pytest.importorskip("skops.io")
    return io.load(path, trusted=[f"skrnn._{path.stem}.RNN{path.stem.capitalize()}"])


def test_something_is_kept_of_this_format():
    assert {path.name for path in KEPT if path.parent.name.endswith(f"format{STATE_FORMAT}")} == {
        f"{kind}.{way}" for kind in ("classifier", "regressor") for way in ("pickle", "joblib", "skops")
    }


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.relative_to(PICKLES).as_posix())
def test_what_earlier_versions_saved_predicts_as_then_and_goes_on(path):
    with np.load(path.with_name("expected.npz")) as expected:
        X, y, before, after = (expected[name] for name in ("X", *(f"{path.stem}_{what}" for what in ("y", "before", "after"))))
    estimator = load_kept(path)
    predict = estimator.predict_proba if path.stem == "classifier" else estimator.predict
    assert_allclose(predict(X), before, rtol=1e-5 if before.dtype == np.float32 else 1e-10)
    estimator.partial_fit(X, y)
    assert_allclose(predict(X), after, rtol=1e-5 if before.dtype == np.float32 else 1e-10)
    assert not np.allclose(before, after, rtol=1e-4)


@pytest.mark.parametrize("path", [path for path in KEPT if path.suffix == ".joblib"], ids=lambda path: path.name)
def test_what_earlier_versions_saved_can_be_memory_mapped(path):
    estimator, mapped = load_kept(path), load_kept(path, mmap_mode="r")
    assert isinstance(mapped._theta, np.memmap)
    assert_array_equal(mapped._theta, estimator._theta)


def test_a_file_from_before_a_curve_was_kept_has_nan_for_it():
    X, y = np.random.default_rng(0).normal(size=(12, 5, 2)), np.arange(12.0)
    state = new(RNNRegressor).fit(X, y).__getstate__()
    del state["clip_fraction_curve_"]
    older = RNNRegressor.__new__(RNNRegressor)
    older.__setstate__(state)
    assert_array_equal(older.clip_fraction_curve_, [np.nan] * older.n_iter_)
    assert older.partial_fit(X, y).clip_fraction_curve_[-1] >= 0
