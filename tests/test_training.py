"""What solvers, schedules and clipping do in training, minibatches, stopping, and going on."""

import copy
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import xlogy
from sklearn import model_selection
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_squared_error, r2_score

from skrnn import RNNClassifier, RNNRegressor, _data
from skrnn._core.losses import REGRESSION_LOSSES
from skrnn._data import minibatches
from skrnn._optim.clipping import clip
from skrnn._optim.solvers import SOLVERS, Solver

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")

each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
each_solver = pytest.mark.parametrize("solver", SOLVERS)


def new(Estimator, **parameters):
    """A tiny network that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 4, "max_iter": 5, "learning_rate_init": 0.01, "learning_rate": "constant"}
    return Estimator(**{**defaults, "random_state": 0, **parameters})


def make_data(n=40, n_classes=2, seed=0, ragged=False, noise=0.5):
    """Sequences around a level that depends on their class, and the classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    lengths = rng.integers(1, 8, n) if ragged else np.full(n, 5)
    X = [rng.normal(c - (n_classes - 1) / 2, noise, (T, 2)) for c, T in zip(y, lengths, strict=True)]
    return (X if ragged else np.stack(X)), y


def assert_same_training(one, other):
    """Are two estimators at the same point of training, bit for bit?"""
    for name in ("_theta", "loss_curve_", "validation_scores_", "best_loss_", "n_iter_", "t_", "clip_fraction_"):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    a, b = one._training_state, other._training_state
    assert a["rng_state"]["state"]["pos"] == b["rng_state"]["state"]["pos"]
    assert_array_equal(a["rng_state"]["state"]["key"], b["rng_state"]["state"]["key"])
    assert a["solver_state"].keys() == b["solver_state"].keys()
    for name, value in a["solver_state"].items():
        assert_array_equal(value, b["solver_state"][name], err_msg=name)


