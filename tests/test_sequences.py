"""Every form of X becomes the same container or a clear error; batches are packed as a naive loop packs them."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator

from skrnn.sequences import Batch, Sequences, check_sequences, split_steps

LENGTHS = (3, 5, 1, 5, 2)
CUBE = np.arange(24, dtype=float).reshape(2, 3, 4)


def check(X, **options):
    return check_sequences(BaseEstimator(), X, reset=True, **options)


def object_array(members):
    array = np.empty(len(members), dtype=object)
    for i, member in enumerate(members):
        array[i] = member
    return array


def ragged(lengths=LENGTHS, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, n_features)) for length in lengths]


def frames(members):
    return [pd.DataFrame(x, columns=list("ab")) for x in members]


# ---------------------------------------------------------------- the container


def test_sequences_know_where_each_begins():
    members = ragged()
    sequences = Sequences(np.concatenate(members), np.array(LENGTHS))
    assert (len(sequences), sequences.n_features, sequences.longest) == (5, 2, 5)
    for i, member in enumerate(members):
        assert_array_equal(sequences.values[sequences.offsets[i] : sequences.offsets[i + 1]], member)


@pytest.mark.parametrize("n_features", [3, 0])
def test_what_is_computed_for_each_step_returns_in_the_form_of_the_input(n_features):
    for_each_step = np.ones((6, n_features))
    assert check(CUBE).in_form_of_input(for_each_step).shape == (2, 3, n_features)
    members = check(list(CUBE)).in_form_of_input(for_each_step)
    assert members.shape == (2,)
    assert [x.shape for x in members] == [(3, n_features)] * 2


@pytest.mark.parametrize("lengths", [LENGTHS, (2, 2), (4,), ()], ids=str)
def test_split_steps_undoes_concatenation_with_views(lengths):
    values = np.arange(2.0 * sum(lengths)).reshape(-1, 2)
    members = split_steps(values, np.array(lengths, dtype=int))
    assert members.shape == (len(lengths),)
    assert members.dtype == object
    assert [len(x) for x in members] == list(lengths)
    assert all(np.shares_memory(x, values) for x in members)
    assert_array_equal(np.concatenate([np.empty((0, 2)), *members]), values)


def test_steps_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="There are 5 steps, but lengths add up to 4"):
        split_steps(np.ones((5, 1)), np.array([2, 2]))


@pytest.mark.parametrize("lengths", [[4, -1], [1.0, 2.0], [[1, 2]], 3], ids=str)
def test_lengths_are_integers_from_zero(lengths):
    with pytest.raises(ValueError, match="lengths must be one integer of at least 0 for each sequence, got"):
        split_steps(np.ones((3, 1)), lengths)


def test_lengths_may_be_a_list():
    assert [len(x) for x in split_steps(np.ones((3, 1)), [2, 0, 1])] == [2, 0, 1]


# ---------------------------------------------------------------- batches

BATCHES = [[0, 1, 2, 3, 4], [2, 4, 0], [1, 3], [2]]
every_batch = pytest.mark.parametrize("index", BATCHES, ids=str)
both_targets = pytest.mark.parametrize("every_step", [False, True], ids=["one target", "targets of steps"])


def first_steps(batch):
    """At which step of the batch each column begins."""
    return [0 if batch.every_step else batch.n_steps - length for length in batch.lengths]


def naive_pack(members, n_steps, firsts, *, reverse):
    out = np.zeros((n_steps, 3, len(members)))
    for column, (x, first) in enumerate(zip(members, firsts, strict=True)):
        for step, values in enumerate(x[::-1] if reverse else x):
            out[first + step, :, column] = [1, *values]
    return out


def all_spans(n_steps):
    return [(start, stop) for start in range(n_steps) for stop in range(start + 1, n_steps + 1)]


@every_batch
@both_targets
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_pack_is_a_naive_loop(index, every_step, reverse):
    members = ragged()
    batch = Batch(check(members), np.array(index), every_step=every_step)
    assert sorted(batch.index) == sorted(index)
    assert_array_equal(batch.lengths, sorted([LENGTHS[i] for i in index], reverse=True))
    expected = naive_pack([members[i] for i in batch.index], batch.n_steps, first_steps(batch), reverse=reverse)
    for start, stop in all_spans(batch.n_steps):
        out = np.full((stop - start, 3, len(index)), np.nan)
        batch.pack(out, start, stop, reverse=reverse)
        assert_array_equal(out, expected[start:stop])


@pytest.mark.parametrize("X", [CUBE, list(CUBE)], ids=["array", "list"])
@both_targets
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_pack_of_equal_lengths_is_a_transposition(X, every_step, reverse):
    batch = Batch(check(X), np.array([1, 0, 1]), every_step=every_step)
    for start, stop in all_spans(3):
        out = np.full((stop - start, 5, 3), np.nan)
        batch.pack(out, start, stop, reverse=reverse)
        x = CUBE[[1, 0, 1], ::-1] if reverse else CUBE[[1, 0, 1]]
        assert_array_equal(out[:, 1:], x[:, start:stop].transpose(1, 2, 0))
        assert (out[:, 0] == 1).all()


@every_batch
@both_targets
def test_flip_is_the_other_direction_of_pack(index, every_step):
    batch = Batch(check(ragged()), np.array(index), every_step=every_step)
    forward, reverse = np.empty((2, batch.n_steps, 3, len(index)))
    batch.pack(forward, 0, batch.n_steps)
    batch.pack(reverse, 0, batch.n_steps, reverse=True)
    assert_array_equal(batch.flip(forward), reverse)
    assert_array_equal(batch.flip(reverse), forward)


def test_with_one_target_a_sequence_they_end_together_and_enter_one_by_one():
    batch = Batch(check(ragged()), np.arange(5))
    assert_array_equal(batch.index, [1, 3, 0, 4, 2])
    assert batch.entries == [(0, slice(0, 2)), (2, slice(2, 3)), (3, slice(3, 4)), (4, slice(4, 5))]
    assert batch.entries_from(3) == [(0, slice(0, 2)), (0, slice(2, 3)), (0, slice(3, 4)), (1, slice(4, 5))]
    assert batch.exits == []
    assert batch.is_ragged


def test_with_targets_of_steps_they_begin_together_and_exit_one_by_one():
    batch = Batch(check(ragged()), np.arange(5), every_step=True)
    assert_array_equal(batch.index, [1, 3, 0, 4, 2])
    assert batch.entries == batch.entries_from(3) == [(0, slice(0, 5))]
    assert batch.exits == [(1, slice(4, 5)), (2, slice(3, 4)), (3, slice(2, 3))]
    assert batch.is_ragged


def test_events_of_a_window_are_counted_from_its_first_step_and_row():
    batch = Batch(check(ragged()), np.arange(5), every_step=True)
    assert batch.events(batch.exits, 0, 5) == batch.exits
    assert batch.events(batch.exits, 2, 3) == [(0, slice(3, 4))]
    assert batch.events(batch.exits, 2, 4, row=7) == [(7, slice(3, 4)), (8, slice(2, 3))]
    assert batch.events(batch.exits, 4, 5) == []


@both_targets
@pytest.mark.parametrize("X", [CUBE, ragged((4, 4, 9))], ids=["all equal", "equal in this batch"])
def test_a_batch_of_equal_lengths_is_not_ragged_and_keeps_its_order(X, every_step):
    batch = Batch(check(X), np.array([1, 0]), every_step=every_step)
    assert batch.entries == [(0, slice(0, 2))]
    assert batch.exits == []
    assert not batch.is_ragged
    assert_array_equal(batch.index, [1, 0])


def test_targets_and_weights_follow_the_columns():
    y, weight = np.array([[10, 11, 12, 13, 14]]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    batch = Batch(check(ragged()), np.array([2, 0, 1]), y, weight)
    for start, stop in all_spans(batch.n_steps):
        targets, weights = batch.targets(start, stop)
        assert_array_equal(targets, [[11, 10, 12]])
        assert_array_equal(weights, [2, 1, 3])
        assert batch.total_weight(start, stop) == 6


@every_batch
@pytest.mark.parametrize("lengths", [LENGTHS, (4, 4, 4, 4, 4)], ids=["ragged", "equal"])
@pytest.mark.parametrize("n_outputs", [None, 2])
@pytest.mark.parametrize("step_weights", [False, True])
def test_targets_and_weights_of_steps_are_those_of_a_naive_loop(index, lengths, n_outputs, step_weights):
    n, offsets = sum(lengths), np.cumsum([0, *lengths])
    y = np.arange(n) if n_outputs is None else np.arange(n_outputs * n).reshape(n_outputs, n)
    weight = np.arange(1.0, 1 + (n if step_weights else 5))
    batch = Batch(check(ragged(lengths)), np.array(index), y, weight, every_step=True)
    for start, stop in all_spans(batch.n_steps):
        targets, weights = batch.targets(start, stop)
        assert targets.shape == (*y.shape[:-1], (stop - start) * len(index))
        places = [(step, i) for step in range(start, stop) for i in batch.index]  # steps times sequences
        total = 0.0
        for k, (step, i) in enumerate(places):
            row = offsets[i] + step
            of_step = (weight[row] if step_weights else weight[i]) if step < lengths[i] else 0
            assert weights[k] == of_step
            total += of_step
            if step < lengths[i]:
                assert_array_equal(targets[..., k], y[..., row])
        assert batch.total_weight(start, stop) == total


def test_as_many_weights_as_sequences_are_those_of_sequences():
    """With one step each it is the same."""
    for lengths in [(1, 1, 1), (2, 1, 3)]:
        batch = Batch(check(ragged(lengths)), np.arange(3), np.zeros(sum(lengths)), np.array([1.0, 2.0, 4.0]), every_step=True)
        assert batch.total_weight(0, 1) == 7


@pytest.mark.parametrize("n_sequences", [3, 30, 200])
def test_the_total_weight_of_a_step_has_the_same_bits_in_a_batch_of_this_step_alone(n_sequences):
    """There, weights of steps look like those of sequences."""
    weight = np.random.default_rng(0).uniform(size=(n_sequences, 4))
    X, index = np.zeros((n_sequences, 4, 1)), np.arange(n_sequences)
    whole = Batch(check(X), index, np.zeros(weight.size), weight.ravel(), every_step=True)
    for step in range(4):
        alone = Batch(check(X[:, :1]), index, np.zeros(n_sequences), weight[:, step].copy(), every_step=True)
        assert alone.total_weight(0, 1) == whole.total_weight(step, step + 1)


@every_batch
@pytest.mark.parametrize("lengths", [LENGTHS, (4, 4, 4, 4, 4)], ids=["ragged", "equal"])
@pytest.mark.parametrize("window", [1, 2, 5])
def test_scatter_writes_the_raw_predictions_of_all_own_steps_and_no_others(index, lengths, window):
    sequences = check(ragged(lengths))
    batch = Batch(sequences, np.array(index), every_step=True)
    out = np.full((2, sum(lengths)), np.nan)
    for start in range(0, batch.n_steps, window):
        stop = min(start + window, batch.n_steps)
        rows = [[sequences.offsets[i] + step for i in batch.index] for step in range(start, stop)]
        raw = np.array([np.ravel(rows), -np.ravel(rows)])
        batch.scatter(raw, start, stop, out)
    own = sequences.steps_of(np.array(index))
    assert_array_equal(out[:, own], [own, -own])
    assert np.isnan(np.delete(out, own, axis=1)).all()


@both_targets
def test_a_batch_for_prediction_has_no_targets(every_step):
    for y, weight in [(None, None), (None, np.ones(5)), (np.ones((1, 16)), None)]:
        batch = Batch(check(ragged()), np.arange(5), y, weight, every_step=every_step)
        for method in (batch.targets, batch.total_weight):
            with pytest.raises(TypeError, match="made for prediction, without targets and weights"):
                method(0, 1)


# ---------------------------------------------------------------- forms of X

RAGGED = ragged((3, 1, 2))
UNIVARIATE = [x[:, 0] for x in RAGGED]


SEPARATE = {
    "list": RAGGED,
    "tuple": tuple(RAGGED),
    "object array": object_array(RAGGED),
    "strided object array": object_array(RAGGED[::-1])[::-1],
    "series": pd.Series(RAGGED, index=[7, 8, 9]),
    "nested lists": [x.tolist() for x in RAGGED],
    "frames": frames(RAGGED),
    "object array of frames": object_array(frames(RAGGED)),
    "object members": [x.astype(object) for x in RAGGED],
    "unmasked members": [np.ma.masked_array(x) for x in RAGGED],
    "fortran members": [np.asfortranarray(x) for x in RAGGED],
    "strided members": [x[::-1].copy()[::-1] for x in RAGGED],
}


@pytest.mark.parametrize("form", SEPARATE)
def test_forms_of_separate_sequences(form):
    X = SEPARATE[form]
    sequences = check(X)
    assert sequences.ragged
    assert_array_equal(sequences.lengths, [3, 1, 2])
    assert_array_equal(sequences.values, np.concatenate(RAGGED))
    assert sequences.values.dtype == np.float64


@pytest.mark.parametrize("X", [UNIVARIATE, [x.tolist() for x in UNIVARIATE], object_array(UNIVARIATE)])
def test_one_dimensional_members_are_univariate(X):
    sequences = check(X)
    assert_array_equal(sequences.lengths, [3, 1, 2])
    assert_array_equal(sequences.values, np.concatenate(UNIVARIATE)[:, None])


def test_separate_sequences_of_equal_lengths_stay_separate():
    assert check(list(CUBE)).ragged
    assert check(CUBE.tolist()).ragged


class ArrayLike:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


CONVERSIONS = {
    "array": np.array,
    "fortran": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "objects": lambda X: X.astype(object),
    "unmasked": np.ma.masked_array,
    "array-like": ArrayLike,
}
DTYPES = ["int64", "uint8", "float16", "longdouble", ">f8", ">i4"]


@pytest.mark.parametrize("convert", [*CONVERSIONS.values(), *DTYPES], ids=[*CONVERSIONS, *DTYPES])
def test_forms_of_one_array_are_computed_in_float64(convert):
    sequences = check(CUBE.astype(convert) if isinstance(convert, str) else convert(CUBE))
    assert not sequences.ragged
    assert not sequences.flat
    assert_array_equal(sequences.lengths, [3, 3])
    assert_array_equal(sequences.values, CUBE.reshape(6, 4))
    assert sequences.values.dtype == np.dtype("=f8")
    assert sequences.values.flags.c_contiguous


@pytest.mark.parametrize(("given", "expected"), [("float32", "float32"), ("bool", "float64"), ("int32", "float64")])
@pytest.mark.parametrize("form", [np.asarray, list, lambda X: X[:, :, 0]], ids=["3-D", "ragged", "2-D"])
def test_only_float32_stays_below_float64(given, expected, form):
    assert check(form(CUBE.astype(given))).values.dtype == expected


@pytest.mark.parametrize(("n_features_per_step", "n_steps"), [(1, 6), (2, 3), (6, 1)])
@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame, np.ndarray.tolist, lambda X: X.astype(object)])
def test_rows_are_cut_into_steps(n_features_per_step, n_steps, form):
    X = np.arange(12.0).reshape(2, 6)
    sequences = check(form(X), n_features_per_step=n_features_per_step)
    assert sequences.flat
    assert_array_equal(sequences.lengths, [n_steps] * 2)
    assert_array_equal(sequences.values, X.reshape(2 * n_steps, n_features_per_step))


@pytest.mark.parametrize("X", [CUBE, CUBE[0]], ids=["3-D", "2-D"])
def test_what_can_be_used_as_it_is_is_not_copied(X):
    assert np.shares_memory(check(X).values, X)


def test_read_only_memmap_is_not_copied(tmp_path):
    np.save(tmp_path / "X.npy", CUBE)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(check(X).values, X)


def test_ten_thousand_sequences_are_checked_in_no_time():
    X = ragged(np.random.default_rng(0).integers(1, 10, 10_000))
    start = time.perf_counter()
    check(X)
    assert time.perf_counter() - start < 0.1


# ---------------------------------------------------------------- what the estimator remembers


@pytest.mark.parametrize(
    ("X", "n_features_in"),
    [(CUBE, 4), (list(CUBE), 4), (CUBE[0], 4), (UNIVARIATE, 1)],
    ids=["3-D", "list", "2-D", "1-D members"],
)
def test_number_of_features_is_set_and_checked(X, n_features_in):
    estimator = BaseEstimator()
    check_sequences(estimator, X, reset=True)
    assert estimator.n_features_in_ == n_features_in
    with pytest.raises(ValueError, match=f"X has 7 features, but BaseEstimator is expecting {n_features_in} features as input"):
        check_sequences(estimator, np.ones((2, 3, 7)), reset=False)


@pytest.mark.parametrize("module", ["pandas", "polars"])
def test_names_of_columns_are_set_and_checked(module):
    DataFrame = pytest.importorskip(module).DataFrame
    estimator, a, b = BaseEstimator(), [1.0, 2.0], [3.0, 4.0]
    check_sequences(estimator, DataFrame({"a": a, "b": b}), reset=True)
    assert_array_equal(estimator.feature_names_in_, ["a", "b"])
    with pytest.raises(ValueError, match="feature names should match"):
        check_sequences(estimator, DataFrame({"c": a, "b": b}), reset=False)


@pytest.mark.parametrize("module", ["pandas", "polars"])
@pytest.mark.parametrize("form", [list, object_array])
def test_names_of_columns_of_separate_frames_are_set_and_checked(module, form):
    frame = pytest.importorskip(module).DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    estimator, X = BaseEstimator(), form([frame, frame[:1]])
    assert_array_equal(check_sequences(estimator, X, reset=True).values, [[1, 3], [2, 4], [1, 3]])
    assert_array_equal(estimator.feature_names_in_, ["a", "b"])
    assert estimator.n_features_in_ == 2
    check_sequences(estimator, X, reset=False)
    for columns in (["b", "a"], ["a"]):
        with pytest.raises(ValueError, match="feature names should match"):
            check_sequences(estimator, form([frame[columns]] * 2), reset=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.array, list, lambda X: [frames(X)[0], X[1]]], ids=["3-D", "arrays", "one frame"])
def test_without_names_scikit_learn_warns(form, dtype):
    estimator, X = BaseEstimator(), CUBE[:, :, :2].astype(dtype).copy()
    check_sequences(estimator, frames(X), reset=True)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        check_sequences(estimator, form(X), reset=False, dtype=np.float64)


def test_a_new_fit_forgets_the_names():
    estimator = BaseEstimator()
    check_sequences(estimator, frames(RAGGED), reset=True)
    check_sequences(estimator, RAGGED, reset=True)
    assert not hasattr(estimator, "feature_names_in_")


def test_numbered_columns_are_no_names():
    estimator = BaseEstimator()
    check_sequences(estimator, [pd.DataFrame(x) for x in RAGGED], reset=True)
    assert not hasattr(estimator, "feature_names_in_")


# ---------------------------------------------------------------- what is no sequence of numbers

DAYS = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")
MASKED = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])

REJECTED = {
    # name: (X, type of error, what the message says)
    "scalar": (3.0, ValueError, "Reshape your data"),
    "1-D": (np.ones(3), ValueError, "Reshape your data"),
    "1-D list": ([1.0, 2.0], ValueError, "Reshape your data"),
    "1-D objects": (np.array([1.0, 2.0], dtype=object), ValueError, "X[0] of type float with dim 0"),
    "series of numbers": (pd.Series([1.0, 2.0]), ValueError, "2-dimensional container"),
    "4-D": (np.ones((1, 2, 3, 4)), ValueError, "dim 4"),
    "3-D member": ([np.ones((3, 2)), np.ones((1, 3, 2))], ValueError, "X[1] of type ndarray with dim 3"),
    "no sequence, 3-D": (np.ones((0, 3, 2)), ValueError, "Found array with 0 sample(s)"),
    "no sequence, 2-D": (np.ones((0, 3)), ValueError, "Found array with 0 sample(s)"),
    "no sequence, list": ([], ValueError, "Found array with 0 sample(s)"),
    "no sequence, objects": (np.empty(0, dtype=object), ValueError, "Found array with 0 sample(s)"),
    "no step": (np.ones((2, 0, 3)), ValueError, "at least 1 time step"),
    "empty member": ([np.ones((3, 2)), np.ones((0, 2))], ValueError, "X[1] is empty; at least 1 time step"),
    "empty list member": ([[], [1.0]], ValueError, "X[0] is empty; at least 1 time step"),
    "no feature, 3-D": (np.ones((2, 3, 0)), ValueError, "0 feature(s)"),
    "no feature, 2-D": (np.ones((2, 0)), ValueError, "0 feature(s)"),
    "no feature, member": ([np.ones((2, 0))], ValueError, "0 feature(s)"),
    "widths": ([np.ones((3, 2)), np.ones((3, 4))], ValueError, "X[1] has 4 features per step, but X[0] has 2"),
    "widths, univariate": ([np.ones((3, 2)), np.ones(3)], ValueError, "X[1] has 1 features per step, but X[0] has 2"),
    "uneven member": ([[[1.0, 2.0], [3.0]], [[1.0, 2.0]]], ValueError, "X[0] is no array (n_timesteps, n_features)"),
    "NaN, 3-D": (np.full((2, 3, 1), np.nan), ValueError, "Input X contains NaN"),
    "NaN, list": ([np.ones((3, 1)), np.full((2, 1), np.nan)], ValueError, "Input X contains NaN"),
    "NaN, 2-D": (np.full((2, 3), np.nan), ValueError, "Input X contains NaN"),
    "NaN, frame": (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), ValueError, "Input X contains NaN"),
    "inf, 3-D": (np.full((2, 3, 1), np.inf), ValueError, "Input X contains infinity"),
    "inf, list": ([np.ones((3, 1)), np.full((2, 1), -np.inf)], ValueError, "Input X contains infinity"),
    "inf, 2-D": (np.full((2, 3), np.inf), ValueError, "Input X contains infinity"),
    "complex, 3-D": (np.ones((2, 3, 1), dtype=complex), ValueError, "Complex data not supported"),
    "complex, list": ([np.ones((2, 1)), np.ones((3, 1), dtype=complex)], ValueError, "Complex data not supported"),
    "sparse matrix": (sparse.csr_matrix(np.eye(3)), TypeError, "X is sparse"),
    "sparse array": (sparse.coo_array(np.eye(3)), TypeError, "X is sparse"),
    "sparse member": ([np.eye(3), sparse.csr_array(np.eye(3))], TypeError, "X[1] is sparse"),
    "sparse frame": (pd.DataFrame(np.eye(3)).astype(pd.SparseDtype("float", 0.0)), TypeError, "Sparse data was passed"),
    "matrix": (np.eye(3).view(np.matrix), TypeError, "X is an np.matrix"),
    "matrix member": ([np.eye(3), np.eye(3).view(np.matrix)], TypeError, "X[1] is an np.matrix"),
    "mask, 2-D": (MASKED, ValueError, "X is a masked array"),
    "mask, 3-D": (MASKED[None], ValueError, "X is a masked array"),
    "mask, member": ([np.ones((2, 2)), MASKED], ValueError, "X[1] is a masked array"),
    "dict": ({"a": [1.0]}, TypeError, "'dict'"),
    "dicts": ([{"a": 1.0}], TypeError, "'dict'"),
    "dict member": ([np.ones((2, 2)), {"a": 1.0}], ValueError, "X[1] of type dict"),
    "number member": ([[1.0, 2.0], 3.0], ValueError, "X[1] of type float"),
    "times, 3-D": (DAYS[None, :, None], TypeError, "X holds values of type datetime64"),
    "times, list": ([DAYS], TypeError, "X holds values of type datetime64"),
    "time differences": (np.diff(DAYS)[None], TypeError, "X holds values of type timedelta64"),
    "times, frame": (pd.DataFrame({"a": DAYS, "b": [1.0, 2.0]}), TypeError, "X holds values of type datetime64"),
    "times, frames": ([pd.DataFrame({"a": DAYS})], TypeError, "X holds values of type datetime64"),
    "text": (np.array([["1", "2"]]), TypeError, "X holds values of type <U1"),
    "text, list": (["a", "b"], TypeError, "X holds values of type <U1"),
    "text, nested lists": ([["1", "2"], ["3", "4"]], TypeError, "X holds values of type <U1"),
    "text, mixed list": ([[1.0, "2"]], TypeError, "X holds values of type <U"),
    "text, uneven lists": ([["1"], ["2", "3"]], TypeError, "X holds values of type <U1"),
    "text, objects": (np.array([["1", 2.0]], dtype=object), TypeError, "X holds values of type str"),
    "text, 3-D objects": (np.array([[["1"], [2.0]]], dtype=object), TypeError, "X holds values of type str"),
    "text, object members": ([np.array([1.0, "2"], dtype=object)], TypeError, "X holds values of type str"),
    "bytes, objects": (np.array([[b"1"]], dtype=object), TypeError, "X holds values of type bytes"),
    "text, frame": (pd.DataFrame({"a": ["1", "2"], "b": [1.0, 2.0]}), TypeError, "X holds values of type str"),
    "text, object frame": (pd.DataFrame({"a": ["1", "2"]}, dtype=object), TypeError, "X holds values of type str"),
    "categories of text": (pd.DataFrame({"a": ["1", "2"]}, dtype="category"), TypeError, "X holds values of type str"),
    "categories of times": (pd.DataFrame({"a": DAYS}, dtype="category"), TypeError, "X holds values of type datetime64"),
    "text, frames": ([pd.DataFrame({"a": ["1"], "b": [1.0]})] * 2, TypeError, "X holds values of type str"),
    "categories, frames": ([pd.DataFrame({"a": ["1"]}, dtype="category")], TypeError, "X holds values of type str"),
    "text, member": ([np.ones(2), np.array(["a"])], TypeError, "X holds values of type <U"),
    "text, series": (pd.Series(["a", "b"]), ValueError, "X[0] of type str"),
    "bytes": (np.array([[b"1"]]), TypeError, "X holds values of type |S1"),
    "records": (np.zeros((2, 2), dtype=[("a", float)]), TypeError, "X holds values of type [('a'"),
    "columns": ([pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [1], "a": [2]})], ValueError, "the same columns"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected(case):
    X, error, message = REJECTED[case]
    with pytest.raises(error, match=re.escape(message)):
        check(X)


def test_sparse_3d_array_is_rejected():
    pytest.importorskip("scipy", minversion="1.15")
    with pytest.raises(TypeError, match="X is sparse"):
        check(sparse.coo_array(CUBE))


@pytest.mark.parametrize(
    ("values", "dtype"), [(DAYS, "Date"), (["1", "2"], "String"), (["1", "2"], "Categorical"), ([[1.0], [2.0]], "List")]
)
def test_columns_of_polars_that_are_not_numbers_are_rejected(values, dtype):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": pl.Series(values, dtype=getattr(pl, dtype)), "b": [1.0, 2.0]})
    for X in [frame, [frame]]:
        with pytest.raises(TypeError, match=f"X holds values of type {dtype}"):
            check(X)


def test_enums_of_polars_are_rejected():
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match="X holds values of type Enum"):
        check(pl.DataFrame({"a": pl.Series(["1", "2"], dtype=pl.Enum(["1", "2"]))}))


@pytest.mark.parametrize("module", ["pandas", "polars"])
def test_columns_of_numbers_and_booleans_are_taken(module):
    frame = pytest.importorskip(module).DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})
    for X in [frame, [frame]]:
        assert_array_equal(check(X).values.ravel(), [1, 1, 0.5, 2, 0, 1.5])


def test_categories_of_numbers_are_taken():
    assert_array_equal(check(pd.DataFrame({"a": [1, 2]}, dtype="category")).values, [[1], [2]])


def test_columns_must_be_a_multiple_of_n_features_per_step():
    with pytest.raises(ValueError, match="X has 6 columns, which is not a multiple of n_features_per_step=4"):
        check(np.ones((2, 6)), n_features_per_step=4)


@pytest.mark.parametrize("X", [CUBE * np.nan, [CUBE[0] * np.nan], CUBE[0] * np.nan], ids=["3-D", "ragged", "2-D"])
def test_what_is_not_finite_is_kept_on_request(X):
    assert not np.isfinite(check(X, ensure_all_finite=False).values).any()


@pytest.mark.parametrize("dtype", ["<U1", "datetime64[D]", "int8"])
def test_any_dtype_is_kept_on_request(dtype):
    X = np.array(["1"]).astype("int8").astype(dtype)
    for form in [X[:, None, None], [X], X[:, None]]:
        assert check(form, dtype=None).values.dtype == dtype
