"""What each unusual input gets, row by row: the error that refuses it, or results, and that nothing else has changed.

A row has a name, and is tried in every form of X that it makes sense for (where these are many, the cells take turns), with
both estimators, unfitted and fitted, in every method that takes such an input.
"""

import copy
import functools
import itertools
import tempfile
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from _states import image
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError, generate_invalid_param_val, make_constraint

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS
from skrnn.inspection import loss_gradient
from skrnn.sequences import concatenate_steps

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning"),
]

C, R = RNNClassifier, RNNRegressor
N_SEQUENCES, N_STEPS, N_FEATURES = 12, 4, 2


# -------------------------------------------------------------------- forms of X


def object_array(members):
    out = np.empty(len(members), dtype=object)
    out[:] = [*members, None][:-1]  # NumPy would stack members of equal shapes
    return out


def flat(members):
    return np.stack([np.ravel(x) for x in members])


def polars_frame(members):
    pl = pytest.importorskip("polars")
    return pl.DataFrame({f"c{i}": column for i, column in enumerate(flat(members).T)})


class Form(NamedTuple):
    make: Callable  # from members (n_timesteps_i, n_features)
    parameters: Mapping = MappingProxyType({})
    ragged: bool = False
    of_ids: bool = False  # token ids instead of numbers


PER_STEP, EMBEDDED = {"n_features_per_step": N_FEATURES}, {"embedding_dim": 2, "n_tokens": 9}
FORMS = {
    "3-D": Form(np.stack),
    "list": Form(list),
    "object array": Form(object_array),
    "nested lists": Form(lambda members: [np.asarray(x).tolist() for x in members]),
    "frames": Form(lambda members: [pd.DataFrame(x, columns=[*"abcd"][: np.shape(x)[1]]) for x in members]),
    "ragged list": Form(list, ragged=True),
    "ragged object array": Form(object_array, ragged=True),
    "2-D": Form(flat, PER_STEP),
    "frame": Form(lambda members: pd.DataFrame(flat(members)).add_prefix("c"), PER_STEP),
    "polars frame": Form(polars_frame, PER_STEP),
    "ids 3-D": Form(np.stack, EMBEDDED, of_ids=True),
    "ids 2-D": Form(flat, EMBEDDED, of_ids=True),
    "ids list": Form(list, EMBEDDED, ragged=True, of_ids=True),
}
NUMBERS = tuple(name for name, form in FORMS.items() if not form.of_ids)
SEPARATE = ("list", "object array", "ragged list", "ragged object array")
NAMED = ("frames", "frame", "polars frame")
ARRAYS = ("3-D", *SEPARATE, "2-D")
IDS = ("ids 3-D", "ids 2-D", "ids list")


class Call:
    """What is passed to an estimator: good, until a row spoils it."""

    def __init__(self, Estimator, cell, form="3-D", *, every_step=False):
        rng = np.random.default_rng(0)
        self.Estimator, self.every_step, self.name, self.form = Estimator, every_step, form, FORMS[form]
        lengths = [1 + i % N_STEPS if self.form.ragged else N_STEPS for i in range(N_SEQUENCES)]
        if self.form.of_ids:
            self.members = [rng.integers(0, 5, (T, 1)).astype(float) for T in lengths]
        else:
            self.members = [rng.normal(size=(T, N_FEATURES)) for T in lengths]
        y = [(np.arange(T) + i) % 2 for i, T in enumerate(lengths)]
        self.y = (y if self.form.ragged else np.stack(y)) if every_step else np.arange(N_SEQUENCES) % 2
        self.weight, self.classes, self.X = 1.0 + np.arange(N_SEQUENCES) % 3, [0, 1], None
        self.parameters = {"cell": cell, "return_sequences": every_step, **self.form.parameters}

    def map(self, function):
        self.members = [function(x) for x in self.members]

    def map_y(self, function):
        """Change the targets, those of each sequence or of all."""
        self.y = [function(y) for y in self.y] if isinstance(self.y, list) else function(self.y)

    def given(self):
        """X, y and the weights."""
        return self.form.make(self.members) if self.X is None else self.X, self.y, self.weight

    def new(self):
        tiny = {"hidden_layer_sizes": 2, "max_iter": 1, "random_state": np.random.RandomState(0)}
        return self.Estimator(**tiny | self.parameters)

    def first_classes(self):
        return {"classes": self.classes} if self.Estimator is C else {}


@functools.cache
def trained(Estimator, cell, form, every_step):
    """Two calls of partial_fit, in a stream where that can be, so that there is a state of everything."""
    call = Call(Estimator, cell, form, every_step=every_step)
    call.parameters["stateful"] = not call.form.ragged
    X, y, weight = call.given()
    estimator = call.new()
    return estimator.partial_fit(X, y, sample_weight=weight, **call.first_classes()).partial_fit(X, y)


#: way to pass an input -> (is the estimator fitted before?, the call)
WAYS = {
    "fit": (False, lambda estimator, X, y, weight, _: estimator.fit(X, y, sample_weight=weight)),
    "partial_fit": (False, lambda estimator, X, y, weight, first: estimator.partial_fit(X, y, sample_weight=weight, **first)),
    "fit again": (True, lambda estimator, X, y, weight, _: estimator.fit(X, y, sample_weight=weight)),
    "fit on": (True, lambda estimator, X, y, weight, _: estimator.fit(X, y, sample_weight=weight)),  # with warm_start=True
    "partial_fit on": (True, lambda estimator, X, y, weight, _: estimator.partial_fit(X, y, sample_weight=weight)),
    "partial_fit with classes": (True, lambda estimator, X, y, _, first: estimator.partial_fit(X, y, **first)),
    "predict": (True, lambda estimator, X, *_: estimator.predict(X)),
    "predict_proba": (True, lambda estimator, X, *_: estimator.predict_proba(X)),
    "hidden_states": (True, lambda estimator, X, *_: estimator.hidden_states(X)),
}
ASK = ("predict", "predict_proba", "hidden_states")
LEARN = ("fit", "partial_fit", "fit again", "fit on", "partial_fit on")
FITTED = ("fit on", "partial_fit on", *ASK)
each_estimator = pytest.mark.parametrize("Estimator", [C, R])
each_cell = pytest.mark.parametrize("cell", CELLS)
with_steps = pytest.mark.parametrize("every_step", [False, True], ids=["sequences", "steps"])
each_form = pytest.mark.parametrize("form", FORMS)


