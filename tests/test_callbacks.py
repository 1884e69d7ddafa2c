"""scikit-learn's callbacks (1.9 and later): what they see of training, and that they change nothing but its end."""

import copy
import importlib.util
import pickle
import signal
import sys
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from skrnn import RNNClassifier, RNNRegressor, _callbacks
from skrnn._optim.solvers import SOLVERS
from skrnn.metrics import make_step_scorer
from skrnn.preprocessing import PerStep

pytestmark = pytest.mark.filterwarnings("ignore:(Maximum iterations|L-BFGS did not):sklearn.exceptions.ConvergenceWarning")
needs_callbacks = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"), reason="scikit-learn has callbacks from 1.9 on"
)

RNG = np.random.default_rng(0)
Y = np.arange(40) % 3
X = RNG.normal(Y[:, None, None] - 1, 0.5, (40, 5, 2))
WEIGHT = RNG.uniform(0.5, 2, 40)
NEVER = -1

#: name -> (estimator, its parameters, what to fit)
VARIANTS = {
    **{solver: (RNNClassifier, {"solver": solver}, (X, Y)) for solver in [*SOLVERS, "lbfgs"]},
    "early stopping": (RNNClassifier, {"early_stopping": True, "validation_fraction": 0.25}, (X, Y)),
    "regressor": (RNNRegressor, {"learning_rate": "cosine", "cell": "lstm"}, (X, X[:, -1])),
    "adaptive": (RNNRegressor, {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0}, (X, X[:, -1, 0])),
    "ragged": (RNNClassifier, {"batch_size": 7}, ([x[: 1 + i % 5] for i, x in enumerate(X)], Y == 1)),
    "dropout": (RNNClassifier, {"dropout": 0.2, "recurrent_dropout": 0.1}, (X, Y)),
    "tokens": (RNNClassifier, {"embedding_dim": 3}, ((X[..., 0] > 0).astype(int), Y)),
    "every step": (RNNClassifier, {"return_sequences": True, "truncation_length": 2}, (X, X[..., 0] > 0)),
    "seeded": (RNNClassifier, {"random_state": 7, "stateful": True}, (X, np.array(["a", "b", "c"])[Y])),
}
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def new(Estimator=RNNClassifier, **parameters):
    return Estimator(
        **{
            "hidden_layer_sizes": 4,
            "max_iter": 6,
            "batch_size": 10,
            "learning_rate": "constant",
            "learning_rate_init": 0.01,
            "random_state": 0,
            **parameters,
        }
    )


def of_variant(variant, **parameters):
    Estimator, own, data = VARIANTS[variant]
    return new(Estimator, **own, **parameters), data


