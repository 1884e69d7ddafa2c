"""The flat vector and the named views into it."""

import copy
import pickle

import numpy as np
from numpy.testing import assert_array_equal

from skrnn._core.parameters import Layout

SHAPES = {"weights": (2, 3), "bias": (4,), "scale": ()}


def test_views_follow_each_other_in_the_order_of_the_shapes():
    layout = Layout(SHAPES)
    views = layout.views(np.arange(11.0))
    assert layout.size == 11
    assert list(views) == list(SHAPES)
    assert_array_equal(views["weights"], [[0, 1, 2], [3, 4, 5]])
    assert_array_equal(views["bias"], [6, 7, 8, 9])
    assert_array_equal(views["scale"], 10)


def test_writing_to_a_view_writes_to_the_vector():
    theta = np.zeros(11)
    views = Layout(SHAPES).views(theta)
    views["weights"][1, 2] = 5
    views["scale"][...] = 7
    assert theta[5] == 5
    assert theta[10] == 7
    assert np.count_nonzero(theta) == 2


def test_a_layout_is_independent_of_the_mapping_it_was_made_from():
    shapes = dict(SHAPES)
    layout = Layout(shapes)
    shapes.clear()
    assert layout.shapes == SHAPES


def test_copies_and_pickles_of_a_layout_rebuild_views():
    theta = np.zeros(11)
    for layout in (copy.deepcopy(Layout(SHAPES)), pickle.loads(pickle.dumps(Layout(SHAPES)))):
        layout.views(theta)["bias"][...] += 1
    assert_array_equal(theta[6:10], 2)


def test_views_of_an_empty_layout_are_empty():
    assert Layout({}).size == 0
    assert Layout({}).views(np.zeros(0)) == {}
