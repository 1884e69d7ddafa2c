"""PerStep against the transformer itself on the stacked steps, in every form of input."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from skrnn import RNNClassifier
from skrnn.preprocessing import PerStep
from skrnn.sequences import split_steps

LENGTHS = np.array([4, 2, 5, 1, 6, 6])
STEPS = np.random.default_rng(0).normal([0.0, 5.0, -2.0], [1.0, 2.0, 0.1], size=(24, 3))
Y = np.array([0, 1, 2, 0, 1, 2])

CUBE = STEPS.reshape(6, 4, 3)
ROWS = STEPS.reshape(6, 12)
RAGGED = split_steps(STEPS, LENGTHS)


def forms(steps):
    """Every form of input; the same steps in each."""
    rows, ragged = steps.reshape(6, 12), split_steps(steps, LENGTHS)
    return {
        "3-D": steps.reshape(6, 4, 3),
        "object array": ragged,
        "list": list(ragged),
        "2-D": rows,
        "frame": pd.DataFrame(rows).add_prefix("x"),
    }


FORMS = forms(STEPS)
every_form = pytest.mark.parametrize("form", FORMS)
TRANSFORMERS = [StandardScaler(), MinMaxScaler(), PCA(2), PolynomialFeatures(2), make_pipeline(StandardScaler(), Normalizer())]


def in_form(form, steps):
    """Arrange one row a step as PerStep should."""
    if form in ("object array", "list"):
        return split_steps(steps, LENGTHS)
    return steps.reshape((6, 4, -1) if form == "3-D" else (6, -1))


def assert_same(found, expected):
    assert type(found) is np.ndarray
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    for a, b in zip(found, expected, strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- what it computes


@every_form
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
def test_is_the_transformer_on_stacked_steps(transformer, form):
    X, per_step = FORMS[form], PerStep(transformer, n_features_per_step=3)
    expected = in_form(form, clone(transformer).fit_transform(STEPS))
    assert_same(per_step.fit(X).transform(X), expected)
    assert_same(per_step.fit_transform(X), expected)


@every_form
@pytest.mark.parametrize("transformer", [StandardScaler(), PCA(2)], ids=str)
def test_inverse_transform_is_that_of_the_transformer(transformer, form):
    per_step = PerStep(transformer, n_features_per_step=3).fit(FORMS[form])
    fitted = clone(transformer).fit(STEPS)
    expected = in_form(form, fitted.inverse_transform(fitted.transform(STEPS)))
    transformed = per_step.transform(FORMS[form])
    n_features_in = per_step.n_features_in_
    assert_same(per_step.inverse_transform(transformed), expected)
    assert per_step.n_features_in_ == n_features_in


@pytest.mark.parametrize("form", ["3-D", "list"])
def test_other_numbers_of_steps_are_transformed(form):
    per_step = PerStep(StandardScaler()).fit(FORMS[form])
    assert_same(per_step.transform(CUBE[:, :1]), per_step.transform(CUBE)[:, :1])
    assert per_step.transform(list(RAGGED[:1])).shape == (1,)


def test_rows_have_one_feature_per_step_by_default():
    assert_same(PerStep(StandardScaler()).fit_transform(ROWS), ((ROWS - ROWS.mean()) / ROWS.std()))


@every_form
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(form, dtype):
    for x in PerStep(StandardScaler()).fit_transform(forms(STEPS.astype(dtype))[form]):
        assert x.dtype == dtype


def test_missing_values_are_up_to_the_transformer():
    X = CUBE.copy()
    X[0, 1, 2] = np.nan
    expected = SimpleImputer().fit_transform(X.reshape(24, 3)).reshape(CUBE.shape)
    assert_same(PerStep(SimpleImputer()).fit_transform(X), expected)
    assert np.isnan(PerStep(StandardScaler()).fit_transform(list(X))[0][1, 2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        PerStep(KBinsDiscretizer()).fit(X)


@pytest.mark.parametrize("form", ["3-D", "list", "2-D"])
def test_sparse_output_of_text_becomes_dense(form):
    X = {"3-D": np.array([[["a"], ["b"]], [["b"], ["c"]]]), "list": [np.array(["a", "b"]), np.array(["b", "c"])]}
    X["2-D"] = X["3-D"][:, :, 0]
    out = PerStep(OneHotEncoder()).fit_transform(X[form])
    expected = np.array([[[1.0, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1]]])
    assert_array_equal(np.array([x.reshape(2, 3) for x in out]), expected)


def test_frames_of_the_transformer_become_arrays():
    expected = PerStep(StandardScaler()).fit_transform(CUBE)
    assert_same(PerStep(StandardScaler().set_output(transform="pandas")).fit_transform(CUBE), expected)
    with config_context(transform_output="pandas"):
        assert_same(PerStep(StandardScaler()).fit_transform(CUBE), expected)
    pipeline = make_pipeline(PerStep(StandardScaler())).set_output(transform="pandas")
    assert_same(pipeline.fit_transform(CUBE), expected)


def test_a_transformer_may_return_one_value_or_none_for_each_step():
    assert_same(
        PerStep(FunctionTransformer(lambda steps: steps.sum(axis=1))).fit_transform(CUBE), CUBE.sum(axis=2, keepdims=True)
    )
    assert PerStep(FunctionTransformer(lambda steps: steps[:, :0])).fit_transform(CUBE).shape == (6, 4, 0)


def test_a_transformer_may_treat_features_differently():
    transformer = ColumnTransformer([("scaled", StandardScaler(), [1]), ("kept", "passthrough", [0])])
    assert_same(PerStep(transformer).fit_transform(list(RAGGED)), in_form("list", transformer.fit_transform(STEPS)))


# ---------------------------------------------------------------- targets and weights


@every_form
@pytest.mark.parametrize("as_form", [np.asarray, list, pd.Series, lambda y: y.astype(str)])
@pytest.mark.parametrize("transformer", [SelectKBest(k=1), LinearDiscriminantAnalysis()], ids=str)
def test_targets_are_repeated_for_every_step(transformer, as_form, form):
    n_steps = LENGTHS if form in ("object array", "list") else 4
    expected = clone(transformer).fit(STEPS, np.repeat(Y, n_steps)).transform(STEPS)
    per_step = PerStep(transformer, n_features_per_step=3)
    assert_same(per_step.fit_transform(FORMS[form], as_form(Y)), in_form(form, expected))


class Recorder(TransformerMixin, BaseEstimator):
    """Remembers the target."""

    def fit(self, X, y=None):
        self.n_features_in_, self.y_ = X.shape[1], y
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("as_form", [np.asarray, np.ndarray.tolist, pd.DataFrame])
def test_several_targets_are_repeated_for_every_step(as_form):
    y = np.random.default_rng(1).normal(size=(6, 2))
    expected = PLSRegression(1).fit(STEPS, np.repeat(y, LENGTHS, axis=0)).transform(STEPS)
    assert_same(PerStep(PLSRegression(1)).fit(RAGGED, as_form(y)).transform(RAGGED), in_form("list", expected))


def test_targets_for_each_step_are_not_copied():
    y = np.ones((6, 4, 2))
    assert all(np.shares_memory(target, y) for target in PerStep(Recorder()).fit(CUBE, y).transformer_.y_)


@pytest.mark.parametrize("as_form", [list, lambda y: y], ids=["list", "object array"])
def test_ragged_targets_do_no_harm(as_form):
    y = as_form(split_steps(np.arange(24), LENGTHS))
    assert_same(PerStep(StandardScaler()).fit_transform(RAGGED, y), PerStep(StandardScaler()).fit_transform(RAGGED))


def test_weights_are_repeated_for_every_step_and_other_parameters_are_not():
    weight = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    fitted = PerStep(StandardScaler()).fit(RAGGED, sample_weight=weight)
    assert_allclose(fitted.transformer_.mean_, np.average(STEPS, axis=0, weights=np.repeat(weight, LENGTHS)))
    steps = make_pipeline(StandardScaler())
    fitted = PerStep(steps).fit(RAGGED, standardscaler__sample_weight=np.repeat(weight, LENGTHS))
    assert_allclose(fitted.transformer_[0].mean_, np.average(STEPS, axis=0, weights=np.repeat(weight, LENGTHS)))


def test_one_target_for_each_sequence():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[6, 5\]"):
        PerStep(StandardScaler()).fit(CUBE, Y[:5])


# ---------------------------------------------------------------- scikit-learn's conventions


@parametrize_with_checks([PerStep(StandardScaler()), PerStep(PCA()), PerStep(SelectKBest(k=1)), PerStep(FunctionTransformer())])
def test_passes_the_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_parameters_are_validated():
    check_param_validation("PerStep", PerStep(StandardScaler()))


@pytest.mark.parametrize("transformer", [RNNClassifier(), "scale", None, object()], ids=lambda x: type(x).__name__)
def test_what_does_not_transform_is_rejected(transformer):
    with pytest.raises(
        TypeError, match="'transformer' parameter of PerStep must be an object implementing 'fit' and 'transform'"
    ):
        PerStep(transformer).fit(CUBE)


def test_a_class_is_rejected():
    with pytest.raises(TypeError, match="instance"):
        PerStep(StandardScaler).fit(CUBE)


def test_the_given_transformer_is_not_fitted():
    transformer = StandardScaler()
    fitted = PerStep(transformer).fit(CUBE)
    assert fitted.transformer is transformer
    assert not hasattr(transformer, "mean_")


def test_methods_are_those_of_the_transformer():
    for method in ["inverse_transform", "get_feature_names_out"]:
        assert hasattr(PerStep(StandardScaler()), method)
        assert hasattr(PerStep(StandardScaler()).fit(CUBE), method)
        assert not hasattr(PerStep(Recorder()), method)
        assert not hasattr(PerStep(Recorder()).fit(CUBE), method)


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "get_feature_names_out"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match="This PerStep instance is not fitted yet"):
        getattr(PerStep(StandardScaler()), method)(CUBE)


@pytest.mark.parametrize(
    ("fitted_on", "X", "message"),
    [
        ("3-D", np.ones((2, 3, 5)), "X has 5 features, but PerStep is expecting 3 features as input"),
        ("list", [np.ones((2, 2))], "X has 2 features, but PerStep is expecting 3 features as input"),
        ("2-D", np.ones((2, 9)), "X has 9 features, but PerStep is expecting 12 features as input"),
        ("3-D", np.ones((2, 3)), "X has 1 features per step, but PerStep was fitted with 3"),
        ("2-D", np.ones((2, 3, 12)), "X has 12 features per step, but PerStep was fitted with 1"),
    ],
)
def test_wrong_number_of_features(fitted_on, X, message):
    per_step = PerStep(StandardScaler()).fit(FORMS[fitted_on])
    with pytest.raises(ValueError, match=message):
        per_step.transform(X)


def test_inverse_transform_checks_the_number_of_columns():
    per_step = PerStep(StandardScaler(), n_features_per_step=3).fit(ROWS)
    with pytest.raises(ValueError, match="X has 13 columns, which is not a multiple of the 4 steps"):
        per_step.inverse_transform(np.ones((2, 13)))


@pytest.mark.parametrize("X", [np.ones((0, 3, 2)), np.ones(3), np.ones((1, 2, 3, 4)), np.ones((1, 2, 3)) * 1j, []])
def test_no_sequences(X):
    with pytest.raises(ValueError, match=r"0 sample|Reshape your data|dim 4|Complex data not supported"):
        PerStep(StandardScaler()).fit(X)


def test_one_row_is_needed_for_each_step():
    with pytest.raises(ValueError, match="returned 23 rows for 24 steps"):
        PerStep(FunctionTransformer(lambda steps: np.diff(steps, axis=0))).fit_transform(CUBE)


@pytest.mark.parametrize(
    ("transformer", "X", "names"),
    [
        (StandardScaler(), CUBE, ["x0", "x1", "x2"]),
        (StandardScaler(), RAGGED, ["x0", "x1", "x2"]),
        (PCA(2), CUBE, ["pca0", "pca1"]),
        (StandardScaler(), pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]}), ["a", "b", "c"]),
        (PolynomialFeatures(2, include_bias=False), pd.DataFrame({"a": [1.0], "b": [2.0]}), ["a", "a^2", "b", "b^2"]),
    ],
)
def test_names_of_features(transformer, X, names):
    assert_array_equal(PerStep(transformer).fit(X).get_feature_names_out(), names)


def test_names_of_features_are_derived_from_given_names():
    assert_array_equal(PerStep(StandardScaler()).fit(CUBE).get_feature_names_out(["a", "b", "c"]), ["a", "b", "c"])


@pytest.mark.parametrize(
    "transformer", [StandardScaler(), SimpleImputer(), LinearDiscriminantAnalysis(), OneHotEncoder()], ids=str
)
def test_tags_are_those_of_the_transformer(transformer):
    tags, inner = get_tags(PerStep(transformer)), get_tags(transformer)
    assert tags.input_tags.three_d_array
    assert not tags.input_tags.sparse
    assert tags.input_tags.allow_nan == inner.input_tags.allow_nan
    assert tags.target_tags.required == inner.target_tags.required
    assert tags.transformer_tags == inner.transformer_tags
    assert not inner.input_tags.three_d_array


@every_form
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_in_a_grid_search_over_a_pipeline(form):
    pipeline = make_pipeline(PerStep(StandardScaler()), RNNClassifier(hidden_layer_sizes=2, max_iter=1, random_state=0))
    search = GridSearchCV(pipeline, {"perstep__transformer__with_mean": [True, False]}, cv=2, error_score="raise")
    search.fit(FORMS[form], Y % 2)
    found = search.best_estimator_[0].transformer_.with_mean
    assert found == search.best_params_["perstep__transformer__with_mean"]
    assert search.predict(FORMS[form]).shape == (6,)