def assert_refused(call, way, error, message):
    """Pass an input, and see that it gets the error and that nothing has changed."""
    fitted, pass_on = WAYS[way]
    if not hasattr(call.Estimator, way) and way in ASK:
        return
    estimator = call.new()
    if fitted:  # shallow, which is faster; what is below must not change either
        estimator.__dict__ = vars(trained(call.Estimator, call.parameters["cell"], call.name, call.every_step)).copy()
        estimator.__dict__ |= call.parameters | {"warm_start": way == "fit on"}
    X, y, weight = call.given()
    before = image(vars(estimator)), image([X, y, weight])
    with pytest.raises(error, match=message) as caught:
        pass_on(estimator, X, y, weight, call.first_classes())
    assert caught.type is error
    assert image(vars(estimator)) == before[0]
    assert image([X, y, weight]) == before[1]


class Refused(NamedTuple):
    row: str
    spoil: Callable  # changes the call
    message: str  # what the error says; {Estimator} is the name of the class
    error: type = ValueError
    forms: tuple = tuple(FORMS)
    ways: tuple = (*LEARN, *ASK)
    Estimators: tuple = (C, R)
    every_step: tuple = (False,)


# -------------------------------------------------------------------- how rows change a call


def X_is(make):
    """Pass something of another form; it is made anew for every call, from the members."""

    def spoil(call):
        call.X = make(call.members)

    return spoil


def last_value(value):
    """Put a value into the last step of the last sequence."""

    def change(x):
        x = x.copy()
        x[-1, -1] = value
        return x

    return member(-1, change)


def member(i, function):
    def spoil(call):
        call.members[i] = function(call.members[i])

    return spoil


def members(function):
    return lambda call: call.map(function)


def last_target(value, dtype=float):
    """Put a value into the target of the last sequence, or of its last step."""

    def change(y):
        y = np.array(y, dtype=dtype)
        y[(-1,) * y.ndim] = value
        return y

    def spoil(call):
        if isinstance(call.y, list):
            call.y[-1] = change(call.y[-1])
        else:
            call.y = change(call.y)

    return spoil


def targets(function):
    return lambda call: call.map_y(function)


def y_is(make):
    def spoil(call):
        call.y = make(call.y)

    return spoil


def weight_is(make):
    def spoil(call):
        call.weight = make(call.weight)

    return spoil


def parameters(**values):
    return lambda call: call.parameters.update(values)


def wider(x):
    return np.hstack([x, x[:, :1]])


def no_arrays(X):
    """Types of Python that are no sequences, of the sequences in X."""
    return {"generator": (x for x in X), "dict": dict(enumerate(X)), "set": set(map(len, X)), "map": map(len, X)}


DAYS = "datetime64[D]"
BASIC, LISTS = ("3-D", "ragged list", "2-D"), ("list", "ragged list", "ids list")
SINGLE = (*ARRAYS, "frames", "frame", "polars frame", *IDS)
WITH_Y = ("3-D", "list", "ragged list", "2-D", "ids list")
NOT_FINITE = {"NaN": np.nan, "infinity": np.inf, "minus infinity": -np.inf}
BOTH = (False, True)
AGAIN = ("partial_fit on", "fit on")
TARGETS = {"forms": WITH_Y, "ways": LEARN, "every_step": BOTH}
WEIGHTS = {"forms": BASIC, "ways": LEARN, "every_step": BOTH}
OF_STEPS = "Set return_sequences=True to predict at every step"
ONE_EACH = "With return_sequences=True, y holds one value for every step"
ORDER = "Labels must be of one type that can be ordered"

