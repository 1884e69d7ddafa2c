"""Other layouts come back as they went, bit by bit, or are refused with a message that says where and what to do."""

import re
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

import skrnn.sequences
from skrnn import RNNClassifier
from skrnn.sequences import (
    concatenate_steps,
    from_channels_first,
    from_long,
    from_nested,
    from_packed,
    from_padded,
    to_channels_first,
    to_long,
    to_nested,
    to_packed,
    to_padded,
)

CUBE = np.arange(24, dtype=float).reshape(2, 3, 4)
DAYS = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")
MASKED = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
every_library = pytest.mark.parametrize("library", ["pandas", "polars"])


def ragged(lengths=(3, 5, 1, 5, 2), n_features=2, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    return [(9 * rng.normal(size=(length, n_features))).astype(dtype) for length in lengths]


def object_array(members):
    array = np.empty(len(members), dtype=object)
    for i, member in enumerate(members):
        array[i] = member
    return array


def assert_same(found, expected, *, strict=True):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert_array_equal(a, b, strict=strict)


def frame_of(library, columns):
    return pytest.importorskip(library).DataFrame(columns)


# ---------------------------------------------------------------- all of them

LARGEST = 1000  # beyond all values


def through_padding(X, **options):
    padded, lengths = to_padded(X, LARGEST, **options)
    assert_same(from_padded(padded, LARGEST, **options), from_padded(padded, lengths=lengths, **options))
    return from_padded(padded, LARGEST, **options)


def through_lengths(X):
    padded, lengths = to_padded(X, np.ravel(list(X)[-1])[-1])  # a value that occurs
    return from_padded(padded, lengths=lengths)


ROUND_TRIPS = {
    "padded": through_padding,
    "padded before": lambda X: through_padding(X, padding="pre"),
    "padded, lengths": through_lengths,
    "channels first": lambda X: from_channels_first(to_channels_first(X)),
    "channels first, frames": lambda X: from_channels_first([pd.DataFrame(x) for x in to_channels_first(X)]),
    "packed": lambda X: from_packed(to_packed(X)),
    "long, pandas": lambda X: from_long(to_long(X), "id", "time")[0],
    "long, polars": lambda X: from_long(to_long(X, library=pytest.importorskip("polars").__name__), "id", "time")[0],
    "multi-index": lambda X: from_long(to_long(X).set_index(["id", "time"]))[0],
    "nested": lambda X: from_nested(to_nested(X)),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int16])
@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("lengths", [None, (4, 4, 4), (7,)], ids=["ragged", "equal", "one"])
@pytest.mark.parametrize("form", [list, object_array], ids=["list", "object array"])
def test_round_trips_are_exact(name, dtype, n_features, lengths, form, global_random_seed):
    if lengths is None:
        lengths = np.random.default_rng(global_random_seed).integers(1, 9, size=14)
    members = ragged(lengths, n_features, dtype, global_random_seed)
    before = [x.copy() for x in members]
    assert_same(ROUND_TRIPS[name](form(members)), before)
    assert_same(members, before)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_arrays_of_three_dimensions_come_back(name):
    assert_same(ROUND_TRIPS[name](CUBE), list(CUBE))


@pytest.mark.parametrize("name", ROUND_TRIPS)
@pytest.mark.parametrize("form", [list, pd.Series, lambda X: [x.tolist() for x in X]], ids=["arrays", "series", "lists"])
def test_other_forms_of_separate_sequences_are_taken(name, form):
    members = [np.array([1.5, 2.0]), np.array([3.0, 4.0, 5.0])]
    assert_same(ROUND_TRIPS[name](form(members)), [x[:, None] for x in members])


