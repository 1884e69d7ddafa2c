"""SlidingWindow against windows cut row by row, and what a window may know: nothing of later rows."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    check_param_validation,
    estimator_checks_generator,
)

from skrnn import RNNRegressor
from skrnn.preprocessing import PerStep, SlidingWindow

ROWS = np.random.default_rng(0).normal(size=(12, 2))
WIDTHS = [1, 2, 5, 12, 20]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_width = pytest.mark.parametrize("width", WIDTHS)
each_padding = pytest.mark.parametrize("padding", [None, "edge"])


def windows_of(rows, width, padding=None, n_earlier=0):
    """Windows that end with each of the rows behind the earlier ones, one at a time."""
    windows = []
    for i in range(n_earlier, len(rows)):
        indices = range(i - width + 1, i + 1)
        windows.append([rows[max(j, 0)] for j in indices if j >= 0 or padding == "edge"])
    return windows


def assert_same(found, expected):
    assert type(found) is np.ndarray
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert_array_equal(a, b, strict=True)


def new(**parameters):
    return RNNRegressor(
        **{
            "hidden_layer_sizes": 4,
            "max_iter": 3,
            "learning_rate_init": 0.02,
            "learning_rate": "cosine",
            "random_state": 0,
            **parameters,
        }
    )


def make_series(n=60):
    """A noisy sine and its next value."""
    series = np.sin(np.arange(n + 1) / 3) + np.random.default_rng(1).normal(0, 0.1, n + 1)
    return series[:-1, None], series[1:]


# ---------------------------------------------------------------- what it computes


@each_width
@each_padding
def test_a_window_ends_with_each_row(width, padding):
    window = SlidingWindow(width, padding=padding)
    expected = [np.array(w) for w in windows_of(ROWS, width, padding)]
    assert_same(window.fit_transform(ROWS), expected)
    assert_same(window.fit(ROWS).transform(ROWS), expected)


@each_width
def test_the_form_of_the_output_depends_on_the_padding_alone(width):
    windows = SlidingWindow(width).fit_transform(ROWS)
    assert (windows.shape, windows.dtype) == ((12,), object)
    assert_array_equal([len(w) for w in windows], np.minimum(np.arange(12) + 1, width))
    windows = SlidingWindow(width, padding="edge").fit_transform(ROWS)
    assert (windows.shape, windows.dtype) == ((12, width, 2), ROWS.dtype)


@each_width
@each_padding
@pytest.mark.parametrize("n_fitted", [1, 3, 8])
def test_windows_go_on_where_fit_ended(width, padding, n_fitted):
    window = SlidingWindow(width, padding=padding, follows_fit=True).fit(ROWS[:n_fitted])
    expected = [np.array(w) for w in windows_of(ROWS, width, padding, n_earlier=n_fitted)]
    assert_same(window.transform(ROWS[n_fitted:]), expected)
    assert_same(window.transform(ROWS[n_fitted:]), expected)  # transform remembers nothing
    assert window.last_rows_.shape == (min(n_fitted, width - 1), 2)


@each_width
@each_padding
def test_windows_of_the_rows_that_are_fitted_do_not_follow_themselves(width, padding):
    expected = SlidingWindow(width, padding=padding).fit_transform(ROWS)
    assert_same(SlidingWindow(width, padding=padding, follows_fit=True).fit_transform(ROWS), list(expected))


def test_nothing_is_remembered_unless_it_is_asked_for():
    window = SlidingWindow(5).fit(ROWS[:8])
    assert window.last_rows_.shape == (0, 2)
    assert_same(window.transform(ROWS[8:]), [np.array(w) for w in windows_of(ROWS[8:], 5)])


@each_padding
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_dtype_is_kept(dtype, padding):
    for follows_fit in (False, True):
        window = SlidingWindow(3, padding=padding, follows_fit=follows_fit)
        rows = (10 * ROWS).astype(dtype)
        assert {w.dtype for w in window.fit_transform(rows)} == {np.dtype(dtype)}
        assert {w.dtype for w in window.transform(rows)} == {np.dtype(dtype)}


def test_rows_of_another_dtype_follow_without_loss():
    window = SlidingWindow(2, follows_fit=True).fit([[0.5]])
    assert_array_equal(window.transform(np.array([[1]]))[0], [[0.5], [1]])


@each_padding
def test_missing_values_pass(padding):
    rows = ROWS.copy()
    rows[3], rows[7, 1] = np.nan, np.inf
    window = SlidingWindow(4, padding=padding, follows_fit=True)
    assert_same(window.fit_transform(rows), [np.array(w) for w in windows_of(rows, 4, padding)])
    assert_same(window.fit(rows[:5]).transform(rows[5:]), [np.array(w) for w in windows_of(rows, 4, padding, n_earlier=5)])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({"load": [1.0, 2.0, 3.0], "holiday": [0, 1, 0]})
    window = SlidingWindow(2)
    assert_same(window.fit_transform(frame), [np.array(w) for w in windows_of(frame.to_numpy(), 2)])
    assert_array_equal(window.feature_names_in_, ["load", "holiday"])
    assert_array_equal(window.get_feature_names_out(), ["load", "holiday"])
    with pytest.raises(ValueError, match="feature names should match"):
        window.transform(frame[["holiday", "load"]])


# ---------------------------------------------------------------- what belongs to the user stays the user's


@each_padding
@pytest.mark.parametrize("follows_fit", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_windows_share_no_memory_with_the_rows(width, padding, follows_fit):
    rows = ROWS.copy()
    window = SlidingWindow(width, padding=padding, follows_fit=follows_fit)
    windows = window.fit_transform(rows)
    kept, expected = copy.deepcopy(windows), window.transform(ROWS)
    rows[:] = 7
    assert_same(windows, list(kept))
    assert_same(window.transform(ROWS), list(expected))  # nor does what fit remembers


@each_padding
def test_windows_overlap_in_memory_and_are_read_only(padding):
    windows = SlidingWindow(4, padding=padding).fit_transform(ROWS)
    assert np.shares_memory(windows[5], windows[8])
    for window in windows:
        with pytest.raises(ValueError, match="read-only"):
            window[0] = 0


@each_padding
@pytest.mark.parametrize("width", [1, 3])
def test_a_step_that_works_in_place_changes_neither_rows_nor_windows(padding, width):
    rows = ROWS.copy()
    windows = SlidingWindow(width, padding=padding).fit_transform(rows)
    before = copy.deepcopy(windows)
    scaled = PerStep(StandardScaler(copy=False)).fit_transform(windows)
    assert abs(np.concatenate(scaled).mean()) < 1e-12
    assert_same(windows, list(before))
    assert_array_equal(rows, ROWS)


# ---------------------------------------------------------------- nothing leaks


@each_width
@each_padding
@pytest.mark.parametrize("follows_fit", [False, True])
def test_later_rows_never_change_earlier_windows(width, padding, follows_fit):
    window = SlidingWindow(width, padding=padding, follows_fit=follows_fit).fit(ROWS)
    before, before_fitted = window.transform(ROWS), window.fit_transform(ROWS)
    for i in range(1, 12):
        changed = ROWS.copy()
        changed[i:] = 1e6
        assert_same(window.transform(changed)[:i], list(before[:i]))
        assert_same(clone(window).fit_transform(changed)[:i], list(before_fitted[:i]))


@each_padding
@pytest.mark.parametrize("follows_fit", [False, True])
def test_predictions_never_depend_on_later_rows(padding, follows_fit):
    X, y = make_series()
    model = make_pipeline(StandardScaler(), SlidingWindow(5, padding=padding, follows_fit=follows_fit), new())
    model.fit(X[:40], y[:40])
    changed = X.copy()
    changed[50:] += 10
    before, after = model.predict(X[40:]), model.predict(changed[40:])
    assert_allclose(after[:10], before[:10], rtol=1e-12)
    assert abs(after[10:] - before[10:]).min() > 1e-6


@each_padding
@pytest.mark.parametrize("follows_fit", [False, True])
def test_scores_of_splits_in_time_are_those_computed_by_hand(padding, follows_fit):
    X, y = make_series()
    splits = TimeSeriesSplit(3)
    model = make_pipeline(StandardScaler(), SlidingWindow(5, padding=padding, follows_fit=follows_fit), new())
    by_hand = []
    for train, test in splits.split(X):
        scaler = StandardScaler().fit(X[train])
        scaled = scaler.transform(X[: test[-1] + 1])
        n_earlier = len(train) if follows_fit else 0
        rows = scaled if follows_fit else scaled[test]
        as_form = np.array if padding == "edge" else lambda windows: [np.array(window) for window in windows]
        network = new().fit(as_form(windows_of(scaled[train], 5, padding)), y[train])
        by_hand.append(network.score(as_form(windows_of(rows, 5, padding, n_earlier)), y[test]))
    assert_allclose(cross_val_score(model, X, y, cv=splits, error_score="raise"), by_hand, rtol=1e-12)


def test_context_of_the_training_rows_matters_for_the_first_rows_only():
    X, y = make_series()
    alone, following = (
        make_pipeline(StandardScaler(), SlidingWindow(5, follows_fit=follows_fit), new()).fit(X[:40], y[:40])
        for follows_fit in (False, True)
    )
    differs = abs(alone.predict(X[40:]) - following.predict(X[40:])) > 1e-9
    assert_array_equal(differs, np.arange(20) < 4)


# ---------------------------------------------------------------- scikit-learn's conventions

#: they ask that the output of a row depends on no other row: rows of a table have no order, rows in time have one
OF_TABLES = {"check_methods_sample_order_invariance", "check_methods_subset_invariance"}


class FirstAndLast(SlidingWindow):
    """First and last rows of windows: the checks compare what comes out, and NumPy can't compare arrays of arrays."""

    def fit_transform(self, X, y=None):
        return np.array([np.r_[window[0], window[-1]] for window in super().fit_transform(X, y)])

    def transform(self, X):
        return np.array([np.r_[window[0], window[-1]] for window in super().transform(X)])


