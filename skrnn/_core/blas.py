"""Matrix products that add to their result: ``out += a @ b.T``, for C-contiguous rows of one dtype.

BLAS's ``gemm`` does this in place, without a temporary. SciPy's wrapper of it holds Python's global lock, so other threads
wait; the same function, called where SciPy offers it to Cython and Numba, does not. Both give the same bits.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import blas, cython_blas

from .parameters import FloatArray

#: ``accumulate(a, b, out)``
Accumulate: TypeAlias = Callable[[FloatArray, FloatArray, FloatArray], None]


def accumulate(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """``out += a @ b.T``, holding the lock: the cheaper call."""
    gemm = blas.sgemm if out.dtype == np.float32 else blas.dgemm
    gemm(1.0, b.T, a.T, beta=1.0, c=out.T, trans_a=1, overwrite_c=1)


def accumulate_unlocked(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """``out += a @ b.T``, while other threads run."""
    gemm, number = _unlocked(out.dtype)
    # 64 bits, of which a BLAS with integers of 32 reads the lower half (on little-endian machines)
    m, n, k = (ctypes.c_int64(size) for size in (len(b), len(a), a.shape[1]))
    stride_b, stride_a, stride_out = (ctypes.c_int64(x.strides[0] // x.itemsize) for x in (b, a, out))
    one = number(1)
    # in the eyes of Fortran all three are transposed: out.T += b @ a.T
    gemm(
        b"T", b"N", ctypes.byref(m), ctypes.byref(n), ctypes.byref(k), ctypes.byref(one), b.ctypes.data,
        ctypes.byref(stride_b), a.ctypes.data, ctypes.byref(stride_a), ctypes.byref(one), out.ctypes.data,
        ctypes.byref(stride_out),
    )  # fmt: skip


@functools.cache
def _unlocked(dtype: np.dtype[Any]) -> tuple[Callable[..., None], type[ctypes.c_float] | type[ctypes.c_double]]:
    """``gemm`` of a dtype, and ctypes' name of its numbers."""
    name, number = ("sgemm", ctypes.c_float) if dtype == np.float32 else ("dgemm", ctypes.c_double)
    capsule = cython_blas.__pyx_capi__[name]
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    address = get_pointer(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, get_name(capsule))
    gemm = ctypes.CFUNCTYPE(None, *[ctypes.c_char_p] * 2, *[ctypes.c_void_p] * 11)(address)
    return gemm, number
