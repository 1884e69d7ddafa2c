"""Matrix products: the same results as NumPy's, in place or in blocks."""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skrnn._core import blas
from skrnn._core.blas import StepProduct, address, blocks_of_rows, gradient_product


@pytest.fixture
def small_kernel(monkeypatch):
    """Behave as on a machine with a kernel for small matrices."""
    monkeypatch.setattr(blas, "has_small_kernel", lambda: True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (20, 9, 30), (7, 40, 3)], ids=str)
def test_a_gradient_product_adds_to_what_is_there(shape, dtype):
    rng = np.random.default_rng(0)
    m, n, k = shape
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n + 2, k)).astype(dtype)[1:-1]
    before = rng.normal(size=(m, n)).astype(dtype)
    out = before.copy()
    gradient_product((m, n), k, out.dtype)(*(address(array, out.dtype) for array in (a, b, out)))
    assert_allclose(out, before + a @ b.T, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_threads_run_during_a_gradient_product(dtype):
    gemm, _ = blas._unlocked_gemm(np.dtype(dtype))
    assert not gemm._flags_ & (
        ctypes.PyDLL._func_flags_ & ~ctypes.CDLL._func_flags_
    )  # with it, ctypes would keep Python's global lock


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("limit", "n_blocks"), [(1, 1), (16 * 30 * 20, 4), (32 * 30 * 20, 2), (10**9, 1)])
@pytest.mark.usefixtures("small_kernel")
def test_a_step_product_is_the_product_in_any_number_of_blocks(limit, n_blocks, dtype, monkeypatch):
    monkeypatch.setattr(blas, "SMALL_PRODUCT", limit)
    rng = np.random.default_rng(0)
    buffer, b = np.zeros((64, 30), dtype), rng.normal(size=(30, 20)).astype(dtype)
    product = StepProduct(buffer, 20)
    assert product.n_blocks == n_blocks
    product.rows[...] = rng.normal(size=buffer.shape)  # weights are written after the views were made
    out = np.empty((64, 20), dtype)
    product.multiply(product.a, b, product.out_of(out))
    assert_allclose(out, product.rows @ b, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-6)


@pytest.mark.usefixtures("small_kernel")
@pytest.mark.parametrize(
    ("rows", "operations_of_a_row", "blocks"),
    [
        (64, 15_000, 1),  # small as it is
        (512, 157 * 64, 8),  # of the divisors of 512, 64 is the largest that is small
        (100, 20_000, 5),  # 50 is not a multiple of 4
        (256, 1024 * 128, 1),  # blocks would be too narrow
        (97, 50_000, 1),  # a prime
        (0, 100, 1),  # an Elman cell has no gate without h
    ],
)
def test_blocks_are_small_but_not_narrow(rows, operations_of_a_row, blocks):
    assert blocks_of_rows(rows, operations_of_a_row) == blocks


def test_without_a_kernel_for_small_matrices_nothing_is_divided(monkeypatch):
    monkeypatch.setattr(blas, "has_small_kernel", lambda: False)
    assert blocks_of_rows(512, 157 * 64) == 1


class Libraries(list):
    """What threadpoolctl would find."""

    def select(self, internal_api):
        return Libraries(library for library in self if library["internal_api"] == internal_api)

    def info(self):
        return self


@pytest.mark.parametrize(
    ("internal_api", "filepath", "architecture", "expected"),
    [
        ("openblas", "/lib/numpy.libs/libscipy_openblas64_.so", "SkylakeX", True),
        ("openblas", "/lib/numpy.libs/libscipy_openblas64_.so", "Haswell", False),
        ("openblas", "/lib/scipy.libs/libscipy_openblas.so", "SkylakeX", False),
        ("mkl", "/lib/numpy.libs/libmkl_rt.so", "SkylakeX", False),
    ],
)
def test_only_openblas_of_numpy_has_a_kernel_for_small_matrices(internal_api, filepath, architecture, expected, monkeypatch):
    found = Libraries([{"internal_api": internal_api, "filepath": filepath, "architecture": architecture}])
    monkeypatch.setattr(blas, "ThreadpoolController", lambda: found)
    assert blas.has_small_kernel.__wrapped__() == expected


def test_only_arrays_whose_data_lie_in_order_have_an_address():
    a = np.zeros((4, 6))
    assert address(a[1], a.dtype) - address(a, a.dtype) == 6 * 8
    for wrong in (a[:, 1:], a.T, a.astype(np.float32)):
        with pytest.raises(ValueError, match="C-contiguous array of float64"):
            address(wrong, a.dtype)