CHECKED = [SlidingWindow(1, padding="edge"), SlidingWindow(3, padding="edge"), FirstAndLast(1), FirstAndLast(3)]


def checks_of(estimator):
    """All checks that apply to the estimator; with windows of several rows, all but the two of tables."""
    for cloned, check in estimator_checks_generator(estimator):
        if estimator.width == 1 or check.func.__name__ not in OF_TABLES:
            yield pytest.param(cloned, check, id=f"{cloned}-{check.func.__name__}")


@pytest.mark.parametrize(("estimator", "check"), [pair for estimator in CHECKED for pair in checks_of(estimator)])
def test_passes_the_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_tags_switch_no_checks_off():
    for estimator in CHECKED:
        assert len(list(checks_of(estimator))) > 40


@pytest.mark.parametrize(
    "check", [check_dataframe_column_names_consistency, check_param_validation, check_inplace_ensure_writeable]
)
def test_passes_the_check_that_scikit_learn_keeps_for_its_own_estimators(check):
    check("SlidingWindow", SlidingWindow(3))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (ROWS[:, 0], ValueError, "Expected 2D array, got 1D array instead"),
        (pd.Series(ROWS[:, 0]), ValueError, "Expected a 2-dimensional container but got|Expected 2D array, got 1D array"),
        (ROWS[None], ValueError, "Found array with dim 3"),
        (ROWS[:0], ValueError, "0 sample"),
        (ROWS[:, :0], ValueError, r"0 feature\(s\)"),
        (ROWS.astype(str), ValueError, "dtype='numeric' is not compatible with arrays of bytes/strings"),
        (np.ma.masked_greater(ROWS, 0), ValueError, "X is a masked array with masked values. Fill them"),
    ],
)
def test_what_is_not_rows_of_numbers_is_rejected(X, error, message):
    with pytest.raises(error, match=message):
        SlidingWindow(3).fit(X)