REFUSED = [
    # -- NaN or inf in X or y
    *(Refused(f"{name} in X", last_value(value), f"Input X contains {name.split()[-1]}") for name, value in NOT_FINITE.items()),
    Refused(
        "NA in X",
        X_is(lambda m: [pd.DataFrame({"a": [1.0, 2], "b": pd.array([True, None], dtype="boolean")})] * len(m)),
        "Input X contains NaN",
        forms=("list",),
    ),
    *(
        Refused(f"{name} in y", last_target(value), f"Input y contains {name.split()[-1]}", **TARGETS)
        for name, value in NOT_FINITE.items()
    ),
    Refused("None in y", last_target(None, object), "Input y contains NaN", **TARGETS),
    # -- no time step at all; one empty sequence among others
    Refused("no time step", members(lambda x: x[:0]), "at least 1 time step", forms=("3-D", *SEPARATE, *IDS)),
    Refused("no time step, frames", members(lambda x: x[:0]), "at least 1 time step", forms=("frames",)),
    Refused(
        "an empty sequence",
        member(3, lambda x: x[:0]),
        r"^X\[3\] is empty; at least 1 time step is required",
        forms=(*SEPARATE, "nested lists", "frames", "ids list"),
    ),
    # -- members of different width
    Refused(
        "a wider sequence",
        member(5, wider),
        r"^X\[5\] has (2|3) features per step, but X\[0\] has (1|2)\.$",
        forms=(*SEPARATE, "nested lists", "ids list"),
    ),
    Refused("a wider frame", member(5, wider), "The frames in X must have the same columns", forms=("frames",)),
    # -- 0 samples, 0 features
    Refused("no sequence", X_is(lambda m: np.stack(m)[:0]), r"Found array with 0 sample\(s\)", forms=("3-D", "ids 3-D")),
    Refused("no row", X_is(lambda m: flat(m)[:0]), r"Found array with 0 sample\(s\)", forms=("2-D", "ids 2-D")),
    Refused(
        "no row of a frame", X_is(lambda m: FORMS["frame"].make(m)[:0]), r"Found array with 0 sample\(s\)", forms=("frame",)
    ),
    Refused("an empty list", X_is(lambda _: []), r"Found array with 0 sample\(s\)", forms=("list", "ids list")),
    Refused("no member", X_is(lambda _: np.empty(0, object)), r"Found array with 0 sample\(s\)", forms=("object array",)),
    Refused("no feature", members(lambda x: x[:, :0]), r"Found array with 0 feature\(s\)", forms=("3-D", *SEPARATE, "2-D")),
    # -- 1-D X, 4-D X
    Refused("1-D", X_is(lambda _: np.arange(12.0)), "Reshape your data", forms=("3-D", "2-D", *IDS)),
    Refused("1-D list", X_is(lambda _: [*range(12)]), "Reshape your data", forms=("list", "ids list")),
    Refused("a number", X_is(lambda _: 3.0), "Reshape your data", forms=("3-D", "ids 3-D")),
    Refused("4-D", X_is(lambda m: np.stack(m)[None]), "dim 4", forms=("3-D", "ids 3-D")),
    Refused(
        "3-D members", members(lambda x: x[None]), r"X\[0\] of type ndarray with dim 3.*Reshape", forms=(*SEPARATE, "ids list")
    ),
    Refused(
        "an odd column",
        X_is(lambda m: flat(m)[:, 1:]),
        "not a multiple of n_features_per_step=2|X has 7 features",
        forms=("2-D",),
    ),
    # -- another number of features at predict or partial_fit
    Refused(
        "other features",
        members(wider),
        r"^X has \d+ features, but {Estimator} is expecting \d+ features as input",
        forms=("3-D", *SEPARATE, "nested lists", "2-D", "ids 3-D", "ids list"),
        ways=FITTED,
    ),
    Refused("other columns", members(wider), "feature names should match", forms=NAMED, ways=FITTED),
    Refused(
        "columns in another order",
        X_is(lambda m: FORMS["frame"].make(m).iloc[:, ::-1]),
        "feature names should match",
        forms=("frame",),
        ways=FITTED,
    ),
    Refused(
        "columns of frames in another order",
        X_is(lambda m: [x[["b", "a"]] for x in FORMS["frames"].make(m)]),
        "feature names should match",
        forms=("frames",),
        ways=FITTED,
    ),
    Refused("unknown ids", member(2, lambda x: x + 9), "Token ids must be less than n_tokens=9", forms=IDS),
    Refused("negative ids", member(2, lambda x: x - 9), "Token ids are integers from 0", forms=IDS),
    Refused("fractions of ids", member(2, lambda x: x + 0.5), "X must hold token ids .* not integers", forms=IDS),
    Refused(
        "too large for float32",
        lambda call: call.map(lambda x: x * 1e300) or call.parameters.update(dtype="float32"),
        "too large for dtype",
        ways=("fit", "partial_fit", "fit again"),
        forms=NUMBERS,
    ),
    # -- kinds of things that are not real numbers
    Refused("complex", members(lambda x: x + 1j), "Complex data not supported", forms=NUMBERS[:-1]),
    Refused("complex ids", members(lambda x: x + 1j), "Complex data not supported", forms=IDS),
    Refused(
        "times",
        members(lambda x: x.astype(DAYS)),
        "X holds values of type datetime64",
        TypeError,
        forms=(*ARRAYS, "frames", "frame", *IDS),
    ),
    Refused("dates", members(lambda x: x.astype(DAYS)), "not 'datetime.date'", TypeError, forms=("nested lists",)),
    Refused(
        "time differences",
        members(lambda x: x.astype("m8[s]")),
        "X holds values of type timedelta64",
        TypeError,
        forms=(*ARRAYS, "frame", *IDS),
    ),
    Refused("text", members(lambda x: x.astype(str)), "X holds (values of type|text)", TypeError),
    Refused(
        "text among objects",
        member(3, lambda x: x.astype(str).astype(object)),
        "X holds (values of type str|text)",
        TypeError,
        forms=(*ARRAYS, *IDS),
    ),
    Refused("bytes", members(lambda x: x.astype("S")), "X holds (values of type .S|text)", TypeError, forms=(*ARRAYS, *IDS)),
    Refused(
        "records",
        members(lambda x: np.zeros(x.shape, [("a", float)])),
        r"X holds values of type \[\('a'",
        TypeError,
        forms=(*ARRAYS, *IDS),
    ),
    Refused(
        "categories of text",
        X_is(lambda _: pd.DataFrame({"a": ["u", "v"] * 6}, dtype="category")),
        "X holds values of type str",
        TypeError,
        forms=("frame",),
    ),
    Refused(
        "periods",
        X_is(lambda _: pd.DataFrame({"a": pd.period_range("2020", periods=12, freq="D")})),
        "Period",
        TypeError,
        forms=("frame",),
        ways=("fit", "partial_fit", "fit again"),
    ),
    Refused("a sparse array", X_is(lambda m: sparse.csr_array(flat(m))), "X is sparse", TypeError, forms=("2-D", "ids 2-D")),
    Refused(
        "a sparse member",
        member(1, sparse.csr_array),
        r"X\[1\] is sparse",
        TypeError,
        forms=("list", "object array", "ids list"),
    ),
    Refused("np.matrix", X_is(lambda m: np.asmatrix(flat(m))), "X is an np.matrix", TypeError, forms=("2-D", "ids 2-D")),
    Refused(
        "an np.matrix among others", member(1, np.asmatrix), r"X\[1\] is an np.matrix", TypeError, forms=(*SEPARATE, "ids list")
    ),
    Refused(
        "a mask",
        X_is(lambda m: np.ma.masked_less(np.stack(m), 1)),
        "X is a masked array with masked values",
        forms=("3-D", "ids 3-D"),
    ),
    Refused(
        "a mask, 2-D",
        X_is(lambda m: np.ma.masked_less(flat(m), 1)),
        "X is a masked array with masked values",
        forms=("2-D", "ids 2-D"),
    ),
    Refused(
        "a masked member",
        member(1, lambda x: np.ma.masked_less(x, 9)),
        r"X\[1\] is a masked array",
        forms=("list", "ragged list", "ids list"),
    ),
    Refused(
        "a dict among others",
        member(1, lambda x: dict(enumerate(x))),
        r"X\[1\] of type dict",
        forms=("list", "object array", "ids list"),
    ),
    Refused(
        "None among others", member(1, lambda _: None), r"X\[1\] of type NoneType", forms=("list", "object array", "ids list")
    ),
    Refused(
        "None",
        lambda call: setattr(call, "form", Form(lambda _: None)),
        "X is of type 'NoneType'",
        TypeError,
        forms=("3-D", "ids 3-D"),
    ),
    Refused("a string", X_is(lambda _: "walk"), "X is of type 'str'|X holds text", TypeError, forms=("list", "ids list")),
    *(
        Refused(
            f"a {name}",
            X_is(lambda m, name=name: no_arrays(m)[name]),
            f"X is of type '{name}'",
            TypeError,
            forms=("list", "ids list"),
        )
        for name in no_arrays([])
    ),
    Refused("too large an integer", X_is(lambda _: [[10**400] * 8] * 12), "no float can hold", forms=("2-D",)),
    # -- float y for the classifier, and what else is no label
    Refused("floats as labels", targets(lambda y: y + 0.5 * y), "Unknown label type", Estimators=(C,), **TARGETS),
    Refused("complex y", targets(lambda y: y * 1j), "(?i)complex", **TARGETS),
    Refused(
        "sets as labels",
        y_is(lambda y: [{label} for label in y]),
        "Unknown label type",
        Estimators=(C,),
        forms=BASIC,
        ways=LEARN,
    ),
    Refused("labels of two types", y_is(lambda _: [1, "a"] * 6), ORDER, Estimators=(C,), forms=BASIC, ways=LEARN),
    Refused(
        "bytes as labels",
        targets(lambda y: np.array(y).astype("S")),
        "y holds bytes",
        TypeError,
        Estimators=(C,),
        **TARGETS,
    ),
    Refused(
        "text as targets",
        targets(lambda y: np.array(y).astype(str)),
        "y holds values of type <U",
        TypeError,
        Estimators=(R,),
        **TARGETS,
    ),
    Refused(
        "times as targets",
        targets(lambda y: np.array(y).astype(DAYS)),
        "y holds values of type datetime64",
        TypeError,
        Estimators=(R,),
        **TARGETS,
    ),
    Refused(
        "too large an integer in y",
        last_target(10**400, object),
        "y holds a number that no float can hold|Unknown label type",
        **TARGETS,
    ),
    Refused("masked y", targets(lambda y: np.ma.masked_equal(y, 1)), "y is a masked array with masked values", **TARGETS),
    Refused("y is an np.matrix", y_is(np.asmatrix), "np.matrix", TypeError, forms=("3-D",), ways=LEARN, every_step=BOTH),
    Refused(
        "sparse targets",
        y_is(lambda y: sparse.csr_array(np.atleast_2d(y))),
        "(?i)sparse",
        TypeError,
        Estimators=(R,),
        forms=("3-D",),
        ways=LEARN,
        every_step=BOTH,
    ),
    *(
        Refused(
            f"y is a {name}",
            y_is(lambda y, name=name: no_arrays([y])[name]),
            f"y is of type '{name}'|^Expected array-like",
            error,
            Estimators=Estimators,
            forms=("3-D",),
            ways=LEARN,
            every_step=steps,
        )
        for name in no_arrays([])
        for error, Estimators, steps in ((TypeError, (R,), BOTH), (TypeError, (C,), (True,)), (ValueError, (C,), (False,)))
    ),
    # -- y is None, or of another length or shape
    Refused("y is None", y_is(lambda _: None), "{Estimator} requires y to be passed, but the target y is None", **TARGETS),
    Refused("a target too few", y_is(lambda y: y[:-1]), r"inconsistent numbers of samples: \[12, 11\]", **TARGETS),
    Refused("a target too many", y_is(lambda y: [*y, y[0]]), r"inconsistent numbers of samples: \[12, 13\]", **TARGETS),
    Refused(
        "a step too few",
        y_is(lambda y: [*y[:5], y[5][:-1], *y[6:]]),
        r"y\[5\] has \d steps, but X\[5\] has \d",
        forms=("3-D", "ragged list"),
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "steps that are no steps",
        y_is(lambda y: [*y[:5], 1, *y[6:]]),
        r"y\[5\] has no steps, but X\[5\] has \d",
        forms=BASIC,
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "one target a sequence, return_sequences=True",
        y_is(lambda _: np.arange(12) % 2),
        ONE_EACH,
        forms=BASIC,
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "outputs that differ in number",
        y_is(lambda _: [np.zeros((N_STEPS, 1 + (i == 3))) for i in range(12)]),
        "y must have one entry per time step: Sequence 3 has shape",
        forms=("3-D",),
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "return_sequences=True forgotten",
        y_is(lambda _: [[0, 1, 0][: 1 + i % 3] for i in range(12)]),
        OF_STEPS,
        forms=BASIC,
        ways=LEARN,
    ),
    Refused(
        "return_sequences=True forgotten, objects",
        y_is(lambda _: object_array([np.arange(1 + i % 3) for i in range(12)])),
        OF_STEPS,
        forms=BASIC,
        ways=LEARN,
    ),
    Refused(
        "return_sequences=True forgotten, 3-D",
        y_is(lambda _: np.zeros((12, N_STEPS, 2), int)),
        OF_STEPS,
        forms=BASIC,
        ways=LEARN,
    ),
    Refused(
        "too many axes",
        y_is(lambda _: np.zeros((12, N_STEPS, 2, 2))),
        "dim 3|Unknown label type",
        forms=("3-D",),
        ways=LEARN,
        every_step=(True,),
    ),
    Refused("no output", y_is(lambda _: np.zeros((12, 0))), r"0 feature\(s\)|Unknown label type", forms=BASIC, ways=LEARN),
    Refused(
        "numbers of classes in columns",
        y_is(lambda _: np.arange(24).reshape(12, 2) % 3),
        "y should be a 1d array",
        Estimators=(C,),
        forms=BASIC,
        ways=LEARN,
    ),
    Refused(
        "several labels, not 0 and 1",
        y_is(lambda _: np.array([[0, 2], [2, 0]] * 6)),
        "indicator matrix of 0 and 1",
        Estimators=(C,),
        forms=BASIC,
        ways=LEARN,
    ),
    Refused(
        "other numbers of outputs",
        y_is(lambda y: np.stack([y, y], axis=-1)),
        "y has 2 dimensions, but had 1|single labels to multilabel|y has classes|can't change",
        forms=("3-D",),
        ways=AGAIN,
        every_step=BOTH,
    ),
    # -- first partial_fit without classes; an unseen class; changed classes
    Refused(
        "no classes",
        lambda call: setattr(call, "classes", None),
        "classes must be passed on the first call to partial_fit",
        Estimators=(C,),
        forms=BASIC,
        ways=("partial_fit",),
        every_step=BOTH,
    ),
    Refused(
        "an unseen class",
        last_target(7, int),
        r"y has classes \[0 1 7\], but classes_ is \[0 1\]|warm_start can't change the classes",
        Estimators=(C,),
        forms=BASIC,
        ways=("partial_fit", *AGAIN),
        every_step=BOTH,
    ),
    Refused(
        "changed classes",
        lambda call: setattr(call, "classes", [0, 1, 2]),
        r"classes=\[0 1 2\] is not the same as on the last call",
        Estimators=(C,),
        forms=BASIC,
        ways=("partial_fit with classes",),
        every_step=BOTH,
    ),
    Refused(
        "classes of another type",
        lambda call: setattr(call, "classes", ["0", "1"]),
        "classes",
        Estimators=(C,),
        forms=BASIC,
        ways=("partial_fit", "partial_fit with classes"),
        every_step=BOTH,
    ),
    Refused(
        "classes of two types",
        lambda call: setattr(call, "classes", [None, 0]),
        ORDER,
        Estimators=(C,),
        forms=BASIC,
        ways=("partial_fit",),
    ),
    Refused(
        "classes in two axes",
        lambda call: setattr(call, "classes", [[0, 1]]),
        "y should be a 1d array",
        Estimators=(C,),
        forms=BASIC,
        ways=("partial_fit", "partial_fit with classes"),
    ),
    # -- weights
    Refused(
        "a negative weight", weight_is(lambda w: w - w.max()), "Negative values in data passed to `sample_weight`", **WEIGHTS
    ),
    Refused("NaN weight", weight_is(lambda w: w * np.nan), "Input sample_weight contains NaN", **WEIGHTS),
    Refused("infinite weight", weight_is(lambda w: w * np.inf), "Input sample_weight contains infinity", **WEIGHTS),
    Refused("one weight, NaN", weight_is(lambda _: np.nan), "Input sample_weight contains NaN", **WEIGHTS),
    Refused(
        "weights all zero",
        weight_is(lambda w: w * 0),
        "Sample weights must contain at least one non-zero number",
        forms=("ragged list",),
        ways=LEARN,
        every_step=BOTH,
    ),
    Refused(
        "weights all zero, equal lengths",
        weight_is(lambda w: w * 0),
        "Sample weights must contain at least one non-zero number",
        forms=("3-D", "2-D"),
        ways=("fit", "partial_fit", "fit again", "fit on"),
        every_step=BOTH,
    ),
    Refused("a weight too few", weight_is(lambda w: w[:-1]), r"sample_weight.shape == \(11,\), expected \(12,\)", **WEIGHTS),
    Refused(
        "weights in two axes",
        weight_is(lambda w: np.stack([w, w], axis=1)),
        r"(?i)sample weights must be 1D|sample_weight.* must be 1D",
        forms=BASIC,
        ways=LEARN,
    ),
    Refused(
        "weights of too few steps",
        weight_is(lambda _: [np.ones(1 + i % 2) for i in range(12)]),
        r"sample_weight\[\d\] has \d steps, but X\[\d\] has \d",
        forms=BASIC,
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "weights of steps, all zero",
        weight_is(lambda _: np.zeros((12, N_STEPS))),
        "at least one non-zero",
        forms=("3-D",),
        ways=("fit", "fit again", "fit on"),
        every_step=(True,),
    ),
    Refused(
        "weights of steps, negative",
        weight_is(lambda _: -np.ones((12, N_STEPS))),
        "Negative values in data passed to `sample_weight`",
        forms=("3-D",),
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "weights of outputs",
        weight_is(lambda _: np.ones((12, N_STEPS, 2))),
        "(?i)sample.weights? must be 1D",
        forms=("3-D",),
        ways=LEARN,
        every_step=(True,),
    ),
    Refused(
        "text as weights", weight_is(lambda w: w.astype(str)), "sample_weight holds values of type <U", TypeError, **WEIGHTS
    ),
    Refused(
        "times as weights",
        weight_is(lambda w: w.astype(DAYS)),
        "sample_weight holds values of type datetime64",
        TypeError,
        **WEIGHTS,
    ),
    Refused("masked weights", weight_is(lambda w: np.ma.masked_equal(w, 1)), "sample_weight is a masked array", **WEIGHTS),
    Refused("complex weights", weight_is(lambda w: w * 1j), "Complex data not supported", **WEIGHTS),
    Refused(
        "a dict as weights", weight_is(lambda w: dict(enumerate(w))), "sample_weight is of type 'dict'", TypeError, **WEIGHTS
    ),
    # -- parameters that are not valid, do not go together, or want more data
    Refused(
        "early_stopping on too little data",
        parameters(early_stopping=True, validation_fraction=0.05),
        "12 sequences are too little data for early_stopping=True with validation_fraction=0.05",
        forms=BASIC,
        ways=("fit", "fit again", "fit on"),
        every_step=BOTH,
    ),
]


