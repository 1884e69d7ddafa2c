"""Ctrl-C and errors at any line of a call: what is left is that of a complete step, or the estimator as it was before.

``SKRNN_TESTS_N_LINES=300`` tries so many of the lines that each call executes, evenly spaced, rather than a few.
"""

import copy
import itertools
import math
import os
import pickle
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController, threadpool_limits

import skrnn
from skrnn import RNNClassifier, RNNRegressor, _training
from skrnn._callbacks import CallbackSupportMixin
from skrnn._network import Network
from skrnn._optim.solvers import Solver
from skrnn._runtime import deferred_interrupt

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
PACKAGE = str(Path(skrnn.__file__).parent)
#: lines of each call at which something is tried
N_POINTS = int(os.environ.get("SKRNN_TESTS_N_LINES", "25"))
BLAS = ThreadpoolController().select(user_api="blas")


def make_data(every_step=False, n=12):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6, 2))
    return X, (X[:, :, 0] > 0).astype(int) if every_step else np.arange(n) % 2


def new(Estimator, **parameters):
    defaults = {
        "hidden_layer_sizes": 3,
        "max_iter": 2,
        "batch_size": 6,
        "learning_rate": "constant",
        "learning_rate_init": 0.05,
    }
    return Estimator(**{**defaults, "random_state": 0, **parameters})


class Listener:
    """A callback that looks at what is left after each epoch."""

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None): ...


#: name -> parameters, method, whether a first fit is made before; with a target at every step where they are truncated
CALLS = {
    "fit": ({}, "fit", False),
    "fit again": ({"warm_start": True}, "fit", True),
    "truncated fit": ({"truncation_length": 3, "truncation_stride": 2, "return_sequences": True}, "fit", False),
    "fit with dropout, two layers": ({"hidden_layer_sizes": (3, 2), "dropout": 0.3, "recurrent_dropout": 0.2}, "fit", False),
    "fit in threads": ({"n_jobs": 2}, "fit", False),
    "fit with early stopping": ({"early_stopping": True, "validation_fraction": 0.3, "batch_size": 4}, "fit", False),
    "fit by L-BFGS": ({"solver": "lbfgs"}, "fit", False),
    "fit with callbacks": ({"callbacks": True}, "fit", False),
    "first partial_fit": ({}, "partial_fit", False),
    "partial_fit": ({"solver": "rmsprop"}, "partial_fit", True),
    "partial_fit of a stream": (
        {"truncation_length": 3, "truncation_stride": 2, "return_sequences": True, "stateful": True, "solver": "sgd"},
        "partial_fit",
        True,
    ),
}
each_call = pytest.mark.parametrize("name", CALLS)


def arrange(Estimator, name):
    """An estimator, and a call of its method that is to be disturbed."""
    parameters, method, is_fitted = CALLS[name]
    parameters = dict(parameters)
    has_callbacks = parameters.pop("callbacks", False)
    if has_callbacks and not hasattr(CallbackSupportMixin, "set_callbacks"):
        pytest.skip("scikit-learn has no callbacks before 1.9")
    X, y = make_data(parameters.get("return_sequences", False))
    options = {"classes": [0, 1]} if (method, Estimator) == ("partial_fit", RNNClassifier) else {}
    estimator = new(Estimator, **parameters)
    if has_callbacks:
        estimator.set_callbacks(Listener())
    if is_fitted:
        quietly(getattr(estimator, method), X, y, **options)
    return estimator, lambda estimator: quietly(getattr(estimator, method), X, y, **options)


