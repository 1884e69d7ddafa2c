"""What a thread keeps of an estimator from call to call, to save time: beside it, so it is neither copied nor pickled."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from ._network import Architecture, Network

#: for how many estimators
MAX_KEPT = 16
#: steps of all sequences times state units up to which partial_fit takes buffers made before
SMALL_CHUNK = 65536


@dataclass
class Kept:
    """What is kept of one estimator."""

    owner: ReferenceType[Any]
    #: whose buffers are used again
    network: Network | None = None
    #: values of the parameters that have been validated
    parameters: tuple[Any, ...] = ()
    #: random generators to be set to a state, by kind: to seed one takes longer
    generators: dict[str, np.random.RandomState] = field(default_factory=dict)

    def network_of(self, architecture: tuple[Any, ...]) -> Network:
        """Return the network, made anew for another architecture than the last."""
        if self.network is None or self.network.architecture != architecture:
            self.network = Network(Architecture(*architecture))
            self.network.max_workspaces = 2  # one to train and one to predict
        return self.network

    def generator(self, state: dict[str, Any]) -> np.random.RandomState:
        """Return a random generator in a state that another one was in."""
        kind, generators = state["bit_generator"], self.generators
        rng = generators.get(kind) or generators.setdefault(kind, np.random.RandomState(getattr(np.random, kind)()))
        rng.set_state(state)
        return rng


class _KeptByThread(threading.local):
    def __init__(self) -> None:
        self.estimators: dict[int, Kept] = {}  # by identity, since a subclass may define equality


_kept_by_thread = _KeptByThread()


def kept_of(estimator: Any) -> Kept:
    """Return what this thread keeps of the estimator; of too many, the first one gives way."""
    estimators, key = _kept_by_thread.estimators, id(estimator)
    kept = estimators.get(key)
    if kept is None or kept.owner() is not estimator:
        if len(estimators) >= MAX_KEPT:
            del estimators[next(iter(estimators))]
        kept = estimators[key] = Kept(ref(estimator, lambda _: estimators.pop(key, None)))
    return kept