TO = {name: getattr(skrnn.sequences, name) for name in skrnn.sequences.__all__ if name.startswith("to_")}
REFUSED = {
    # name: (X, type of error, what the message says)
    "1-D": (np.ones(3), ValueError, "Found X with dim 1"),
    "2-D": (np.ones((3, 2)), ValueError, "Found X with dim 2"),
    "4-D": (np.ones((1, 2, 3, 4)), ValueError, "Found X with dim 4"),
    "frame": (pd.DataFrame({"a": [1.0]}), ValueError, "Found X with dim 2"),
    "no sequence": ([], ValueError, "0 sample(s)"),
    "no step": (np.ones((2, 0, 3)), ValueError, "X[0] is empty; at least 1 time step"),
    "empty member": ([np.ones((3, 2)), np.ones((0, 2))], ValueError, "X[1] is empty; at least 1 time step"),
    "3-D member": ([np.ones((3, 2)), np.ones((1, 3, 2))], ValueError, "X[1] of type ndarray with dim 3"),
    "widths": ([np.ones((3, 2)), np.ones((3, 4))], ValueError, "X[1] has 4 features per step, but X[0] has 2"),
    "mask": (MASKED[None], ValueError, "X is a masked array"),
    "mask, member": ([np.ones((2, 2)), MASKED], ValueError, "X[1] is a masked array"),
    "sparse": (sparse.csr_array(np.eye(3)), TypeError, "X is sparse"),
    "sparse member": ([np.eye(3), sparse.csr_array(np.eye(3))], TypeError, "X[1] is sparse"),
    "columns": ([pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [1], "a": [2]})], ValueError, "the same columns"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", TO)
def test_what_is_no_data_set_of_sequences_is_refused(name, case):
    X, error, message = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        TO[name](X)


# ---------------------------------------------------------------- padded


@pytest.mark.parametrize("padding_value", [np.nan, 0.0, -1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("padding", ["post", "pre"])
def test_from_padded_removes_what_was_padded(padding_value, dtype, padding):
    members = ragged(dtype=dtype)
    padded = np.full((5, 7, 2), padding_value, dtype=dtype)
    for row, x in zip(padded, members, strict=True):
        row[7 - len(x) if padding == "pre" else 0 :][: len(x)] = x
    for found in (
        from_padded(padded, padding_value, padding=padding),
        from_padded(padded, lengths=[3, 5, 1, 5, 2], padding=padding),
    ):
        assert_same(found, members)
        assert all(np.shares_memory(x, padded) for x in found)


def test_from_padded_keeps_all_but_whole_steps_at_the_end():
    X = np.array([[[0, 0], [1, 0], [0, 0], [0, 2]], [[0, 0], [0, 1], [0, 0], [0, 0]], [[0, 0]] * 4])
    sequences = from_padded(X, 0)
    assert [len(x) for x in sequences] == [4, 2, 0]
    assert_array_equal(sequences[1], X[1, :2])
    assert [len(x) for x in from_padded(X, 0, padding="pre")] == [3, 3, 0]


def test_from_padded_takes_univariate_sequences():
    assert_same(from_padded([[1, 2, 3], [4, 5, -1]], -1), [[[1], [2], [3]], [[4], [5]]], strict=False)


def test_known_lengths_keep_steps_that_look_like_padding():
    members = [np.zeros((2, 1)), np.ones((3, 1))]
    padded, lengths = to_padded(members, 0)
    assert_array_equal(lengths, [2, 3])
    assert_same(from_padded(padded, 0, lengths=lengths), members)
    assert [len(x) for x in from_padded(padded, 0)] == [0, 3]


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_to_padded_is_a_naive_loop(padding):
    members = ragged((3, 1), n_features=1)
    padded, lengths = to_padded(members, padding=padding)
    (a, b, c), (d,) = members[0][:, 0], members[1][:, 0]
    short = [np.nan, np.nan, d] if padding == "pre" else [d, np.nan, np.nan]
    assert_array_equal(padded[:, :, 0], [[a, b, c], short])
    assert_array_equal(lengths, [3, 1])


def test_equal_lengths_in_an_array_are_not_copied():
    padded, lengths = to_padded(CUBE)
    assert padded is CUBE
    assert_array_equal(lengths, [3, 3])


def test_members_of_different_dtypes_are_padded_in_a_common_one():
    X = [np.ones((2, 1), np.float32), np.ones((1, 1), np.int64)]
    assert to_padded(X)[0].dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "padding_value"),
    [
        (np.int64, np.nan),
        (np.int64, None),
        (np.int64, 0.5),
        (np.uint8, 256),
        (np.uint8, -1),
        (bool, np.nan),
        ("U1", 0),
        ("U1", np.nan),
        ("S1", "a"),
        (np.float32, 1e300),
        (np.float64, "a"),
        ("M8[D]", 0.5),
    ],
)
def test_what_the_dtype_can_not_hold_pads_nothing(dtype, padding_value):
    X = [np.ones((2, 1), int).astype(dtype), np.ones((1, 1), int).astype(dtype)]
    for function in (lambda: to_padded(X, padding_value), lambda: from_padded(X[0][None], padding_value)):
        with pytest.raises(ValueError, match=re.escape(f"padding_value={padding_value} is no value of ") + ".* Choose another"):
            function()


