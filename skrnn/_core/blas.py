"""Matrix products that add to their result: ``out += a @ b.T``, for C-contiguous rows of one dtype.

BLAS's ``gemm`` does this in place, without a temporary. SciPy's wrapper of it holds Python's global lock, so other threads
wait; the same function, called where SciPy offers it to Cython and Numba, does not. Both give the same bits.
"""

from __future__ import annotations

import ctypes
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
    gemm, number = _UNLOCKED[out.dtype]
    m, n, k = ctypes.c_int(len(b)), ctypes.c_int(len(a)), ctypes.c_int(a.shape[1])
    lda, ldb, ldc = (ctypes.c_int(x.strides[0] // x.itemsize) for x in (b, a, out))
    one = number(1)
    # in the eyes of Fortran all three are transposed: out.T += b @ a.T
    gemm(
        b"T", b"N", ctypes.byref(m), ctypes.byref(n), ctypes.byref(k), ctypes.byref(one), b.ctypes.data, ctypes.byref(lda),
        a.ctypes.data, ctypes.byref(ldb), ctypes.byref(one), out.ctypes.data, ctypes.byref(ldc),
    )  # fmt: skip


def _from_scipy(name: str) -> Callable[..., None]:
    capsule = cython_blas.__pyx_capi__[name]
    api = ctypes.pythonapi
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    text, number = ctypes.c_char_p, ctypes.c_void_p
    arguments = [text, text, *[number] * 11]
    return ctypes.CFUNCTYPE(None, *arguments)(get_pointer(capsule, get_name(capsule)))


_UNLOCKED: dict[Any, tuple[Callable[..., None], type[ctypes.c_float] | type[ctypes.c_double]]] = {
    np.dtype(np.float32): (_from_scipy("sgemm"), ctypes.c_float),
    np.dtype(np.float64): (_from_scipy("dgemm"), ctypes.c_double),
}
