"""Whatever is passed, a call either does its work or raises ValueError or TypeError and leaves everything as it was."""

import array
import datetime
import warnings
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.utils._param_validation import InvalidParameterError

from skrnn import RNNClassifier, RNNRegressor
from skrnn._hyperparameters import CONSTRAINTS
from skrnn.inspection import loss_gradient
from skrnn.sequences import concatenate_steps

pytestmark = [
    pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

seeds = st.integers(0, 2**32 - 1)
yes_or_no = st.booleans()


def of_itself():
    """A list that holds itself."""
    x = []
    x.append(x)
    return x


def sparse_array(a):
    return sparse.csr_array(np.atleast_2d(a)) if a.ndim < 3 else sparse.coo_array(a)


#: functions, so that what can be modified is new in each example
ODD = [
    *(lambda x=x: x for x in (
        None, np.nan, -np.inf, 1e300, 5e-324, -1, 0, 2, 1.5, True, 10**400, 1j, "a", "1.5", "", b"a", (), ..., len, int,
        Decimal("1.5"), Decimal("sNaN"), Fraction(1, 3), range(2), slice(None), frozenset([1]), np.float32(1), np.str_("x"),
        np.longdouble("1e4000"), datetime.date(2020, 1, 1), datetime.timedelta(1), np.datetime64("NaT"), pd.NA, pd.NaT,
        pd.Timestamp("2020"),
    )),
    *(list, dict, set, object, bytearray, of_itself, lambda: [[]], lambda: {"a": 1}, lambda: {1, 2}, lambda: memoryview(b"ab")),
    *(lambda: [1.0, 2.0], lambda: [[1.0, 2.0]], lambda: [None], lambda: iter([1.0]), lambda: array.array("d", [1, 2])),
    *(lambda shape=shape: np.ones(shape) for shape in [(), 0, 2, (1, 2), (3, 2), (0, 2), (2, 0), (1, 1, 1), (1, 2, 1, 1)]),
    *(lambda: np.array([None, "a"], object), lambda: np.array("x"), lambda: np.matrix([[1.0, 2.0]]), lambda: np.array([1j])),
    *(lambda: np.ma.masked, lambda: np.ma.array([1.0, 2.0], mask=[0, 1]), lambda: np.ones(2, "M8[s]"), lambda: np.void(b"ab")),
    *(lambda: np.ones(2, [("a", float)]), lambda: sparse.csr_array([[1.0, 2.0]]), lambda: sparse.coo_matrix([[1.0]])),
    *(lambda: pd.Series([1.0, 2.0]), lambda: pd.DataFrame({"a": [1.0], "b": ["x"]}), lambda: pd.Index([1, 2])),
    *(lambda: pd.Categorical(["a", "b"]), lambda: pd.array([1, None], dtype="Int64"), lambda: pd.DataFrame({"a": [1.0, 2.0]})),
    *(lambda: pl.Series([1.0, None]), lambda: pl.DataFrame({"a": [1.0], "b": ["x"]}), lambda: pl.LazyFrame({"a": [1.0]})),
]  # fmt: skip
odd = st.sampled_from(ODD).map(lambda new: new())
nested = st.recursive(odd, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple), max_leaves=8)
DTYPES = [
    *("f8", "f8", "f4", "f2", "g", "?", "i1", "u8", ">f8", ">i4", "c16", "U3", "S2", "M8[s]", "m8[D]", "V3", "O", "f8,i4"),
]  # fmt: skip


def rows(a):
    return a.reshape(len(a), -1)


#: the same array as something else
KINDS = [
    *(np.asarray, list, np.ndarray.tolist, lambda a: tuple(a.tolist()), lambda a: a.astype(object), np.ma.asarray, iter),
    *(lambda a: np.ma.array(a, mask=np.arange(a.size).reshape(a.shape) == 0), lambda a: np.asarray(a.tolist(), object)),
    *(lambda a: np.asmatrix(rows(a)), sparse_array, lambda a: sparse.csc_matrix(rows(a)), lambda a: pd.DataFrame(rows(a))),
    *(lambda a: pd.DataFrame(rows(a)).rename(columns=str), lambda a: pl.DataFrame(rows(a)), lambda a: pd.Series(list(a))),
    *(lambda a: pl.Series(a.tolist(), strict=False), lambda a: dict(enumerate(a)), lambda a: pd.Series(a.ravel()[: len(a)])),
    *(lambda a: [pd.DataFrame(np.atleast_2d(x)) for x in a], lambda a: [pl.DataFrame(np.atleast_2d(x)) for x in a]),
    *(lambda a: pd.DataFrame(rows(a)).astype("category"), lambda a: pd.DataFrame(rows(a)).astype("Float64"), np.squeeze),
    *(np.ndarray.tobytes, lambda a: a[:, None]),
]  # fmt: skip
SHAPES = [(6, 4), (6, 2), (6,), (6, 3, 2), (6, 2, 2), (6, 3, 1)]


