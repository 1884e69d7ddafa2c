"""Schedules: their formulas."""

from numpy.testing import assert_allclose

from skrnn._optim.schedules import SCHEDULES


def test_schedules_are_their_formulas():
    assert SCHEDULES["constant"](17, 0.3, 0.5) == SCHEDULES["adaptive"](17, 0.3, 0.5) == 1
    assert SCHEDULES["invscaling"](1, 0, 0.7) == 1
    assert_allclose(SCHEDULES["invscaling"](16, 0, 0.5), 1 / 4)
    assert_allclose([SCHEDULES["cosine"](9, p, 0.5) for p in (0, 1 / 3, 0.5, 1, 1.5)], [1, 0.75, 0.5, 1, 0.5], atol=1e-15)
