"""scikit-learn's tools on what its own checks never feed: 3-D arrays, ragged lists, object arrays, rows in time and texts."""

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # it enables the import below
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.metrics import make_step_scorer
from skrnn.preprocessing import PerStep, SequenceVectorizer, SlidingWindow
from skrnn.sequences import concatenate_steps

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def object_array(members):
    out = np.empty(len(members), dtype=object)
    out[:] = members
    return out


def make_data(form, n=48):
    """Sequences of 4 steps as one array, or of 1 to 7 as separate ones; their classes, and a real-valued target."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    lengths = np.full(n, 4) if form == "3-D" else rng.integers(1, 8, n)
    members = [rng.normal(c - 1, 0.3, (T, 2)) for c, T in zip(y, lengths, strict=True)]
    X = {"3-D": np.stack, "list": list, "object array": object_array}[form](members) if form == "3-D" else members
    return object_array(members) if form == "object array" else X, y


FORMS = ["3-D", "list", "object array"]
each_form = pytest.mark.parametrize("form", FORMS)
each_estimator = pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])


def new(Estimator=RNNClassifier, **parameters):
    return Estimator(
        **{
            "hidden_layer_sizes": 6,
            "max_iter": 25,
            "learning_rate_init": 0.05,
            "learning_rate": "cosine",
            "random_state": 0,
            **parameters,
        }
    )


GRID = {
    "clip_value": [None, 0.1],
    "init_scheme": ["glorot_uniform", "lecun_normal"],
    "recurrent_init_scheme": ["orthogonal", "identity"],
    "cell": ["gru", "rnn"],
}


# -------------------------------------------------------------------- model selection


@each_estimator
@each_form
def test_grid_search_in_two_processes(Estimator, form):
    X, y = make_data(form)
    search = GridSearchCV(new(Estimator, max_iter=5), GRID, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 16
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_array_equal(search.predict(X), search.best_estimator_.predict(X))
    assert search.n_features_in_ == 2
    serial = clone(search).set_params(n_jobs=1).fit(X, y)
    assert_array_equal(serial.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


@each_estimator
@each_form
def test_halving_search(Estimator, form):
    X, y = make_data(form)
    grid = {"clip_value": [None, 0.1], "cell": ["gru", "rnn"]}
    search = HalvingGridSearchCV(new(Estimator, max_iter=5), grid, cv=2, random_state=0, error_score="raise", min_resources=16)
    search.fit(X, y)
    assert search.n_iterations_ > 1
    assert search.predict(X).shape == y.shape


@each_estimator
@each_form
def test_halving_search_over_epochs(Estimator, form):
    X, y = make_data(form)
    search = HalvingGridSearchCV(
        new(Estimator), {"cell": ["gru", "rnn"]}, cv=2, resource="max_iter", max_resources=6, min_resources=2, factor=2,
        random_state=0, error_score="raise",
    )  # fmt: skip
    assert search.fit(X, y).best_estimator_.n_iter_ <= 6


@each_estimator
@each_form
def test_randomized_search(Estimator, form):
    X, y = make_data(form)
    search = RandomizedSearchCV(new(Estimator, max_iter=3), GRID, n_iter=3, cv=2, random_state=0, error_score="raise")
    assert search.fit(X, y).predict(X).shape == y.shape


@each_estimator
@each_form
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_val_predict(Estimator, form, n_jobs):
    X, y = make_data(form)
    predicted = cross_val_predict(new(Estimator), X, y, cv=3, n_jobs=n_jobs)
    assert predicted.shape == y.shape
    if Estimator is RNNClassifier:
        assert (predicted == y).mean() > 0.8
        probabilities = cross_val_predict(new(Estimator), X, y, cv=3, method="predict_proba", n_jobs=n_jobs)
        assert_array_equal(probabilities.argmax(axis=1), predicted)
    else:
        assert np.corrcoef(predicted, y)[0, 1] > 0.8


@each_estimator
@each_form
def test_cross_validate_with_sample_weights(Estimator, form):
    X, y = make_data(form)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    results = cross_validate(
        new(Estimator), X, y, cv=3, params={"sample_weight": weight}, return_estimator=True, return_train_score=True,
        error_score="raise",
    )  # fmt: skip
    assert (results["test_score"] > 0.5).all()
    assert (results["train_score"] > 0.5).all()
    assert all(type(estimator) is Estimator for estimator in results["estimator"])


@each_estimator
@each_form
def test_learning_curve(Estimator, form):
    X, y = make_data(form)
    sizes, _, scores = learning_curve(
        new(Estimator, max_iter=5), X, y, cv=3, train_sizes=[0.5, 1.0], shuffle=True, random_state=0, error_score="raise"
    )
    assert_array_equal(sizes, [16, 32])
    assert np.isfinite(scores).all()


@each_estimator
@each_form
def test_learning_curve_by_partial_fit(Estimator, form):
    X, y = make_data(form)
    _, _, scores = learning_curve(
        new(Estimator), X, y, cv=3, train_sizes=[0.5, 1.0], exploit_incremental_learning=True, error_score="raise",
        shuffle=True, random_state=0,
    )  # fmt: skip
    assert np.isfinite(scores).all()


@each_estimator
@each_form
def test_validation_curve(Estimator, form):
    X, y = make_data(form)
    _, scores = validation_curve(
        new(Estimator, max_iter=3), X, y, cv=2, param_name="alpha", param_range=[0, 1], error_score="raise"
    )
    assert np.isfinite(scores).all()


@each_form
def test_permutation_test_score(form):
    X, y = make_data(form)
    score, permuted, _ = permutation_test_score(new(max_iter=15), X, y, cv=2, n_permutations=3, random_state=0)
    assert (score > permuted).all()


@each_estimator
@each_form
def test_scores_of_every_kind_of_response(Estimator, form):
    X, y = make_data(form)
    if Estimator is RNNClassifier:
        names = ["accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro", "balanced_accuracy"]
    else:
        names = ["r2", "neg_mean_absolute_error", "neg_max_error"]
    scores = cross_validate(new(Estimator), X, y, cv=2, scoring=names, error_score="raise")
    assert all(np.isfinite(scores[f"test_{name}"]).all() for name in names)
    scorer = make_scorer(lambda y, p: float(np.mean(y == p.round())))
    assert np.isfinite(cross_val_score(new(Estimator), X, y, cv=2, scoring=scorer, error_score="raise")).all()


@each_form
def test_binary_scores_that_want_a_threshold(form):
    X, y = make_data(form)
    labels = np.array(["no", "yes"])[(y > 0).astype(int)]
    scores = cross_val_score(new(), X, labels, cv=2, scoring="roc_auc", error_score="raise")
    assert (scores > 0.8).all()


@each_estimator
@each_form
def test_train_test_split(Estimator, form):
    X, y = make_data(form)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    assert new(Estimator).fit(X_train, y_train).score(X_test, y_test) > 0.5


# -------------------------------------------------------------------- clones, pipelines, files


@each_estimator
@each_form
def test_a_clone_trains_alike(Estimator, form):
    X, y = make_data(form)
    estimator = new(Estimator).fit(X, y)
    assert_array_equal(clone(estimator).fit(X, y).predict(X), estimator.predict(X))


@each_estimator
@each_form
def test_joblib(Estimator, form, tmp_path):
    X, y = make_data(form)
    estimator = new(Estimator).fit(X, y)
    joblib.dump(estimator, tmp_path / "estimator")
    assert_array_equal(joblib.load(tmp_path / "estimator").predict(X), estimator.predict(X))


def halve(X):
    return [x / 2 for x in X] if isinstance(X, list) else X / 2


@each_estimator
@each_form
def test_pipeline(Estimator, form):
    X, y = make_data(form)
    pipeline = make_pipeline(FunctionTransformer(halve), new(Estimator)).fit(X, y)
    assert pipeline.score(X, y) > 0.8
    assert_array_equal(pipeline.predict(X), new(Estimator).fit(halve(X), y).predict(halve(X)))
    search = GridSearchCV(pipeline, {f"{Estimator.__name__.lower()}__cell": ["rnn", "lstm"]}, cv=2, error_score="raise")
    assert search.fit(X, y).predict(X).shape == y.shape


@each_estimator
@each_form
def test_pipeline_with_a_scaler_of_every_step(Estimator, form):
    X, y = make_data(form)
    pipeline = Pipeline([("scale", PerStep(StandardScaler())), ("rnn", new(Estimator))])
    assert pipeline.fit(X, y, rnn__sample_weight=np.ones(len(y))).score(X, y) > 0.8
    grid = {"scale__transformer__with_mean": [True, False], "rnn__clip_value": [None, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert search.predict(X).shape == y.shape


@each_estimator
def test_pipeline_of_flattened_rows_with_ordinary_steps(Estimator):
    X, y = make_data("3-D")
    flat = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), new(Estimator, n_features_per_step=2)).fit(flat, y)
    assert pipeline.score(flat, y) > 0.8


# -------------------------------------------------------------------- what becomes sequences in the pipeline


def make_rows(form):
    """Rows in time, whose target is the sum of this and the last two, or its sign."""
    rows = np.random.default_rng(0).normal(size=(90, 1))
    y = np.convolve(rows[:, 0], [1, 1, 1])[:90]
    return {"array": np.asarray, "frame": lambda rows: pd.DataFrame(rows, columns=["load"])}[form](rows), y


def make_texts(form):
    """Sentences of two words, whose target is whether the first one is of a later letter."""
    rng = np.random.default_rng(0)
    texts = [" ".join(pair) for pair in rng.choice(["ant", "bee", "cat", "dog"], size=(90, 2))]
    y = np.array([(text > text.split()[1]) - 0.5 for text in texts])
    return {"texts": list, "Series": pd.Series}[form](texts), y


def make_source(form, Estimator, **parameters):
    """A pipeline that makes sequences of rows or texts; the rows or texts; their targets; and how they may be split."""
    if form in ("array", "frame"):
        X, y = make_rows(form)
        steps, cv = [StandardScaler(), SlidingWindow(3)], TimeSeriesSplit(3)
    else:
        X, y = make_texts(form)
        steps, cv = [SequenceVectorizer(), PerStep(OneHotEncoder(handle_unknown="ignore"))], 3
    y = np.where(y > 0, "up", "down") if Estimator is RNNClassifier else y
    return make_pipeline(*steps, new(Estimator, **parameters)), X, y, cv


#: what to search in the steps that make sequences
GRIDS = {
    "array": {"slidingwindow__width": [1, 4], "slidingwindow__padding": [None, "edge"]},
    "texts": {"sequencevectorizer__analyzer": ["word", "char"], "sequencevectorizer__max_length": [1, None]},
}
GRIDS |= {"frame": GRIDS["array"], "Series": GRIDS["texts"]}
each_source = pytest.mark.parametrize("form", ["array", "frame", "texts", "Series"])


@each_estimator
@each_source
def test_sequences_made_in_a_pipeline_are_learned_from(Estimator, form):
    pipeline, X, y, cv = make_source(form, Estimator)
    assert (cross_val_score(pipeline, X, y, cv=cv, error_score="raise") > 0.7).all()
    pipeline.fit(X, y)
    by_hand = pipeline[:-1].fit_transform(X)
    assert_array_equal(pipeline.predict(X), new(Estimator).fit(by_hand, y).predict(by_hand))
    assert_array_equal(clone(pipeline).fit(X, y).predict(X), pipeline.predict(X))


@each_estimator
@each_source
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_what_makes_sequences_is_searched_in(Estimator, form, n_jobs):
    pipeline, X, y, cv = make_source(form, Estimator, max_iter=10)
    search = GridSearchCV(pipeline, GRIDS[form], cv=cv, n_jobs=n_jobs, error_score="raise").fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"].tolist())) > 1
    assert 1 not in search.best_params_.values()  # one row, or one word, is too little
    assert_array_equal(search.predict(X), search.best_estimator_.predict(X))


@each_estimator
@each_source
def test_tools_take_what_becomes_sequences(Estimator, form, tmp_path):
    pipeline, X, y, cv = make_source(form, Estimator, max_iter=5)
    weight = {f"{Estimator.__name__.lower()}__sample_weight": np.random.default_rng(0).uniform(0.5, 2, len(y))}
    results = cross_validate(pipeline, X, y, cv=cv, params=weight, return_estimator=True, error_score="raise")
    assert np.isfinite(results["test_score"]).all()
    _, _, scores = learning_curve(pipeline, X, y, cv=cv, train_sizes=[0.5, 1.0], error_score="raise")
    assert np.isfinite(scores).all()
    X_train, X_test, y_train, _ = train_test_split(X, y, shuffle=False)
    predicted = pipeline.fit(X_train, y_train).predict(X_test)
    joblib.dump(pipeline, tmp_path / "pipeline")
    assert_array_equal(joblib.load(tmp_path / "pipeline").predict(X_test), predicted)
    ensemble = (VotingClassifier if Estimator is RNNClassifier else VotingRegressor)([("a", pipeline), ("b", pipeline)])
    assert ensemble.fit(X_train, y_train).predict(X_test).shape == predicted.shape


@each_source
def test_targets_are_scaled_around_what_makes_sequences(form):
    pipeline, X, y, cv = make_source(form, RNNRegressor)
    scaled = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    assert (cross_val_score(scaled, X, 1000 * y, cv=cv, error_score="raise") > 0.7).all()
    several = np.column_stack([y, -1000 * y])
    assert scaled.fit(X, several).predict(X).shape == several.shape


@each_source
def test_probabilities_of_what_becomes_sequences_are_calibrated(form):
    pipeline, X, y, cv = make_source(form, RNNClassifier)
    assert CalibratedClassifierCV(pipeline, cv=cv).fit(X, y).score(X, y) > 0.8


# -------------------------------------------------------------------- ensembles and wrappers of classifiers


@each_form
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting_classifier(form, voting):
    X, y = make_data(form)
    labels = np.array(["a", "b", "c"])[y]
    ensemble = VotingClassifier([("gru", new()), ("rnn", new(cell="rnn"))], voting=voting).fit(X, labels)
    assert ensemble.score(X, labels) > 0.8


@each_form
@pytest.mark.parametrize("stack_method", ["auto", "predict"])
def test_stacking_classifier(form, stack_method):
    X, y = make_data(form)
    ensemble = StackingClassifier(
        [("gru", new(max_iter=10)), ("rnn", new(max_iter=10, cell="rnn"))],
        LogisticRegression(),
        cv=3,
        stack_method=stack_method,
    )
    assert ensemble.fit(X, y).score(X, y) > 0.6


@each_form
@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifier(form, ensemble, method):
    X, y = make_data(form)
    calibrated = CalibratedClassifierCV(new(), cv=3, ensemble=ensemble, method=method).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    assert calibrated.score(X, y) > 0.8


@each_form
def test_calibrated_classifier_with_sample_weights(form):
    X, y = make_data(form)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    assert CalibratedClassifierCV(new(), cv=3).fit(X, y, sample_weight=weight).score(X, y) > 0.8


@each_form
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_one_vs_rest(form, n_jobs):
    X, y = make_data(form)
    ensemble = OneVsRestClassifier(new(), n_jobs=n_jobs).fit(X, y)
    assert len(ensemble.estimators_) == 3
    assert ensemble.score(X, y) > 0.8
    assert ensemble.predict_proba(X).shape == (len(y), 3)


@each_form
def test_multi_output_classifier(form):
    X, y = make_data(form)
    ensemble = MultiOutputClassifier(new()).fit(X, np.column_stack([y, y > 0]))
    assert ensemble.predict(X).shape == (len(y), 2)


# -------------------------------------------------------------------- ensembles and wrappers of regressors


@each_form
def test_voting_regressor(form):
    X, y = make_data(form)
    ensemble = VotingRegressor([("gru", new(RNNRegressor)), ("rnn", new(RNNRegressor, cell="rnn"))]).fit(X, y)
    assert ensemble.score(X, y) > 0.8


@each_form
def test_stacking_regressor(form):
    X, y = make_data(form)
    ensemble = StackingRegressor([("gru", new(RNNRegressor)), ("rnn", new(RNNRegressor, cell="rnn"))], cv=3).fit(X, y)
    assert ensemble.score(X, y) > 0.8


@each_form
def test_multi_output_regressor(form):
    X, y = make_data(form)
    targets = np.column_stack([y, -2.0 * y])
    ensemble = MultiOutputRegressor(new(RNNRegressor)).fit(X, targets, sample_weight=np.ones(len(y)))
    assert ensemble.score(X, targets) > 0.8
    ensemble.partial_fit(X, targets)
    assert ensemble.predict(X).shape == targets.shape


@each_form
def test_transformed_target_regressor(form):
    X, y = make_data(form)
    regressor = TransformedTargetRegressor(new(RNNRegressor), transformer=StandardScaler()).fit(X, 1000.0 * y)
    assert regressor.score(X, 1000.0 * y) > 0.8
    several = np.column_stack([1000.0 * y, y])
    assert clone(regressor).fit(X, several).predict(X).shape == several.shape


# -------------------------------------------------------------------- targets at every step


def make_steps(form, Estimator, n=36):
    """Sequences as of ``make_data`` with a target at every step: the sum of this step and the one before, or its class."""
    X, _ = make_data(form, n)
    y = [x[:, 0] + np.r_[0, x[:-1, 0]] for x in X]
    if Estimator is RNNClassifier:
        y = [np.array(["down", "level", "up"])[np.digitize(s, [-0.7, 0.7])] for s in y]
    return X, {"3-D": np.stack, "list": list, "object array": object_array}[form](y)


def new_of_steps(Estimator, **parameters):
    return new(Estimator, return_sequences=True, **parameters)


@each_estimator
@each_form
def test_scores_of_steps_are_cross_validated(Estimator, form):
    X, y = make_steps(form, Estimator)
    assert (cross_val_score(new_of_steps(Estimator), X, y, cv=3, error_score="raise") > 0.8).all()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    of_steps = [np.full(len(x), w) for x, w in zip(X, weight, strict=True)]
    of_steps = {"3-D": np.stack, "list": list, "object array": object_array}[form](of_steps)
    names = ["accuracy", "f1_macro", "neg_log_loss"] if Estimator is RNNClassifier else ["r2", "neg_max_error"]
    for sample_weight in (weight, of_steps):
        results = cross_validate(
            new_of_steps(Estimator, max_iter=5), X, y, cv=3, scoring=make_step_scorer(names),
            params={"sample_weight": sample_weight}, error_score="raise",
        )  # fmt: skip
        assert all(np.isfinite(results[f"test_{name}"]).all() for name in names)


@each_estimator
@each_form
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_steps_are_predicted_by_cross_validation(Estimator, form, n_jobs):
    X, y = make_steps(form, Estimator)
    predicted = cross_val_predict(new_of_steps(Estimator), X, y, cv=3, n_jobs=n_jobs)
    assert predicted.shape == (y.shape if form == "3-D" else (len(X),))
    assert [len(p) for p in predicted] == [len(x) for x in X]
    predicted, y = concatenate_steps(predicted), concatenate_steps(y)
    assert ((predicted == y).mean() if Estimator is RNNClassifier else np.corrcoef(predicted, y)[0, 1]) > 0.8


@each_estimator
@each_form
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_truncation_length_is_searched_for(Estimator, form, n_jobs):
    X, y = make_steps(form, Estimator)
    scorer = make_step_scorer("balanced_accuracy" if Estimator is RNNClassifier else "neg_mean_absolute_error")
    grid = {"truncation_length": [1, 2, 7, None]}
    estimator = new_of_steps(Estimator, max_iter=7, batch_size=8, truncation_stride=None)
    search = GridSearchCV(estimator, grid, cv=2, scoring=scorer, n_jobs=n_jobs, error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1] != scores[2] == scores[3]  # no sequence is longer than 7
    assert search.best_params_["truncation_length"] == grid["truncation_length"][int(scores.argmax())]
    assert_array_equal(concatenate_steps(search.predict(X)), concatenate_steps(search.best_estimator_.predict(X)))
    assert search.score(X, y) == scorer(search.best_estimator_, X, y)


@each_estimator
@each_form
def test_a_pipeline_scales_the_features_of_targets_at_every_step(Estimator, form):
    X, y = make_steps(form, Estimator)
    name = Estimator.__name__.lower()
    pipeline = make_pipeline(PerStep(StandardScaler()), new_of_steps(Estimator))
    assert pipeline.fit(X, y).score(X, y) > 0.9
    scaled = PerStep(StandardScaler()).fit_transform(X)
    alone = new_of_steps(Estimator).fit(scaled, y)
    assert_array_equal(concatenate_steps(pipeline.predict(X)), concatenate_steps(alone.predict(scaled)))
    assert (cross_val_score(pipeline, X, y, cv=3, error_score="raise") > 0.8).all()
    grid = {f"{name}__truncation_length": [2, None], "perstep__transformer__with_mean": [True, False]}
    search = GridSearchCV(pipeline.set_params(**{f"{name}__max_iter": 3}), grid, cv=2, n_jobs=2, error_score="raise")
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()


@each_estimator
@each_form
def test_tools_that_split_take_targets_at_every_step(Estimator, form):
    X, y = make_steps(form, Estimator)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    assert new_of_steps(Estimator).fit(X_train, y_train).score(X_test, y_test) > 0.8
    _, _, scores = learning_curve(
        new_of_steps(Estimator, max_iter=3), X, y, cv=3, train_sizes=[0.5, 1.0], shuffle=True, random_state=0,
        error_score="raise",
    )  # fmt: skip
    assert np.isfinite(scores).all()
    search = RandomizedSearchCV(
        new_of_steps(Estimator, max_iter=3), {"checkpoint_interval": [None, 2, "auto"], "cell": ["rnn", "lstm"]}, n_iter=3,
        cv=2, random_state=0, error_score="raise",
    )  # fmt: skip
    assert len(search.fit(X, y).predict(X)) == len(X)


# -------------------------------------------------------------------- outside scikit-learn's own world of 2-D arrays


def test_tools_that_stack_features_need_flattened_rows():
    """What scikit-learn refuses on 3-D arrays for reasons of its own works on flattened rows."""
    X, y = make_data("3-D")
    flat = X.reshape(len(X), -1)
    rows = {"n_features_per_step": 2}
    for wrapper in (OneVsOneClassifier(new(**rows)), MultiOutputClassifier(new(**rows))):
        targets = y if isinstance(wrapper, OneVsOneClassifier) else np.column_stack([y, y])
        assert wrapper.fit(flat, targets).predict(flat).shape == targets.shape
    chain = RegressorChain(new(RNNRegressor)).fit(flat, np.column_stack([y, y]))
    assert chain.predict(flat).shape == (len(y), 2)
    assert SelectFromModel(LogisticRegression()).fit(flat, y).transform(flat).shape[1] <= 8