def cases(rows):
    """Every row with every form and estimator; with every cell, which take turns where there are many forms."""
    for row in rows:
        for (i, form), every_step, Estimator in itertools.product(enumerate(row.forms), row.every_step, row.Estimators):
            for cell in CELLS if len(row.forms) < len(CELLS) else [[*CELLS][i % len(CELLS)]]:
                name = f"{row.row}-{form}-{'steps-' * every_step}{Estimator.__name__}-{cell}"
                yield pytest.param(row, form, Estimator, cell, every_step, id=name)


@pytest.mark.parametrize(("row", "form", "Estimator", "cell", "every_step"), [*cases(REFUSED)])
def test_refused(row, form, Estimator, cell, every_step):
    for way in row.ways:
        call = Call(Estimator, cell, form, every_step=every_step)
        row.spoil(call)
        assert_refused(call, way, row.error, row.message.format(Estimator=Estimator.__name__))


# -------------------------------------------------------------------- what is handled


class Handled(NamedTuple):
    row: str
    change: Callable  # of the call
    plain: Callable | None  # the same for the call whose results must be the same bits
    forms: tuple = tuple(FORMS)
    Estimators: tuple = (C, R)
    every_step: tuple = (False,)
    dtype: type = np.float64


def all_bits(estimator, results):
    """All that was learned and answered."""
    learned = vars(estimator).keys() - estimator.get_params().keys()
    return image([{name: getattr(estimator, name) for name in learned}, results])