SHORT_AND_LONG = {
    # name: (the two members, what to pad with)
    "float32, rounded": ([np.ones(1, np.float32), np.ones(3, np.float32)], np.float64(0.1)),
    "float32, Python's": ([np.ones(1, np.float32), np.ones(3, np.float32)], 0.1),
    "float16, infinity": ([np.ones(1, np.float16), np.ones(3, np.float16)], -np.inf),
    "float32, missing": ([np.ones(1, np.float32), np.ones(3, np.float32)], None),
    "complex": ([np.ones(1, complex), np.ones(3, complex)], 2j),
    "days, NaT": ([DAYS[:1], DAYS], np.datetime64("NaT")),
    "days, NaT of pandas": ([DAYS[:1], DAYS], pd.NaT),
    "days, NaN": ([DAYS[:1], DAYS], np.nan),
    "days": ([DAYS[:1], DAYS], np.datetime64("1970-01-01")),
    "differences, NaT": ([np.diff(DAYS), np.diff(DAYS).repeat(2)], np.timedelta64("NaT", "D")),
    "text, empty": ([np.array(["a"]), np.array(["b", "cd"])], ""),
    "text, longer": ([np.array(["a"]), np.array(["b", "cd"])], "<pad>"),
    "bytes": ([np.array([b"a"]), np.array([b"b", b"c"])], b""),
    "objects, None": ([np.array([1], object), np.array(["a", 2.5], object)], None),
    "objects, NaN": ([np.array([1], object), np.array(["a", 2.5], object)], np.nan),
    "objects, NA": ([np.array([1], object), np.array(["a", 2.5], object)], pd.NA),
    "objects, text": ([np.array([1], object), np.array([None, "a"], object)], ""),
}


@pytest.mark.parametrize("case", SHORT_AND_LONG)
@pytest.mark.parametrize("padding", ["post", "pre"])
def test_values_of_every_dtype_pad_and_are_removed(case, padding):
    members, padding_value = SHORT_AND_LONG[case]
    padded, _ = to_padded(members, padding_value, padding=padding)
    assert padded.dtype.kind == members[0].dtype.kind
    found = from_padded(padded, padding_value, padding=padding)
    assert_same(found, [x[:, None] for x in members], strict=False)


def test_missing_numbers_are_padding():
    for missing in (None, np.nan, pd.NA):
        X = np.array([[1.0, 2.0], [3.0, missing]], dtype=object)
        assert_same(from_padded(X), [[[1], [2]], [[3]]], strict=False)
        assert [len(x) for x in from_padded(X, 2)] == [1, 2]
    frame = pd.DataFrame({"a": [1, 3], "b": [2, None]}, dtype="Int64")
    assert [x.ravel().tolist() for x in from_padded(frame)] == [[1, 2], [3]]


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0), (0, 3), (2, 0)])
def test_from_padded_needs_sequences_steps_and_features(shape):
    with pytest.raises(ValueError, match=re.escape(f"Found X of shape {shape}, while at least 1 sequence, time step")):
        from_padded(np.ones(shape))


@pytest.mark.parametrize(("X", "message"), [(np.ones(3), "dim 1"), (np.ones((1, 1, 1, 1)), "dim 4"), (MASKED, "masked array")])
def test_from_padded_rejects(X, message):
    with pytest.raises(ValueError, match=message):
        from_padded(X)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 4], r"lengths\[1\] is 4, but X has 3 time steps: from 1 to 3"),
        ([0, 3], r"lengths\[0\] is 0, but X has 3 time steps"),
        ([3, -1], r"lengths\[1\] is -1"),
        ([3], r"one integer for each of the 2 sequences, got shape \(1,\)"),
        ([[3, 3]], r"got shape \(1, 2\)"),
        ([3.0, 3.0], "one integer .* float64"),
    ],
)
def test_lengths_that_do_not_go_with_the_array_are_refused(lengths, message):
    with pytest.raises(ValueError, match=message):
        from_padded(CUBE, lengths=lengths)