class Recorder:
    """Writes down which hooks are called, keeps what they are given, and asks to stop at the end of one of the epochs."""

    def __init__(self, stop_at=NEVER):
        self.stop_at, self.calls, self.begun, self.ended = stop_at, [], [], []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.calls.append(("begin", context.task_name, context.task_id, context.max_subtasks))
        self.begun.append((X, y, metadata, fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.calls.append(("end", context.task_name, context.task_id, context.max_subtasks))
        self.ended.append((X, y, metadata, fitted_estimator))
        return context.task_name == "epoch" and context.task_id == self.stop_at

    @property
    def snapshots(self):
        """What the estimator was after each epoch, and after ``fit``."""
        return [fitted_estimator for *_, fitted_estimator in self.ended]


class Listener(Recorder):
    """Is propagated to all that is nested, and asks for nothing."""

    max_propagation_depth = None

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(("begin", context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.calls.append(("end", context.estimator_name, context.task_name))


def tree(n_epochs, max_iter=6):
    """All calls of a fit."""
    epochs = [(hook, "epoch", i, 0) for i in range(n_epochs) for hook in ("begin", "end")]
    return ["setup", ("begin", "fit", 0, max_iter), *epochs, ("end", "fit", 0, max_iter), "teardown"]


def fitted_state(estimator):
    """All that fit sets."""
    names = {"_theta", "_architecture", "_training_state", "_stream"}
    return {name: value for name, value in vars(estimator).items() if name in names or name.endswith("_")}


def assert_same(one, other):
    """Compare nested dicts, lists and arrays bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), [other[name] for name in one]
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert_array_equal(one, other)


# ---------------------------------------------------------------- tasks


@needs_callbacks
@each_variant
def test_epochs_are_the_leaves(variant):
    recorder = Recorder()
    estimator, data = of_variant(variant)
    estimator.set_callbacks(recorder).fit(*data)
    assert recorder.calls == tree(estimator.n_iter_)
    assert "_callback_fit_ctx" not in vars(estimator)


@needs_callbacks
def test_a_warm_start_has_epochs_of_its_own():
    recorder = Recorder()
    estimator = new(warm_start=True).set_callbacks(recorder).fit(X, Y).set_params(max_iter=2).fit(X, Y)
    assert recorder.calls == tree(6) + tree(2, max_iter=2)
    assert estimator.n_iter_ == 8


@needs_callbacks
@pytest.mark.parametrize("stateful", [False, True])
def test_partial_fit_is_one_epoch(stateful):
    recorder, expected = Recorder(), new(stateful=stateful)
    estimator = new(stateful=stateful).set_callbacks(recorder)
    for _ in range(2):
        estimator.partial_fit(X, Y, classes=[0, 1, 2])
        expected.partial_fit(X, Y, classes=[0, 1, 2])
        assert_same(fitted_state(recorder.snapshots[-1]), fitted_state(expected))
        assert_same(fitted_state(recorder.snapshots[-2]), fitted_state(expected))
    assert recorder.calls == 2 * tree(1, max_iter=1)
    assert_same(fitted_state(estimator), fitted_state(expected))


@needs_callbacks
@pytest.mark.filterwarnings("ignore:. is not scaled")
def test_an_epoch_that_diverges_is_ended():
    recorder = Recorder()
    huge = {"solver": "sgd", "cell": "rnn", "activation": "relu", "learning_rate_init": 1e3, "clip_norm": None}
    estimator = new(RNNRegressor, **huge).set_callbacks(recorder)
    with pytest.warns(ConvergenceWarning, match="became non-finite"):
        estimator.fit(X, 1e6 * X[:, -1, 0])
    assert recorder.calls == tree(estimator.n_iter_ + 1)
    assert_same(fitted_state(recorder.snapshots[-2]), fitted_state(estimator))


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_ends_the_tasks(solver):
    class Interrupting(Recorder):
        def on_fit_task_begin(self, estimator, context):
            self.calls.append(("begin", context.task_name, context.task_id, context.max_subtasks))
            if context.task_id == 2:
                signal.raise_signal(signal.SIGINT)

    recorder = Interrupting()
    estimator = new(solver=solver).set_callbacks(recorder)
    with pytest.warns(ConvergenceWarning, match="interrupted by the user"):
        estimator.fit(X, Y)
    assert recorder.calls == tree(3)
    assert estimator.n_iter_ == (2 if solver == "adam" else 3)


@needs_callbacks
def test_an_iteration_that_finds_nothing_better_is_ended():
    recorder = Recorder()
    estimator = new(solver="lbfgs", tol=1e10).set_callbacks(recorder).fit(X, Y)
    assert recorder.calls == tree(1)
    assert estimator.n_iter_ == 0
    assert_same(fitted_state(recorder.snapshots[0]), fitted_state(estimator))


# ---------------------------------------------------------------- a stop


@needs_callbacks
@each_variant
@pytest.mark.parametrize("stop_at", [0, 2])
def test_a_snapshot_is_what_a_stop_there_leaves(variant, stop_at):
    throughout, stopping = Recorder(), Recorder(stop_at)
    estimator, data = of_variant(variant)
    estimator.set_callbacks(throughout).fit(*data)
    stopped, _ = of_variant(variant)
    with warnings.catch_warnings(action="error"):  # a stop is nothing to warn about
        stopped.set_callbacks(stopping).fit(*data)
    assert stopping.calls == tree(stop_at + 1)
    assert stopped.n_iter_ == stop_at + 1
    for snapshot in (throughout.snapshots[stop_at], stopping.snapshots[stop_at], stopping.snapshots[-1]):
        assert_same(fitted_state(snapshot), fitted_state(stopped))
    before_next = throughout.begun[stop_at + 2][-1]  # that of fit comes first
    assert_array_equal(before_next._theta, stopped._theta)
    assert_array_equal(before_next.predict(data[0]), stopped.predict(data[0]))


@needs_callbacks
def test_a_stop_after_the_last_epoch_is_a_stop():
    with warnings.catch_warnings(action="error"):
        assert new().set_callbacks(Recorder(stop_at=5)).fit(X, Y).n_iter_ == 6


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_goes_on_from_a_snapshot(solver):
    recorder = Recorder()
    whole = new(solver=solver, warm_start=True).set_callbacks(recorder).fit(X, Y)
    half = recorder.snapshots[2].set_callbacks().set_params(max_iter=3)
    assert_same(fitted_state(half.fit(X, Y)), fitted_state(whole))


# ---------------------------------------------------------------- copies


class Vandal(Recorder):
    """Spoils the snapshots it is given."""

    def spoil(self, snapshot):
        snapshot._theta.fill(np.nan)
        for attribute in fitted_state(snapshot).values():
            if isinstance(attribute, list):
                attribute.clear()
            elif isinstance(attribute, np.ndarray):
                attribute[:] = attribute[0]
        for value in (snapshot._training_state["solver_state"] or {}).values():
            if isinstance(value, np.ndarray):
                value.fill(np.nan)
        snapshot.random_state.uniform()

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.spoil(fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.spoil(fitted_estimator)


@needs_callbacks
@each_variant
def test_results_are_the_same_with_and_without_callbacks(variant):
    results = []
    for callbacks in ([], [Recorder()], [Vandal(), Recorder()]):
        estimator, data = of_variant(variant)
        estimator.set_params(random_state=np.random.RandomState(3)).set_callbacks(*callbacks)
        results.append(fitted_state(estimator.fit(*data)))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@needs_callbacks
def test_a_callback_changes_nothing_through_the_estimator_itself():
    class Meddler(Listener):
        def on_fit_task_end(self, estimator, context):
            if context.task_id == 1:
                estimator._theta.fill(np.nan)

    expected = new(warm_start=True).fit(X, Y).fit(X, Y)
    estimator = new(warm_start=True).fit(X, Y).set_callbacks(Meddler()).fit(X, Y)
    assert_array_equal(estimator._theta, expected._theta)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("listens", [False, pytest.param(True, marks=needs_callbacks)])
def test_nothing_is_copied_unless_somebody_asks(early_stopping, listens, monkeypatch):
    def fail(*_):
        raise AssertionError

    monkeypatch.setattr("skrnn._base.deepcopy", fail)
    monkeypatch.setattr("skrnn._callbacks._safe_indexing", fail)
    estimator = new(early_stopping=early_stopping)
    if listens:
        estimator.set_callbacks(Listener())
    else:
        monkeypatch.setattr("skrnn._base.with_epochs", fail)
    estimator.fit(X, Y)


# ---------------------------------------------------------------- what hooks are given


@needs_callbacks
def test_hooks_are_given_what_fit_was_given():
    recorder = Recorder()
    labels = np.array(["a", "b", "c"])[Y]
    new(class_weight={"a": 2}).set_callbacks(recorder).fit(X, labels, sample_weight=WEIGHT)
    for given_X, given_y, metadata, _ in recorder.begun + recorder.ended:
        assert given_X is X
        assert given_y is labels
        assert metadata == {"sample_weight": WEIGHT}


FORMS = {
    "3-D": lambda: X,
    "list": lambda: list(X),
    "2-D": lambda: X.reshape(40, -1),
    "pandas": lambda: pytest.importorskip("pandas").DataFrame(X.reshape(40, -1)),
    "polars": lambda: pytest.importorskip("polars").DataFrame(X.reshape(40, -1)),
}


@needs_callbacks
@pytest.mark.parametrize("form", FORMS)
def test_with_early_stopping_epochs_are_given_the_share_they_train_on(form):
    recorder = Recorder()
    data, numbers = FORMS[form](), np.arange(40.0)
    estimator = new(RNNRegressor, n_features_per_step=2, early_stopping=True, validation_fraction=0.25)
    estimator.set_callbacks(recorder).fit(data, numbers, sample_weight=list(1 + numbers))
    *epochs, (whole, *_) = recorder.ended
    assert whole is data
    for share, y, metadata, fitted_estimator in epochs + recorder.begun[1:]:
        assert type(share) is type(data)
        assert len(share) == len(y) == 30
        index = y.astype(int)
        assert_array_equal(np.asarray(share), np.asarray(data)[index])
        assert_array_equal(metadata["sample_weight"], 1 + y)
        assert_array_equal(fitted_estimator.predict(share), fitted_estimator.predict(data)[index])


# ---------------------------------------------------------------- failures


class Failing(Listener):
    def __init__(self, hook):
        super().__init__()
        self.hook = hook

    def fail(self, hook):
        if hook == self.hook:
            raise ZeroDivisionError

    def setup(self, estimator, context):
        super().setup(estimator, context)
        self.fail("setup")

    def teardown(self, estimator, context):
        super().teardown(estimator, context)
        self.fail("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.fail(f"begin of {context.task_name}")

    def on_fit_task_end(self, estimator, context):
        self.fail(f"end of {context.task_name}")


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("hook", ["setup", "begin of fit", "begin of epoch", "end of epoch", "end of fit", "teardown"])
def test_a_callback_that_raises_leaves_the_estimator_as_it_was(solver, fitted, hook):
    failing = Failing(hook)
    estimator = new(solver=solver)
    if fitted:
        estimator.fit(X[:, :, :1], Y == 1)
    estimator.set_callbacks(failing)
    before = copy.deepcopy(fitted_state(estimator)), set(vars(estimator))
    with pytest.raises(ZeroDivisionError):
        estimator.fit(X, Y)
    assert failing.calls == ["setup", "teardown"]
    assert_same(fitted_state(estimator), before[0])
    assert set(vars(estimator)) == before[1]
    assert estimator.set_callbacks().fit(X, Y).n_iter_ == 6


@needs_callbacks
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_error_in_training_tears_callbacks_down(method, monkeypatch):
    def fail(*_):
        raise MemoryError

    recorder = Recorder()
    estimator = new().fit(X, Y).set_callbacks(recorder)
    before = copy.deepcopy(fitted_state(estimator)), set(vars(estimator))
    monkeypatch.setattr(SOLVERS["adam"], "step", fail)
    with pytest.raises(MemoryError):
        getattr(estimator, method)(X, Y)
    assert recorder.calls[-1] == "teardown"
    assert_same(fitted_state(estimator), before[0])
    assert set(vars(estimator)) == before[1]


@needs_callbacks
def test_invalid_data_are_refused_before_anything_is_set_up():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        new().set_callbacks(recorder).fit(X, np.full(40, np.nan))
    assert recorder.calls == []


# ---------------------------------------------------------------- scikit-learn's own


@needs_callbacks
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["no weights", "weights"])
def test_the_scoring_monitor_scores_every_epoch(weight):
    from sklearn.callback import ScoringMonitor

    monitor, recorder = ScoringMonitor(scoring=["accuracy", "neg_log_loss"]), Recorder()
    new().set_callbacks(monitor, recorder).fit(X, Y, sample_weight=weight)
    log = monitor.get_logs().data
    epochs = [row["accuracy"] for row in log if row["task_name"] == "epoch"]
    assert epochs == [snapshot.score(X, Y, weight) for snapshot in recorder.snapshots[:-1]]
    assert [row["accuracy"] for row in log if row["task_name"] == "fit"] == epochs[-1:]


@needs_callbacks
def test_the_scoring_monitor_scores_every_step():
    from sklearn.callback import ScoringMonitor

    monitor, recorder = ScoringMonitor(scoring={"accuracy": make_step_scorer("accuracy")}), Recorder()
    estimator, data = of_variant("every step")
    estimator.set_callbacks(monitor, recorder).fit(*data)
    scores = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert scores == [snapshot.score(*data) for snapshot in recorder.snapshots[:-1]]


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_scoring_monitor_in_a_search_over_a_pipeline(n_jobs, solver):
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(PerStep(StandardScaler()), new(solver=solver, max_iter=3).set_callbacks(monitor))
    search = GridSearchCV(pipeline, {"rnnclassifier__alpha": [0.0, 0.1]}, cv=2, n_jobs=n_jobs, error_score="raise")
    search.fit(X, Y)
    log = monitor.get_logs()
    assert log.estimator_name == "GridSearchCV"
    assert len([row for row in log.data if row["task_name"] == "epoch"]) == (2 * 2 + 1) * 3
    last = [row for row in log.data if row["task_name"] == "fit" and row["task_id_path"][:2] == (0, 1)]
    assert [row["accuracy"] for row in last] == [search.score(X, Y)]
    without = clone(search).set_params(estimator=make_pipeline(PerStep(StandardScaler()), new(solver=solver, max_iter=3)))
    assert_array_equal(without.fit(X, Y).cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_progress_bar_in_a_search_over_a_pipeline(n_jobs, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    pipeline = make_pipeline(PerStep(StandardScaler()), new(max_iter=3))
    search = GridSearchCV(pipeline, {"rnnclassifier__alpha": [0.0, 0.1]}, cv=2, n_jobs=n_jobs, error_score="raise")
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    for estimator in (new(), new(solver="lbfgs"), pipeline):
        estimator.set_callbacks(ProgressBar()).fit(X, Y)
    shown = capsys.readouterr().out
    assert "100%" in shown
    assert "RNNClassifier - fit" in shown


# ---------------------------------------------------------------- inside meta-estimators


@needs_callbacks
def test_callbacks_are_propagated_through_a_pipeline():
    listener = Listener()
    make_pipeline(PerStep(StandardScaler()), new(max_iter=1)).set_callbacks(listener).fit(X, Y)
    assert listener.calls == [
        "setup",
        ("begin", "Pipeline", "fit"),
        ("begin", "PerStep", "fit"),
        ("begin", "StandardScaler", "fit"),
        ("end", "StandardScaler", "fit"),
        ("end", "PerStep", "fit"),
        ("begin", "RNNClassifier", "fit"),
        ("begin", "RNNClassifier", "epoch"),
        ("end", "RNNClassifier", "epoch"),
        ("end", "RNNClassifier", "fit"),
        ("end", "Pipeline", "fit"),
        "teardown",
    ]


@needs_callbacks
def test_a_transformer_of_steps_tells_of_its_fit():
    recorder = Recorder()
    scaler = PerStep(StandardScaler()).set_callbacks(recorder).fit(X)
    task = ("fit-transformer", 0, 0)
    assert recorder.calls == [
        "setup",
        ("begin", "fit", 0, 1),
        ("begin", *task),
        ("end", *task),
        ("end", "fit", 0, 1),
        "teardown",
    ]
    assert_allclose(scaler.transform(X).mean(axis=(0, 1)), 0, atol=1e-12)
    with pytest.raises(ZeroDivisionError):
        scaler.set_callbacks(Failing("end of fit")).fit(X)
    assert "_callback_fit_ctx" not in vars(scaler)


@needs_callbacks
def test_clones_and_pickles_keep_their_callbacks():
    recorder = Recorder()
    estimator = new().set_callbacks(recorder)
    clone(estimator).fit(X, Y)
    assert recorder.calls == tree(6)
    loaded = pickle.loads(pickle.dumps(estimator.fit(X, Y)))
    assert_array_equal(loaded.predict(X), estimator.predict(X))


# ---------------------------------------------------------------- older scikit-learn


def test_without_scikit_learns_callbacks_nothing_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)  # raises ImportError
    spec = importlib.util.spec_from_file_location("_without_callbacks", _callbacks.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert vars(module.CallbackSupportMixin()) == {}
    assert not hasattr(module.CallbackSupportMixin, "set_callbacks")
    assert not module.has_callbacks(module.CallbackSupportMixin())
    assert module.with_callbacks(len) is len
    epochs = module.Epochs()
    epochs.begin(None)
    assert epochs.end(None) is False


def test_the_estimators_have_callbacks_where_scikit_learn_has_them():
    for cls in (RNNClassifier, RNNRegressor, PerStep):
        assert hasattr(cls, "set_callbacks") == hasattr(GridSearchCV, "set_callbacks")
