"""Epochs, minibatches, stopping; and L-BFGS, the alternative without them.

Both solvers of the objective work on a ``Run``, which holds all that changes in training.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ._callbacks import Epochs
from ._core.workspace import aligned_zeros
from ._data import Data, minibatches
from ._network import Network
from ._optim.clipping import clip
from ._optim.schedules import SCHEDULES
from ._optim.solvers import SOLVERS, Solver
from ._passes import Stream
from ._warnings import warn

#: "adaptive" divides the learning rate by this, and stops below the least factor that is worth a try
ADAPTIVE_DIVISOR = 5.0
ADAPTIVE_LEAST_RATE = 1e-6
#: a gradient so many times as long as ``clip_norm`` explodes; where a share of at least so many updates do, something is wrong
EXPLODING = 10.0
EXPLODING_SHARE = 0.5
EXPLODING_UPDATES = 100
#: of the loss in the first epoch: what the second half of a schedule may take off without a warning
FALLING_SHARE = 0.1
#: and what at most may be left of it in the last
LEARNED_SHARE = 0.98
#: a loss above this is divergence, even where it can still be computed
LARGEST_LOSS = 1e150
#: against divergence
REMEDY = "Lower learning_rate_init, set clip_norm or clip_value, or scale X and y, and start anew."
#: tells whether training shall end after the last complete update
Interrupted = Callable[[], bool]


@dataclass(frozen=True)
class Options:
    """Parameters of training, named and explained as those of the estimators."""

    solver: str
    batch_size: int
    learning_rate: str
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    max_iter: int
    max_fun: int
    shuffle: bool
    tol: float
    n_iter_no_change: int
    clip_norm: float | None
    clip_value: float | None
    verbose: bool

    def new_solver(self, size: int, dtype: np.dtype[Any], state: dict[str, Any] | None) -> Solver:
        """Return the solver, going on from ``state``."""
        arguments = {
            "adam": {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon},
            "sgd": {"momentum": self.momentum, "nesterov": self.nesterovs_momentum},
            "rmsprop": {"beta_2": self.beta_2, "epsilon": self.epsilon},
        }[self.solver]
        return SOLVERS[self.solver](size, dtype, state, **arguments)


@dataclass
class Run:
    """All that changes in training, and that a later call can go on from."""

    theta: NDArray[np.floating]
    rng: np.random.RandomState
    solver_state: dict[str, Any] | None = None
    n_iter: int = 0
    #: at which the schedule began, or will begin
    first_epoch: int = 0
    t: int = 0
    n_updates: int = 0
    n_clipped: int = 0
    rate_factor: float = 1.0
    best_loss: float = math.inf
    best_validation_score: float = -math.inf
    best_theta: NDArray[np.floating] | None = None
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    clip_fraction_curve: list[float] = field(default_factory=list)


def train(
    network: Network,
    run: Run,
    data: Data,
    options: Options,
    *,
    n_epochs: int,
    interrupted: Interrupted,
    validate: Callable[[NDArray[np.floating]], float] | None = None,
    epochs: Epochs | None = None,
) -> None:
    """Minibatch training of ``run`` for up to ``n_epochs`` epochs; ends where the loss or the score no longer improves.

    With "cosine" it ends early only where a score no longer improves.

    Parameters
    ----------
    network, run, data, options
    n_epochs : int
    interrupted : callable
        KeyboardInterrupt is raised where it leaves no update at all.
    validate : callable, optional
        The score of ``theta`` on the validation share; the best weights are then restored at the end.
    epochs : Epochs, optional
        What callbacks see of each epoch; they may stop training.
    """
    run.first_epoch = run.n_iter
    minibatch_training = _MinibatchTraining(network, run, data, options)
    epochs, n_updates, without_improvement = epochs or Epochs(), run.n_updates, 0
    # a schedule with an end of its own brings the loss down until then
    may_end_early = options.learning_rate != "cosine" or validate is not None
    for _ in range(n_epochs):
        epochs.begin(minibatch_training.left)
        loss = minibatch_training.epoch(interrupted)
        score = None if validate is None or loss is None else validate(run.theta)
        if score is not None and not math.isfinite(score):
            minibatch_training.diverged_on_validation()
            loss = None
        if loss is not None:
            improved = _record(run, loss, score, options, minibatch_training.clip_fraction)
            without_improvement = 0 if improved else without_improvement + 1
        if epochs.end(minibatch_training.left) or loss is None:
            break
        if without_improvement > options.n_iter_no_change and may_end_early:
            if options.learning_rate != "adaptive":
                break
            run.rate_factor /= ADAPTIVE_DIVISOR
            if run.rate_factor * options.learning_rate_init < ADAPTIVE_LEAST_RATE:
                break
            without_improvement = 0
    else:
        if not interrupted():
            _warn_unless_converged(run.loss_curve[-n_epochs:], options)
    if interrupted() and run.n_updates == n_updates:
        raise KeyboardInterrupt
    n_updates, n_exploding = run.n_updates - n_updates, minibatch_training.n_exploding
    if n_updates >= EXPLODING_UPDATES and n_exploding >= EXPLODING_SHARE * n_updates:
        warn(
            f"The gradients of {n_exploding} of {n_updates} updates were more than {EXPLODING:.0f} times as long as "
            f"clip_norm={options.clip_norm}, and clipped: they explode, or X or y is not scaled. Scale both to about one; if "
            "that is done, lower learning_rate_init, take cell='gru' or recurrent_init_scheme='orthogonal', set "
            "truncation_length, or raise clip_norm."
        )
    left = minibatch_training.left()
    run.theta[...], run.solver_state, run.first_epoch = left.theta, left.solver_state, left.first_epoch


def train_once(
    network: Network,
    run: Run,
    data: Data,
    options: Options,
    stream: Stream | None = None,
    epochs: Epochs | None = None,
    *,
    interrupted: Interrupted,
) -> None:
    """Train ``run`` for one epoch; KeyboardInterrupt is raised where it is interrupted.

    With a ``stream``, which needs a single minibatch, the sequences go on from there. It is left as it was on divergence. A
    stream has no epochs, in whatever pieces it comes, so "cosine" is constant.
    """
    if stream is not None and options.learning_rate == "cosine":
        options = replace(options, learning_rate="constant")
    minibatch_training = _MinibatchTraining(network, run, data, options, stream, is_fit=False)
    epochs = epochs or Epochs()
    epochs.begin(minibatch_training.left)
    loss = minibatch_training.epoch(interrupted)
    if interrupted():
        raise KeyboardInterrupt
    if loss is not None:
        _record(run, loss, None, options, minibatch_training.clip_fraction)
    epochs.end(minibatch_training.left)
    run.solver_state = minibatch_training.left().solver_state


def _warn_unless_converged(losses: list[float], options: Options) -> None:
    """Warn if training ended with ``max_iter`` though it had not done; ``losses`` are those of its epochs."""
    if options.learning_rate != "cosine":
        warn(
            f"Maximum iterations ({options.max_iter}) reached and the optimization hasn't converged yet. "
            "Increase max_iter, or anneal with learning_rate='cosine'."
        )
    elif losses[len(losses) // 2] - losses[-1] > FALLING_SHARE * abs(losses[0]):
        warn(
            f"The loss was still falling when the schedule ended: from {losses[0]:.2g} in the first epoch to "
            f"{losses[len(losses) // 2]:.2g} halfway and {losses[-1]:.2g} after max_iter={options.max_iter}. Increase "
            "max_iter, or lower learning_rate_init if the loss began far above."
        )
    elif losses[-1] > LEARNED_SHARE * losses[0]:
        warn(
            f"The loss has hardly fallen: from {losses[0]:.4g} in the first epoch to {losses[-1]:.4g} after "
            f"max_iter={options.max_iter}. Raise learning_rate_init or max_iter, scale X and y, and see whether y depends on X."
        )


def _record(run: Run, loss: float, score: float | None, options: Options, clip_fraction: float) -> bool:
    """Write down what an epoch gave, and tell whether it was better than those before by more than ``tol``."""
    if math.isnan(loss):
        return False
    run.loss_curve.append(loss)
    run.clip_fraction_curve.append(clip_fraction)
    if score is None:
        improved = loss <= run.best_loss - options.tol
    else:
        improved = score >= run.best_validation_score + options.tol
        run.validation_scores.append(score)
        if score > run.best_validation_score:
            run.best_validation_score, run.best_theta = score, run.theta.copy()
    run.best_loss = min(loss, run.best_loss)
    if options.verbose:
        validation = "" if score is None else f", validation score = {score:.6f}"
        sys.stdout.write(f"Epoch {run.n_iter}, loss = {loss:.8f}{validation}\n")
    return improved


class _MinibatchTraining:
    """One epoch after another of clipped minibatch updates."""

    def __init__(
        self, network: Network, run: Run, data: Data, options: Options, stream: Stream | None = None, *, is_fit: bool = True
    ) -> None:
        if options.learning_rate != "adaptive":
            run.rate_factor = 1.0
        self.network, self.run, self.data, self.options = network, run, data, options
        self.stream, self.is_fit = stream, is_fit
        self.n_exploding = 0
        #: ``n_updates``, ``n_clipped`` and ``n_exploding`` before the last update of this call
        self.counts_before: tuple[int, int, int] | None = None
        #: of the updates in the last epoch
        self.clip_fraction = 0.0
        self.solver = options.new_solver(run.theta.size, run.theta.dtype, run.solver_state)
        self.grad = aligned_zeros(run.theta.shape, run.theta.dtype)
        # squares of an accepted gradient must not overflow in a solver's second moments
        self.largest_norm = float(np.sqrt(np.finfo(run.theta.dtype).max)) / 100

    def epoch(self, interrupted: Interrupted) -> float | None:
        """Return the weighted mean loss; None where training must stop, with the weights of the last good update.

        It is NaN if a stream passed on without any target.
        """
        data, options, run = self.data, self.options, self.run
        n_batches = -(-len(data.index) // options.batch_size)
        total_loss = total_weight = 0.0
        n_updates, n_clipped = run.n_updates, run.n_clipped
        batches = minibatches(data.sequences.lengths[data.index], options.batch_size, run.rng, shuffle=options.shuffle)
        for number, positions in enumerate(batches):
            batch = data.batch(positions)
            for update in self.network.updates(run.theta, batch, self.grad, stream=self.stream, rng=run.rng):
                if interrupted():
                    return None
                if not self.step(update.loss, run.n_iter - run.first_epoch + (number + update.done) / n_batches):
                    self.diverged(number)
                    return None
                total_loss += update.loss * update.weight
                total_weight += update.weight
            run.t += batch.n_sequences
        run.n_iter += 1
        self.clip_fraction = (run.n_clipped - n_clipped) / max(run.n_updates - n_updates, 1)
        return float(total_loss / total_weight) if total_weight else math.nan

    def left(self) -> Run:
        """Return what is left of the run if training stops now."""
        run = self.run
        return replace(
            run,
            theta=run.theta if run.best_theta is None else run.best_theta,
            solver_state=self.solver.state | {"solver": self.options.solver},
            first_epoch=run.n_iter if self.is_fit else run.first_epoch,
        )

    def step(self, loss: float, epochs_done: float) -> bool:
        """Clip the gradient and make a step by the schedule; one that is not finite is not made, and False is returned.

        If it is the loss or the gradient that is not finite, the step that led there is undone.
        """
        options, run = self.options, self.run
        norm, before, clipped = clip(self.grad, options.clip_value, options.clip_norm)
        if not (loss < LARGEST_LOSS and norm < self.largest_norm):
            self.undo()
            return False
        schedule = SCHEDULES[options.learning_rate]
        factor = schedule(self.solver.n_updates + 1, epochs_done / options.max_iter, options.power_t)
        if not self.solver.step(run.theta, self.grad, options.learning_rate_init * run.rate_factor * factor):
            return False
        self.counts_before = run.n_updates, run.n_clipped, self.n_exploding
        run.n_clipped += clipped
        self.n_exploding += options.clip_norm is not None and before > EXPLODING * options.clip_norm
        run.n_updates += 1
        return True

    def undo(self) -> None:
        """Take the last update of this call back."""
        if self.counts_before is not None:
            self.solver.undo(self.run.theta)
            self.run.n_updates, self.run.n_clipped, self.n_exploding = self.counts_before

    def diverged_on_validation(self) -> None:
        """Take back the update whose weights have a score that is not finite, and warn."""
        warn(
            f"The score on the validation share became non-finite in epoch {self.run.n_iter}, its last batch; the weights "
            f"before it are kept. {REMEDY}"
        )
        self.undo()
        self.run.n_iter -= 1

    def diverged(self, number: int) -> None:
        """Warn, or raise if there are no good weights to keep."""
        where = f"in epoch {self.run.n_iter + 1}, batch {number + 1}"
        if self.run.n_updates == 0 and self.counts_before is None:
            raise ValueError(f"The loss, gradient or update is not finite {where}, before any update. {REMEDY}")
        warn(f"The loss, gradient or update became non-finite {where}; the last finite weights are kept. {REMEDY}")


def train_lbfgs(
    network: Network, run: Run, data: Data, options: Options, epochs: Epochs | None = None, *, interrupted: Interrupted
) -> None:
    """Full-batch training of ``run`` by L-BFGS (``scipy.optimize``), the data taken in chunks of bounded memory.

    Callbacks see each iteration as one of ``epochs``. KeyboardInterrupt is raised if it is interrupted before the first.
    """
    epochs, stopped, is_finite, n_evaluations = epochs or Epochs(), False, True, -1  # the first is only to look
    batches = list(data.batches())
    total = sum(batch.total_weight(0, batch.n_steps) for batch in batches)
    grad = np.empty_like(run.theta)

    def objective(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal is_finite, n_evaluations
        if not epochs.has_begun:  # the first evaluation after an iteration is for the next
            epochs.begin(left)
        n_evaluations += 1
        loss, gradient = 0.0, np.zeros(theta.shape)
        theta = theta.astype(grad.dtype)
        for batch in batches:
            loss += network.loss_and_gradient(theta, batch, grad, total)
            gradient += grad
        is_finite = math.isfinite(loss) and bool(np.isfinite(gradient).all())
        return loss, gradient

    def left() -> Run:
        return replace(run, t=run.t + len(data.index) * max(n_evaluations, 0), first_epoch=run.n_iter)

    def callback(intermediate_result: Any) -> None:
        nonlocal stopped
        if not is_finite:
            raise StopIteration
        run.theta[...] = intermediate_result.x
        run.n_iter += 1
        _record(run, float(intermediate_result.fun), None, options, 0.0)
        stopped = epochs.end(left)
        if stopped or interrupted():
            raise StopIteration

    objective(run.theta.astype(np.float64))
    if not is_finite:
        raise ValueError("The loss or gradient is not finite at the initial weights. Scale X and y.")
    if interrupted():
        raise KeyboardInterrupt
    result = minimize(
        objective,
        run.theta.astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        callback=callback,
        options={"maxiter": options.max_iter, "maxfun": options.max_fun, "gtol": options.tol},
    )
    if not is_finite:
        where = f"in iteration {run.n_iter + 1}, of all data in one batch"
        remedy = "Scale X and y, or take another solver, whose gradients are clipped, and start anew."
        if run.n_iter == 0:
            raise ValueError(f"The loss or gradient is not finite {where}, before any update. {remedy}")
        warn(f"The loss or gradient became non-finite {where}; the last finite weights are kept. {remedy}")
    elif not (result.success or stopped or interrupted()):
        warn(f"L-BFGS did not converge: {result.message}. Increase max_iter or max_fun, or scale X.")
    if not run.loss_curve:  # converged where it began
        _record(run, float(result.fun), None, options, 0.0)
    epochs.end(left)  # one that found no better weights
    run.t, run.first_epoch = left().t, run.n_iter