@pytest.mark.parametrize("function", [from_padded, to_padded])
def test_padding_is_before_or_after(function):
    with pytest.raises(ValueError, match=r"padding must be 'post' .* or 'pre' .*, got 'left'"):
        function(CUBE, padding="left")


# ---------------------------------------------------------------- features before time


def test_features_and_time_are_swapped_in_views():
    for function in (from_channels_first, to_channels_first):
        assert_array_equal(function(CUBE), CUBE.transpose(0, 2, 1))
        assert np.shares_memory(function(CUBE), CUBE)
        members = ragged()
        found = function(members)
        assert_same(found, [x.T for x in members])
        assert all(np.shares_memory(a, b) for a, b in zip(found, members, strict=True))


def test_of_separate_sequences_a_list_is_made_also_if_lengths_are_equal():
    assert isinstance(to_channels_first(list(CUBE)), list)
    assert isinstance(to_channels_first(object_array(list(CUBE))), list)
    assert from_channels_first(list(CUBE)).shape == (2,)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((3, 2)), "X with dim 2"),
        ([np.ones((3, 2)), np.ones(3)], r"X\[1\] with dim 1"),
        ([np.ones((3, 2)), MASKED], r"X\[1\] is a masked array"),
    ],
)
def test_from_channels_first_rejects(X, message):
    with pytest.raises(ValueError, match=message):
        from_channels_first(X)


# ---------------------------------------------------------------- packed

PackedSequence = namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


def test_packing_is_that_of_pytorch():
    """What ``torch.nn.utils.rnn.pack_sequence(..., enforce_sorted=False)`` of PyTorch 2.13 returns for this."""
    packed = to_packed([np.array([1, 2]), np.array([3, 4, 5, 6]), np.array([7]), np.array([8, 9])])
    assert packed._fields == PackedSequence._fields
    assert_array_equal(packed.data, np.array([[3], [1], [8], [7], [4], [2], [9], [5], [6]]), strict=True)
    for found, expected in zip(packed[1:], ([4, 3, 1, 1], [1, 0, 3, 2], [1, 0, 3, 2]), strict=True):
        assert_array_equal(found, np.array(expected, dtype=np.int64), strict=True)


def test_packing_is_a_naive_loop():
    members = ragged((2, 4, 1, 4, 7, 2))
    packed = to_packed(members)
    rows = []
    for step, size in enumerate(packed.batch_sizes):
        alive = [i for i in packed.sorted_indices if len(members[i]) > step]
        assert len(alive) == size
        rows += [members[i][step] for i in alive]
    assert_array_equal(packed.data, rows)
    assert_array_equal(packed.sorted_indices, [4, 1, 3, 0, 5, 2])
    assert_array_equal(packed.sorted_indices[packed.unsorted_indices], np.arange(6))


def test_packed_data_may_be_univariate_and_sorted_from_the_beginning():
    packed = PackedSequence([1, 4, 2, 5, 3], [2, 2, 1], None, None)
    assert_same(from_packed(packed), [np.array([[1], [2], [3]]), np.array([[4], [5]])])