def test_a_masked_array_without_masked_values_is_an_array():
    assert_same(SlidingWindow(2).fit_transform(np.ma.array(ROWS)), [np.array(w) for w in windows_of(ROWS, 2)])


def test_wrong_number_of_features():
    with pytest.raises(ValueError, match="X has 1 features, but SlidingWindow is expecting 2 features as input"):
        SlidingWindow(3).fit(ROWS).transform(ROWS[:, :1])


@each_padding
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_rows_make_the_windows_of_dense_ones(padding, dtype, container):
    rows = np.eye(6, 3).astype(dtype)
    window = SlidingWindow(3, padding=padding, follows_fit=True)
    assert_same(window.fit_transform(container(rows)), list(window.fit_transform(rows)))
    expected = list(window.transform(rows))
    assert_same(window.transform(container(rows)), expected)
    assert_same(window.fit(container(rows)).transform(rows), expected)


@pytest.mark.parametrize("n_days", [2, 20], ids=["dense", "sparse"])
def test_categories_are_encoded_before_the_windows(n_days):
    """Whether the output of a ``ColumnTransformer`` is sparse depends on how many categories there are."""
    frame = pd.DataFrame({"load": np.arange(40.0), "day": np.arange(40) % n_days})
    encoder = ColumnTransformer([("day", OneHotEncoder(handle_unknown="ignore"), ["day"])], remainder="passthrough")
    assert sparse.issparse(encoder.fit_transform(frame)) == (n_days == 20)
    model = make_pipeline(encoder, SlidingWindow(3, follows_fit=True), new()).fit(frame, frame["load"])
    assert model.predict(frame).shape == (40,)


