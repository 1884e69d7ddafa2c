"""Windows of truncated backpropagation: against the definition, one loss and one step at a time."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrnn._core.windows import Window, truncated_windows

LENGTHS = [(1,), (7,), (13, 13, 13), (13, 12, 12, 7, 6, 1), (5, 4, 3, 2, 1), (9, 1, 1)]
TRUNCATIONS = [(length, stride) for length in (1, 2, 3, 4, 6, 13, 20) for stride in (1, 2, 3, 5, 6, 13) if stride <= length]


def brute_force(lengths, length, stride, past):
    """``reach[update, sequence, step of a loss, past + earlier step]``: does the gradient of this loss go back so far?"""
    n_updates = -(-max(lengths) // stride)
    reach = np.zeros((n_updates, len(lengths), max(lengths), past + max(lengths)), bool)
    for n, n_steps in enumerate(lengths):
        for loss in range(n_steps):
            update = loss // stride
            last = min((update + 1) * stride, n_steps) - 1  # of the steps since the last update
            for step in range(-past, loss + 1):
                reach[update, n, loss, past + step] = last - step < length
    return reach


def reach_of(windows, lengths, past):
    """The same, of windows."""
    reach = np.zeros((len(windows), len(lengths), max(lengths), past + max(lengths)), bool)
    for update, (start, stop, history, edges) in enumerate(windows):
        for n, n_steps in enumerate(lengths):
            first = max([edge for edge, columns in edges if columns.start <= n < columns.stop], default=0)
            for loss in range(start, min(stop, n_steps)):
                reach[update, n, loss, past + start - history + first : past + loss + 1] = True
    return reach


@pytest.mark.parametrize("past", [0, 1, 4, 30])
@pytest.mark.parametrize(("length", "stride"), TRUNCATIONS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_every_loss_goes_back_as_far_as_it_should(lengths, length, stride, past):
    windows = list(truncated_windows(np.array(lengths), length, stride, past))
    assert_array_equal(reach_of(windows, lengths, past), brute_force(lengths, length, stride, past))


@pytest.mark.parametrize("past", [0, 1, 4, 30])
@pytest.mark.parametrize(("length", "stride"), TRUNCATIONS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_windows_share_out_the_steps_and_keep_no_more_history_than_is_reached(lengths, length, stride, past):
    windows = list(truncated_windows(np.array(lengths), length, stride, past))
    assert [window.start for window in windows] == list(range(0, max(lengths), stride))
    assert [window.stop for window in windows] == [*range(stride, max(lengths), stride), max(lengths)]
    for (start, stop, history, edges), reach in zip(windows, brute_force(lengths, length, stride, past), strict=True):
        assert start - history == np.flatnonzero(reach.any(axis=(0, 1)))[0] - past
        assert history + stop - start <= length + stride - 1
        assert all(0 < step < history + stop - start for step, _ in edges)
        assert all(a < b for (a, _), (b, _) in itertools.pairwise(edges))


@pytest.mark.parametrize("past", [0, 3])
def test_windows_as_long_as_their_stride_have_no_history_and_no_edges_where_nothing_ends(past):
    windows = list(truncated_windows(np.array([8, 8]), 4, 4, past))
    assert windows == [Window(0, 4, 0, []), Window(4, 8, 0, [])]


def test_overlapping_windows_by_hand():
    """Every 2 steps 5 back; sequences of 6, 5 and 3 steps."""
    windows = list(truncated_windows(np.array([6, 5, 3]), 5, 2))
    assert windows == [
        Window(0, 2, 0, []),
        Window(2, 4, 2, []),
        Window(4, 6, 4, [(1, slice(0, 1))]),  # from step 1 for the first, from step 0 for the second, and the third is over
    ]
    windows = list(truncated_windows(np.array([6, 5, 3]), 3, 2))
    assert windows == [
        Window(0, 2, 0, []),
        Window(2, 4, 2, [(1, slice(0, 2))]),
        Window(4, 6, 2, [(1, slice(0, 1))]),
    ]


def test_what_is_known_of_the_past_is_reached_into():
    assert list(truncated_windows(np.array([4]), 5, 2, past=2)) == [Window(0, 2, 2, []), Window(2, 4, 3, [])]
    assert list(truncated_windows(np.array([4]), 5, 2, past=9)) == [Window(0, 2, 3, []), Window(2, 4, 3, [])]
