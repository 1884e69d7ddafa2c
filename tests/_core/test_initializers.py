"""Init schemes: variances and bounds of what they draw."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrnn._core.initializers import INIT_SCHEMES, lstm_biases

ROWS, COLUMNS, N_HIDDEN = 300, 200, 100  # fan out, fan in
VARIANCES = {
    "glorot": 2 / (ROWS + COLUMNS),
    "he": 2 / COLUMNS,
    "lecun": 1 / COLUMNS,
}


def draw(scheme, rows=ROWS, columns=COLUMNS, seed=0):
    return INIT_SCHEMES[scheme](np.random.RandomState(seed), rows, columns, N_HIDDEN)


@pytest.mark.parametrize("scheme", INIT_SCHEMES)
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 1)], ids=str)
def test_every_scheme_draws_a_finite_matrix_of_the_shape_repeatably(scheme, shape):
    matrix = draw(scheme, *shape)
    assert matrix.shape == shape
    assert matrix.dtype == np.float64
    assert np.isfinite(matrix).all()
    assert_array_equal(draw(scheme, *shape), matrix)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("scale", VARIANCES)
def test_scaled_schemes_have_mean_zero_and_their_variance(scale, distribution):
    matrix, variance = draw(f"{scale}_{distribution}"), VARIANCES[scale]
    standard_error = np.sqrt(variance / matrix.size)
    assert abs(matrix.mean()) < 5 * standard_error
    assert_allclose(matrix.var(), variance, rtol=0.03)
    if distribution == "uniform":
        bound = np.sqrt(3 * variance)
        assert 0.999 * bound < abs(matrix).max() <= bound
    else:
        assert_allclose(np.mean(matrix**4), 3 * variance**2, rtol=0.1)


def test_uniform_is_bounded_by_the_root_of_the_hidden_size():
    matrix = draw("uniform")
    assert 0.0999 < abs(matrix).max() <= 0.1
    assert_allclose(matrix.var(), 0.1**2 / 3, rtol=0.03)


@pytest.mark.parametrize("shape", [(20, 20), (30, 20), (20, 30)], ids=str)
def test_orthogonal_has_orthonormal_columns_or_rows(shape):
    matrix = draw("orthogonal", *shape)
    gram = matrix.T @ matrix if shape[0] >= shape[1] else matrix @ matrix.T
    assert_allclose(gram, np.eye(20), atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)], ids=str)
def test_orthogonal_is_the_first_factor_of_a_normal_matrix_whose_second_has_a_positive_diagonal(shape):
    matrix, normal = draw("orthogonal", *shape), np.random.RandomState(0).normal(size=(max(shape), min(shape)))
    second = (matrix.T if shape[0] >= shape[1] else matrix) @ normal
    assert_allclose(np.tril(second, -1), 0, atol=1e-14)
    assert (np.diag(second) > 0).all()


def test_orthogonal_is_uniform_over_rotations_and_reflections():
    """A QR decomposition without its sign correction has, for instance, a first entry of one sign only."""
    matrices = np.array([draw("orthogonal", 3, 3, seed) for seed in range(2000)])
    assert abs(matrices.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / 2000)
    assert abs(np.linalg.det(matrices).mean()) < 5 / np.sqrt(2000)


def test_identity_is_the_identity_also_where_it_is_not_square():
    assert_array_equal(draw("identity", 2, 3), [[1, 0, 0], [0, 1, 0]])


def test_a_number_is_the_bias_of_the_forget_gate_alone():
    forget, inputs = lstm_biases(np.random.RandomState(0), 4, 1.5, 10)
    assert_array_equal(forget, [1.5] * 4)
    assert_array_equal(inputs, [0] * 4)


def test_chrono_draws_memories_between_one_step_and_the_longest():
    forget, inputs = lstm_biases(np.random.RandomState(0), 5000, "chrono", 101)
    memories = np.exp(forget)
    assert_array_equal(inputs, -forget)
    assert 1 <= memories.min() < 1.1
    assert 99.9 < memories.max() <= 100
    assert_allclose(memories.mean(), 50.5, rtol=0.03)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_chrono_of_one_or_two_steps_is_zero(n_steps):
    forget, inputs = lstm_biases(np.random.RandomState(0), 3, "chrono", n_steps)
    assert_array_equal(forget, [0] * 3)
    assert_array_equal(inputs, [0] * 3)
