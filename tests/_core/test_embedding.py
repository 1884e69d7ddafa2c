"""The gradient of an embedding's table."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrnn._core.embedding import add_table_gradient


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_the_table_is_the_sum_over_the_steps_of_each_token(dtype):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, (7, 4))
    dx, grad = (rng.standard_normal(shape).astype(dtype) for shape in ((7, 3, 4), (6, 3)))
    ids[ids == 2] = 4  # one that does not occur
    total, before = np.zeros_like(grad), grad.copy()
    for t in range(7):
        for n in range(4):
            total[ids[t, n]] += dx[t, :, n]
    add_table_gradient(ids, dx, grad)
    assert_array_equal(grad, before + total)
    assert_array_equal(grad[[2, 5]], before[[2, 5]])