def test_packed_tensors_come_and_go():
    torch = pytest.importorskip("torch")
    rnn = torch.nn.utils.rnn
    members = ragged((2, 4, 1, 4, 7, 2), dtype=np.float32)
    packed = rnn.pack_sequence([torch.from_numpy(x) for x in members], enforce_sorted=False)
    assert_same(from_packed(packed), members)
    own = rnn.PackedSequence(*map(torch.from_numpy, to_packed(members)))
    assert all(torch.equal(a, b) for a, b in zip(own, packed, strict=True))
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True)
    assert_same(from_padded(padded, lengths=lengths), members)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_packed_fields_may_be_any_integers(dtype):
    members = ragged((2, 4, 1))
    data, *fields = to_packed(members)
    assert_same(from_packed(PackedSequence(data, *(field.astype(dtype) for field in fields))), members)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.ones((5, 1, 1))}, "packed.data with dim 3"),
        ({"data": np.ones((6, 1))}, "packed.data has 6 steps, but packed.batch_sizes add up to 5"),
        ({"batch_sizes": np.array([1, 2, 2])}, "positive integers that never increase, got [1 2 2]"),
        ({"batch_sizes": np.array([3, 2, 0])}, "positive integers"),
        ({"batch_sizes": np.array([2.0, 2.0, 1.0])}, "positive integers"),
        ({"unsorted_indices": np.array([0, 0])}, "packed.unsorted_indices must have each of 0 to 1 once, got [0 0]"),
        ({"unsorted_indices": np.array([0, 1, 2])}, "packed.unsorted_indices must have each of 0 to 1 once"),
    ],
)
def test_packed_fields_that_contradict_one_another_are_refused(changes, message):
    packed = PackedSequence(np.ones((5, 1)), np.array([2, 2, 1]), None, None)
    assert len(from_packed(packed)) == 2
    with pytest.raises(ValueError, match=re.escape(message)):
        from_packed(packed._replace(**changes))


def test_what_is_not_packed_is_refused():
    with pytest.raises(TypeError, match=r"packed must have the fields data, batch_sizes, .* got ndarray"):
        from_packed(CUBE)


# ---------------------------------------------------------------- long frames


@every_library
@pytest.mark.parametrize("ids", [[10, 20, 30], ["a", "b", "c"]], ids=str)
def test_from_long_undoes_the_long_format(library, ids):
    members = ragged((3, 1, 4))
    rows = [(i, t, *values) for i, x in zip(ids, members, strict=True) for t, values in enumerate(x)]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    frame = frame_of(library, dict(zip(["id", "t", "u", "v"], zip(*shuffled, strict=True), strict=True)))
    sequences, found = from_long(frame, id_column="id", time_column="t")
    assert_array_equal(found, ids)
    assert_same(sequences, members)
    assert_same(from_long(frame, id_column="id", time_column="t", value_columns=["v"])[0], [x[:, 1:] for x in members])
    assert_same(from_long(frame, id_column="id", time_column="t", value_columns="v")[0], [x[:, 1] for x in members])
    if library == "pandas":
        by_levels, found = from_long(frame.set_index(["id", "t"]))
        assert_array_equal(found, ids)
        assert_same(by_levels, members)


@every_library
def test_from_long_sorts_times_and_keeps_the_order_of_ties(library):
    frame = frame_of(library, {"id": [1, 1, 1, 1], "t": DAYS[[1, 0, 1, 0]], "x": [3, 1, 4, 2]})
    sequences, _ = from_long(frame, "id", "t")
    assert_array_equal(sequences[0].ravel(), [1, 2, 3, 4])


@every_library
def test_long_frames_keep_float32(library):
    frame = frame_of(library, {"id": [1, 1], "t": [0, 1], "x": np.ones(2, np.float32)})
    assert from_long(frame, "id", "t")[0][0].dtype == np.float32


@every_library
@pytest.mark.parametrize("column", ["id", "t"])
@pytest.mark.parametrize("missing", [np.nan, None])
def test_long_frames_with_missing_ids_or_times_are_refused(library, column, missing):
    frame = frame_of(library, {"id": [1.0, 1, 2], "t": [0.0, 1, 2], "v": [1, 2, 3]} | {column: [0.0, missing, 2.0]})
    with pytest.raises(ValueError, match=f"Column '{column}' has missing values"):
        from_long(frame, "id", "t")


@pytest.mark.parametrize("level", [0, 1])
def test_missing_levels_are_refused(level):
    frame = pd.DataFrame({"id": [1.0, 1, 2], "t": [0.0, 1, 2], "v": [1, 2, 3]})
    frame.iloc[1, level] = np.nan
    with pytest.raises(ValueError, match=f"Level {level} of the index has missing values"):
        from_long(frame.set_index(["id", "t"]))


@every_library
def test_missing_values_are_nan(library):
    frame = frame_of(library, {"id": [1, 1], "t": [0, 1], "v": [None, 2.0], "w": [1, 2]})
    assert_array_equal(from_long(frame, "id", "t")[0][0], [[np.nan, 1], [2, 2]])


