r"""A learned embedding: each token id stands for a row of a table, which is what the first layer reads.

Forward and backward, with the table :math:`E` (V, F), ids :math:`k` and their inputs :math:`x`:

.. math:: x_t = E_{k_t}, \qquad dE_v = \sum_{t: k_t = v} dx_t

References
----------
Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A neural probabilistic language model", JMLR 3 (2003).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from .parameters import FloatArray


def add_table_gradient(ids: NDArray[np.intp], dx: FloatArray, grad: FloatArray) -> None:
    """Add the gradient of the inputs to the rows of their tokens, by a product with the sparse matrix of one 1 an id.

    Parameters
    ----------
    ids : array of int (T, N)
        Those in the padding may be any.
    dx : array (T, F, N)
        Zero in the padding.
    grad : array (V, F)
        Gradient of the table, added to.
    """
    tokens, rows = np.unique(ids, return_inverse=True)
    which = csc_array((np.ones(ids.size, dx.dtype), rows.ravel(), np.arange(ids.size + 1)), shape=(len(tokens), ids.size))
    grad[tokens] += which @ dx.transpose(0, 2, 1).reshape(ids.size, -1)
