"""What something holds, for comparison: of an estimator, or of what it was given."""

import inspect

import numpy as np
from scipy.sparse import issparse


def image(x):
    """Picture a value so that two pictures are equal if nothing has changed: nested containers, and arrays bit for bit."""
    if type(x) in (int, str, bool, type(None)):
        return x
    if isinstance(x, dict):
        return {name: image(value) for name, value in x.items()}
    if isinstance(x, list | tuple):
        return type(x), [image(value) for value in x]
    if isinstance(x, np.random.RandomState):
        return image(x.get_state(legacy=False))
    if issparse(x):
        return type(x), image(vars(x))
    if inspect.isgenerator(x):
        return inspect.getgeneratorstate(x)  # whether it has been started
    if isinstance(x, np.ndarray):
        values = [image(value) for value in x.ravel().tolist()] if x.dtype == object else x.tobytes()
        return type(x), x.dtype, x.shape, x.strides, values, x.mask.tobytes() if np.ma.isMaskedArray(x) else None
    if hasattr(x, "columns") or hasattr(x, "to_numpy"):
        dtypes = list(x.dtypes) if hasattr(x, "columns") else x.dtype
        return type(x), [*getattr(x, "columns", ())], [*getattr(x, "index", ())], dtypes, image(x.to_numpy())
    return type(x), repr(x) if isinstance(x, float) else x  # NaN is not equal to itself