def quietly(function, *arguments, **options):
    """Call it, and return what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        function(*arguments, **options)
    return [str(warning.message) for warning in caught]


def at_line(number, act, call):
    """Run ``call()`` and ``act()`` just before the given line of the package that it executes; return how many there were."""
    n_lines = 0

    def trace(frame, event, _argument):
        nonlocal n_lines
        name = frame.f_code.co_filename
        # tracing also raises where "with" is about to release a lock, which no signal and no allocation does
        if not name.startswith(PACKAGE) or (act is not ctrl_c and name.endswith("_runtime.py")):
            return None
        if event == "line":
            n_lines += 1
            if n_lines == number:
                act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return n_lines


def lines_of(estimator, call, act):
    """Numbers of the lines to try."""
    first = copy.deepcopy(estimator)
    call(copy.deepcopy(estimator))  # caches are filled
    n_lines = at_line(0, act, lambda: call(first))
    return np.unique(np.linspace(1, n_lines, N_POINTS).astype(int)).tolist()


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def bytes_of(value):
    return pickle.dumps(value)


def what_training_left(estimator, with_weights=True):
    """Weights, solver state and curves, as bytes."""
    state = estimator._training_state
    solver_state = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in (state["solver_state"] or {}).items()}
    counts = estimator.n_iter_, estimator.t_, state["n_updates"], [float(loss) for loss in estimator.loss_curve_]
    return bytes_of((np.array(estimator._theta) if with_weights else None, sorted(solver_state.items()), counts))


def complete_steps(estimator, call, monkeypatch):
    """What training leaves after each update or iteration of a call that nothing disturbs."""
    left, original = set(), _training._MinibatchTraining.step

    def recording(training, *arguments):
        add(training.left())  # all that comes after an update of a batch has been done before the next one
        return original(training, *arguments)

    def add(run):
        undisturbed.__dict__.update(
            _theta=run.theta.copy(), n_iter_=run.n_iter, t_=run.t, loss_curve_=list(run.loss_curve), _training_state=vars(run)
        )
        left.add(what_training_left(undisturbed))

    undisturbed = copy.deepcopy(estimator)
    if estimator.solver == "lbfgs":
        for max_iter in (1, 2):
            shorter = copy.deepcopy(estimator).set_params(max_iter=max_iter)
            call(shorter)
            shorter.t_ = None  # how many evaluations an iteration has is not told by those before
            left.add(what_training_left(shorter))
        return left
    with monkeypatch.context() as patch:
        patch.setattr(_training._MinibatchTraining, "step", recording)
        call(copy.deepcopy(estimator))
    whole = copy.deepcopy(estimator)
    call(whole)
    return left | {what_training_left(whole)}


def settings():
    """What belongs to the process or the thread."""
    blas = [library.num_threads for library in BLAS.lib_controllers]
    return signal.getsignal(signal.SIGINT), np.geterr(), blas, sys.gettrace()


def assert_usable(estimator, call):
    X, _ = make_data()
    for _ in range(2):
        assert np.isfinite(np.concatenate(estimator.predict(X), axis=None).astype(float)).all()
        call(estimator)


@each_estimator
@each_call
def test_ctrl_c_at_any_line(Estimator, name, monkeypatch, record_property):
    estimator, call = arrange(Estimator, name)
    allowed, outcomes = complete_steps(estimator, call, monkeypatch), Counter()
    expected = copy.deepcopy(estimator)
    call(expected)
    with threadpool_limits(2, user_api="blas"):
        around = settings()
        for number in lines_of(estimator, call, ctrl_c):
            disturbed, messages = copy.deepcopy(estimator), []
            before = bytes_of(disturbed)
            try:
                at_line(number, ctrl_c, lambda: messages.extend(call(disturbed)))  # noqa: B023  # called at once
            except KeyboardInterrupt:
                outcome = "as before" if bytes_of(disturbed) == before else "complete"
            else:
                assert any("interrupted by the user" in message for message in messages), number
                outcome = "a complete step"
            assert settings() == around, number
            outcomes[outcome] += 1
            if outcome == "as before":
                call(disturbed)
                assert what_training_left(disturbed) == what_training_left(expected), number
            elif outcome == "complete":  # the call was over
                assert what_training_left(disturbed) == what_training_left(expected), number
            else:
                if estimator.solver == "lbfgs":
                    assert disturbed.t_ % 12 == 0
                    disturbed.t_ = None
                assert what_training_left(disturbed) in allowed, number
                if estimator.solver == "lbfgs":
                    disturbed.t_ = 0
                assert_usable(disturbed, call)
    assert outcomes["as before"]
    assert bool(outcomes["a complete step"]) == (CALLS[name][1] == "fit")
    record_property("outcomes", dict(outcomes))


@each_estimator
@each_call
def test_an_error_at_any_line(Estimator, name, record_property):
    """As a handler of the user's raises it, or an allocation that fails; threads other than the main one get no Ctrl-C."""
    estimator, call = arrange(Estimator, name)
    expected, outcomes = copy.deepcopy(estimator), Counter()
    call(expected)

    def fail():
        raise error

    for number, error in zip(lines_of(estimator, call, fail), itertools.cycle([KeyboardInterrupt, SystemExit, MemoryError])):
        disturbed, handler = copy.deepcopy(estimator), signal.getsignal(signal.SIGINT)
        before = bytes_of(disturbed)
        try:
            at_line(number, fail, lambda: call(disturbed))  # noqa: B023  # called at once
        except error:
            outcome = "as before" if bytes_of(disturbed) == before else "complete"
        else:  # caught where a thread could not begin, for instance
            outcome = "complete"
        signal.signal(signal.SIGINT, handler)  # which the lines that were left out would have given back
        if outcome == "as before":
            call(disturbed)
        assert what_training_left(disturbed) == what_training_left(expected), number
        outcomes[error.__name__, outcome] += 1
    assert outcomes[MemoryError.__name__, "as before"]
    record_property("outcomes", dict(outcomes))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@each_estimator