@every_library
@pytest.mark.parametrize("dtype", [bool, int, float])
def test_missing_numbers_of_any_type_are_nan(library, dtype):
    columns = {"id": [1, 1, 1], "t": [0, 1, 2], "v": [dtype(0), None, dtype(1)]}
    frame = frame_of(library, columns)
    if library == "pandas":
        frame["w"] = frame["v"].astype({bool: "boolean", int: "Int64", float: "Float64"}[dtype])
        frame["v"] = frame["v"].astype(object)
    sequences, _ = from_long(frame, "id", "t")
    expected = np.array([[0, np.nan, 1.0]] * (frame.shape[1] - 2)).T
    assert_array_equal(sequences[0], expected, strict=True)
    assert_array_equal(from_long(frame, "id", "t", "v")[0][0], expected[:, 0], strict=True)


@every_library
def test_objects_that_are_no_numbers_stay_as_they_are(library):
    frame = frame_of(library, {"id": [1, 1], "t": [0, 1], "v": ["1", None]})
    assert from_long(frame, "id", "t", "v")[0][0][0] == "1"
    if library == "pandas":
        frame["v"] = object_array([np.ones(2), np.ones(3)])
        assert_same(from_long(frame, "id", "t", "v")[0][0], [np.ones(2), np.ones(3)])


@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Index, pd.Series])
def test_names_of_columns_come_in_any_container(form):
    frame = pd.DataFrame({"id": [1, 1], "t": [0, 1], "v": [1, 2], "w": [3, 4]})
    assert_array_equal(from_long(frame, "id", "t", form(["v", "w"]))[0][0], [[1, 3], [2, 4]])


def test_columns_of_pandas_may_be_numbered():
    frame = pd.DataFrame([[7, 1, 2.0], [7, 0, 1.0]])
    assert_array_equal(from_long(frame, 0, 1)[0][0], [[1], [2]])
    assert_array_equal(from_long(frame, 0, 1, 2)[0][0], [1, 2])


@every_library
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("id", "id"), "id_column and time_column must differ, got 'id' for both"),
        (("who", "t"), "id_column has 'who', which is no column of frame: ['id', 't', 'v']"),
        (("id", 1), "time_column has 1, which is no column of frame"),
        (("id", "t", "w"), "value_columns has 'w', which is no column of frame"),
        (("id", "t", ["v", 0]), "value_columns has 0, which is no column of frame"),
        (("id", "t", 2), "value_columns has 2, which is no column of frame"),
        (("id", "t", []), "There is no column of values"),
    ],
)
def test_names_that_are_not_those_of_columns_are_refused(library, names, message):
    frame = frame_of(library, {"id": [1, 1], "t": [0, 1], "v": [1.0, 2.0]})
    with pytest.raises(ValueError, match=re.escape(message)):
        from_long(frame, *names)


def test_names_of_levels_are_refused():
    frame = pd.DataFrame({"id": [1, 1], "t": [0, 1], "v": [1.0, 2.0]}).set_index(["id", "t"])
    with pytest.raises(ValueError, match=r"'id', which is no column .* a level of the index; frame.reset_index\(\)"):
        from_long(frame, "id", "t")


@pytest.mark.parametrize("function", [lambda X: from_long(X, "id", "t"), from_nested], ids=["long", "nested"])
def test_columns_of_the_same_name_are_refused(function):
    with pytest.raises(ValueError, match=re.escape("names of the columns must differ, got ['id', 't', 'v', 'v']")):
        function(pd.DataFrame([[1, 0, 2.0, 3.0]], columns=["id", "t", "v", "v"]))


@pytest.mark.parametrize("column", ["id", "t"])
def test_what_can_not_be_sorted_is_refused(column):
    frame = pd.DataFrame({"id": [1, 1], "t": [0, 1], "v": [1.0, 2.0]} | {column: [1, "a"]})
    with pytest.raises(TypeError, match="The ids, and the times, must be of one type that can be sorted: '<' not supported"):
        from_long(frame, "id", "t")