def caught_in(function, *arguments):
    """The warnings that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    return caught


@pytest.fixture
def steps(monkeypatch):
    """Record of every update: learning rate and gradient, as the solver gets them."""
    record, step = [], Solver.step

    def recording_step(self, theta, grad, learning_rate):
        record.append((learning_rate, grad.copy()))
        return step(self, theta, grad, learning_rate)

    monkeypatch.setattr(Solver, "step", recording_step)
    return record


# -------------------------------------------------------------------- solvers


@each_solver
def test_parameters_of_solvers_reach_them(solver, monkeypatch):
    seen = {}
    original = SOLVERS[solver].__init__

    def recording_init(self, *arguments, **options):
        seen.update(options)
        original(self, *arguments, **options)

    monkeypatch.setattr(SOLVERS[solver], "__init__", recording_init)
    parameters = {"momentum": 0.3, "nesterovs_momentum": False, "beta_1": 0.4, "beta_2": 0.6, "epsilon": 1e-5}
    new(RNNRegressor, solver=solver, **parameters).fit(*make_data())
    assert (
        seen
        == {
            "sgd": {"momentum": 0.3, "nesterov": False},
            "adam": {"beta_1": 0.4, "beta_2": 0.6, "epsilon": 1e-5},
            "rmsprop": {"beta_2": 0.6, "epsilon": 1e-5},
        }[solver]
    )


# -------------------------------------------------------------------- schedules


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "cosine"])
def test_every_update_has_the_learning_rate_of_its_schedule(schedule, steps):
    X, y = make_data()  # 4 minibatches an epoch
    new(RNNRegressor, batch_size=10, learning_rate=schedule, power_t=0.7).fit(X, y)
    updates = np.arange(20)
    expected = {
        "constant": np.full(20, 0.01),
        "invscaling": 0.01 / (updates + 1) ** 0.7,
        "cosine": 0.005 * (1 + np.cos(np.pi * updates / 20)),
    }
    assert_allclose([rate for rate, _ in steps], expected[schedule], rtol=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "cosine"])
def test_partial_fit_follows_the_schedule(schedule, steps):
    X, y = make_data()
    reg = new(RNNRegressor, batch_size=10, learning_rate=schedule).fit(X, y)
    expected = [rate for rate, _ in steps]
    steps.clear()
    reg = new(RNNRegressor, batch_size=10, learning_rate=schedule)
    for _ in range(5):
        reg.partial_fit(X, y)
    assert [rate for rate, _ in steps] == expected


def test_the_cosine_begins_again_with_a_warm_start(steps):
    X, y = make_data()
    reg = new(RNNRegressor, batch_size=40, learning_rate="cosine", warm_start=True, max_iter=4).fit(X, y).fit(X, y)
    rates = [rate for rate, _ in steps]
    assert reg.n_iter_ == len(rates) == 8
    assert rates[:4] == rates[4:]


def test_adaptive_divides_the_rate_by_5_where_the_loss_stops_improving(steps):
    X, y = make_data()
    # with this tol, the first epoch is the only improvement
    reg = new(RNNRegressor, learning_rate="adaptive", learning_rate_init=1e-4, tol=1e9, n_iter_no_change=1, max_iter=100)
    assert not caught_in(reg.set_params(batch_size=40).fit, X, y)
    expected = np.repeat([1e-4, 2e-5, 4e-6], [3, 2, 2])
    assert_allclose([rate for rate, _ in steps], expected, rtol=1e-12)
    assert reg.n_iter_ == 7


@each_estimator
@pytest.mark.parametrize("how", ["early", "whole", "another number of epochs"])
def test_after_a_fit_the_cosine_of_partial_fit_begins_at_the_full_rate(Estimator, how, steps):
    X, y = make_data()
    estimator = new(Estimator, batch_size=40, learning_rate="cosine", max_iter=4)
    if how == "early":
        estimator.set_params(early_stopping=True, n_iter_no_change=1, max_iter=50, tol=10.0).fit(X, y)
        assert 0 < estimator.n_iter_ < 10
        estimator.set_params(early_stopping=False, max_iter=4)
    else:
        estimator.fit(X, y).set_params(max_iter=4 if how == "whole" else 3)
    del steps[:]
    epochs = estimator.max_iter
    for _ in range(epochs + 1):
        estimator.partial_fit(X, y)
    expected = 0.005 * (1 + np.cos(np.pi * np.arange(epochs) / epochs))
    assert_allclose([rate for rate, *_ in steps], [*expected, expected[0]], rtol=1e-12)


def test_the_cosine_needs_no_warning_that_it_has_not_converged():
    X, y = make_data()
    assert not caught_in(new(RNNRegressor, learning_rate="cosine", max_iter=60).fit, X, y)
    assert len(caught_in(new(RNNRegressor, learning_rate="invscaling").fit, X, y)) == 1


# -------------------------------------------------------------------- clipping


@each_solver
def test_no_update_is_longer_than_the_clip_norm(solver, steps):
    X, y = make_data()
    reg = new(RNNRegressor, solver=solver, batch_size=5, clip_norm=0.5).fit(X, y)
    lengths = np.array([np.linalg.norm(grad) for _, grad in steps])
    at_limit = np.isclose(lengths, 0.5, rtol=1e-12)
    assert (lengths[~at_limit] < 0.5).all()
    assert 0 < reg.clip_fraction_ == at_limit.mean() < 1


def test_no_element_of_an_update_is_above_the_clip_value(steps):
    X, y = make_data()
    reg = new(RNNRegressor, batch_size=5, clip_norm=None, clip_value=0.05).fit(X, 3 * y)
    largest = np.array([np.abs(grad).max() for _, grad in steps])
    assert largest.max() == 0.05
    assert 0 < reg.clip_fraction_ == (largest == 0.05).mean()


@each_estimator
def test_the_share_of_clipped_updates_goes_on_with_training(Estimator):
    X, y = make_data()
    estimator = new(Estimator, clip_norm=1e-9, batch_size=10).fit(X, y)
    assert estimator.clip_fraction_ == 1
    estimator.set_params(clip_norm=None).partial_fit(X, y)
    assert estimator.clip_fraction_ == 20 / 24
    assert estimator.fit(X, y).clip_fraction_ == 0


# -------------------------------------------------------------------- minibatches

LENGTHS = {
    "equal": np.full(53, 7),
    "ragged": np.random.default_rng(0).integers(1, 200, 53),
    "one": np.array([4]),
    "two lengths": np.repeat([3, 90], [50, 3]),
}
each_lengths = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


@each_lengths
@pytest.mark.parametrize("batch_size", [1, 8, 53, 100])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_sequence_is_in_one_minibatch(lengths, batch_size, shuffle):
    batches = list(minibatches(lengths, batch_size, np.random.RandomState(0), shuffle=shuffle))
    assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert sum(len(batch) < batch_size for batch in batches) <= 1


@each_lengths
def test_without_shuffling_minibatches_keep_the_order(lengths):
    for epoch in range(2):
        rng = np.random.RandomState(epoch)
        batches = list(minibatches(lengths, 8, rng, shuffle=False))
        assert_array_equal(np.concatenate(batches), np.arange(len(lengths)))
        assert rng.get_state()[2] == np.random.RandomState(epoch).get_state()[2]  # nothing is drawn


@pytest.mark.parametrize("kind", ["equal", "ragged"])
def test_shuffled_minibatches_differ_from_epoch_to_epoch_and_not_from_run_to_run(kind):
    def epochs(seed):
        rng = np.random.RandomState(seed)
        return [list(minibatches(LENGTHS[kind], 8, rng, shuffle=True)) for _ in range(2)]

    def members(batches):
        return {frozenset(batch.tolist()) for batch in batches}

    first, second = epochs(0)
    for batches, again in zip((first, second), epochs(0), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert members(first) != members(second)
    assert members(first) != members(epochs(1)[0])


def test_a_minibatch_has_sequences_of_similar_length(global_random_seed):
    lengths = np.random.default_rng(global_random_seed).integers(10, 500, 1000)

    def padded_share(batches):
        computed = sum(len(batch) * lengths[batch].max() for batch in batches)
        return 1 - lengths.sum() / computed

    rng = np.random.RandomState(global_random_seed)
    by_length = padded_share(list(minibatches(lengths, 32, rng, shuffle=True)))
    at_random = padded_share(np.split(rng.permutation(1000), range(32, 1000, 32)))
    assert at_random > 0.4
    assert by_length < 0.25


def test_minibatches_come_in_no_order_of_length():
    lengths = np.random.default_rng(0).integers(10, 500, 1000)
    means = [lengths[batch].mean() for batch in minibatches(lengths, 32, np.random.RandomState(0), shuffle=True)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


# -------------------------------------------------------------------- the objective


def documented_objective(estimator, X, y, weight):
    """The loss of the docstrings, by hand from predictions and ``coefs_``."""
    if isinstance(estimator, RNNClassifier):
        losses = -estimator.predict_log_proba(X)[np.arange(len(y)), y]
    else:
        p = estimator.predict(X)
        residual, tau = y - p, estimator.quantile
        losses = {
            "squared_error": residual**2 / 2,
            "absolute_error": np.abs(residual),
            "huber": np.where(np.abs(residual) <= 1, residual**2 / 2, np.abs(residual) - 0.5),
            "poisson": p - y + xlogy(y, y / p),
            "quantile": np.maximum(tau * residual, (tau - 1) * residual),
        }[estimator.loss]
    penalty = estimator.alpha / 2 * sum(np.sum(w**2) for w in estimator.coefs_.values())
    return np.average(losses, weights=weight) + penalty / weight.sum()


OBJECTIVES = [
    *((RNNClassifier, {}, n_classes) for n_classes in (2, 3)),
    *((RNNRegressor, {"loss": loss, "quantile": 0.3}, 4) for loss in REGRESSION_LOSSES),
]


@pytest.mark.parametrize(("Estimator", "parameters", "n_classes"), OBJECTIVES)
@pytest.mark.parametrize("alpha", [0, 0.5])
@pytest.mark.parametrize("batch_size", [40, 7])
@pytest.mark.parametrize("ragged", [False, True])
def test_the_loss_of_an_epoch_is_the_documented_objective(Estimator, parameters, n_classes, alpha, batch_size, ragged):
    X, y = make_data(n_classes=n_classes, ragged=ragged)
    weight = np.random.default_rng(1).uniform(0.1, 2, len(y))
    # steps too small to change any weight, so that all minibatches have the same ones
    fixed = {"max_iter": 1, "solver": "sgd", "learning_rate_init": 1e-320, "clip_norm": 1e-10}
    estimator = new(Estimator, alpha=alpha, batch_size=batch_size, bidirectional=True, **fixed, **parameters)
    estimator.fit(X, y, sample_weight=weight)
    assert_allclose(estimator.loss_, documented_objective(estimator, X, y, weight), rtol=1e-12)


@each_estimator
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_penalty_shrinks_weights_and_not_biases(Estimator, cell):
    X, y = make_data()
    plain = {"cell": cell, "solver": "sgd", "momentum": 0, "max_iter": 1, "batch_size": 40, "clip_norm": None}
    start = new(Estimator, **plain, alpha=0).set_params(learning_rate_init=1e-320, clip_norm=1e-10).fit(X, y)
    without, penalised = (new(Estimator, **plain, alpha=alpha).fit(X, y) for alpha in (0, 8))
    for name, weights in penalised.coefs_.items():
        assert_allclose(weights - without.coefs_[name], -0.01 * 8 / 40 * start.coefs_[name], rtol=1e-9, atol=1e-16)
    for name, biases in penalised.intercepts_.items():
        assert_array_equal(biases, without.intercepts_[name])


# -------------------------------------------------------------------- stopping


@each_estimator
def test_training_stops_after_epochs_without_improvement(Estimator):
    X, y = make_data()
    estimator = new(Estimator, tol=1e9, n_iter_no_change=3, max_iter=100)
    assert not caught_in(estimator.fit, X, y)
    assert estimator.n_iter_ == 1 + 3 + 1  # the first improves on nothing; then more than 3


@each_estimator
def test_an_improvement_by_less_than_tol_is_none(Estimator):
    X, y = make_data()
    estimator = new(Estimator, tol=0.01, n_iter_no_change=2, max_iter=200).fit(X, y)
    losses = np.array(estimator.loss_curve_)
    best_before = np.r_[np.inf, np.minimum.accumulate(losses)[:-1]]
    improved = losses <= best_before - 0.01
    assert len(losses) < 200
    assert improved[0]
    assert not improved[-3:].any()
    assert all(improved[i : i + 3].any() for i in range(len(losses) - 3))
    assert estimator.best_loss_ == losses.min()


@each_estimator
def test_a_budget_that_is_used_up_is_warned_about(Estimator):
    X, y = make_data()
    (warning,) = caught_in(new(Estimator, max_iter=2).fit, X, y)
    assert warning.category is ConvergenceWarning
    assert "Maximum iterations (2) reached" in str(warning.message)
    assert not caught_in(new(Estimator, max_iter=2).fit(X, y).partial_fit, X, y)


@pytest.fixture
def held_out(monkeypatch):
    """The positions that early stopping held out, one array a fit."""
    splits, split = [], model_selection.train_test_split

    def recording_split(*arguments, **options):
        splits.append(split(*arguments, **options))
        return splits[-1]

    monkeypatch.setattr(model_selection, "train_test_split", recording_split)
    return splits


@each_estimator
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_restores_the_weights_that_scored_best(Estimator, weighted, held_out):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4, 2)), np.arange(80) % 2  # nothing to learn, so the best score comes early
    weight = rng.uniform(0.5, 2, 80) if weighted else np.ones(80)
    estimator = new(Estimator, early_stopping=True, learning_rate_init=0.1, validation_fraction=0.25, max_iter=50)
    estimator.fit(X, y, sample_weight=weight)
    ((train, test),) = held_out
    assert_array_equal(np.sort(np.r_[train, test]), np.arange(80))
    assert len(test) == 20
    assert estimator.best_validation_score_ == max(estimator.validation_scores_) > estimator.validation_scores_[-1]
    assert len(estimator.validation_scores_) == estimator.n_iter_ == len(estimator.loss_curve_)
    score = estimator.score(X[test], y[test], sample_weight=weight[test])
    assert_allclose(score, estimator.best_validation_score_, rtol=1e-12)
    assert estimator.t_ == 60 * estimator.n_iter_
    assert estimator.best_loss_ is None


def test_the_score_of_several_labels_is_that_all_are_right(held_out):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4, 2)), rng.integers(0, 2, (80, 3))
    clf = new(RNNClassifier, early_stopping=True, validation_fraction=0.5).fit(X, y)
    test = held_out[0][1]
    assert clf.score(X[test], y[test]) == clf.best_validation_score_


@each_estimator
def test_early_stopping_stops_when_the_score_no_longer_improves(Estimator):
    X, y = make_data(n=80)
    estimator = new(Estimator, early_stopping=True, n_iter_no_change=3, tol=1e9, max_iter=50)
    assert not caught_in(estimator.fit, X, y)
    assert estimator.n_iter_ == 5


@pytest.mark.parametrize("counts", [(40, 40), (60, 20), (20, 30, 50)], ids=str)
def test_the_validation_share_is_stratified(counts, held_out):
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.random.default_rng(0).normal(size=(len(y), 3, 1))
    new(RNNClassifier, early_stopping=True, validation_fraction=0.2).fit(X, y)
    assert_array_equal(np.bincount(y[held_out[0][1]]), np.array(counts) / 5)


@each_estimator
@pytest.mark.parametrize("n", [1, 2, 6])
def test_too_little_data_for_early_stopping_is_refused(Estimator, n):
    X, y = make_data(n=n)
    with pytest.raises(ValueError, match="too little data for early_stopping=True"):
        new(Estimator, early_stopping=True, max_iter=2).fit(X, y)


def test_a_class_with_one_member_is_too_little_for_early_stopping():
    X, y = make_data(n=40)
    y[-1] = 7
    with pytest.raises(ValueError, match="too little data for early_stopping=True"):
        new(RNNClassifier, early_stopping=True).fit(X, y)


# -------------------------------------------------------------------- going on


@each_estimator
def test_without_a_warm_start_every_fit_begins_anew(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    once = copy.deepcopy(estimator)
    assert_same_training(estimator.fit(X, y), once)


@each_estimator
def test_the_first_fit_with_a_warm_start_is_an_ordinary_one(Estimator):
    X, y = make_data()
    assert_same_training(new(Estimator, warm_start=True).fit(X, y), new(Estimator).fit(X, y))


def test_other_data_may_come_with_a_warm_start():
    X, y = make_data()
    other, targets = make_data(n=25, ragged=True, seed=1)
    reg = new(RNNRegressor, warm_start=True).fit(X, y).fit(other, targets)
    assert reg.n_iter_ == 10
    assert reg.t_ == 5 * 40 + 5 * 25


def test_a_warm_start_cannot_change_the_classes():
    X, y = make_data(n_classes=3)
    clf = new(RNNClassifier, warm_start=True).fit(X, y)
    for labels in (y + 1, np.minimum(y, 1), np.arange(40) % 4):
        with pytest.raises(ValueError, match="warm_start can't change the classes"):
            clf.fit(X, labels)


@pytest.mark.filterwarnings("ignore:L-BFGS did not converge:sklearn.exceptions.ConvergenceWarning")
@each_estimator
def test_the_solver_may_change_with_a_warm_start(Estimator):
    X, y = make_data()
    estimator = new(Estimator, warm_start=True).fit(X, y)
    for solver in ("sgd", "lbfgs", "rmsprop", "adam"):
        before = estimator.loss_
        estimator.set_params(solver=solver).fit(X, y)
        assert estimator.loss_ < before
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 25


@pytest.mark.parametrize(("first", "second"), [("adam", "rmsprop"), ("rmsprop", "adam"), ("adam", "sgd"), ("sgd", "adam")])
def test_another_solver_begins_with_nothing_of_the_one_before(first, second):
    X, y = make_data()
    reg = new(RNNRegressor, solver=first).fit(X, y)
    forgetful = copy.deepcopy(reg)
    forgetful._training_state["solver_state"] = None
    assert_same_training(*(each.set_params(solver=second).partial_fit(X, y) for each in (reg, forgetful)))


def test_a_warm_start_scores_the_validation_share_that_it_draws_anew(held_out):
    X, y = make_data(n=80)
    reg = new(RNNRegressor, warm_start=True, early_stopping=True).fit(X, y)
    better = reg.best_validation_score_
    y = np.random.default_rng(1).permutation(y)  # nothing that could be learned any more
    reg.fit(X, y)
    test = held_out[1][1]
    assert reg.best_validation_score_ == max(reg.validation_scores_[-5:]) < better
    assert_allclose(reg.score(X[test], y[test]), reg.best_validation_score_, rtol=1e-12)
    assert len(reg.validation_scores_) == len(reg.loss_curve_) == reg.n_iter_ == 10


@each_estimator
def test_partial_fit_after_early_stopping_does_not_forget_the_best_score(Estimator):
    X, y = make_data(n=80)
    estimator = new(Estimator, early_stopping=True).fit(X, y)
    best = estimator.best_validation_score_
    estimator.set_params(early_stopping=False).partial_fit(X, y)
    assert estimator.best_validation_score_ in (best, None)
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 6


@each_estimator
def test_the_rate_of_adaptive_is_for_adaptive_alone(Estimator, steps):
    X, y = make_data()
    estimator = new(Estimator, learning_rate="adaptive", tol=1e9, n_iter_no_change=1, max_iter=8, warm_start=True).fit(X, y)
    assert steps[-1][0] < 0.01
    estimator.set_params(learning_rate="constant", max_iter=1).fit(X, y)
    assert steps[-1][0] == 0.01


@each_estimator
def test_training_goes_on_with_a_generator_of_any_kind(Estimator):
    X, y = make_data()
    rng = np.random.RandomState(np.random.PCG64(0))
    estimator = new(Estimator, random_state=rng).fit(X, y)
    estimator.partial_fit(X, y)
    assert estimator.n_iter_ == 6


# -------------------------------------------------------------------- verbose


@each_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
def test_verbose_prints_one_line_an_epoch(Estimator, early_stopping, capsys):
    X, y = make_data()
    new(Estimator, early_stopping=early_stopping).fit(X, y)
    assert capsys.readouterr() == ("", "")
    estimator = new(Estimator, early_stopping=early_stopping, verbose=True, max_iter=3).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for i, line in enumerate(lines):
        expected = f"Epoch {i + 1}, loss = {estimator.loss_curve_[i]:.8f}"
        if early_stopping:
            expected += f", validation score = {estimator.validation_scores_[i]:.6f}"
        assert line == expected


def test_verbose_counts_on_over_calls_of_partial_fit(capsys):
    X, y = make_data()
    new(RNNRegressor, verbose=1).partial_fit(X, y).partial_fit(X, y)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["Epoch 1", "Epoch 2"]


# -------------------------------------------------------------------- L-BFGS


@each_estimator
@pytest.mark.parametrize("ragged", [False, True])
def test_lbfgs_converges_to_a_point_without_gradient(Estimator, ragged):
    X, y = make_data(ragged=ragged)
    estimator = new(Estimator, solver="lbfgs", alpha=1.0, max_iter=1000, tol=1e-6)
    assert not caught_in(estimator.fit, X, y)
    assert estimator.n_iter_ == len(estimator.loss_curve_) < 1000
    assert (np.diff(estimator.loss_curve_) <= 0).all()
    objective = documented_objective(estimator, X, y, np.ones(40))
    assert_allclose(objective, estimator.loss_, rtol=1e-10)
    rng = np.random.default_rng(0)
    for _ in range(5):  # no small step in any direction makes it better
        nearby = copy.deepcopy(estimator)
        nearby._theta += 1e-3 * rng.normal(size=nearby._theta.size)
        assert documented_objective(nearby, X, y, np.ones(40)) > objective


@each_estimator
@pytest.mark.parametrize("ragged", [False, True])
def test_chunks_of_lbfgs_add_up(Estimator, ragged, monkeypatch):
    X, y = make_data(ragged=ragged)
    weight = np.random.default_rng(1).uniform(0.1, 2, 40)
    parameters = {"solver": "lbfgs", "alpha": 0.1, "max_iter": 8}

    def train():
        estimator = new(Estimator, **parameters)
        caught_in(estimator.fit, X, y, weight)
        return estimator

    whole = train()
    monkeypatch.setattr(_data, "CHUNK_SIZE", 7)
    chunked = train()
    assert_allclose(chunked.loss_curve_, whole.loss_curve_, rtol=1e-9)
    assert_allclose(chunked._theta, whole._theta, rtol=1e-6, atol=1e-8)
    assert_allclose(chunked.predict(X), whole.predict(X), rtol=1e-6)


@pytest.mark.parametrize("limit", [{"max_iter": 2}, {"max_fun": 3}], ids=str)
@each_estimator
def test_lbfgs_warns_where_its_budget_was_too_small(Estimator, limit):
    X, y = make_data()
    (warning,) = caught_in(new(Estimator, solver="lbfgs", max_iter=100).set_params(**limit).fit, X, y)
    assert warning.category is ConvergenceWarning
    assert "did not converge" in str(warning.message)
    assert "max_iter or max_fun" in str(warning.message)


def test_lbfgs_that_has_nothing_to_do_leaves_the_start():
    X = np.zeros((10, 3, 1))
    reg = new(RNNRegressor, solver="lbfgs", alpha=0).fit(X, np.ones(10))
    assert_array_equal(reg.predict(X), np.ones(10))
    assert reg.loss_ == 0
    assert len(reg.loss_curve_) == 1


@each_estimator
def test_lbfgs_prints_one_line_an_iteration(Estimator, capsys):
    X, y = make_data()
    estimator = new(Estimator, solver="lbfgs", verbose=True)
    caught_in(estimator.fit, X, y)
    assert len(capsys.readouterr().out.splitlines()) == estimator.n_iter_ == 5


def test_lbfgs_beats_a_short_training_by_adam():
    X, y = make_data()
    lbfgs = new(RNNRegressor, solver="lbfgs", max_iter=200).fit(X, y)
    adam = new(RNNRegressor, max_iter=20).fit(X, y)
    assert mean_squared_error(y, lbfgs.predict(X)) < mean_squared_error(y, adam.predict(X)) / 10
    assert r2_score(y, lbfgs.predict(X)) > 0.99


def test_training_does_not_go_on_with_a_loss_of_another_link():
    X, y = make_data()
    reg = new(RNNRegressor).fit(X, y)
    with pytest.raises(ValueError, match="loss of another link"):
        reg.set_params(loss="poisson").partial_fit(X, np.abs(y))


# -------------------------------------------------------------------- found in review


def test_no_sequence_is_always_in_the_smaller_batch():
    """It would weigh several times as much as others, as each batch is normalised by its own weight."""
    lengths = np.append(np.full(128, 20) + np.arange(128) % 40, 150)
    rng = np.random.RandomState(0)
    alone = [len(batch) for _ in range(200) for batch in minibatches(lengths, 32, rng, shuffle=True) if 128 in batch]
    assert 0 < np.mean(np.array(alone) == 1) < 0.5


@pytest.mark.parametrize("value", [3e38, 1e-45])
def test_clipping_by_norm_survives_the_ends_of_float32(value):
    grad = np.full(1000, value, np.float32)
    with np.errstate(over="ignore"):
        clip(grad, None, 1e-3)
    assert_allclose(np.sqrt(np.sum(grad.astype(np.float64) ** 2)), min(1e-3, np.sqrt(1000) * np.float32(value)), rtol=1e-5)


def test_chunks_bound_the_steps_and_the_padding(monkeypatch):
    monkeypatch.setattr(_data, "CHUNK_STEPS", 1000)
    lengths = np.random.RandomState(0).permutation(np.r_[3000, np.full(30, 100), np.full(50, 20)])
    parts = list(_data.chunks(lengths))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * lengths[part].max() <= 1000
        assert 2 * lengths[part].min() >= lengths[part].max()


def test_validation_attributes_are_of_the_last_call():
    X, y = make_data(n=80)
    reg = new(RNNRegressor, early_stopping=True, warm_start=True).fit(X, y)
    assert reg.best_loss_ is None
    reg.set_params(early_stopping=False).fit(X, y)
    assert reg.validation_scores_ is None
    assert reg.best_validation_score_ is None
    assert reg.best_loss_ == min(reg.loss_curve_)


@pytest.mark.filterwarnings("ignore:. is not scaled")
def test_the_validation_score_averages_over_outputs_as_score_does(held_out):
    X, y = make_data(n=80)
    y = np.column_stack([y, 100 * np.random.default_rng(0).normal(size=80)])
    reg = new(RNNRegressor, early_stopping=True).fit(X, y)
    test = held_out[0][1]
    assert_allclose(reg.score(X[test], y[test]), reg.best_validation_score_, rtol=1e-10)


def test_tiny_weights_of_float32_sequences_are_weights():
    X, y = make_data(n=20)
    X = np.asarray(X, np.float32)
    tiny = new(RNNRegressor, alpha=0).fit(X, y, np.full(20, 1e-60))
    assert_allclose(tiny.predict(X), new(RNNRegressor, alpha=0).fit(X, y).predict(X), rtol=1e-5)


@each_estimator
def test_prediction_does_not_depend_on_parameters_set_since(Estimator):
    X, y = make_data()
    estimator = new(Estimator).fit(X, y)
    before = estimator.predict(X)
    if Estimator is RNNRegressor:
        estimator.set_params(loss="nonsense")
    estimator.set_params(cell="nonsense", hidden_layer_sizes=99)
    assert_array_equal(estimator.predict(X), before)
    assert estimator.coefs_["readout"].shape[0] == estimator.n_outputs_