@pytest.mark.parametrize("n", [2, 100], ids=["kept buffers", "new buffers"])
def test_prediction_after_one_that_was_disturbed_at_any_line(Estimator, n, error, record_property):
    X, y = make_data()
    estimator = new(Estimator).partial_fit(X, y, **({"classes": [0, 1]} if Estimator is RNNClassifier else {}))
    X = np.resize(X, (n, 6, 2))
    method = estimator.predict if Estimator is RNNRegressor else estimator.predict_proba
    expected, before, outcomes = method(X), bytes_of(estimator), Counter()

    def fail():
        raise error

    for number in lines_of(estimator, lambda _: method(X), fail):
        try:
            at_line(number, fail, lambda: method(X))
        except error:
            outcomes["raised"] += 1
        assert bytes_of(estimator) == before
        assert_array_equal(method(X), expected, err_msg=str(number))
    assert outcomes["raised"] > 10
    record_property("outcomes", dict(outcomes))


# -------------------------------------------------------------------- Ctrl-C, warnings and what is kept


@pytest.fixture
def interrupt(monkeypatch):
    """Make Ctrl-C arrive during the given calls of a method, counted from 1."""

    def arrange(owner, name, *when):
        original, calls = getattr(owner, name), []

        def interrupted(*arguments, **options):
            result = original(*arguments, **options)
            calls.append(None)
            if len(calls) in when:
                signal.raise_signal(signal.SIGINT)
            return result

        monkeypatch.setattr(owner, name, interrupted)

    return arrange


@each_estimator
def test_an_interrupt_keeps_the_last_complete_update_and_warns(Estimator, interrupt):
    X, y = make_data(n=40)
    started = new(Estimator, batch_size=10, warm_start=True, max_iter=1).fit(X, y)
    expected = copy.deepcopy(started)
    interrupt(Solver, "step", 3)  # in the third of four minibatches
    (message,) = quietly(started.fit, X, y)
    assert "interrupted" in message
    assert (started.n_iter_, started.t_, started._training_state["n_updates"]) == (1, 70, 7)
    assert len(started.loss_curve_) == 1
    assert (started._theta != expected._theta).any()
    assert np.isfinite(started._theta).all()
    started.predict(X)
    started.partial_fit(X, y)


