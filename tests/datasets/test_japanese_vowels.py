from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from skrnn.datasets import load_japanese_vowels

# Published with the data (files size_ae.train and size_ae.test of the UCI repository).
SEQUENCES_PER_SPEAKER = {
    "train": [30, 30, 30, 30, 30, 30, 30, 30, 30],
    "test": [31, 35, 88, 44, 29, 24, 40, 50, 29],
}
# Facts of the source text files.
TOTAL_STEPS = {"train": 4274, "test": 5687}
LENGTH_RANGE = {"train": (7, 26), "test": (7, 29)}
FIRST_LENGTHS = {"train": [20, 26, 22, 20, 21], "test": [19, 17, 19, 18, 24]}
SUM_IN_MILLIONTHS = {"train": -1057452303, "test": -2146513430}
# fmt: off
FIRST_STEP = {
    "train": [1.860936, -0.207383, 0.261557, -0.214562, -0.171253, -0.118167,
              -0.277557, 0.025668, 0.126701, -0.306756, -0.213076, 0.088728],
    "test": [1.635533, 0.024848, 0.432087, -0.361914, -0.074776, -0.693481,
             -0.229621, 0.261503, -0.089421, -0.020431, -0.008612, 0.139754],
}
LAST_STEP = {
    "train": [0.966744, -0.323093, 0.305467, -0.419457, 0.514195, -0.31106,
              -0.033985, 0.154038, -0.389686, -0.089183, 0.16625, 0.173642],
    "test": [1.177449, -0.40408, 0.052026, -0.284812, 0.42984, -0.203484,
             -0.072393, -0.080955, -0.244424, -0.001849, -0.016634, 0.224688],
}
# fmt: on
both_subsets = pytest.mark.parametrize("subset", ["train", "test"])


@both_subsets
def test_ragged_form(subset):
    X, y = load_japanese_vowels(subset, return_X_y=True)
    assert X.dtype == object
    assert X.shape == y.shape == (sum(SEQUENCES_PER_SPEAKER[subset]),)
    assert all(x.dtype == np.float64 and x.ndim == 2 and x.shape[1] == 12 for x in X)
    assert all(np.isfinite(x).all() for x in X)


@both_subsets
def test_official_split(subset):
    _, y = load_japanese_vowels(subset, return_X_y=True)
    assert y.dtype == np.int64
    # Exactly the source's order: one block of sequences per speaker.
    assert_array_equal(y, np.repeat(np.arange(1, 10), SEQUENCES_PER_SPEAKER[subset]))


@both_subsets
def test_lengths(subset):
    X, _ = load_japanese_vowels(subset, return_X_y=True)
    lengths = [len(x) for x in X]
    assert sum(lengths) == TOTAL_STEPS[subset]
    assert (min(lengths), max(lengths)) == LENGTH_RANGE[subset]
    assert lengths[:5] == FIRST_LENGTHS[subset]


@both_subsets
def test_values_are_those_of_the_source_exactly(subset):
    X, _ = load_japanese_vowels(subset, return_X_y=True)
    assert X[0][0].tolist() == FIRST_STEP[subset]
    assert X[-1][-1].tolist() == LAST_STEP[subset]


@both_subsets
def test_every_value_is_a_six_decimal_number(subset):
    X, _ = load_japanese_vowels(subset, return_X_y=True)
    values = np.concatenate(X).ravel()
    assert [float(f"{value:.6f}") for value in values] == values.tolist()
    assert np.rint(values * 1e6).astype(np.int64).sum() == SUM_IN_MILLIONTHS[subset]


@both_subsets
def test_bunch(subset):
    bunch = load_japanese_vowels(subset=subset)
    assert isinstance(bunch, Bunch)
    X, y = load_japanese_vowels(subset, return_X_y=True)
    assert len(bunch.data) == len(X)
    for from_bunch, from_tuple in zip(bunch.data, X, strict=True):
        assert_array_equal(from_bunch, from_tuple)
    assert_array_equal(bunch.target, y)
    assert len(set(bunch.feature_names)) == 12
    assert len(set(bunch.target_names)) == 9
    for fact in ("Kudo", "UCI Machine Learning", "CC BY 4.0", "Only the file format was changed"):
        assert fact in bunch.DESCR


def test_default_is_the_training_part():
    assert len(load_japanese_vowels().data) == 270


def test_each_call_returns_its_own_arrays():
    X, y = load_japanese_vowels(return_X_y=True)
    X[0][:] = 0.0
    y[:] = 0
    X_again, y_again = load_japanese_vowels(return_X_y=True)
    assert X_again[0][0].tolist() == FIRST_STEP["train"]
    assert y_again[0] == 1


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"subset": "validation"}, "subset"),
        ({"subset": None}, "subset"),
        ({"return_X_y": "yes"}, "return_X_y"),
    ],
)
def test_parameter_errors(parameters, name):
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of load_japanese_vowels must be"):
        load_japanese_vowels(**parameters)