def results_of(call):
    """Train and ask in every way; return the estimator, what it answered, and whether what was given is as it was."""
    X, y, weight = call.given()
    before = image([X, y, weight])
    estimator = call.new()
    for method in (estimator.fit, estimator.partial_fit):
        method(X, y, sample_weight=weight)
    results = [WAYS[way][1](estimator, X, y) for way in ASK if hasattr(estimator, way)]
    assert image([X, y, weight]) == before
    return estimator, results


def assert_finite(estimator, results):
    assert np.isfinite(estimator._theta).all()
    for result in results:
        assert all(np.isfinite(values).all() for values in result)


def cast(*dtypes):
    """Change the type of small whole numbers, which all types can hold."""
    return members(lambda x: functools.reduce(np.ndarray.astype, dtypes, np.rint(1.5 * np.abs(x))))


def as_it_is(call):
    """Change nothing."""


def as_fractions(x):
    return np.array([Fraction(float(value)) for value in x.flat], dtype=object).reshape(x.shape)


def one_step(call):
    call.map(lambda x: x[:1])
    if call.every_step:
        call.y = np.stack([y[:1] for y in call.y])


def in_float32(call):
    """Pass the numbers of float32 in float64, and ask for float32."""
    call.map(lambda x: x.astype(np.float32).astype(float))
    call.parameters["dtype"] = "float32"


def first_of_all(call):
    call.members = [call.members[0]] * N_SEQUENCES


def memory_map(a):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, a.dtype, "w+", shape=a.shape)
    mapped[...] = a
    mapped.flags.writeable = False
    return mapped


def big_endian(a):
    return a.astype(a.dtype.newbyteorder(">"))


def read_only(a):
    a = a[...]
    a.flags.writeable = False
    return a


LAYOUTS = {
    "a read-only memory map": memory_map,
    "Fortran order": lambda a: read_only(np.asfortranarray(a)),
    "negative strides": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every other element": lambda a: np.repeat(a, 2, axis=0)[::2],
    "big-endian": big_endian,
}


