"""What the two estimators share, the face to scikit-learn: ``fit`` and what it leaves, prediction, checks of data, pickles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from inspect import signature
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ._callbacks import CallbackSupportMixin, Epochs, has_callbacks, with_epochs
from ._core.losses import Loss
from ._data import Data, hold_out, weights_of_sequences
from ._hyperparameters import CONSTRAINTS, architecture_of, check_combinations, options_of, unrolling_of
from ._kept import SMALL_CHUNK, kept_of
from ._network import Architecture, Network
from ._prediction import SMALL_CALL, hidden_states, is_large, raw_predictions
from ._runs import check_same, fitted_attributes, resume_run, resume_stream, start_run
from ._runtime import computing, deferred_interrupt, threads
from ._scale import warn_of_features, warn_of_targets
from ._training import Interrupted, Run, train, train_lbfgs, train_once
from ._version import __version__
from ._warnings import warn
from .sequences import (
    Sequences,
    as_floats,
    as_numbers,
    check_not_steps,
    check_sequences,
    check_steps,
    check_tokens,
    check_unmasked,
    is_ready,
    is_stepwise,
)

#: version of the pickled state; raised when an older skrnn could not read it, or this one not what an older one wrote
STATE_FORMAT = 2
#: scikit-learn 1.9 refuses weights that are all zero by itself; a stream may pass on without any target
ALL_MAY_BE_ZERO = {name: True for name in signature(_check_sample_weight).parameters if name == "allow_all_zero_weights"}
#: (y, sequences, does training go on?) -> targets as the loss takes them
Encoder = Callable[[Any, Sequences, bool], NDArray[Any]]


class BaseRNN(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no stubs
    """What the two estimators share; abstract."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

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
        before, rng = self.__dict__.copy(), self.random_state
        rng_state = rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else None
        try:
            with deferred_interrupt() as interrupted:
                self._fit_until(interrupted, X, y, sample_weight, encode, incremental)
                if interrupted():
                    if incremental:
                        raise KeyboardInterrupt
                    warn("Training interrupted by the user; the weights after the last complete update are kept.")
        except BaseException:
            self.__dict__ = before  # in one step, and here rather than in a function, at whose beginning Ctrl-C may be raised
            if rng_state is not None:
                rng.set_state(rng_state)
            raise
        return self

    def _fit_until(
        self, interrupted: Interrupted, X: Any, y: Any, sample_weight: Any, encode: Encoder, incremental: bool
    ) -> None:
        """Do what ``_fit`` does, but leave the estimator half done if this raises."""
        with computing(), threads(self.n_jobs) as submit:
            check_combinations(self)
            goes_on = (incremental or self.warm_start) and hasattr(self, "_theta")
            sequences = self._check_X(X, reset=not goes_on)
            network, data = self._problem(sequences, encode(y, sequences, goes_on), sample_weight)
            if not goes_on:
                self._warn_of_scale(network, data)
            network.submit = submit
            if incremental and len(sequences.values) * network.n_state_units <= SMALL_CHUNK:
                network.share_workspaces(kept_of(self).network_of(network.architecture))
            stream = resume_stream(self, sequences) if incremental and self.stateful else None
            if stream is None or stream.state is None:
                data.require_weight()
            if stream is not None:  # row i continues row i, whatever its weight
                data = replace(data, index=np.arange(len(sequences)))
            run = resume_run(self, network) if goes_on else start_run(self, network, data, is_stream=stream is not None)

            def learn(epochs: Epochs) -> Run:
                if self.solver == "lbfgs":
                    train_lbfgs(network, run, data, options_of(self, len(data.index)), epochs, interrupted=interrupted)
                elif incremental:
                    options = options_of(self, len(data.index))
                    if stream is not None:
                        options = replace(options, batch_size=len(sequences), shuffle=False)
                    train_once(network, run, data, options, stream, epochs, interrupted=interrupted)
                else:
                    self._train(network, run, data, sample_weight, epochs, interrupted)
                self.__dict__.update(fitted_attributes(network, run, stream))
                return run

            def attributes(left: Run) -> dict[str, Any]:
                public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
                return deepcopy(public | fitted_attributes(network, left, stream))

            if has_callbacks(self):
                n_epochs = 1 if incremental else self.max_iter
                with_epochs(self, learn, n_epochs, X=X, y=y, sample_weight=sample_weight, attributes=attributes)
            else:
                learn(Epochs())

    def _problem(self, sequences: Sequences, targets: NDArray[Any], sample_weight: Any) -> tuple[Network, Data]:
        """Build the network with its loss, and the data to minimise it on."""
        weight = self._with_class_weight(self._check_weight(sample_weight, sequences), targets, sequences)
        of_sequences = weights_of_sequences(weight, sequences)
        alpha = self.alpha / (float(of_sequences.sum()) or len(sequences))
        dropout = float(self.dropout), float(self.recurrent_dropout)
        network = Network(architecture_of(self, sequences.n_features), self._new_loss(), alpha, unrolling_of(self), *dropout)
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

    def _train(
        self, network: Network, run: Run, data: Data, sample_weight: Any, epochs: Epochs, interrupted: Interrupted
    ) -> None:
        """Epochs until a stopping rule ends them, with a validation share if there is to be one."""
        validate = None
        if self.early_stopping:
            # as in scikit-learn, class_weight is of training alone
            weight = self._check_weight(sample_weight, data.sequences)
            given = replace(data, weight=weight, index=np.flatnonzero(weights_of_sequences(weight, data.sequences)))
            held_in, held_out = hold_out(given, self.validation_fraction, run.rng, stratify=is_classifier(self))
            y, weight = given.targets_of(held_out)
            sequences = data.sequences.take(held_out)
            data = replace(data, index=held_in[np.isin(held_in, data.index)])
            data.require_weight()
            epochs.index = held_in

            def validate(theta: NDArray[Any]) -> float:
                return self._validation_score(raw_predictions(network, theta, sequences)[0], y, weight)

        options = options_of(self, len(data.index))
        n_epochs = self.max_iter
        train(network, run, data, options, n_epochs=n_epochs, interrupted=interrupted, validate=validate, epochs=epochs)

    def _check_X(self, X: Any, *, reset: bool) -> Sequences:
        of_user = None if isinstance(self.dtype, str) and self.dtype == "auto" else np.dtype(self.dtype)
        dtype: Any = of_user if reset else self._theta.dtype
        if (self.embedding_dim if reset else self.n_tokens_) is not None:
            n_tokens = self.n_tokens if reset else self.n_tokens_
            sequences = check_tokens(self, X, reset=reset, n_tokens=n_tokens, dtype=dtype)
            if reset:
                self.n_tokens_ = int(sequences.values.max()) + 1 if n_tokens is None else int(n_tokens)
            return sequences
        if reset:
            self.n_tokens_ = None
        dtype = dtype or (np.float64, np.float32)
        sequences = check_sequences(self, X, reset=reset, n_features_per_step=self.n_features_per_step, dtype=dtype)
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
        elif isinstance(sample_weight, Real):  # scikit-learn would not look whether it is finite
            sample_weight = np.full(len(of_what), sample_weight)
        sample_weight = as_numbers(sample_weight, "sample_weight")
        with as_floats("sample_weight"):
            weight: NDArray[Any] = _check_sample_weight(
                sample_weight, of_what, dtype=np.float64, ensure_non_negative=True, **ALL_MAY_BE_ZERO
            )
        return weight

    def _check_targets(self, y: Any, sequences: Sequences) -> Any:
        """Return targets as they are, or those of all steps; raise scikit-learn's error if there are none."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if self.return_sequences:
            return check_steps(y, sequences, "y")
        check_unmasked(y, "y")
        check_not_steps(y)
        return y

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
        self._validate_params()
        check_combinations(self)
        sequences = self._check_X(X, reset=False)
        network, data = self._problem(sequences, self._encode_more(y, sequences), sample_weight)
        check_same(self, network)
        data.require_weight()
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
        is_small = len(sequences.values) <= SMALL_CALL
        network = kept_of(self).network_of(tuple(self._architecture.values())) if is_small else self._fitted_network()
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
                with as_floats("initial_state"):
                    initial_state = check_array(initial_state, dtype=dtype, input_name="initial_state", estimator=self)
        with computing(), threads(self.n_jobs) if is_large(network, sequences) else nullcontext() as network.submit:
            raw, state = raw_predictions(network, self._theta, sequences, initial_state, with_state=with_state)
        return raw, sequences, state

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
        with computing():
            states = hidden_states(network, self._theta, sequences)
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
        state: dict[str, Any] = _in_memory(super().__getstate__())
        return state | {"_skrnn_version": __version__, "_skrnn_format": STATE_FORMAT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not (isinstance(state, dict) and "_skrnn_version" in state and isinstance(state.get("_skrnn_format"), int)):
            raise ValueError(
                f"This {type(self).__name__} can't be read: the version and the format that skrnn stores with it are missing. "
                "It was damaged, or not saved by skrnn."
            )
        state = dict(state)
        version, state_format = state.pop("_skrnn_version"), state.pop("_skrnn_format")
        if state_format != STATE_FORMAT:
            age, remedy = ("newer", "Update skrnn") if state_format > STATE_FORMAT else ("older", "Fit and save it again")
            raise ValueError(
                f"This {type(self).__name__} was saved by skrnn {version}, in another, {age} format than skrnn {__version__} "
                f"reads. {remedy}."
            )
        if "loss_curve_" in state:  # what was clipped in each epoch was not kept at first
            state.setdefault("clip_fraction_curve_", [np.nan] * len(state["loss_curve_"]))
        # parameters that came after the version it was saved by
        parameters = signature(type(self)).parameters.values()
        super().__setstate__({each.name: each.default for each in parameters if each.default is not each.empty} | state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _in_memory(value: Any) -> Any:
    """Return plain arrays for memory-mapped ones, in containers too: skops would ask to trust ``numpy.memmap``."""
    if isinstance(value, np.memmap):
        return np.asarray(value)
    if type(value) is dict:
        return {key: _in_memory(each) for key, each in value.items()}
    return type(value)(map(_in_memory, value)) if type(value) in (list, tuple) else value