@each_padding
@pytest.mark.parametrize("follows_fit", [False, True])
@pytest.mark.parametrize("width", [2, 9])
def test_a_width_that_is_set_later_waits_for_the_next_fit(padding, follows_fit, width):
    window = SlidingWindow(6, padding=padding, follows_fit=follows_fit).fit(ROWS)
    expected = list(window.transform(ROWS))
    assert_same(window.set_params(width=width).transform(ROWS), expected)
    assert window.width_ == 6
    assert len(window.fit_transform(ROWS)[-1]) == width


@pytest.mark.parametrize("width", [0, -1, 2.0, None])
def test_width_is_a_number_of_rows(width):
    with pytest.raises(ValueError, match="'width' parameter of SlidingWindow must be an int"):
        SlidingWindow(width).fit(ROWS)


def test_not_fitted():
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(SlidingWindow(3), method)(ROWS)


def test_a_new_fit_forgets_the_rows_of_the_last_one():
    window = SlidingWindow(5, follows_fit=True).fit(ROWS).fit(ROWS[:1])
    assert_array_equal(window.last_rows_, ROWS[:1])


def test_the_context_is_pickled():
    window = SlidingWindow(4, follows_fit=True).fit(ROWS[:8])
    loaded = pickle.loads(pickle.dumps(window))
    assert_same(loaded.transform(ROWS[8:]), list(window.transform(ROWS[8:])))


def test_the_context_is_stored_by_skops():
    io = pytest.importorskip("skops.io")
    window = SlidingWindow(4, follows_fit=True).fit(ROWS[:8])
    loaded = io.loads(io.dumps(window), trusted=["skrnn.preprocessing._sliding_window.SlidingWindow"])
    assert_same(loaded.transform(ROWS[8:]), list(window.transform(ROWS[8:])))


@each_padding
def test_tags(padding):
    tags = get_tags(SlidingWindow(3, padding=padding))
    assert tags.input_tags.allow_nan
    assert tags.input_tags.two_d_array
    assert tags.input_tags.sparse
    assert not tags.target_tags.required
    assert tags.transformer_tags.preserves_dtype == (["float64", "float32"] if padding == "edge" else [])


def test_windows_are_never_made_a_frame():
    pipeline = make_pipeline(StandardScaler(), SlidingWindow(2)).set_output(transform="pandas")
    frame = pd.DataFrame(ROWS, columns=["load", "price"])
    windows = pipeline.fit_transform(frame)
    assert_same(windows, [np.array(w) for w in windows_of(StandardScaler().fit_transform(frame), 2)])
    assert_array_equal(pipeline.get_feature_names_out(), ["load", "price"])


def test_width_is_searched_for():
    X, y = make_series()
    model = make_pipeline(StandardScaler(), SlidingWindow(2, follows_fit=True), new())
    search = GridSearchCV(model, {"slidingwindow__width": [1, 4]}, cv=TimeSeriesSplit(2), error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]
    assert search.predict(X[:7]).shape == (7,)


def test_windows_made_before_the_split_are_those_of_the_splits():
    """Windows know no later rows, so they can be made of all rows at once."""
    X, y = make_series()
    folds = [(np.arange(40), np.arange(40, 60))]
    inside = cross_val_score(make_pipeline(SlidingWindow(5, follows_fit=True), new()), X, y, cv=folds)
    assert_allclose(cross_val_score(new(), SlidingWindow(5).fit_transform(X), y, cv=folds), inside, rtol=1e-12)


def test_there_is_a_prediction_for_each_row():
    X, y = make_series()
    splits = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    predicted = cross_val_predict(make_pipeline(SlidingWindow(5), new()), X, y, cv=splits)
    assert predicted.shape == (60,)
    assert np.isfinite(predicted).all()