@pytest.mark.parametrize("function", [lambda X: from_long(X, "id", "t"), from_nested], ids=["long", "nested"])
def test_lazy_frames_are_refused(function):
    lazy = pytest.importorskip("polars").DataFrame({"id": [1], "t": [0], "v": [1.0]}).lazy()
    with pytest.raises(TypeError, match="frame must be a pandas or polars DataFrame, got LazyFrame"):
        function(lazy)


@every_library
def test_long_frames_need_a_column_of_values(library):
    with pytest.raises(ValueError, match="no column of values"):
        from_long(frame_of(library, {"id": [1], "t": [0]}), "id", "t")


@every_library
def test_without_names_long_frames_need_an_index_of_two_levels(library):
    frame = frame_of(library, {"id": [1], "t": [0], "v": [1], "w": [1]})
    with pytest.raises(ValueError, match=r"no MultiIndex of two levels \(id, time\). Name id_column and time_column"):
        from_long(frame)
    with pytest.raises(ValueError, match="go together, got id_column='id', time_column=None"):
        from_long(frame, "id")
    if library == "pandas":
        with pytest.raises(ValueError, match="no MultiIndex of two levels"):
            from_long(frame.set_index(["id", "t", "w"]))


@pytest.mark.parametrize("function", [lambda X: from_long(X, "id", "t"), from_nested], ids=["long", "nested"])
def test_what_is_no_frame_is_refused(function):
    with pytest.raises(TypeError, match="frame must be a pandas or polars DataFrame, got ndarray"):
        function(CUBE)


@every_library
def test_categories_are_times_in_their_own_order(library):
    order, values = ["lo", "mid", "hi"], ["lo", "hi", "mid"]
    if library == "pandas":
        times = pd.Categorical(values, order, ordered=True)
    else:
        pl = pytest.importorskip("polars")
        times = pl.Series(values, dtype=pl.Enum(order))
    X, _ = from_long(frame_of(library, {"id": [1, 1, 1], "t": times, "v": [1, 3, 2]}), "id", "t")
    assert X[0].ravel().tolist() == [1, 2, 3]


def test_periods_are_times():
    times = pd.period_range("2020-01", "2020-03", freq="M")[::-1]
    frame = pd.DataFrame({"id": [0, 0, 0], "t": times, "v": [3, 2, 1]}).set_index(["id", "t"])
    assert from_long(frame)[0][0].ravel().tolist() == [1, 2, 3]


@every_library
@pytest.mark.parametrize("times", [[DAYS, DAYS[:1]], [[0.5, 0.5], [7.0]], [["a", "b"], ["a"]]], ids=["days", "ties", "text"])
def test_ids_and_times_are_written_and_sort_the_way_back(library, times):
    pytest.importorskip(library)
    members = ragged((2, 1))
    frame = to_long(members, "who", "when", ["u", "v"], ids=["b", "a"], times=times, library=library)
    assert type(frame).__module__.split(".")[0] == library
    assert list(frame.columns) == ["who", "when", "u", "v"]
    assert list(frame["who"]) == ["b", "b", "a"]
    assert_array_equal(np.asarray(frame["when"]), np.concatenate(times))
    sequences, ids = from_long(frame, "who", "when")
    assert list(ids) == ["a", "b"]
    assert_same(sequences, members[::-1])


def test_times_of_equal_lengths_may_be_an_array():
    frame = to_long(CUBE, times=[[1, 2, 3], [2, 4, 6]])
    assert frame["time"].tolist() == [1, 2, 3, 2, 4, 6]
    assert to_long(CUBE, times=np.array([[1, 2, 3], [2, 4, 6]])).equals(frame)