@st.composite
def arrays(draw):
    """Arrays of any dtype and shape, and other things made of them."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4) | st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(seeds))
    numbers = rng.integers(0, 3, shape) if draw(yes_or_no) else draw(st.sampled_from([1, 1e30, 1e300])) * rng.normal(size=shape)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dtype = draw(st.sampled_from(DTYPES))
        a = np.zeros(shape, dtype) if dtype in ("V3", "f8,i4") else np.asarray(numbers).astype(dtype)
        if a.size and draw(yes_or_no) and dtype not in ("V3", "f8,i4"):
            with suppress(Exception):  # not of this dtype
                a.flat[int(rng.integers(a.size))] = draw(odd)
        try:
            return draw(st.sampled_from(KINDS))(a)
        except Exception:  # not of this shape or dtype
            return a


def replaced(values, path, value):
    """``values`` as nested lists with another value at a place."""
    if not path or not isinstance(values, list) or not values:
        return value
    k = path[0] % len(values)
    return [replaced(x, path[1:], value) if i == k else x for i, x in enumerate(values)]


@st.composite
def spoiled(draw, good):
    """Of good data one part, of whatever depth, is odd."""
    values = (
        [x.tolist() if isinstance(x, np.ndarray) and draw(yes_or_no) else x for x in good] if draw(yes_or_no) else list(good)
    )
    path = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3))
    values = replaced(values, path, draw(odd))
    if draw(yes_or_no):
        of_objects = np.empty(len(values), object)
        for i, x in enumerate(values):
            of_objects[i] = x
        return of_objects
    return values


def wild(good):
    return nested | arrays() | spoiled(good)


# ---------------------------------------------------------------- what must not change


def fingerprint(x, above=()):
    """All that can be seen of a thing, as plain values that can be compared."""
    if len(above) > 20 or any(x is other for other in above):
        return "itself"
    above, kind = (*above, x), type(x)

    def every(values):
        return [fingerprint(value, above) for value in values]

    if isinstance(x, np.random.RandomState):
        return kind, fingerprint(x.get_state(legacy=False))
    if isinstance(x, np.ma.MaskedArray):
        return kind, every([x.data, np.ma.getmaskarray(x)])
    if isinstance(x, np.ndarray):
        return kind, repr(x.dtype), x.shape, x.strides, every(x.ravel()) if x.dtype.hasobject else x.tobytes()
    if isinstance(x, dict):
        return kind, every(x.keys()), every(x.values())
    if isinstance(x, list | tuple):
        return kind, every(x)
    if sparse.issparse(x):
        return kind, x.format, fingerprint(x.toarray())
    if isinstance(x, pd.DataFrame):
        return kind, str(x.dtypes.tolist()), every(x.columns), every(x.index), every(np.asarray(x, object).ravel())
    if isinstance(x, pd.Series | pl.Series):
        return kind, str(x.dtype), every(x.to_list())
    if isinstance(x, pl.DataFrame):
        return kind, str(x.schema), every(x.to_dict(as_series=False).values())
    return kind, repr(x)


def is_finite(values):
    values = concatenate_steps(values) if values.dtype == object and values.ndim == 1 and np.ndim(values[0]) else values
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())


def check_call(estimator, name, X, *arguments, **options):
    """A call works, and predictions after it; or it raises what it may, and nothing has changed."""
    given = fingerprint([X, arguments, options])
    before = fingerprint(vars(estimator))
    call = (
        (lambda *rest, **more: loss_gradient(estimator, *rest, **more)) if name == "loss_gradient" else getattr(estimator, name)
    )
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            result = call(X, *arguments, **options)
        except (ValueError, TypeError) as error:
            event(f"{name} raises {type(error).__name__}")
            assert fingerprint(vars(estimator)) == before
        else:
            event(f"{name} does its work")
            if "fit" in name:
                assert result is estimator
                assert np.isfinite(estimator._theta).all()
                assert is_finite(estimator.predict(X))
                if isinstance(estimator, RNNClassifier):
                    assert is_finite(estimator.predict_proba(X))
            else:
                assert fingerprint(vars(estimator)) == before
    assert fingerprint([X, arguments, options]) == given


# ---------------------------------------------------------------- good estimators and data

LENGTHS = (2, 3, 1, 3, 2, 4)


def good_data(form, of_steps, classify, with_tokens, seed=0):
    rng = np.random.default_rng(seed)
    lengths, F = LENGTHS if form == "ragged" else [3] * 6, 1 if with_tokens else 2
    X = [rng.integers(0, 3, (T, F)) if with_tokens else rng.standard_normal((T, F)) for T in lengths]
    shapes = [(T,) if of_steps else () for T in lengths]
    y = [np.arange(np.prod(s, dtype=int)).reshape(s) % 2 if classify else rng.standard_normal(s) for s in shapes]
    y = y if of_steps else np.where(np.arange(6) % 2 == 0, "a", "b") if classify else np.array(y)
    if form == "ragged":
        return X, y
    X = np.stack(X)
    return X if form == "array" else X.reshape(6, -1), np.array(y)


@st.composite
def estimators(draw):
    """An estimator, fitted or not, and data that it takes."""
    classify, of_steps, with_tokens, form = (
        draw(yes_or_no), draw(yes_or_no), draw(yes_or_no), draw(st.sampled_from(["array", "flat", "ragged"])),
    )  # fmt: skip
    structure = {
        "return_sequences": of_steps, "hidden_layer_sizes": 2, "cell": draw(st.sampled_from(["rnn", "gru", "lstm"])),
        "embedding_dim": 2 if with_tokens else None, "n_features_per_step": 2 if form == "flat" and not with_tokens else 1,
        "stateful": form != "ragged" and draw(yes_or_no), "max_iter": 1, "random_state": 0,
    }  # fmt: skip
    estimator = (RNNClassifier if classify else RNNRegressor)(**structure)
    X, y = good_data(form, of_steps, classify, with_tokens)
    before = draw(st.sampled_from(["fit", "partial_fit", "fit", "partial_fit", None]))
    more = {"classes": np.unique(np.concatenate(y) if of_steps else y)} if classify else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if before is not None:
            getattr(estimator, before)(X, y, **(more if before == "partial_fit" else {}))
    return estimator, X, y, more


CALLS = ["fit", "partial_fit", "predict", "predict_proba", "score", "hidden_states", "loss_gradient"]


@given(estimators(), st.sampled_from(CALLS), st.data())
def test_any_data(fitted, name, data):
    """Of X, y and the weights at least one is wild."""
    estimator, X, y, more = fitted
    if name == "predict_proba" and not more:
        name = "predict"
    which = data.draw(st.sampled_from(["X", "X", "y", "weight", "classes", "all"]))
    X = data.draw(wild(X)) if which in ("X", "all") else X
    if name in ("predict", "predict_proba", "hidden_states"):
        options = {"initial_state": data.draw(wild(np.zeros((6, 2))))} if which == "weight" and name != "hidden_states" else {}
        check_call(estimator, name, X, **options)
        return
    weight = data.draw(wild(np.ones(6))) if which in ("weight", "all") else data.draw(st.sampled_from([None, np.ones(6)]))
    y = data.draw(wild(y)) if which in ("y", "all") else y
    options = {"sample_weight": weight}
    if name == "partial_fit" and more:
        options |= {"classes": data.draw(wild(more["classes"]))} if which in ("classes", "all") else more
    if which == "classes" and name == "fit" and more:
        of_classes = st.dictionaries(st.sampled_from([0, 1, "a", "b"]), odd | st.floats(-1, 2))
        estimator.set_params(class_weight=data.draw(wild([{0: 1, 1: 2}]) | of_classes))
    check_call(estimator, name, X, y, **options)


small = st.integers(-2, 4)
NAMES = [
    *("auto", "balanced", "chrono", "float32", "lbfgs", "sgd", "last", "max", "relu", "identity", "quantile", "poisson"),
    "invscaling",
]
GENERATORS = [np.random.RandomState, lambda: np.random.RandomState(0), lambda: np.random.default_rng(0)]
parameter_values = st.one_of(
    small, small.map(float), odd, st.floats(-0.5, 1.5), st.sampled_from([*NAMES, np.float32]),
    small.map(np.int8), st.integers(1, 4).map(np.uint64), st.sampled_from(GENERATORS).map(lambda new: new()),
    st.lists(small | odd, max_size=3), st.lists(small | odd, max_size=3).map(tuple),
)  # fmt: skip
PARAMETERS = sorted({*CONSTRAINTS, "loss", "quantile", "class_weight"})


@given(estimators(), st.sampled_from(["fit", "partial_fit", "predict", "score", "loss_gradient"]), st.data())
def test_any_parameters(fitted, name, data):
    estimator, X, y, more = fitted
    names = data.draw(st.lists(st.sampled_from([p for p in PARAMETERS if hasattr(estimator, p)]), min_size=1, max_size=3))
    estimator.set_params(**{parameter: data.draw(parameter_values) for parameter in names})
    arguments = () if name == "predict" else (y,)
    check_call(estimator, name, X, *arguments, **(more if name == "partial_fit" else {}))


# ---------------------------------------------------------------- what was found


@pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
@pytest.mark.parametrize("which", ["X", "tokens", "weight", "X to predict", "initial_state"])
@pytest.mark.parametrize("number", [10**400, Decimal("sNaN")], ids=["huge", "sNaN"])
def test_numbers_that_no_float_holds_are_refused(Estimator, which, number):
    X, y, bad = [[0.0], [1.0]], [0, 1], [[0], [number]]
    estimator = Estimator(hidden_layer_sizes=1, max_iter=1, **{"embedding_dim": 2, "n_tokens": 3} if which == "tokens" else {})
    if which in ("X to predict", "initial_state"):
        estimator.fit(X, y)
    before = fingerprint(vars(estimator))
    call = {
        "X to predict": lambda: estimator.predict(bad),
        "initial_state": lambda: estimator.predict(X, bad),
        "weight": lambda: estimator.fit(X, y, [1, number]),
    }.get(which, lambda: estimator.fit(bad, y))
    with pytest.raises(ValueError, match=r"no float can hold|signaling NaN"):
        call()
    assert fingerprint(vars(estimator)) == before


def test_targets_that_no_float_holds_are_refused():
    with pytest.raises(ValueError, match="y holds a number that no float can hold"):
        RNNRegressor().fit([[0.0], [1.0]], [0, 10**400])


@pytest.mark.parametrize("dtype", [np.uint64, np.int8])
def test_the_batch_size_may_be_of_any_integer_type(dtype):
    X, y = np.arange(12.0).reshape(6, 2) / 6, np.arange(6) / 6
    one, other = (
        RNNRegressor(hidden_layer_sizes=2, batch_size=size, max_iter=2, random_state=0).fit(X, y) for size in (4, dtype(4))
    )
    assert fingerprint(one._theta) == fingerprint(other._theta)


@pytest.mark.parametrize(("name", "value"), [("loss", "no loss"), ("activation", 0), ("hidden_layer_sizes", -1)])
def test_parameters_are_validated_before_gradients_are_looked_into(name, value):
    estimator = RNNRegressor(hidden_layer_sizes=2, cell="rnn", max_iter=1).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(InvalidParameterError, match=name):
        loss_gradient(estimator.set_params(**{name: value}), [[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("weight", [1.0, np.array(1.0), []])
def test_weights_of_steps_to_score_are_no_single_number(weight):
    X, y = np.zeros((2, 3, 1)), np.arange(6.0).reshape(2, 3) / 6
    estimator = RNNRegressor(hidden_layer_sizes=2, return_sequences=True, max_iter=1).fit(X, y)
    with pytest.raises((ValueError, TypeError), match=r"inconsistent numbers of samples|Singleton array|at least 1 dimension"):
        estimator.score(X, y, weight)


def test_labels_nested_too_deep_and_buffers_of_ids_are_refused_or_read():
    y = [0]
    for _ in range(60):
        y = [y]
    with pytest.raises(ValueError, match="Unknown label type"):
        RNNClassifier().fit([[0.0, 1.0]], y)
    ids = np.array([[0, 1, 2], [2, 1, 0]])
    tiny = RNNClassifier(embedding_dim=2, n_tokens=3, hidden_layer_sizes=2, max_iter=1, random_state=0)
    assert_array_equal(tiny.fit(memoryview(ids), [0, 1])._theta, tiny.fit(ids, [0, 1])._theta)
