"""Runs of training: how one starts, what the estimator keeps of it, and how it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from ._data import Data
from ._kept import kept_of
from ._network import Network
from ._passes import Stream
from ._training import Run
from .sequences import Sequences

if TYPE_CHECKING:
    from ._base import BaseRNN


def start_run(estimator: BaseRNN, network: Network, data: Data, *, is_stream: bool) -> Run:
    """Begin with new weights."""
    rng = check_random_state(estimator.random_state)
    y, weight = data.targets_of(data.index)
    n_steps = int(data.sequences.lengths[data.index].max())
    length, stride, _ = network.unrolling
    if is_stream and length is not None:
        # of a stream only the first window with a target is known, however much of it comes with the first call
        batch, n_steps, stride = data.batch(np.arange(len(data.index))), length, stride or length
        if data.every_step:
            windows = ((start, min(start + stride, batch.n_steps)) for start in range(0, batch.n_steps, stride))
            y, weight = batch.targets(*next(window for window in windows if batch.total_weight(*window) > 0))
    known = weight > 0
    theta = network.initialize(
        rng,
        network.loss.base_rate(y[..., known], weight[known]),
        data.sequences.dtype,
        init_scheme=estimator.init_scheme,
        recurrent_init_scheme=estimator.recurrent_init_scheme,
        forget_bias=estimator.forget_bias,
        n_steps=n_steps,
    )
    return Run(theta, rng)


def resume_stream(estimator: BaseRNN, sequences: Sequences) -> Stream:
    """Take up the state that the last ``partial_fit`` left."""
    if not sequences.are_equal:
        raise ValueError(
            f"stateful=True needs sequences of equal length in X, because each is continued by the next call; they have "
            f"{sequences.lengths.min()} to {sequences.longest} steps."
        )
    stream = Stream(**getattr(estimator, "_stream", None) or {})
    if stream.state is not None and stream.state.shape[1] != len(sequences):
        raise ValueError(
            f"X has {len(sequences)} sequences, but with stateful=True it continues {stream.state.shape[1]}. Call "
            "reset_state() before new sequences."
        )
    return stream


def check_same(estimator: BaseRNN, network: Network) -> None:
    """Raise if the parameters no longer describe the fitted network."""
    if network.architecture._asdict() != estimator._architecture:
        changed = [k for k, v in network.architecture._asdict().items() if estimator._architecture[k] != v]
        if "n_features" in changed or (estimator.embedding_dim is None) != (estimator.n_tokens_ is None):
            changed = ["embedding_dim", *(name for name in changed if name not in ("n_features", "n_tokens"))]
        raise ValueError(f"Training can't go on with another network: {', '.join(changed)} changed since the last fit.")
    if network.loss.inverse_link != estimator.out_activation_:
        raise ValueError("Training can't go on with a loss of another link: set loss back, or fit without warm_start.")


def resume_run(estimator: BaseRNN, network: Network) -> Run:
    """Go on from where training stands."""
    check_same(estimator, network)
    state: dict[str, Any] = dict(estimator._training_state)
    rng = kept_of(estimator).generator(state.pop("rng_state"))
    if state["solver_state"] is not None and state["solver_state"]["solver"] != estimator.solver:
        state["solver_state"] = None
    return Run(
        np.array(estimator._theta),
        rng,
        n_iter=estimator.n_iter_,
        t=estimator.t_,
        best_loss=min(estimator.loss_curve_, default=np.inf),
        loss_curve=list(estimator.loss_curve_),
        validation_scores=list(estimator.validation_scores_ or ()),
        clip_fraction_curve=list(estimator.clip_fraction_curve_),
        **state,
    )


def fitted_attributes(network: Network, run: Run, stream: Stream | None) -> dict[str, Any]:
    """Return what the estimator keeps of a run, for ``resume_run`` and ``resume_stream`` among others."""
    validated = run.best_theta is not None
    return {
        "_theta": run.theta,
        "_architecture": network.architecture._asdict(),
        "_training_state": {
            "rng_state": run.rng.get_state(legacy=False),
            "solver_state": run.solver_state,
            "rate_factor": run.rate_factor,
            "first_epoch": run.first_epoch,
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
        "clip_fraction_curve_": run.clip_fraction_curve,
    }
