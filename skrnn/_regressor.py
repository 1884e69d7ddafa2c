"""``RNNRegressor``: one or several real targets."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length

from ._base import BaseRNN
from ._core.losses import REGRESSION_LOSSES, Loss
from ._hyperparameters import check_partial_fit
from .metrics import make_step_scorer
from .sequences import Sequences, as_floats, as_numbers, is_ready


class RNNRegressor(RegressorMixin, BaseRNN):  # type: ignore[misc]  # scikit-learn has no stubs
    """Recurrent network regression of sequences, trained by backpropagation through time.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "poisson", "quantile"}, default="squared_error"
        The loss of a sequence, averaged over the outputs: half the squared error; the absolute error; half the squared error
        up to a residual of 1 and linear beyond; half the Poisson deviance with a log link, for targets that are not negative;
        the pinball loss at ``quantile``.

    quantile : float in (0, 1), default=0.5
        Which quantile ``loss="quantile"`` estimates.

    hidden_layer_sizes : int or tuple of int, default=(64,)
        Units of each recurrent layer, from the first to the last.

    cell : {"rnn", "gru", "lstm"}, default="gru"
        The recurrent cell: Elman's [1]_, the gated recurrent unit [2]_ in its 'reset after' form, or long short-term
        memory [3]_ with a forget gate.

    activation : {"tanh", "relu", "identity"}, default="tanh"
        Activation of the hidden state of ``cell="rnn"``; the other cells have theirs built in.

    bidirectional : bool, default=False
        Add to each layer a second one that reads the sequence from its end.

    pooling : {"last", "mean", "max"} or tuple of them, default="last"
        What the readout sees of the last layer: its state after the last step, the mean or the maximum over the steps, or
        several of them concatenated [4]_. Not used with ``return_sequences=True``.

    return_sequences : bool, default=False
        Learn and predict a target at every step instead of one for each sequence.

    n_features_per_step : int, default=1
        How many columns of 2-D input make up one step; the row is read step by step. Ignored for other input.

    embedding_dim : int or None, default=None
        Sequences are token ids, integers from 0, one a step, as :class:`skrnn.preprocessing.SequenceVectorizer` makes them of
        text; each stands for a learned vector of so many features [11]_. None reads numbers.

    n_tokens : int or None, default=None
        With ``embedding_dim``, the number of all token ids that will ever occur, which are below it. None is one more than the
        largest in the first call of ``fit`` or ``partial_fit``.

    init_scheme : {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", \
            "orthogonal", "identity", "uniform"}, default="glorot_uniform"
        Init scheme of the input and readout weights, drawn gate by gate. "uniform" is PyTorch's, between plus and minus
        ``1 / sqrt(n_units)``.

    recurrent_init_scheme : {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", \
            "lecun_normal", "orthogonal", "identity", "uniform"}, default="orthogonal"
        Init scheme of the recurrent weights. "orthogonal" keeps the norm of states and gradients at first [5]_;
        "identity" with ``cell="rnn"`` and ``activation="relu"`` is the IRNN of [6]_.

    forget_bias : float or "chrono", default=1.0
        Initial bias of an LSTM's forget gate. "chrono" spreads it, and the input gate's, over memories of up to the
        longest sequence [7]_. Ignored by other cells.

    truncation_length : int or None, default=None
        Truncated backpropagation through time [9]_: how many steps back, at most, a loss reaches from the update that it is
        part of. None, or any length of at least that of a sequence, is full backpropagation through time. The hidden state is
        carried on in either case.

    truncation_stride : int or None, default=None
        With ``return_sequences=True``, the number of steps between updates, counted from the start of each sequence; there is
        one at its end, too. At most ``truncation_length``, which is the default; less gives overlapping windows. Not used with
        ``truncation_length=None``, nor with one target a sequence: then there is one update, and the last
        ``truncation_length`` steps carry the gradient.

    checkpoint_interval : int, "auto" or None, default=None
        Keep the activations of so many steps at a time and recompute the others, window by window, from the states between
        the windows [10]_: the same gradient, for up to a third more time. "auto" is the square root of the number of steps,
        but at least 128; memory then grows as that root. Not used where ``truncation_length`` and ``return_sequences=True``
        bound the memory already.

    stateful : bool, default=False
        Let ``partial_fit`` begin with the hidden states that the last call ended with: row ``i`` continues row ``i``. The rows
        of a call, of equal length, are one minibatch. ``fit`` and ``predict`` begin with states of zero.

    clip_norm : float or None, default=1.0
        The gradient of a minibatch is scaled down to this Euclidean norm if it is longer [8]_. None does not clip by norm.

    clip_value : float or None, default=None
        Each element of the gradient is first clipped to ``[-clip_value, clip_value]``. None does not clip by value.

    solver : {"adam", "sgd", "rmsprop", "lbfgs"}, default="adam"
        "lbfgs" uses all sequences for every step and does neither clip, nor schedule, nor stop early.

    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights (not the biases): ``alpha / 2 * ||weights||^2``, divided by the sum of the
        sample weights, is added to the mean loss.

    batch_size : int or "auto", default="auto"
        Sequences of a minibatch; "auto" is ``min(32, n_sequences)``. Shuffled batches are made of sequences of similar
        length, so that little padding is computed.

    learning_rate : {"constant", "invscaling", "adaptive", "cosine"}, default="cosine"
        Schedule of the learning rate, for every solver but "lbfgs":

        - "constant": ``learning_rate_init``;
        - "invscaling": ``learning_rate_init / t ** power_t`` at update ``t``;
        - "adaptive": constant, and divided by 5 each time more than ``n_iter_no_change`` epochs brought no improvement by
          ``tol``; training stops when it falls below 1e-6;
        - "cosine": half a cosine, from ``learning_rate_init`` down to zero after ``max_iter`` epochs; training does not stop
          before, unless by ``early_stopping``. It begins again with a ``warm_start``, and with ``partial_fit`` after
          ``max_iter`` calls. In a stream, with ``stateful=True``, there are no epochs, and it is constant.

    learning_rate_init : float, default=2e-3
        Initial learning rate.

    power_t : float, default=0.5
        Exponent of "invscaling".

    momentum : float in [0, 1), default=0.9
        Momentum of "sgd".

    nesterovs_momentum : bool, default=True
        Use Nesterov's momentum with "sgd".

    beta_1 : float in [0, 1), default=0.9
        Decay of the mean of gradients in "adam".

    beta_2 : float in [0, 1), default=0.999
        Decay of the mean of squared gradients in "adam" and "rmsprop". PyTorch's RMSprop takes 0.99.

    epsilon : float, default=1e-8
        Added to the root of the mean of squares in "adam" and "rmsprop".

    max_fun : int, default=15000
        Largest number of evaluations of the loss by "lbfgs".

    max_iter : int, default=100
        Largest number of epochs; of iterations for "lbfgs".

    shuffle : bool, default=True
        Draw new minibatches for every epoch. Without it, they are taken in the order of the data.

    tol : float, default=1e-4
        An epoch is an improvement if the loss (with ``early_stopping`` the validation score) is better than the best so far
        by at least this. For "lbfgs", the tolerance of the gradient.

    n_iter_no_change : int, default=10
        Training stops after more than this number of epochs without improvement; with ``learning_rate="cosine"`` only if
        ``early_stopping`` looks for it.

    early_stopping : bool, default=False
        Set a share of the sequences aside, stop when the score on them no longer improves, and restore the weights that
        scored best.

    validation_fraction : float in (0, 1), default=0.1
        The share that ``early_stopping`` sets aside.

    warm_start : bool, default=False
        Let ``fit`` go on from the weights and the solver's state of the last call.

    dropout : float in [0, 1), default=0.0
        Share of units that are left out, at random, between layers and before the readout: in training, for each sequence of a
        minibatch others, but the same ones at all its steps [12]_. With ``stateful=True``, for each call others; losses then
        don't reach back into the call before.

    recurrent_dropout : float in [0, 1), default=0.0
        The same for the hidden state where it enters the matrix products of the next step, and only there [12]_.

    dtype : {"auto", "float32", "float64"} or dtype, default="auto"
        Precision of weights and computation. "auto" is float32 for float32 input and float64 for everything else.

    n_jobs : int or None, default=None
        How many threads may compute at the same time; -1 is one for each core, None is 1 unless in a
        :class:`joblib.parallel_config` context. Within a parallel search, and with a backend of a cluster, such as Dask's, it
        is always 1. Small networks use one thread only. In training, others are used for large minibatches (from 128 sequences
        and 256 units of a layer), and a second one for a part of the work from about 64 and 128 on; in prediction from 128
        state units on. Streams are not divided. The results are the same bit for bit for every number.

    random_state : int, RandomState instance or None, default=None
        Determines initial weights, minibatches and validation share. With an int, results are the same bit for bit at every
        call on one machine.

    verbose : bool, default=False
        Print one line an epoch.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of 2-D input, of features per step otherwise; 1 with ``embedding_dim``.

    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Names of the columns, where the input was a frame with string names, or separate frames.

    n_outputs_ : int
        Number of raw predictions of the readout.

    n_tokens_ : int or None
        With ``embedding_dim``, the number of token ids.

    n_layers_ : int
        Number of recurrent layers.

    out_activation_ : str
        Name of the inverse link.

    coefs_ : dict of str to ndarray
        The weights by name, ``layer0.forward.z.recurrent`` of shape (n_units, n_units), ``layer0.forward.z.input`` of shape
        (n_units, n_inputs), ..., ``readout`` of shape (``n_outputs_``, n_pooled), and ``embedding`` of shape
        (``n_tokens_``, embedding_dim); views into one flat vector.

    intercepts_ : dict of str to ndarray
        The biases by name, in the same way.

    n_iter_ : int
        Number of epochs so far.

    t_ : int
        Number of sequences seen in training so far.

    loss_ : float
        The loss of the last epoch.

    best_loss_ : float or None
        The lowest loss of an epoch; None with ``early_stopping``.

    loss_curve_ : list of float
        The loss of every epoch: the mean over its updates, each before it was made.

    validation_scores_ : list of float or None
        With ``early_stopping``, the score (R², or its counterpart for other losses) of the validation share after every epoch.

    best_validation_score_ : float or None
        The best of them, whose weights were restored.

    clip_fraction_ : float
        Share of the updates whose gradient was clipped.

    clip_fraction_curve_ : list of float
        The same in each epoch.

    state_ : ndarray of shape (n_sequences, n_state_units)
        With ``stateful=True``, the states after the last ``partial_fit``: layer by layer the hidden state, that of an LSTM
        followed by the cell state.

    See Also
    --------
    RNNClassifier : Recurrent network classification of sequences.
    skrnn.preprocessing.PerStep : Apply a transformer such as StandardScaler to every time step.

    Notes
    -----
    Sequences are an array (n_sequences, n_timesteps, n_features), a list or object array of (n_timesteps_i, n_features)
    arrays of unequal lengths, or a 2-D array or frame whose rows are flattened sequences.

    Features and targets should have a similar scale of about one;
    :class:`sklearn.compose.TransformedTargetRegressor` scales targets.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).
    .. [2] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
       translation", EMNLP (2014).
    .. [3] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); F. A. Gers,
       J. Schmidhuber and F. Cummins, "Learning to forget", Neural Computation 12 (2000).
    .. [4] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL (2018).
    .. [5] A. M. Saxe, J. L. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
       linear neural networks", ICLR (2014).
    .. [6] Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent networks of rectified linear
       units", arXiv:1504.00941 (2015).
    .. [7] C. Tallec and Y. Ollivier, "Can recurrent neural networks warp time?", ICLR (2018).
    .. [8] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML (2013).
    .. [9] R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
       trajectories", Neural Computation 2 (1990).
    .. [10] T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training deep nets with sublinear memory cost", arXiv:1604.06174
       (2016); A. Gruslys et al., "Memory-efficient backpropagation through time", NeurIPS (2016).
    .. [11] Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A neural probabilistic language model", JMLR 3 (2003).
    .. [12] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
       NeurIPS (2016).

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> X, y = make_adding(500, n_timesteps=10, random_state=0)
    >>> reg = RNNRegressor(max_iter=40, learning_rate_init=0.01, learning_rate="cosine", random_state=0)
    >>> reg.fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseRNN._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    _target_ndim: int

    def __init__(
        self,
        loss: str = "squared_error",
        quantile: float = 0.5,
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
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            cell=cell,
            activation=activation,
            bidirectional=bidirectional,
            pooling=pooling,
            return_sequences=return_sequences,
            n_features_per_step=n_features_per_step,
            embedding_dim=embedding_dim,
            n_tokens=n_tokens,
            init_scheme=init_scheme,
            recurrent_init_scheme=recurrent_init_scheme,
            forget_bias=forget_bias,
            truncation_length=truncation_length,
            truncation_stride=truncation_stride,
            checkpoint_interval=checkpoint_interval,
            stateful=stateful,
            clip_norm=clip_norm,
            clip_value=clip_value,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            max_fun=max_fun,
            max_iter=max_iter,
            shuffle=shuffle,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            dtype=dtype,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.quantile = quantile

    # ---------------------------------------------------------------- fitting

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on sequences and their targets.

        Parameters
        ----------
        X : array (n_sequences, n_timesteps, n_features), list or object array of (n_timesteps_i, n_features) arrays, or \
                array or frame (n_sequences, n_columns)
            Sequences of finite real numbers.
        y : array-like of shape (n_sequences,) or (n_sequences, n_outputs)
            Targets. With ``return_sequences=True`` those of every step: of shape (n_sequences, n_timesteps) or
            (n_sequences, n_timesteps, n_outputs), or separate (n_timesteps_i,) or (n_timesteps_i, n_outputs) arrays for
            sequences of unequal lengths.
        sample_weight : array-like of shape (n_sequences,), default=None
            Non-negative weights; a sequence of weight 0 is as if it were not there. With ``return_sequences=True`` they may
            also be those of every step, in the form of ``y``; a step of weight 0 is read, but its target does not matter.

        Returns
        -------
        self : RNNRegressor

        Raises
        ------
        ValueError
            On invalid input, and if the loss or gradient is not finite before the first update. The estimator is then as it
            was before.
        """
        return self._fit(X, y, sample_weight, self._encode)

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one pass over the given sequences, going on from where training stands.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``.

        Returns
        -------
        self : RNNRegressor

        Raises
        ------
        ValueError
            As ``fit``. The estimator is then as it was before, and also after a KeyboardInterrupt.
        """
        check_partial_fit(self)
        return self._fit(X, y, sample_weight, self._encode, incremental=True)

    def _encode(self, y: Any, sequences: Sequences, goes_on: bool) -> NDArray[Any]:
        y = self._check_targets(y, sequences)
        if not (is_ready(y, sequences.dtype) and y.ndim in (1, 2)):
            with as_floats("y"):
                y = check_array(as_numbers(y, "y"), ensure_2d=False, dtype=sequences.dtype, input_name="y", estimator=self)
        check_consistent_length(sequences.values if self.return_sequences else sequences.lengths, y)
        if y.ndim == 0 or y.ndim > 2:
            raise ValueError(f"y should be a 1d or 2d array, got an array of shape {y.shape} instead.")
        if self.loss == "poisson" and (y.min() < 0 or (y.max() <= 0 and not goes_on)):
            raise ValueError("loss='poisson' needs targets that are not negative, and some that are positive.")
        if goes_on and y.ndim != self._target_ndim:
            raise ValueError(f"y has {y.ndim} dimensions, but had {self._target_ndim} when training began.")
        self._target_ndim = y.ndim
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        return np.ascontiguousarray(y.reshape(len(y), -1).T)

    def _encode_more(self, y: Any, sequences: Sequences) -> NDArray[Any]:
        return self._encode(y, sequences, goes_on=True)

    def _new_loss(self) -> Loss:
        return REGRESSION_LOSSES[self.loss](self.quantile)

    def _with_class_weight(self, weight: NDArray[Any], targets: NDArray[Any], sequences: Sequences) -> NDArray[Any]:  # noqa: ARG002
        return weight

    def _validation_score(self, raw: NDArray[Any], y: NDArray[Any], weight: NDArray[Any]) -> float:
        """Return D², one minus the loss relative to that of a constant, averaged over the outputs; R² for the squared error."""
        loss, unused = self._new_loss(), np.empty_like(raw[:1])
        scores = []
        for k in range(len(y)):
            constant = np.full_like(raw[:1], loss.base_rate(y[k : k + 1], weight)[0])
            of_constant = loss.value_and_gradient(constant, y[k : k + 1], weight, unused)
            of_network = loss.value_and_gradient(raw[k : k + 1], y[k : k + 1], weight, unused)
            scores.append(1 - of_network / of_constant if of_constant > 0 else 0.0)
        return float(np.mean(scores))

    # ---------------------------------------------------------------- prediction

    def predict(self, X: Any, initial_state: Any = None, return_state: bool = False) -> Any:
        """Predict the target of each sequence, or of each of its steps.

        Parameters
        ----------
        X : array, list of arrays or frame
            Sequences in any form that ``fit`` takes; their number of steps may differ from that in training.
        initial_state : array-like of shape (n_sequences, n_state_units), default=None
            States before the first step, such as ``state_`` or the ``state`` of an earlier call; by default zero.
        return_state : bool, default=False
            Return also the states after the last step.

        Returns
        -------
        y : ndarray of shape (n_sequences,) or (n_sequences, n_outputs)
            In the form of the targets of ``fit``. With ``return_sequences=True`` of shape (n_sequences, n_timesteps) or
            (n_sequences, n_timesteps, n_outputs); for separate sequences in ``X`` an object array of such arrays.
        state : ndarray of shape (n_sequences, n_state_units)
            Only with ``return_state=True``: layer by layer the hidden state, that of an LSTM followed by the cell state.

        Raises
        ------
        ValueError
            On invalid input, and if a bidirectional network is to begin with, or return, a state.
        """
        raw, sequences, state = self._raw(X, initial_state, with_state=return_state)
        y = raw.T
        if self.out_activation_ == "exp":
            with np.errstate(over="ignore"):
                y = np.exp(y)
        y = y[:, 0] if self._target_ndim == 1 else np.ascontiguousarray(y)
        return self._arranged(y, sequences, state)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination, R²; with ``return_sequences=True`` over the steps of all sequences.

        Parameters
        ----------
        X : array, list of arrays or frame
            As for ``predict``.
        y : array-like
            True targets, in the form of those of ``fit``.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights; with ``return_sequences=True`` they may also be those of every step, in the form of ``y``.

        Returns
        -------
        score : float
            The mean over the outputs.
        """
        if self._fitted_network().every_step:
            return float(make_step_scorer("r2")(self, X, y, sample_weight))
        return float(super().score(X, y, sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
