"""The same answer every time. With an int as ``random_state``, on one machine, bit for bit:

* on refit, after which nothing is shared with the fit before;
* for every backend of joblib (loky, threading, sequential), for every ``n_jobs`` of a search or cross-validation, and for
  every ``n_jobs`` of the estimator (``test_threads`` has the combinations);
* for every number of BLAS threads, set from outside or by the environment, and in a fresh process, whatever its hash seed;
* for every form of the same ``X``, and wherever its numbers lie in memory;
* ``fit`` for E epochs is E calls of ``partial_fit`` and E fits with ``warm_start``, pickled after each of them or not;
* a stream goes on in another process (``test_streams``: however it is cut);
* ``truncation_length >= n_timesteps`` is full backpropagation (``test_truncation``).

And to rounding, 1e-12 in float64 and 1e-5 in float32:

* checkpoints;
* predictions in other company.
"""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from threadpoolctl import threadpool_limits

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS
from skrnn.inspection import loss_gradient

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ["adam", "sgd", "rmsprop", "lbfgs"]
each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def new(Estimator, **parameters):
    """A network whose products are large enough for several BLAS threads, if there were any."""
    return Estimator(**{"hidden_layer_sizes": (40, 8), "max_iter": 3, "random_state": 0, **parameters})


def make_data(dtype=np.float64, n=50):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(T, 3)).astype(dtype) for T in rng.integers(1, 20, n)], np.arange(n) % 3


def make_steps(Estimator, dtype=np.float64, n=50):
    """A target at every step."""
    X, _ = make_data(dtype, n)
    y = [x.cumsum(axis=0)[:, 0] for x in X]
    return X, [(s > 0).astype(int) for s in y] if Estimator is RNNClassifier else y


def assert_same_bits(estimators, X=None):
    """Are all estimators, and what they predict, the same bit for bit?"""
    X = make_data(estimators[0]._theta.dtype)[0] if X is None else X
    for other in estimators[1:]:
        assert_array_equal(other._theta, estimators[0]._theta)
        assert other.loss_curve_ == estimators[0].loss_curve_
        for one, another in zip(other.predict(X), estimators[0].predict(X), strict=True):
            assert_array_equal(one, another)


@each_estimator
@each_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_refit_gives_the_same_bits(Estimator, dtype, cell, solver):
    X, y = make_data(dtype)
    estimator = new(Estimator, cell=cell, solver=solver, bidirectional=True, pooling=("last", "mean", "max"))
    other = clone(estimator).fit(X, y)
    assert_same_bits([other, clone(estimator).fit(X, y), estimator.fit(X, y)])
    first = estimator._theta
    assert_array_equal(estimator.fit(X, y)._theta, first)
    assert not np.shares_memory(estimator._theta, first)


@each_estimator
def test_another_seed_gives_other_bits(Estimator):
    X, y = make_data()
    assert (new(Estimator).fit(X, y)._theta != new(Estimator, random_state=1).fit(X, y)._theta).any()


@each_estimator
@each_dtype
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_every_backend_of_joblib_gives_the_same_bits(Estimator, dtype, solver, backend):
    X, y = make_data(dtype)
    estimator = new(Estimator, solver=solver, early_stopping=True, validation_fraction=0.2)
    fitted = Parallel(n_jobs=2, backend=backend)(delayed(clone(estimator).fit)(X, y) for _ in range(3))
    assert_same_bits([clone(estimator).fit(X, y), *fitted])


@each_estimator
@each_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_every_number_of_blas_threads_gives_the_same_bits(Estimator, dtype, cell):
    X, y = make_data(dtype, n=300)
    estimator = new(Estimator, cell=cell, batch_size=300, max_iter=2, early_stopping=True)
    fitted, predicted = [], []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fitted.append(clone(estimator).fit(X, y))
            predicted.append(fitted[-1].hidden_states(X))
    assert_same_bits(fitted)
    for one, other in zip(*predicted, strict=True):
        assert_array_equal(one, other)


