"""The estimators' parameters: what each may be, which go together, and what they mean to the layers below."""

from __future__ import annotations

from numbers import Integral, Real
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils._param_validation import Options as OneOf

from ._core.cells import ACTIVATIONS, CELLS
from ._core.initializers import INIT_SCHEMES
from ._core.pooling import POOLINGS
from ._kept import kept_of
from ._network import Architecture
from ._optim.schedules import SCHEDULES
from ._optim.solvers import SOLVERS
from ._passes import Unrolling
from ._training import Options

if TYPE_CHECKING:
    from ._base import BaseRNN

DEFAULT_BATCH_SIZE = 32

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": [Interval(Integral, 1, None, closed="left"), tuple, list],
    "cell": [StrOptions(set(CELLS))],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "bidirectional": ["boolean"],
    "pooling": [StrOptions(set(POOLINGS)), tuple, list],
    "return_sequences": ["boolean"],
    "n_features_per_step": [Interval(Integral, 1, None, closed="left")],
    "embedding_dim": [Interval(Integral, 1, None, closed="left"), None],
    "n_tokens": [Interval(Integral, 1, None, closed="left"), None],
    "init_scheme": [StrOptions(set(INIT_SCHEMES))],
    "recurrent_init_scheme": [StrOptions(set(INIT_SCHEMES))],
    "forget_bias": [Interval(Real, None, None, closed="neither"), StrOptions({"chrono"})],
    "truncation_length": [Interval(Integral, 1, None, closed="left"), None],
    "truncation_stride": [Interval(Integral, 1, None, closed="left"), None],
    "checkpoint_interval": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
    "stateful": ["boolean"],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "clip_value": [Interval(Real, 0, None, closed="neither"), None],
    "solver": [StrOptions({*SOLVERS, "lbfgs"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "nesterovs_momentum": ["boolean"],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "warm_start": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "recurrent_dropout": [Interval(Real, 0, 1, closed="left")],
    "dtype": [
        StrOptions({"auto", "float32", "float64"}),
        OneOf(type, {np.float32, np.float64}),
        OneOf(np.dtype, {np.dtype(np.float32), np.dtype(np.float64)}),
    ],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def check_combinations(estimator: BaseRNN) -> None:
    """Raise for parameters that can't go together."""
    length, stride = estimator.truncation_length, estimator.truncation_stride
    if stride is not None and length is not None and stride > length:
        raise ValueError(
            f"truncation_stride={stride} must not be greater than truncation_length={length}: the losses of some steps "
            "would not reach them."
        )
    if estimator.bidirectional:
        for name in ("truncation_length", "checkpoint_interval", "stateful"):
            if getattr(estimator, name):
                raise ValueError(
                    f"bidirectional=True can't be used with {name}={getattr(estimator, name)!r}: the reverse direction begins "
                    "at the end of a sequence, so it needs all steps at once."
                )
    if estimator.embedding_dim is not None and estimator.n_features_per_step != 1:
        raise ValueError(
            f"embedding_dim={estimator.embedding_dim} can't be used with n_features_per_step={estimator.n_features_per_step}: "
            "a step is one token id."
        )
    if estimator.solver == "lbfgs" and length is not None:
        raise ValueError(f"solver='lbfgs' can't be used with truncation_length={length}, whose gradient is not exact.")
    dropout, recurrent_dropout = estimator.dropout, estimator.recurrent_dropout
    if estimator.solver == "lbfgs" and (dropout or recurrent_dropout):
        raise ValueError(
            f"solver='lbfgs' can't be used with dropout={dropout} or recurrent_dropout={recurrent_dropout}, with which the "
            "loss is random."
        )


def check_partial_fit(estimator: BaseRNN) -> None:
    """Raise for parameters that are not valid, or that ``partial_fit`` does not support."""
    kept, parameters = kept_of(estimator), attrgetter(*estimator._parameter_constraints)(estimator)
    if not (kept.parameters and all(map(is_, parameters, kept.parameters))):
        estimator._validate_params()  # scikit-learn does so before the first partial_fit only
        kept.parameters = parameters
    if estimator.solver == "lbfgs":
        raise ValueError("partial_fit does not support solver='lbfgs', which needs all data at once.")
    if estimator.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True.")


def architecture_of(estimator: BaseRNN, n_features: int) -> Architecture:
    """Return the network that the parameters describe, of ``n_features`` features per step and ``n_outputs_``."""
    sizes, pooling = estimator.hidden_layer_sizes, estimator.pooling
    sizes = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)
    if not sizes or not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise _invalid(estimator, "hidden_layer_sizes", "one or several positive integers")
    pooling = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    if not pooling or not all(isinstance(name, str) and name in POOLINGS for name in pooling):
        raise _invalid(estimator, "pooling", f"one or several of {sorted(POOLINGS)}")
    embedding_dim, n_tokens = estimator.embedding_dim, None
    if embedding_dim is not None:  # where training goes on from numbers there are no n_tokens_
        n_tokens = int(estimator.n_tokens or estimator.n_tokens_ or 0)
    return Architecture(
        n_features=n_features if embedding_dim is None else int(embedding_dim),
        hidden_layer_sizes=tuple(int(size) for size in sizes),
        cell=estimator.cell,
        activation=estimator.activation,
        bidirectional=bool(estimator.bidirectional),
        pooling=pooling,
        n_raw=estimator.n_outputs_,
        return_sequences=bool(estimator.return_sequences),
        n_tokens=n_tokens,
    )


def unrolling_of(estimator: BaseRNN) -> Unrolling:
    """Return how the network is to be run through time."""
    length, stride = estimator.truncation_length, estimator.truncation_stride
    steps: Any = (length, None if length is None else stride, estimator.checkpoint_interval)
    return Unrolling(*(int(n) if isinstance(n, Integral) else n for n in steps))  # NumPy's may be unsigned


def options_of(estimator: BaseRNN, n_sequences: int) -> Options:
    """Return the options of training on so many sequences."""
    values = {name: getattr(estimator, name) for name in Options.__dataclass_fields__}
    size = DEFAULT_BATCH_SIZE if estimator.batch_size == "auto" else estimator.batch_size
    return Options(**values | {"batch_size": int(min(size, n_sequences))})  # NumPy's may be unsigned


def _invalid(estimator: BaseRNN, name: str, expected: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"The {name!r} parameter of {type(estimator).__name__} must be {expected}. Got {getattr(estimator, name)!r} instead."
    )
