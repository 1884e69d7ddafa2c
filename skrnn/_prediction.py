"""A network run over all sequences: chunk by chunk, and in several threads if there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._data import chunks
from ._network import Network
from .sequences import Batch, Sequences

#: steps of all sequences up to which they are one batch, and an estimator takes a network made before, because making one
#: takes longer than using it
SMALL_CALL = 256
#: state units, and steps of all sequences times these, from which several threads are worth it: below, they wait for each
#: other's calls
LARGE_STATE = 128
LARGE_CALL = 3_000_000


def is_large(network: Network, sequences: Sequences) -> bool:
    """Tell whether several threads would be faster than one."""
    n_units = network.n_state_units
    return n_units >= LARGE_STATE and len(sequences.values) * n_units >= LARGE_CALL


def raw_predictions(
    network: Network,
    theta: NDArray[Any],
    sequences: Sequences,
    initial_state: NDArray[Any] | None = None,
    *,
    with_state: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Raw predictions (n_raw, n_sequences) or (n_raw, n_steps_in_total), and the last states (n_sequences, n_state_units).

    In the network's threads, if there are any.
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
    every = list(chunks(sequences.lengths, in_windows=network.n_directions == 1, of_equal_length=of_equal_length))
    free = list(reversed(range(len(every))))  # buffers, by their number, that no other thread uses

    def predict(positions: NDArray[np.intp]) -> None:
        batch = Batch(sequences, positions, every_step=network.every_step)
        initial = None if initial_state is None else initial_state[batch.index].T
        buffers = free.pop()
        last = network.raw_predictions(theta, batch, raw, initial, buffers)
        free.append(buffers)
        if state is not None:
            state[batch.index] = last.T

    if network.submit is None:
        for positions in every:
            predict(positions)
    else:
        for running in [network.submit(predict, positions) for positions in every]:
            running.result()
    return raw, state


def hidden_states(network: Network, theta: NDArray[Any], sequences: Sequences) -> NDArray[Any]:
    """States of the last layer after every step of all sequences, (n_steps_in_total, n_directions * n_units)."""
    n_units = network.n_directions * network.architecture.hidden_layer_sizes[-1]
    states = np.empty((len(sequences.values), n_units), theta.dtype)
    for positions in chunks(sequences.lengths):
        batch = Batch(sequences, positions)
        hidden = network.hidden_states(theta, batch)
        for column, i in enumerate(batch.index):
            start, stop = sequences.offsets[i : i + 2]
            states[start:stop] = hidden[start - stop :, :, column]
    return states