def laid_out(layout):
    """Give the members, the whole array, y and the weights another layout in memory."""

    def change(call):
        call.map(layout)
        X = call.form.make(call.members)
        if isinstance(X, np.ndarray) and X.dtype != object:
            call.X = layout(X)
        if layout is not big_endian or call.Estimator is R:  # labels come back as they were
            call.map_y(layout)
        call.weight = layout(call.weight)

    return change


HANDLED = [
    # -- constant features, subnormal X, one time step
    Handled("constant features", members(np.ones_like), None),
    Handled("subnormal X", members(lambda x: np.copysign(5e-324, x)), None, forms=NUMBERS),
    Handled("one time step", one_step, None, every_step=BOTH),
    # -- bool, integer, float16, longdouble X; float32 X
    Handled("bool X", cast(bool), cast(bool, float), forms=NUMBERS),
    Handled("int8 X", cast(np.int8), cast(float)),
    Handled("uint64 X", cast(np.uint64), cast(float)),
    Handled("float16 X", cast(np.float16), cast(float), forms=NUMBERS[:-1]),
    Handled("longdouble X", cast(np.longdouble), cast(float), forms=(*ARRAYS, "nested lists")),
    Handled("objects in X", cast(object), cast(float), forms=(*ARRAYS, "frames", "frame", *IDS)),
    Handled("float32 X", members(lambda x: x.astype(np.float32)), in_float32, SINGLE, every_step=BOTH, dtype=np.float32),
    # -- memory order and protection
    *(
        Handled(name, laid_out(layout), as_it_is, (*ARRAYS, "nested lists", *IDS), every_step=BOTH)
        for name, layout in LAYOUTS.items()
    ),
    # -- pandas and polars; other things that hold numbers
    Handled("nullable columns", X_is(lambda m: FORMS["frame"].make(m).astype("Float64")), as_it_is, ("frame",)),
    Handled(
        "nullable columns of frames",
        X_is(lambda m: [x.astype("Float64") for x in FORMS["frames"].make(m)]),
        as_it_is,
        ("frames",),
    ),
    Handled("categories of numbers", X_is(lambda m: FORMS["frame"].make(m).astype("category")), as_it_is, ("frame",)),
    Handled("a Series of arrays", X_is(lambda m: pd.Series(m, index=range(7, 19))), as_it_is, LISTS),
    Handled("a tuple", X_is(tuple), as_it_is, LISTS),
    Handled("fractions as objects", members(as_fractions), as_it_is, ARRAYS),
    Handled("a mask of nothing", X_is(lambda m: np.ma.masked_array(np.stack(m))), as_it_is, ("3-D", "ids 3-D")),
    Handled(
        "one list many times", X_is(lambda m: [m[0].tolist()] * N_SEQUENCES), first_of_all, ("nested lists", "list", "ids list")
    ),
    # -- weights and parameters
    Handled("one weight for all", weight_is(lambda _: 2.0), weight_is(lambda w: np.full_like(w, 2.0)), BASIC, every_step=BOTH),
    Handled("weights of one", weight_is(np.ones_like), weight_is(lambda _: None), BASIC, every_step=BOTH),
    Handled(
        "weights of steps",
        weight_is(lambda w: np.repeat(w[:, None], N_STEPS, axis=1)),
        as_it_is,
        ("3-D", "list", "2-D"),
        every_step=(True,),
    ),
    Handled("batch_size above n", parameters(batch_size=10**9), parameters(batch_size=12), BASIC, every_step=BOTH),
    Handled(
        "two directions",
        parameters(bidirectional=True, pooling="max"),
        parameters(bidirectional=True, pooling=("max",)),
        forms=BASIC,
        every_step=BOTH,
    ),
]


@pytest.mark.parametrize(("row", "form", "Estimator", "cell", "every_step"), [*cases(HANDLED)])
def test_handled(row, form, Estimator, cell, every_step):
    found, expected = (Call(Estimator, cell, form, every_step=every_step) for _ in range(2))
    row.change(found)
    estimator, results = results_of(found)
    assert_finite(estimator, results)
    assert estimator._theta.dtype == row.dtype
    if row.plain is not None:
        row.plain(expected)
        assert all_bits(estimator, results) == all_bits(*results_of(expected))


# -------------------------------------------------------------------- X around 1e200


@each_estimator
@each_cell
@pytest.mark.parametrize("form", ["3-D", "ragged list", "2-D"])
@pytest.mark.parametrize("parameters", [{}, {"clip_norm": None}, {"solver": "lbfgs"}], ids=str)
@pytest.mark.parametrize("scale", [1e150, 1e200, 1e308])
def test_huge_X_is_refused_or_gives_a_warning_and_finite_weights(Estimator, cell, form, parameters, scale):
    call = Call(Estimator, cell, form)
    call.parameters |= parameters
    call.map(lambda x: scale * np.clip(x, -1, 1))
    X, y, _ = call.given()
    estimator = call.new()
    before = image(vars(estimator))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(X, y)
        except ValueError as error:
            assert "cale X" in str(error)  # noqa: PT017  # either is fine
            assert image(vars(estimator)) == before
            return
    assert any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    assert_finite(estimator, [estimator.predict(X)])


@each_estimator
@each_cell
@pytest.mark.parametrize("form", ["3-D", "ragged list", "2-D"])
@pytest.mark.parametrize("scale", [1e150, 1e200, 1e308])
def test_huge_X_leaves_a_fitted_estimator_with_finite_weights(Estimator, cell, form, scale):
    call = Call(Estimator, cell, form)
    X, y, _ = call.given()
    estimator = call.new().fit(X, y)
    call.map(lambda x: scale * np.clip(x, -1, 1))
    X = call.given()[0]
    assert_finite(estimator, [estimator.predict(X)])
    estimator.partial_fit(X, y)
    assert_finite(estimator, [estimator.predict(X)])


# -------------------------------------------------------------------- other numbers of steps, other types, no fit at all


@each_estimator
@each_cell
@with_steps
@pytest.mark.parametrize("form", ["3-D", *SEPARATE, "nested lists", "frames", *IDS])
@pytest.mark.parametrize("n_steps", [1, 9])
def test_another_number_of_steps_at_predict_is_handled(Estimator, cell, every_step, form, n_steps):
    call = Call(Estimator, cell, form, every_step=every_step)
    estimator = copy.copy(trained(Estimator, cell, form, every_step))
    call.map(lambda x: np.resize(x, (n_steps, x.shape[1])))
    call.members = call.members[-3:]
    alone = [estimator.predict(call.form.make([x]))[0] for x in call.members]
    found = estimator.predict(call.given()[0])
    if Estimator is C:
        assert_array_equal(np.stack([*found]), np.stack(alone))
    assert_allclose(np.stack([*found]), np.stack(alone), rtol=1e-10)
    assert len(alone[0]) == n_steps if every_step else np.ndim(alone[0]) == 0