@each_estimator
def test_training_after_pickling_gives_the_same_bits_in_another_process(Estimator):
    X, y = make_data()
    estimator = new(Estimator, batch_size=8).fit(X, y)
    (elsewhere,) = Parallel(n_jobs=2, backend="loky")([delayed(estimator.partial_fit)(X, y)])
    assert_same_bits([estimator.partial_fit(X, y), elsewhere])


@pytest.fixture(params=["loky", "threading"])
def search_backend(request):
    with parallel_config(backend=request.param):
        yield


@pytest.mark.usefixtures("search_backend")
@each_estimator
def test_a_search_gives_the_same_bits_for_every_number_of_jobs(Estimator):
    X, y = make_data()
    X = np.fromiter(X, object)  # cross_val_predict takes arrays alone
    searches = [
        GridSearchCV(new(Estimator, max_iter=2, n_jobs=of_each), {"cell": list(CELLS)}, cv=2, n_jobs=n_jobs).fit(X, y)
        for n_jobs, of_each in ((1, None), (1, 2), (2, None), (-1, 2))
    ]
    assert_same_bits([search.best_estimator_ for search in searches])
    scores = [cross_val_score(new(Estimator), X, y, cv=3, n_jobs=n_jobs) for n_jobs in (1, 2, -1)]
    predictions = [cross_val_predict(new(Estimator), X, y, cv=3, n_jobs=n_jobs) for n_jobs in (1, 2, -1)]
    for search, score, prediction in zip(searches[1:3], scores[1:], predictions[1:], strict=True):
        assert_array_equal(search.cv_results_["mean_test_score"], searches[0].cv_results_["mean_test_score"])
        assert_array_equal(score, scores[0])
        assert_array_equal(prediction, predictions[0])


#: prints the weights and predictions of both estimators, of every cell
IN_A_NEW_PROCESS = """
import json
import warnings
import numpy as np
from skrnn import RNNClassifier, RNNRegressor
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, y = [rng.normal(size=(T, 3)) for T in rng.integers(1, 20, 60)], np.arange(60) % 3
results = []
for Estimator, labels in ((RNNClassifier, np.array(["a", "b", "c"])[y]), (RNNRegressor, y)):
    for cell in ("gru", "lstm", "rnn"):
        model = Estimator(hidden_layer_sizes=(40,), cell=cell, max_iter=2, random_state=0).fit(X, labels)
        results.append([model._theta.tobytes().hex(), model.hidden_states(X[:3])[1].tobytes().hex(), list(model.get_params())])
print(json.dumps(results))
"""