@every_library
def test_targets_of_every_step_are_a_column_of_a_long_frame(library):
    pytest.importorskip(library)
    members, labels = ragged((3, 1, 4)), [["rest", "walk", "walk"], ["walk"], ["rest"] * 4]
    frame = to_long(members, library=library)
    steps = concatenate_steps(labels)
    frame = frame.assign(label=steps) if library == "pandas" else frame.with_columns(label=steps)
    X, _ = from_long(frame, "id", "time", ["x0", "x1"])
    y, _ = from_long(frame, "id", "time", "label")
    assert [list(labels_of_one) for labels_of_one in y] == labels
    classifier = RNNClassifier(hidden_layer_sizes=2, max_iter=1, learning_rate="cosine", return_sequences=True).fit(X, y)
    assert list(classifier.classes_) == ["rest", "walk"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": [1, 2, 3]}, "ids must be one for each of the 2 sequences, got shape (3,)"),
        ({"ids": ["a", "a"]}, "ids[1] is 'a', as is ids[0], but ids must differ"),
        ({"ids": [1.0, np.nan]}, "ids[1] is missing"),
        ({"ids": [None, "a"]}, "ids[0] is missing"),
        ({"times": [[1, 2]]}, "times are those of 1 sequences, but X has 2"),
        ({"times": [[1, 2], [1, 2]]}, "times[1] has shape (2,), but X[1] has 1 steps"),
        ({"times": [1, 2]}, "times[0] has shape (), but X[0] has 2 steps"),
        ({"times": [[2, 1], [1]]}, "times[0] decreases or has missing values. Sort X[0] and times[0] by time first"),
        ({"times": [[1, 2], [np.nan]]}, "times[1] decreases or has missing values"),
        ({"times": [np.array([DAYS[0], "NaT"], DAYS.dtype), DAYS[:1]]}, "times[0] decreases or has missing values"),
        ({"value_columns": ["a"]}, "value_columns must be the names of 2 feature(s), got ['a']"),
        ({"value_columns": "ab"}, "value_columns must be the names of 2 feature(s), got 'ab'"),
        ({"value_columns": ["a", "time"]}, "names of the columns must differ, got ['id', 'time', 'a', 'time']"),
        ({"library": "arrow"}, "library must be 'pandas' or 'polars', got 'arrow'"),
    ],
)
def test_to_long_refuses(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_long(ragged((2, 1)), **options)


# ---------------------------------------------------------------- nested frames


@pytest.mark.parametrize("cell", [pd.Series, np.asarray, np.ndarray.tolist], ids=["series", "array", "list"])
def test_cells_of_nested_frames(cell):
    members = ragged((3, 1, 4))
    frame = pd.DataFrame({name: object_array([cell(x[:, j]) for x in members]) for j, name in enumerate("ab")}, index=[7, 3, 5])
    assert_same(from_nested(frame), members)


def test_list_columns_of_polars_are_nested():
    pl = pytest.importorskip("polars")
    members = ragged((3, 1, 4))
    assert_same(from_nested(pl.DataFrame({name: [x[:, j] for x in members] for j, name in enumerate("ab")})), members)


def test_to_nested_writes_series():
    frame = to_nested(CUBE, ["a", "b", "c", "d"])
    assert frame.shape == (2, 4)
    for i in range(2):
        for j, name in enumerate("abcd"):
            pd.testing.assert_series_equal(frame.loc[i, name], pd.Series(CUBE[i, :, j]))
    assert list(to_nested(CUBE).columns) == ["dim_0", "dim_1", "dim_2", "dim_3"]


def nested(**columns):
    return pd.DataFrame({name: object_array(cells) for name, cells in columns.items()})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(index=[0, 1]), "The frame has no column"),
        (nested(a=[[1, 2], [3]]).assign(age=[50, 60]), "Row 0 of column 'age' has dim 0"),
        (nested(a=[[1, 2], None]), "Row 1 of column 'a' has dim 0"),
        (nested(a=[[1, 2], [[3]]]), "Row 1 of column 'a' has dim 2"),
        (nested(a=[[1, 2], [3]], b=[[1, 2], [3, 4]]), "Row 1 has 2 steps in column 'b', but 1 in column 'a'"),
        (nested(a=[[1, 2], []]), "Row 1 is empty; at least 1 time step"),
        (nested(a=[pd.Series([1, 2])], b=[pd.Series([1, 2], index=[1, 2])]), "Row 0 has series of different index. Align"),
        (nested(a=[pd.Series([1, 2], index=[1, 0])]), "Row 0 has series whose index is not sorted. Sort"),
        (nested(a=[MASKED[0]]), "Row 0 of column 'a' is a masked array"),
    ],
)
def test_from_nested_refuses(frame, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_nested(frame)


@pytest.mark.parametrize(
    ("columns", "message"), [(["a"], "columns must be the names of 2 feature(s)"), (["a", "a"], "columns must differ")]
)
def test_to_nested_refuses(columns, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_nested(ragged(), columns)