@each_estimator
@each_cell
@each_form
def test_nothing_can_be_asked_before_fit(Estimator, cell, form):
    for way in (*ASK, "predict_log_proba", "score"):
        call = Call(Estimator, cell, form)
        X, y, _ = call.given()
        estimator = call.new()
        if hasattr(estimator, way):
            with pytest.raises(NotFittedError, match=f"This {Estimator.__name__} instance is not fitted yet"):
                getattr(estimator, way)(*((X, y) if way == "score" else (X,)))
            assert vars(estimator) == estimator.get_params()


@each_estimator
@each_cell
@pytest.mark.parametrize("form", NUMBERS)
def test_a_float32_network_stays_one_and_refuses_what_it_cannot_hold(Estimator, cell, form):
    call = Call(Estimator, cell, form)
    call.parameters["dtype"] = "float32"
    X, y, _ = call.given()
    estimator = call.new().fit(X, y).set_params(dtype="auto")
    before = image(vars(estimator))
    results = [WAYS[way][1](estimator, X) for way in ASK if hasattr(estimator, way)]
    call.map(lambda x: x.astype(np.float32))
    single = [WAYS[way][1](estimator, call.given()[0]) for way in ASK if hasattr(estimator, way)]
    assert image(results) == image(single)
    call.map(lambda x: np.float64(1e300) * x)
    for way in (*ASK, "partial_fit on"):
        if way == "partial_fit on" or hasattr(estimator, way):
            with pytest.raises(ValueError, match="Input X contains infinity or a value too large for dtype"):
                WAYS[way][1](estimator, call.given()[0], y, None, {})
    assert image(vars(estimator)) == before


@each_estimator
@each_cell
@pytest.mark.parametrize("form", NAMED)
def test_names_of_columns_are_kept_and_missing_ones_warned_about(Estimator, cell, form):
    call = Call(Estimator, cell, form)
    X, y, _ = call.given()
    estimator = call.new().fit(X, y)
    assert list(estimator.feature_names_in_) == (["a", "b"] if form == "frames" else [f"c{i}" for i in range(8)])
    X = [np.asarray(x) for x in X] if form == "frames" else np.asarray(X)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        estimator.predict(X)
    assert not hasattr(estimator.fit(X, y), "feature_names_in_")


# -------------------------------------------------------------------- labels

LABELS = {
    "int64": np.array([-3, 5, 7]),
    "int8": np.array([1, 2, 3], np.int8),
    "uint16": np.array([1, 2, 30000], np.uint16),
    "uint64": np.array([1, 2, 2**64 - 1], np.uint64),
    "big-endian": np.array([1, 2], ">i4"),
    "bool": np.array([False, True]),
    "string": np.array(["bee", "owl", "yak"]),
    "object": np.array(["a", "bb", "ccc"], dtype=object),
    "whole floats": np.array([0.0, 1.0, 4.0]),
    "float16": np.array([0.0, 1.0], np.float16),
    "two strings": np.array(["no", "yes"]),
    "two ints": np.array([10, 20]),
    "dates": np.array(["2020-01-01", "2020-01-02"], DAYS),
}


