"""Matrix products that NumPy has no function for, or not the fastest: BLAS's ``gemm``, called to its best.

* ``gradient_product`` adds to its result, without a temporary. SciPy's own wrapper of ``gemm`` does so too, but holds Python's
  global lock, so other threads would wait; the same function, where SciPy offers it to Cython and Numba, does not.
* ``StepProduct`` takes a matrix in blocks of rows where each is then small enough for OpenBLAS's kernel of small matrices.
  That kernel packs neither matrix, and a step of a recurrent network is too little arithmetic to pay for packing.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cython_blas
from threadpoolctl import ThreadpoolController

from .parameters import FloatArray, Shape

#: multiplications up to which OpenBLAS takes its kernel for small matrices
SMALL_PRODUCT = 100**3
#: rows of a block below which the kernel is no faster than the one for large matrices
LEAST_ROWS = 16
#: the kernels of OpenBLAS that have one for small matrices, for processors with AVX-512; elsewhere blocks are slower
ARCHITECTURES = {"SkylakeX", "Cooperlake", "SapphireRapids"}


class StepProduct:
    """``a @ b`` for a constant buffer ``a`` (M, K) and matrices of N columns, written to a contiguous ``out`` (M, N).

    It is ``multiply(a, b, out_of(out))``, three things to be kept, because the loops over time have no time for more.

    Parameters
    ----------
    a : array (M, K)
    n_columns : int
        N.
    """

    def __init__(self, a: FloatArray, n_columns: int) -> None:
        n_rows, n_inner = a.shape
        self.n_blocks = blocks_of_rows(n_rows, n_inner * n_columns)
        self.multiply: Callable[..., Any] = np.dot
        self.a = self.rows = a
        if self.n_blocks > 1:
            self.multiply, self.a = np.matmul, a.reshape(self.n_blocks, -1, n_inner)

    def out_of(self, out: FloatArray) -> FloatArray:
        """``out`` as ``multiply`` takes it."""
        return out if self.n_blocks == 1 else out.reshape(self.n_blocks, -1, out.shape[-1])


def blocks_of_rows(n_rows: int, n_row_products: int) -> int:
    """In how many equal blocks to take the rows of a product, each row of so many multiplications."""
    if n_rows * n_row_products <= SMALL_PRODUCT or not has_small_kernel():
        return 1
    rows = (size for size in range(n_rows, LEAST_ROWS - 1, -1) if n_rows % size == 0 and size % 4 == 0)
    return next((n_rows // size for size in rows if size * n_row_products <= SMALL_PRODUCT), 1)


@functools.cache
def has_small_kernel() -> bool:
    """Return whether NumPy's BLAS has a kernel for small matrices."""
    libraries = ThreadpoolController().select(internal_api="openblas").info()
    return any("numpy" in library["filepath"] and library["architecture"] in ARCHITECTURES for library in libraries)


def gradient_product(shape: Shape, n_inner: int, dtype: np.dtype[Any]) -> Callable[[int, int, int], None]:
    """Return a function that computes ``out += a @ b.T``, while other threads run, of C-contiguous matrices.

    It takes the addresses at which ``a``, ``b`` and ``out`` begin.

    Parameters
    ----------
    shape : tuple of int (m, n)
        Of the result.
    n_inner : int
        The columns of ``a`` (m, n_inner) and ``b`` (n, n_inner).
    dtype : dtype
    """
    gemm, number = _unlocked_gemm(dtype)
    # 64 bits, of which a BLAS with integers of 32 reads the lower half (on little-endian machines)
    m, n, k = (ctypes.byref(ctypes.c_int64(size)) for size in (*shape, n_inner))
    one = ctypes.byref(number(1))

    def add(a: int, b: int, out: int) -> None:
        # in the eyes of Fortran all three are transposed: out.T += b @ a.T
        gemm(b"T", b"N", n, m, k, one, b, k, a, k, one, out, n)

    return add


@functools.cache
def _unlocked_gemm(dtype: np.dtype[Any]) -> tuple[Callable[..., None], type[ctypes.c_float] | type[ctypes.c_double]]:
    """``gemm`` of a dtype, and ctypes' name of its numbers."""
    name, number = ("sgemm", ctypes.c_float) if dtype == np.float32 else ("dgemm", ctypes.c_double)
    capsule = cython_blas.__pyx_capi__[name]
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    address = get_pointer(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, get_name(capsule))
    gemm = ctypes.CFUNCTYPE(None, *[ctypes.c_char_p] * 2, *[ctypes.c_void_p] * 11)(address)
    return gemm, number


def address(array: FloatArray, dtype: np.dtype[Any]) -> int:
    """Where the data of a C-contiguous array of this dtype begin."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"a C-contiguous array of {dtype} is needed, not one of {array.dtype} with strides {array.strides}")
    return int(array.__array_interface__["data"][0])