@each_estimator
def test_an_interrupted_fit_is_the_fit_that_was_done_until_then(Estimator, interrupt):
    X, y = make_data(n=40)
    expected = new(Estimator, batch_size=40, max_iter=3).fit(X, y)
    interrupt(Solver, "step", 3)
    estimator = new(Estimator, batch_size=40, max_iter=50)
    assert len(quietly(estimator.fit, X, y)) == 1
    assert_array_equal(estimator._theta, expected._theta)


def test_an_interrupt_in_the_first_update_leaves_a_usable_estimator(interrupt):
    X, y = make_data(n=40)
    interrupt(Solver, "step", 1)
    reg = new(RNNRegressor)
    quietly(reg.fit, X, y)
    assert reg.predict(X).shape == (40,)
    assert math.isnan(reg.loss_)
    reg.partial_fit(X, y)
    assert np.isfinite(reg.loss_)


def test_an_interrupt_restores_the_best_weights_of_early_stopping(interrupt):
    X, y = make_data(n=80)
    interrupt(Solver, "step", 30)
    clf = new(RNNClassifier, batch_size=10, early_stopping=True, max_iter=50)
    quietly(clf.fit, X, y)
    shorter = new(RNNClassifier, batch_size=10, early_stopping=True, max_iter=clf.n_iter_)
    quietly(shorter.fit, X, y)
    assert clf.best_validation_score_ == shorter.best_validation_score_
    assert_array_equal(clf._theta, shorter._theta)


@each_estimator
def test_a_second_interrupt_is_raised_and_leaves_the_estimator_as_it_was(Estimator, monkeypatch):
    X, y = make_data(n=40)
    estimator = new(Estimator, warm_start=True).fit(X, y)
    before = copy.deepcopy(estimator)

    def impatient_step(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Solver, "step", impatient_step)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert what_training_left(estimator) == what_training_left(before)


@pytest.mark.parametrize("outcome", ["success", "interrupt", "error"])
@pytest.mark.parametrize(
    "handler", [signal.default_int_handler, lambda *_: None, signal.SIG_IGN], ids=["default", "own", "ignored"]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_handler_of_interrupts_is_given_back(outcome, handler, solver, interrupt, monkeypatch):
    X, y = make_data(n=40)
    if outcome == "interrupt":
        interrupt(Solver if solver == "adam" else Network, "step" if solver == "adam" else "loss_and_gradient", 3)
    if outcome == "error":
        monkeypatch.setattr(_training, "_record", lambda *_: 1 / 0)
    previous = signal.signal(signal.SIGINT, handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                new(RNNRegressor, solver=solver).fit(X, y)
            except ZeroDivisionError:
                assert outcome == "error"  # raised by the test itself
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


@each_estimator
def test_an_interrupt_stops_lbfgs_with_the_last_complete_iteration(Estimator, interrupt):
    X, y = make_data(n=40)
    whole = new(Estimator, solver="lbfgs", max_iter=20)
    quietly(whole.fit, X, y)
    interrupt(Network, "loss_and_gradient", 5)
    estimator = new(Estimator, solver="lbfgs", max_iter=20)
    (message,) = quietly(estimator.fit, X, y)
    assert "interrupted" in message
    assert 0 < estimator.n_iter_ < whole.n_iter_
    assert estimator.loss_curve_ == whole.loss_curve_[: estimator.n_iter_]


@each_estimator
def test_an_interrupt_in_the_last_minibatch_is_not_lost(Estimator, interrupt):
    X, y = make_data(n=40)
    estimator = new(Estimator, batch_size=1000, max_iter=1)
    interrupt(Solver, "step", 1)
    with pytest.warns(ConvergenceWarning, match="interrupted by the user"):
        estimator.fit(X, y)
    assert estimator.n_iter_ == 1


def test_ctrl_c_that_nobody_was_told_of_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        ctrl_c()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_the_first_update_is_raised():
    X, y = make_data()

    def inputs():
        ctrl_c()
        return X

    with pytest.raises(KeyboardInterrupt):
        new(RNNRegressor).fit(type("Lazy", (), {"__array__": lambda *_, **__: inputs()})(), y)