def test_a_fresh_process_gives_the_same_bits_whatever_its_environment():
    environments = [
        {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        {"PYTHONHASHSEED": "12345", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
    ]
    command = [sys.executable, "-c", IN_A_NEW_PROCESS]
    processes = [
        subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        for environment in environments
    ]
    one, other = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert len(one) == 2 * len(CELLS)
    assert one == other


# -------------------------------------------------------------------- X in other forms


def with_offset(A, n_bytes):
    """A copy that begins so many bytes after the beginning of its memory."""
    copied = np.zeros(A.nbytes + n_bytes, np.uint8)[n_bytes:].view(A.dtype).reshape(A.shape)
    copied[...] = A
    return copied


def as_objects(members):
    return np.fromiter(members, object)


def in_a_file(A, path):
    np.save(path / "X.npy", A)
    return np.load(path / "X.npy", mmap_mode="r")


#: of an array (n, T, 2), and a folder
FORMS = {
    "list": lambda A, _: list(A),
    "list of lists": lambda A, _: A.tolist(),
    "object array": lambda A, _: as_objects(A),
    "Fortran order": lambda A, _: np.asfortranarray(A),
    "members in Fortran order": lambda A, _: [np.asfortranarray(a) for a in A],
    "every other column": lambda A, _: np.repeat(A, 2, axis=2)[:, :, ::2],
    "negative strides": lambda A, _: A[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "other byte order": lambda A, _: A.astype(A.dtype.newbyteorder()),
    "an odd offset": lambda A, _: with_offset(A, 1),
    "an offset of one number": lambda A, _: with_offset(A, A.itemsize),
    "members at an odd offset": lambda A, _: [with_offset(a, 3) for a in A],
    "memory map": in_a_file,
    "flattened": lambda A, _: A.reshape(len(A), -1),
    "flattened at an odd offset": lambda A, _: with_offset(A.reshape(len(A), -1), 1),
    "flattened memory map": lambda A, path: in_a_file(A.reshape(len(A), -1), path),
    "frame": lambda A, _: pytest.importorskip("pandas").DataFrame(A.reshape(len(A), -1)),
}


@each_estimator
@each_dtype
@pytest.mark.parametrize("form", FORMS)
def test_the_same_numbers_give_the_same_bits_in_every_form(Estimator, dtype, form, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(12, 6, 2)).astype(dtype), np.arange(12) % 3
    other = FORMS[form](X, tmp_path)
    assert form != "an odd offset" or not other.flags.aligned
    estimator = new(Estimator, n_features_per_step=2, batch_size=5, dtype=dtype)
    expected, fitted = clone(estimator).fit(X, y), clone(estimator).fit(other, y)
    assert_array_equal(fitted._theta, expected._theta)
    assert fitted.loss_curve_ == expected.loss_curve_
    for size in (12, 1):
        assert_array_equal(fitted.predict(other[:size]), expected.predict(X[:size]))
        for one, another in zip(fitted.hidden_states(other[:size]), expected.hidden_states(X[:size]), strict=True):
            assert_array_equal(np.reshape(one, another.shape), another)


# -------------------------------------------------------------------- epoch by epoch

N_EPOCHS = 4
#: besides solver and schedule, what draws random numbers or carries something on
VARIANTS = {
    "equal lengths": {},
    "lstm, two directions": {"cell": "lstm", "bidirectional": True, "pooling": ("last", "mean", "max")},
    "dropout": {"dropout": 0.3},
    "recurrent dropout": {"recurrent_dropout": 0.3, "cell": "rnn"},
    "embedding": {"embedding_dim": 3},
    "class_weight": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
    "truncation": {"truncation_length": 5},
    "checkpoints": {"checkpoint_interval": 4},
    "every step": {"return_sequences": True, "truncation_length": 6, "truncation_stride": 4},
    "clipped": {"clip_norm": 1e-3, "clip_value": 1e-3},
    "in order": {"shuffle": False},
}


def one_epoch(estimator, X, y):
    classes = {"classes": [0, 1, 2]} if isinstance(estimator, RNNClassifier) else {}
    return estimator.partial_fit(X, y, **classes)


def reloaded(estimator):
    return pickle.loads(pickle.dumps(estimator))


def assert_same_training(X, estimator, whole):
    """Are the weights the same, and all that training would go on from?"""
    assert_same_bits([estimator, whole], X)
    assert (estimator.n_iter_, estimator.t_, estimator.clip_fraction_) == (whole.n_iter_, whole.t_, whole.clip_fraction_)
    states = [each._training_state["solver_state"] or {} for each in (estimator, whole)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert_array_equal(value, states[1][name], err_msg=name)
    one, other = (each._training_state["rng_state"]["state"] for each in (estimator, whole))
    assert_array_equal(one["key"], other["key"])
    assert one["pos"] == other["pos"]


@each_estimator
@each_dtype
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive", "cosine"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
def test_fit_is_one_partial_fit_an_epoch(Estimator, dtype, learning_rate, solver):
    X, y = make_data(dtype)
    check_epoch_by_epoch(Estimator, X, y, learning_rate=learning_rate, solver=solver)


@pytest.mark.parametrize(
    ("Estimator", "variant"),
    [
        (Estimator, variant)
        for Estimator in (RNNClassifier, RNNRegressor)
        for variant, parameters in VARIANTS.items()
        if parameters.keys() <= Estimator().get_params().keys()
    ],
)
def test_fit_of_every_kind_is_one_partial_fit_an_epoch(Estimator, variant):
    parameters = VARIANTS[variant]
    X, y = make_steps(Estimator) if variant == "every step" else make_data()
    if variant == "equal lengths":
        X = np.stack([np.resize(x, (5, 3)) for x in X])
    if "embedding_dim" in parameters:
        X = [np.arange(len(x)) % 5 for x in X]
    if variant == "every step" and Estimator is RNNClassifier:
        y[0][:3] = [0, 1, 2]
    check_epoch_by_epoch(Estimator, X, y, **parameters)


def check_epoch_by_epoch(Estimator, X, y, **parameters):
    estimator = new(Estimator, **{"hidden_layer_sizes": (6, 4), "batch_size": 9, "max_iter": N_EPOCHS, **parameters})
    whole, parts, pickled = clone(estimator).fit(X, y), clone(estimator), clone(estimator)
    for _ in range(N_EPOCHS):
        one_epoch(parts, X, y)
        pickled = reloaded(one_epoch(pickled, X, y))
    assert_same_training(X, parts, whole)
    assert_same_training(X, pickled, whole)
    # and on from there
    assert_same_training(X, one_epoch(reloaded(whole), X, y), one_epoch(whole, X, y))


@each_estimator
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_fit_is_so_many_fits_with_a_warm_start(Estimator, solver, learning_rate):
    """But for "cosine", which begins anew with every ``fit``."""
    X, y = make_data()
    estimator = new(Estimator, hidden_layer_sizes=5, batch_size=9, solver=solver, learning_rate=learning_rate)
    whole = clone(estimator).set_params(max_iter=N_EPOCHS).fit(X, y)
    parts = clone(estimator).set_params(max_iter=1, warm_start=True)
    for _ in range(N_EPOCHS):
        parts = reloaded(parts.fit(X, y))
    assert_same_training(X, parts, whole)


@each_estimator
def test_the_rate_that_adaptive_has_lowered_is_pickled_too(Estimator):
    """Only ``fit`` lowers it: ``partial_fit`` does not look at the losses of the calls before."""
    X, y = make_data()
    estimator = new(Estimator, learning_rate="adaptive", tol=1e9, n_iter_no_change=1, max_iter=5).fit(X, y)
    assert estimator._training_state["rate_factor"] < 1
    assert_same_training(X, one_epoch(reloaded(estimator), X, y), one_epoch(estimator, X, y))


# -------------------------------------------------------------------- to rounding


@each_estimator
@each_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("every_step", [False, True])
def test_gradients_with_checkpoints_are_those_without_but_for_rounding(Estimator, dtype, cell, every_step):
    X, y = make_steps(Estimator, dtype) if every_step else make_data(dtype)
    if every_step and Estimator is RNNRegressor:
        y = [target / 10 for target in y]
    estimator = new(Estimator, cell=cell, return_sequences=every_step, max_iter=1, dtype=dtype).fit(X, y)
    expected_loss, expected = loss_gradient(estimator, X, y)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for interval in (1, 4, 7):
        loss, gradient = loss_gradient(estimator.set_params(checkpoint_interval=interval), X, y)
        assert_allclose(loss, expected_loss, rtol=tolerance)
        for name, value in gradient.items():
            assert_allclose(value, expected[name], atol=tolerance * max(1, abs(expected[name]).max()), err_msg=name)


@each_estimator
@each_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "parameters",
    [{}, {"bidirectional": True, "pooling": ("last", "mean", "max")}, {"return_sequences": True}],
    ids=["last", "pooled", "every step"],
)
def test_predictions_do_not_depend_on_the_company_but_for_rounding(Estimator, dtype, cell, parameters):
    n = 140  # more than one chunk
    X, y = make_steps(Estimator, dtype, n) if "return_sequences" in parameters else make_data(dtype, n)
    estimator = new(Estimator, cell=cell, max_iter=1, **parameters).fit(X[:50], y[:50])
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for name in ("predict_proba" if Estimator is RNNClassifier else "predict", "hidden_states"):
        method = getattr(estimator, name)
        expected = list(method(X))
        for size, n_calls in ((1, 10), (7, 3), (n - 1, 2)):
            for start in range(0, min(n, size * n_calls), size):
                members = np.arange(n)[start : start + size][::-1]
                for i, one in zip(members, method([X[i] for i in members]), strict=True):
                    assert_allclose(one, expected[i], rtol=0, atol=tolerance)


# -------------------------------------------------------------------- windows of time

#: how gradients go back
UNROLLING = {
    "full": {},
    "truncated": {"truncation_length": 5},
    "overlapping": {"truncation_length": 8, "truncation_stride": 3},
    "checkpoints": {"checkpoint_interval": 4},
}
each_unrolling = pytest.mark.parametrize("unrolling", UNROLLING.values(), ids=UNROLLING)


@each_estimator
@each_dtype
@each_unrolling
@pytest.mark.parametrize("cell", CELLS)
def test_targets_at_every_step_give_the_same_bits_for_every_number_of_blas_threads(Estimator, dtype, cell, unrolling):
    X, y = make_steps(Estimator, dtype, n=100)
    estimator = new(Estimator, cell=cell, return_sequences=True, batch_size=100, max_iter=2, early_stopping=True, **unrolling)
    fitted = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fitted.append(clone(estimator).fit(X, y))
    assert_same_bits([*fitted, clone(estimator).fit(X, y)])


@each_estimator
@each_unrolling
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_targets_at_every_step_give_the_same_bits_in_every_backend_of_joblib(Estimator, unrolling, backend):
    X, y = make_steps(Estimator)
    estimator = new(Estimator, return_sequences=True, **unrolling)
    fitted = Parallel(n_jobs=2, backend=backend)(delayed(clone(estimator).fit)(X, y) for _ in range(2))
    assert_same_bits([clone(estimator).fit(X, y), *fitted])


@each_estimator
@each_dtype
@each_unrolling
def test_a_stream_gives_the_same_bits_in_another_process(Estimator, dtype, unrolling):
    X = np.random.default_rng(0).normal(size=(20, 24, 3)).astype(dtype)
    y = (X[:, :, 0] > 0).astype(int)
    options = {"classes": [0, 1]} if Estimator is RNNClassifier else {}
    estimator = new(Estimator, return_sequences=True, stateful=True, **unrolling).partial_fit(X[:, :15], y[:, :15], **options)
    (elsewhere,) = Parallel(n_jobs=2, backend="loky")([delayed(estimator.partial_fit)(X[:, 15:], y[:, 15:])])
    assert_same_bits([estimator.partial_fit(X[:, 15:], y[:, 15:]), elsewhere])
    assert_array_equal(elsewhere.state_, estimator.state_)
    again = new(Estimator, return_sequences=True, stateful=True, **unrolling)
    again.partial_fit(X[:, :15], y[:, :15], **options).partial_fit(X[:, 15:], y[:, 15:])
    assert_same_bits([again, estimator])


def test_small_predictions_follow_the_weights_and_the_network():
    """What is kept of a network between calls is not its weights, and nothing of another architecture or precision."""
    X = np.random.default_rng(0).normal(size=(6, 4, 3))
    estimator = new(RNNRegressor, max_iter=1)
    for parameters in ({}, {"cell": "lstm"}, {"hidden_layer_sizes": 5}, {"dtype": "float32"}, {"pooling": "mean"}):
        estimator.set_params(**parameters).fit(X, X[:, 0, 0])
        expected = clone(estimator).fit(X, X[:, 0, 0])
        assert_array_equal(estimator.predict(X), expected.predict(X))
        before = estimator.predict(X)
        estimator.intercepts_["readout.bias"][...] += 1
        np.testing.assert_allclose(estimator.predict(X), before + 1, rtol=1e-5)
        assert_array_equal(estimator.predict(X[:2]), estimator.predict(X[:2].copy()))