@each_cell
@with_steps
@pytest.mark.parametrize("form", ["3-D", "ragged list"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_come_back_as_they_were(cell, every_step, form, labels):
    call = Call(C, cell, form, every_step=every_step)
    X, y, _ = call.given()
    if len(labels) == 3:
        y = [np.r_[2, i[1:]] for i in y] if every_step else np.r_[2, y[1:]]
    if form != "ragged list":
        y = np.stack(y)
    expected = [call.new().fit(X, y), call.new().partial_fit(X, y, classes=range(len(labels)))]
    y = [labels[i] for i in y] if every_step and form == "ragged list" else labels[y]
    for clf, numbers in zip([call.new().fit(X, y), call.new().partial_fit(X, y, classes=labels[::-1])], expected, strict=True):
        assert_array_equal(clf.classes_, labels)
        predicted, indices = (of.predict(X) if not every_step else concatenate_steps(of.predict(X)) for of in (clf, numbers))
        assert clf.classes_.dtype.newbyteorder("=") == predicted.dtype.newbyteorder("=") == labels.dtype.newbyteorder("=")
        assert_array_equal(predicted, labels[indices])


SERIES = {
    "pandas": ["category", "str", "string", "boolean", "Int8", "int64", "object"],
    "polars": ["String", "Categorical", "Enum", "Boolean", "Int8", "Int64"],
}


@pytest.mark.parametrize(("library", "kind"), [(library, kind) for library in SERIES for kind in SERIES[library]])
@pytest.mark.parametrize("form", BASIC)
def test_labels_of_a_series_come_back_as_they_were(library, kind, form):
    module = pytest.importorskip(library)
    labels = [False, True] if kind.lower() == "boolean" else [1, 2] if "int" in kind.lower() else ["no", "yes"]
    if library == "polars":
        kind = module.Enum(["yes", "no", "perhaps"]) if kind == "Enum" else getattr(module, kind)
    X, y, _ = Call(C, "gru", form).given()
    series = module.Series(np.array(labels)[y].tolist(), dtype=kind)
    if library == "pandas":
        series.index = np.arange(100, 100 + len(y))
    call = Call(C, "gru", form)
    expected = [call.new().fit(X, y), call.new().partial_fit(X, y, [0, 1])]
    for clf, numbers in zip([call.new().fit(X, series), call.new().partial_fit(X, series, labels)], expected, strict=True):
        assert list(clf.classes_) == labels
        assert_array_equal(clf.predict(X), np.array(labels)[numbers.predict(X)])


@each_cell
@with_steps
@each_form
@pytest.mark.parametrize("label", [7, "only"])
def test_one_class_fits_and_is_predicted(cell, every_step, form, label):
    call = Call(C, cell, form, every_step=every_step)
    X, y, _ = call.given()
    y = (
        [np.full(np.shape(i), label) for i in y]
        if form in ("ragged list", "ragged object array", "ids list")
        else np.full(np.shape(y), label)
    )
    y = y if every_step else [label] * N_SEQUENCES
    for clf in (call.new().fit(X, y), call.new().partial_fit(X, y, classes=[label]).partial_fit(X, y)):
        assert list(clf.classes_) == [label]
        found, probabilities = clf.predict(X), clf.predict_proba(X)
        if every_step:
            found, probabilities = concatenate_steps(list(found)), concatenate_steps(list(probabilities))
        assert (found == label).all()
        assert (probabilities == 1).all()


@each_cell
@each_form
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_labels_in_a_column_are_warned_about(cell, form, method):
    call = Call(C, cell, form)
    X, y, _ = call.given()
    found, expected = call.new(), call.new()
    first = call.first_classes() if method == "partial_fit" else {}
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        getattr(found, method)(X, y[:, None], **first)
    assert all_bits(getattr(expected, method)(X, y, **first), []) == all_bits(found, [])


def test_unused_categories_are_no_classes():
    call = Call(C, "gru")
    X, y, _ = call.given()
    labels = pd.Series(pd.Categorical.from_codes(y, ["no", "yes", "perhaps"]))
    assert list(call.new().fit(X, labels).classes_) == ["no", "yes"]


# -------------------------------------------------------------------- weights of zero


@each_estimator
@each_cell
@with_steps
@each_form
def test_a_minibatch_whose_weights_are_all_zero_is_skipped(Estimator, cell, every_step, form):
    found, expected = (Call(Estimator, cell, form, every_step=every_step) for _ in range(2))
    found.weight[4:8] = 0
    kept = [i for i in range(N_SEQUENCES) if not 4 <= i < 8]
    expected.members, expected.weight = [expected.members[i] for i in kept], expected.weight[kept]
    expected.y = [expected.y[i] for i in kept] if isinstance(expected.y, list) else expected.y[kept]
    for call in (found, expected):
        call.parameters |= {"shuffle": False, "batch_size": 4}
    thetas = [results_of_weighted(call) for call in (found, expected)]
    assert_allclose(*thetas, rtol=1e-10, atol=1e-14)


def results_of_weighted(call):
    X, y, weight = call.given()
    estimator = call.new().fit(X, y, sample_weight=weight)
    return estimator.partial_fit(X, y, sample_weight=weight)._theta


# -------------------------------------------------------------------- parameters


def bad_values(Estimator):
    """Every parameter with every kind of bad value that its constraints let scikit-learn think of, and NaN."""
    for name, constraints in Estimator._parameter_constraints.items():
        yield name, object()
        for constraint in map(make_constraint, constraints):
            try:
                yield name, generate_invalid_param_val(constraint)
            except NotImplementedError:
                continue
        if type(Estimator().get_params()[name]) in (int, float):
            yield name, np.nan


BAD_VALUES = {
    "hidden_layer_sizes": [(), (4, 0), (4, 2.0), ("4",)],
    "pooling": [(), ("last", "sum"), ("last", 1), (["last"],)],
    "dtype": [np.float16, np.dtype("float16"), np.dtype("int64"), np.dtype("object"), "float16"],
    "random_state": [np.random.default_rng(0)],
    **dict.fromkeys(("truncation_length", "truncation_stride", "checkpoint_interval"), (0, -1, 1.5, "x", (3,), np.nan)),
    **dict.fromkeys(("stateful", "return_sequences"), ("yes", 1, None)),
}
BAD_PARAMETERS = [
    pytest.param(Estimator, name, value, id=f"{Estimator.__name__}-{name}-{type(value).__name__}{i}")
    for Estimator in (C, R)
    for i, (name, value) in enumerate([*bad_values(Estimator), *((name, v) for name in BAD_VALUES for v in BAD_VALUES[name])])
]


@pytest.mark.parametrize(("Estimator", "name", "value"), BAD_PARAMETERS)
def test_bad_parameters_are_refused_at_fit_and_not_before(Estimator, name, value):
    X, y, _ = Call(Estimator, "gru").given()
    for fitted, method in itertools.product([False, True], ["fit", "partial_fit"]):
        estimator = Estimator(**{name: value})
        assert estimator.get_params()[name] is value
        if fitted:
            estimator.__dict__ = vars(trained(Estimator, "gru", "3-D", False)) | {name: value}
        first = {"classes": [0, 1]} if method == "partial_fit" and Estimator is C else {}
        before = image(vars(estimator))
        with pytest.raises(InvalidParameterError, match=f"'?{name}'? .*must be"):
            getattr(estimator, method)(X, y, **first)
        assert image(vars(estimator)) == before


#: parameters that do not go together; what the message names
IMPOSSIBLE = [
    ({"truncation_length": 3, "truncation_stride": 4}, ["truncation_stride=4", "truncation_length=3"]),
    ({"bidirectional": True, "truncation_length": 3}, ["bidirectional=True", "truncation_length=3"]),
    ({"bidirectional": True, "checkpoint_interval": "auto"}, ["bidirectional=True", "checkpoint_interval='auto'"]),
    ({"bidirectional": True, "stateful": True}, ["bidirectional=True", "stateful=True"]),
    ({"embedding_dim": 2, "n_features_per_step": 2}, ["embedding_dim=2", "n_features_per_step=2"]),
    ({"solver": "lbfgs", "truncation_length": 3}, ["solver='lbfgs'", "truncation_length=3"]),
    ({"solver": "lbfgs", "dropout": 0.5}, ["solver='lbfgs'", "dropout=0.5"]),
    ({"solver": "lbfgs", "recurrent_dropout": 0.5}, ["solver='lbfgs'", "recurrent_dropout=0.5"]),
]
#: those that partial_fit does not take
NOT_IN_PARTS = [
    ({"solver": "lbfgs"}, ["partial_fit", "solver='lbfgs'"]),
    ({"early_stopping": True}, ["partial_fit", "early_stopping=True"]),
]


@each_estimator
@each_cell
@with_steps
@pytest.mark.parametrize("form", ["3-D"])
@pytest.mark.parametrize(("given", "named"), [*IMPOSSIBLE, *NOT_IN_PARTS], ids=str)
def test_what_cannot_go_together_is_refused_by_both_names(Estimator, cell, every_step, form, given, named):
    in_parts = ("partial_fit", "partial_fit on")
    for way in in_parts if named[0] == "partial_fit" else LEARN:
        call = Call(Estimator, cell, form, every_step=every_step)
        call.parameters |= given
        names = ["partial_fit", "solver='lbfgs'"] if way in in_parts and "solver" in given else named
        assert_refused(call, way, ValueError, f"(?s)(?=.*{names[0]})(?=.*{names[1]})")
    if named[0] != "partial_fit":
        call = Call(Estimator, cell, form, every_step=every_step)
        X, y, _ = call.given()
        estimator = copy.copy(trained(Estimator, cell, form, every_step)).set_params(**given)
        with pytest.raises(ValueError, match=f"(?s)(?=.*{named[0]})(?=.*{named[1]})"):
            loss_gradient(estimator, X, y)


@each_estimator
@each_cell
@with_steps
def test_a_stream_of_ragged_windows_is_refused(Estimator, cell, every_step):
    call = Call(Estimator, cell, "ragged list", every_step=every_step)
    call.parameters["stateful"] = True
    for way in ("partial_fit", "partial_fit on"):
        assert_refused(call, way, ValueError, "stateful=True needs sequences of equal length in X.*1 to 4 steps")
