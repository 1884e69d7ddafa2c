"""What the two estimators share: parameters, validation, and the way from ``fit`` to the fitted attributes."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from inspect import signature
from numbers import Integral, Real
from operator import attrgetter, is_
from typing import Any, ClassVar, Literal, Self
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils._param_validation import Options as OneOf
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ._callbacks import CallbackSupportMixin, Epochs, has_callbacks, with_epochs
from ._core.cells import ACTIVATIONS, CELLS
from ._core.initializers import INIT_SCHEMES
from ._core.losses import Loss
from ._core.pooling import POOLINGS
from ._network import Architecture, Network
from ._optim.schedules import SCHEDULES
from ._optim.solvers import SOLVERS
from ._passes import Stream, Unrolling
from ._runtime import computing, threads
from ._scale import warn_of_features, warn_of_targets
from ._training import Data, Options, Run, chunks, train, train_lbfgs, train_once
from ._version import __version__
from .sequences import Batch, Sequences, check_sequences, check_steps, check_tokens, is_ready, is_stepwise

DEFAULT_BATCH_SIZE = 32
#: version of the pickled state; raised when an older skrnn could not read it
STATE_FORMAT = 1

#: steps of all sequences up to which prediction takes a network made before, because making one takes longer than using it
SMALL_CALL = 256
#: steps of all sequences times state units up to which partial_fit takes buffers made before, and for how many estimators
#: a thread keeps them
SMALL_CHUNK = 65536
MAX_KEPT = 16
#: state units, and steps of all sequences times these, from which prediction uses several threads: below, they wait for each
#: other's calls
LARGE_STATE = 128
LARGE_CALL = 3_000_000
#: scikit-learn 1.9 refuses weights that are all zero by itself; a stream may pass on without any target
ALL_MAY_BE_ZERO = {name: True for name in signature(_check_sample_weight).parameters if name == "allow_all_zero_weights"}


@dataclass
class _Kept:
    """What a thread keeps of an estimator from call to call, to save time: beside it, so it is neither copied nor pickled."""

    #: the estimator
    owner: ReferenceType[BaseRNN]
    #: whose buffers are used again
    network: Network | None = None
    #: values of the parameters that have been validated
    parameters: tuple[Any, ...] = ()
    #: random generators to be set to a state, by kind: to seed one takes longer
    generators: dict[str, np.random.RandomState] = field(default_factory=dict)


class _KeptByThread(threading.local):
    def __init__(self) -> None:
        self.estimators: dict[int, _Kept] = {}  # by identity, since a subclass may define equality


_kept_by_thread = _KeptByThread()
#: (y, sequences, does training go on?) -> targets as the loss takes them
Encoder = Callable[[Any, Sequences, bool], NDArray[Any]]


class BaseRNN(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no stubs
    """What the two estimators share; abstract."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
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

    def __init__(
        self,
        hidden_layer_sizes: int | tuple[int, ...] = (64,),
        cell: str = "gru",
        activation: str = "tanh",
        bidirectional: bool = False,
        pooling: str | tuple[str, ...] = "last",
        return_sequences: bool = False,
        n_features_per_step: int = 1,
        embedding_dim: int | None = None,
        n_tokens: int | None = None,
        init_scheme: str = "glorot_uniform",
        recurrent_init_scheme: str = "orthogonal",
        forget_bias: float | Literal["chrono"] = 1.0,
        truncation_length: int | None = None,
        truncation_stride: int | None = None,
        checkpoint_interval: int | Literal["auto"] | None = None,
        stateful: bool = False,
        clip_norm: float | None = 1.0,
        clip_value: float | None = None,
        solver: str = "adam",
        alpha: float = 1e-4,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 2e-3,
        power_t: float = 0.5,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        max_fun: int = 15000,
        max_iter: int = 100,
        shuffle: bool = True,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        dtype: Any = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.cell = cell
        self.activation = activation
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.return_sequences = return_sequences
        self.n_features_per_step = n_features_per_step
        self.embedding_dim = embedding_dim
        self.n_tokens = n_tokens
        self.init_scheme = init_scheme
        self.recurrent_init_scheme = recurrent_init_scheme
        self.forget_bias = forget_bias
        self.truncation_length = truncation_length
        self.truncation_stride = truncation_stride
        self.checkpoint_interval = checkpoint_interval
        self.stateful = stateful
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.max_fun = max_fun
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # fitted, besides the public attributes: the weights, what they belong to, and where training stands
    _theta: NDArray[Any]
    _architecture: dict[str, Any]
    _training_state: dict[str, Any]
    _stream: dict[str, Any] | None
    n_outputs_: int
    out_activation_: str
    n_iter_: int
    t_: int
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    n_tokens_: int | None

    # ---------------------------------------------------------------- fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, encode: Encoder, *, incremental: bool = False) -> Self:
        """Run ``fit``, or with ``incremental`` one pass of ``partial_fit``; the estimator is as it was if this raises.

        ``encode(y, sequences, goes_on)`` sets ``n_outputs_`` and what else describes the targets, and returns them as the loss
        takes them, (..., n_sequences) or (..., n_steps_in_total).
        """
        with self._unchanged_on_error(), computing(), threads(self.n_jobs) as submit:
            self._check_combinations()
            goes_on = (incremental or self.warm_start) and hasattr(self, "_theta")
            sequences = self._check_X(X, reset=not goes_on)
            network, data = self._problem(sequences, encode(y, sequences, goes_on), sample_weight)
            if not goes_on:
                self._warn_of_scale(network, data)
            network.submit = submit
            if incremental and len(sequences.values) * network.n_state_units <= SMALL_CHUNK:
                network.share_workspaces(self._kept_network(network.architecture))
            stream = self._resume_stream(sequences) if incremental and self.stateful else None
            if stream is None or stream.state is None:
                _require_weight(data)
            if stream is not None:  # row i continues row i, whatever its weight
                data = replace(data, index=np.arange(len(sequences)))
            run = self._resume(network) if goes_on else self._start(network, data, is_stream=stream is not None)

            def learn(epochs: Epochs) -> Run:
                if self.solver == "lbfgs":
                    train_lbfgs(network, run, data, self._options(len(data.index)), epochs)
                elif incremental:
                    options = self._options(len(data.index))
                    if stream is not None:
                        options = replace(options, batch_size=len(sequences), shuffle=False)
                    train_once(network, run, data, options, stream, epochs)
                else:
                    self._train(network, run, data, sample_weight, epochs)
                self.__dict__.update(self._fitted(network, run, stream))
                return run

            def attributes(left: Run) -> dict[str, Any]:
                public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
                return deepcopy(public | self._fitted(network, left, stream))

            if has_callbacks(self):
                n_epochs = 1 if incremental else self.max_iter
                with_epochs(self, learn, n_epochs, X=X, y=y, sample_weight=sample_weight, attributes=attributes)
            else:
                learn(Epochs())
        return self

    def _problem(self, sequences: Sequences, targets: NDArray[Any], sample_weight: Any) -> tuple[Network, Data]:
        """Build the network with its loss, and the data to minimise it on."""
        weight = self._with_class_weight(self._check_weight(sample_weight, sequences), targets, sequences)
        of_sequences = weight
        if len(weight) != len(sequences):
            of_sequences = np.add.reduceat(weight, sequences.offsets[:-1]) / sequences.lengths
        length, stride = self.truncation_length, self.truncation_stride
        steps: Any = (length, None if length is None else stride, self.checkpoint_interval)
        unrolling = Unrolling(*(int(n) if isinstance(n, Integral) else n for n in steps))  # NumPy's may be unsigned
        alpha = self.alpha / (float(of_sequences.sum()) or len(sequences))
        dropout = float(self.dropout), float(self.recurrent_dropout)
        network = Network(self._new_architecture(sequences), self._new_loss(), alpha, unrolling, *dropout)
        return network, Data(sequences, targets, weight, np.flatnonzero(of_sequences), self.return_sequences)

    def _warn_of_scale(self, network: Network, data: Data) -> None:
        """Warn if features, or real targets, are orders of magnitude away from one."""
        if len(data.index) == 0:
            return
        if self.n_tokens_ is None:
            is_whole = len(data.index) == len(data.sequences)
            warn_of_features((data.sequences if is_whole else data.sequences.take(data.index)).values)
        if not is_classifier(self) and network.loss.inverse_link == "identity":
            warn_of_targets(*data.targets_of(data.index))

    def _check_combinations(self) -> None:
        """Raise for parameters that can't go together."""
        length, stride = self.truncation_length, self.truncation_stride
        if stride is not None and length is not None and stride > length:
            raise ValueError(
                f"truncation_stride={stride} must not be greater than truncation_length={length}: the losses of some steps "
                "would not reach them."
            )
        if self.bidirectional:
            for name in ("truncation_length", "checkpoint_interval", "stateful"):
                if getattr(self, name):
                    raise ValueError(
                        f"bidirectional=True can't be used with {name}={getattr(self, name)!r}: the reverse direction begins "
                        "at the end of a sequence, so it needs all steps at once."
                    )
        if self.solver == "lbfgs" and length is not None:
            raise ValueError(f"solver='lbfgs' can't be used with truncation_length={length}, whose gradient is not exact.")
        if self.solver == "lbfgs" and (self.dropout or self.recurrent_dropout):
            raise ValueError(
                f"solver='lbfgs' can't be used with dropout={self.dropout} or recurrent_dropout={self.recurrent_dropout}, with "
                "which the loss is random."
            )

    def _train(self, network: Network, run: Run, data: Data, sample_weight: Any, epochs: Epochs) -> None:
        """Epochs until a stopping rule ends them, with a validation share if there is to be one."""
        validate = None
        if self.early_stopping:
            held_in, held_out = self._split(data, run.rng)
            # as in scikit-learn, class_weight is of training alone
            y, weight = replace(data, weight=self._check_weight(sample_weight, data.sequences)).targets_of(held_out)
            sequences = data.sequences.take(held_out)
            data = replace(data, index=held_in)
            epochs.index = held_in

            def validate(theta: NDArray[Any]) -> float:
                return self._validation_score(_raw_predictions(network, theta, sequences)[0], y, weight)

        options = self._options(len(data.index))
        train(network, run, data, options, n_epochs=self.max_iter, first_epoch=run.n_iter, validate=validate, epochs=epochs)

    def _split(self, data: Data, rng: np.random.RandomState) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Draw the sequences to train on and to validate on."""
        n = len(data.index)
        too_little = (
            f"{n} sequences are too little data for early_stopping=True with validation_fraction={self.validation_fraction}"
        )
        from sklearn.model_selection import train_test_split  # a third of the time that importing this package would take

        try:
            held_in, held_out = train_test_split(
                data.index,
                test_size=self.validation_fraction,
                random_state=rng,
                stratify=self._strata(data),
            )
        except ValueError as error:
            raise ValueError(f"{too_little}: {error}") from error
        if len(held_out) < 2:
            raise ValueError(f"{too_little}: a score needs at least 2.")
        return held_in, held_out

    def _strata(self, data: Data) -> NDArray[Any] | None:
        """Return the classes of the sequences, if they have one each."""
        if is_classifier(self) and not data.every_step and (data.y.ndim == 1 or len(data.y) == 1):
            return np.ravel(data.y[..., data.index])
        return None

    def _check_X(self, X: Any, *, reset: bool) -> Sequences:
        of_user = None if isinstance(self.dtype, str) and self.dtype == "auto" else np.dtype(self.dtype)
        dtype: Any = of_user if reset else self._theta.dtype
        n_per_step = self.n_features_per_step
        if (self.embedding_dim if reset else self.n_tokens_) is not None:
            n_tokens = self.n_tokens if reset else self.n_tokens_
            sequences = check_tokens(self, X, reset=reset, n_features_per_step=n_per_step, n_tokens=n_tokens, dtype=dtype)
            if reset:
                self.n_tokens_ = int(sequences.values.max()) + 1 if n_tokens is None else int(n_tokens)
            return sequences
        if reset:
            self.n_tokens_ = None
        sequences = check_sequences(
            self, X, reset=reset, n_features_per_step=n_per_step, dtype=dtype or (np.float64, np.float32)
        )
        if not reset and sequences.n_features != self._architecture["n_features"]:
            raise ValueError(
                f"X has {sequences.n_features} features per step, but {type(self).__name__} was fitted with "
                f"{self._architecture['n_features']}."
            )
        return sequences

    def _check_weight(self, sample_weight: Any, sequences: Sequences) -> NDArray[Any]:
        """Return weights of sequences or, if such are given, of their steps."""
        if sample_weight is None:
            return np.ones(len(sequences))
        of_what: NDArray[Any] = sequences.lengths
        if self.return_sequences and is_stepwise(sample_weight):
            sample_weight = check_steps(sample_weight, sequences, "sample_weight")
            of_what = sequences.values
        weight: NDArray[Any] = _check_sample_weight(
            sample_weight, of_what, dtype=np.float64, ensure_non_negative=True, **ALL_MAY_BE_ZERO
        )
        return weight

    def _new_architecture(self, sequences: Sequences) -> Architecture:
        sizes, pooling = self.hidden_layer_sizes, self.pooling
        sizes = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)
        if not sizes or not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise self._invalid("hidden_layer_sizes", "one or several positive integers")
        pooling = (pooling,) if isinstance(pooling, str) else tuple(pooling)
        if not pooling or not all(isinstance(name, str) and name in POOLINGS for name in pooling):
            raise self._invalid("pooling", f"one or several of {sorted(POOLINGS)}")
        return Architecture(
            n_features=sequences.n_features if self.embedding_dim is None else int(self.embedding_dim),
            hidden_layer_sizes=tuple(int(size) for size in sizes),
            cell=self.cell,
            activation=self.activation,
            bidirectional=bool(self.bidirectional),
            pooling=pooling,
            n_raw=self.n_outputs_,
            return_sequences=bool(self.return_sequences),
            n_tokens=self.n_tokens_ if self.n_tokens is None or self.embedding_dim is None else int(self.n_tokens),
        )

    def _invalid(self, name: str, expected: str) -> InvalidParameterError:
        return InvalidParameterError(
            f"The {name!r} parameter of {type(self).__name__} must be {expected}. Got {getattr(self, name)!r} instead."
        )

    def _options(self, n_sequences: int) -> Options:
        values = {name: getattr(self, name) for name in Options.__dataclass_fields__}
        size = DEFAULT_BATCH_SIZE if self.batch_size == "auto" else self.batch_size
        return Options(**values | {"batch_size": min(size, n_sequences)})

    def _start(self, network: Network, data: Data, *, is_stream: bool) -> Run:
        rng = check_random_state(self.random_state)
        y, weight = data.targets_of(data.index)
        n_steps = int(data.sequences.lengths[data.index].max())
        if is_stream and self.truncation_length is not None:
            # of a stream only the first window with a target is known, however much of it comes with the first call
            batch, length = data.batch(np.arange(len(data.index))), n_steps
            n_steps = self.truncation_length
            if self.return_sequences:
                stride = self.truncation_stride or n_steps
                windows = ((start, min(start + stride, length)) for start in range(0, length, stride))
                y, weight = batch.targets(*next(window for window in windows if batch.total_weight(*window) > 0))
        known = weight > 0
        theta = network.initialize(
            rng,
            network.loss.base_rate(y[..., known], weight[known]),
            data.sequences.dtype,
            init_scheme=self.init_scheme,
            recurrent_init_scheme=self.recurrent_init_scheme,
            forget_bias=self.forget_bias,
            n_steps=n_steps,
        )
        return Run(theta, rng)

    def _resume_stream(self, sequences: Sequences) -> Stream:
        """Take up the state that the last ``partial_fit`` left."""
        if not sequences.are_equal:
            raise ValueError(
                f"stateful=True needs sequences of equal length in X, because each is continued by the next call; they have "
                f"{sequences.lengths.min()} to {sequences.longest} steps."
            )
        stream = Stream(**getattr(self, "_stream", None) or {})
        if stream.state is not None and stream.state.shape[1] != len(sequences):
            raise ValueError(
                f"X has {len(sequences)} sequences, but with stateful=True it continues {stream.state.shape[1]}. Call "
                "reset_state() before new sequences."
            )
        return stream

    def _check_same(self, network: Network) -> None:
        """Raise if the parameters no longer describe the fitted network."""
        if network.architecture._asdict() != self._architecture:
            changed = [k for k, v in network.architecture._asdict().items() if self._architecture[k] != v]
            raise ValueError(f"Training can't go on with another network: {', '.join(changed)} changed since the last fit.")
        if network.loss.inverse_link != self.out_activation_:
            raise ValueError("Training can't go on with a loss of another link: set loss back, or fit without warm_start.")

    def _resume(self, network: Network) -> Run:
        self._check_same(network)
        state: dict[str, Any] = dict(self._training_state)
        rng_state = state.pop("rng_state")
        kind, generators = rng_state["bit_generator"], self._kept.generators
        rng = generators.get(kind) or generators.setdefault(kind, np.random.RandomState(getattr(np.random, kind)()))
        rng.set_state(rng_state)
        if state["solver_state"] is not None and state["solver_state"]["solver"] != self.solver:
            state["solver_state"] = None
        return Run(
            np.array(self._theta),
            rng,
            n_iter=self.n_iter_,
            t=self.t_,
            best_loss=min(self.loss_curve_, default=np.inf),
            loss_curve=list(self.loss_curve_),
            validation_scores=list(self.validation_scores_ or ()),
            **state,
        )

    @staticmethod
    def _fitted(network: Network, run: Run, stream: Stream | None) -> dict[str, Any]:
        """Return the fitted attributes."""
        validated = run.best_theta is not None
        return {
            "_theta": run.theta,
            "_architecture": network.architecture._asdict(),
            "_training_state": {
                "rng_state": run.rng.get_state(legacy=False),
                "solver_state": run.solver_state,
                "rate_factor": run.rate_factor,
                "n_updates": run.n_updates,
                "n_clipped": run.n_clipped,
            },
            "_stream": None if stream is None else vars(stream),
            "n_layers_": len(network.architecture.hidden_layer_sizes),
            "out_activation_": network.loss.inverse_link,
            "n_iter_": run.n_iter,
            "t_": run.t,
            "loss_curve_": run.loss_curve,
            "loss_": run.loss_curve[-1] if run.loss_curve else np.nan,
            "best_loss_": None if validated else run.best_loss,
            "validation_scores_": run.validation_scores if validated else None,
            "best_validation_score_": run.best_validation_score if validated else None,
            "clip_fraction_": run.n_clipped / max(run.n_updates, 1),
        }

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_partial_fit(self) -> None:
        kept, parameters = self._kept, attrgetter(*self._parameter_constraints)(self)
        if not (kept.parameters and all(map(is_, parameters, kept.parameters))):
            self._validate_params()  # scikit-learn does so before the first partial_fit only
            kept.parameters = parameters
        if self.solver == "lbfgs":
            raise ValueError("partial_fit does not support solver='lbfgs', which needs all data at once.")
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True.")

    # ---------------------------------------------------------------- what the subclasses add

    @abstractmethod
    def _encode_more(self, y: Any, sequences: Sequences) -> NDArray[Any]:
        """Encode targets of the kind that the estimator was fitted to."""

    @abstractmethod
    def _new_loss(self) -> Loss: ...

    @abstractmethod
    def _with_class_weight(self, weight: NDArray[Any], targets: NDArray[Any], sequences: Sequences) -> NDArray[Any]:
        """Multiply weights by those of the classes of ``targets``, if they have any."""

    @abstractmethod
    def _validation_score(self, raw: NDArray[Any], y: NDArray[Any], weight: NDArray[Any]) -> float: ...

    # ---------------------------------------------------------------- fitted

    def _fitted_problem(self, X: Any, y: Any, sample_weight: Any) -> tuple[Network, Data]:
        """Build the network with its loss, and the data, as a ``partial_fit`` would; sets attributes to what they are."""
        self._check_is_fitted()
        self._check_combinations()
        sequences = self._check_X(X, reset=False)
        network, data = self._problem(sequences, self._encode_more(y, sequences), sample_weight)
        self._check_same(network)
        _require_weight(data)
        return network, data

    def _check_is_fitted(self) -> None:
        if not hasattr(self, "_theta"):
            check_is_fitted(self, "_theta")  # raises scikit-learn's error

    def _fitted_network(self) -> Network:
        self._check_is_fitted()
        return Network(Architecture(**self._architecture))

    def _raw(
        self, X: Any, initial_state: Any = None, *, with_state: bool = False
    ) -> tuple[NDArray[Any], Sequences, NDArray[Any] | None]:
        """Raw predictions (n_outputs_, n_sequences) or (n_outputs_, n_steps_in_total), their sequences, and the last states."""
        self._check_is_fitted()
        sequences = self._check_X(X, reset=False)
        network = self._network_for(sequences)
        if (initial_state is not None or with_state) and network.n_directions == 2:
            raise ValueError(
                "initial_state and return_state can't be used with bidirectional=True, whose reverse direction begins at the "
                "end."
            )
        if initial_state is not None:
            dtype, shape = self._theta.dtype, (len(sequences), network.n_state_units)
            if np.shape(initial_state) != shape:
                raise ValueError(
                    f"initial_state has shape {np.shape(initial_state)}, but (n_sequences, n_state_units) = {shape} is "
                    "required: all states of a sequence in one row, as return_state=True returns them."
                )
            if not is_ready(initial_state, dtype):
                initial_state = check_array(initial_state, dtype=dtype, input_name="initial_state", estimator=self)
        n_units = network.n_state_units
        is_large = n_units >= LARGE_STATE and len(sequences.values) * n_units >= LARGE_CALL
        with computing(), threads(self.n_jobs) if is_large else nullcontext() as network.submit:
            raw, state = _raw_predictions(network, self._theta, sequences, initial_state, with_state=with_state)
        return raw, sequences, state

    def _network_for(self, sequences: Sequences) -> Network:
        """Return the network for prediction: for little data one that is kept, with its buffers, from call to call."""
        if len(sequences.values) > SMALL_CALL:
            return self._fitted_network()
        return self._kept_network(tuple(self._architecture.values()))

    def _kept_network(self, architecture: tuple[Any, ...]) -> Network:
        kept = self._kept
        if kept.network is None or kept.network.architecture != architecture:
            kept.network = Network(Architecture(*architecture))
            kept.network.max_workspaces = 2  # one to train and one to predict
        return kept.network

    @property
    def _kept(self) -> _Kept:
        estimators, key = _kept_by_thread.estimators, id(self)
        kept = estimators.get(key)
        if kept is None or kept.owner() is not self:
            if len(estimators) >= MAX_KEPT:
                del estimators[next(iter(estimators))]
            kept = estimators[key] = _Kept(ref(self, lambda _: estimators.pop(key, None)))
        return kept

    def _arranged(self, y: NDArray[Any], sequences: Sequences, state: NDArray[Any] | None) -> Any:
        """Predictions in the form of the input, with the states if there are any."""
        if self._architecture["return_sequences"]:
            y = sequences.in_form_of_input(y)
        return y if state is None else (y, state)

    def hidden_states(self, X: Any) -> NDArray[Any]:
        """States of the last layer after every step.

        Parameters
        ----------
        X : array, list of arrays or frame
            Sequences in any form that ``fit`` takes.

        Returns
        -------
        states : ndarray of shape (n_sequences, n_timesteps, n_units) or object array of (n_timesteps_i, n_units) arrays
            Ragged for ragged input. A bidirectional layer has twice its units: the states of the forward and of the reverse
            direction at the same step of the sequence.
        """
        network = self._fitted_network()
        sequences = self._check_X(X, reset=False)
        n_units = network.n_directions * network.architecture.hidden_layer_sizes[-1]
        states = np.empty((len(sequences.values), n_units), self._theta.dtype)
        with computing():
            for positions in chunks(sequences.lengths):
                batch = Batch(sequences, positions)
                hidden = network.hidden_states(self._theta, batch)
                for column, i in enumerate(batch.index):
                    start, stop = sequences.offsets[i : i + 2]
                    states[start:stop] = hidden[start - stop :, :, column]
        return sequences.in_form_of_input(states)

    def reset_state(self) -> Self:
        """Forget the state that ``partial_fit`` carries with ``stateful=True``: the next call begins new sequences.

        Returns
        -------
        self : estimator
        """
        self._stream = None
        return self

    @property
    def state_(self) -> NDArray[Any]:
        """With ``stateful=True``, the states after the last ``partial_fit``, (n_sequences, n_state_units)."""
        stream = getattr(self, "_stream", None)
        if stream is None or stream["state"] is None:
            raise AttributeError("There is no state_: it is what partial_fit with stateful=True has carried on.")
        return np.array(stream["state"].T, order="C")

    @property
    def coefs_(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as views."""
        return self._fitted_network().named(self._theta)[0]

    @property
    def intercepts_(self) -> dict[str, NDArray[Any]]:
        """The biases by name, as views."""
        return self._fitted_network().named(self._theta)[1]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | {"_skrnn_version": __version__, "_skrnn_format": STATE_FORMAT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version, state_format = state.pop("_skrnn_version"), state.pop("_skrnn_format")
        if state_format > STATE_FORMAT:
            raise ValueError(
                f"This {type(self).__name__} was saved by skrnn {version}, in a newer format than skrnn {__version__} reads. "
                "Update skrnn."
            )
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def require_targets(estimator: Any, y: Any) -> None:
    """Raise scikit-learn's error for missing targets."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")


def _require_weight(data: Data) -> None:
    """Raise scikit-learn's error if there is nothing to learn from."""
    if len(data.index) == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")


def _raw_predictions(
    network: Network,
    theta: NDArray[Any],
    sequences: Sequences,
    initial_state: NDArray[Any] | None = None,
    *,
    with_state: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Raw predictions (n_raw, n_sequences) or (n_raw, n_steps_in_total), and the last states (n_sequences, n_state_units).

    Chunk by chunk, in the network's threads if there are any.
    """
    n_columns = len(sequences.values) if network.every_step else len(sequences)
    raw = np.empty((network.architecture.n_raw, n_columns), theta.dtype)
    if sequences.are_equal and len(sequences.values) <= SMALL_CALL:  # one batch, in the order of the sequences
        batch = Batch(sequences, slice(None), every_step=network.every_step)
        last = network.raw_predictions(theta, batch, raw, None if initial_state is None else initial_state.T)
        return raw, np.ascontiguousarray(last.T) if with_state else None
    state = np.empty((len(sequences), network.n_state_units), theta.dtype) if with_state else None
    # a state that is not zero, or is looked at, has no place in padding
    of_equal_length = with_state or initial_state is not None
    free = [0]  # buffers, by their number, that no other thread uses

    def predict(positions: NDArray[np.intp]) -> None:
        batch = Batch(sequences, positions, every_step=network.every_step)
        initial = None if initial_state is None else initial_state[batch.index].T
        buffers = free.pop()
        last = network.raw_predictions(theta, batch, raw, initial, buffers)
        free.append(buffers)
        if state is not None:
            state[batch.index] = last.T

    every = list(chunks(sequences.lengths, in_windows=network.n_directions == 1, of_equal_length=of_equal_length))
    if network.submit is None:
        for positions in every:
            predict(positions)
    else:
        free.extend(range(1, len(every)))
        for running in [network.submit(predict, positions) for positions in every]:
            running.result()
    return raw, state
