"""A batch on its way through time: window by window forward, and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ._core.bptt import Submit
from ._core.losses import Loss
from ._core.parameters import FloatArray
from ._core.windows import Window, truncated_windows
from ._readout import Readout
from ._stack import Masks, Memory, Parameters, Stack

if TYPE_CHECKING:
    from .sequences import Batch

#: least number of steps that "auto" keeps between checkpoints: shorter windows of a small network cost more than they compute
LEAST_INTERVAL = 128


class Unrolling(NamedTuple):
    """How far back a loss reaches, how many steps lie between updates, and between the states kept for recomputation."""

    truncation_length: int | None = None
    truncation_stride: int | None = None
    checkpoint_interval: int | Literal["auto"] | None = None

    def windows(self, batch: Batch, stream: Stream | None) -> tuple[list[Window], int]:
        """Plan the windows of a batch, and say how many steps of one are kept at a time."""
        length, stride = self.truncation_length, self.truncation_stride or self.truncation_length
        if batch.every_step and length and stride and (stride < batch.n_steps or stream is not None):
            past = 0 if stream is None else stream.history
            return list(truncated_windows(batch.lengths, length, stride, past)), batch.n_steps
        start = 0 if batch.every_step or length is None else max(0, batch.n_steps - length)
        n_steps, interval = batch.n_steps - start, self.checkpoint_interval
        n_kept = max(LEAST_INTERVAL, math.ceil(math.sqrt(n_steps))) if interval == "auto" else interval or n_steps
        return [Window(start, batch.n_steps, 0, [])], min(n_kept, n_steps)

    def overlap(self, batch: Batch, n_steps: int) -> int:
        """Return how many steps before it a next window of ``n_steps`` steps reaches."""
        return max(0, (self.truncation_length or 0) - n_steps) if batch.every_step else 0


@dataclass
class Stream:
    """Where sequences stand that are continued from one batch to the next.

    What is remembered of the last ``history`` steps, as much as overlapping windows of the next batch reach; and the states
    after the last step, (n_state_units, N).
    """

    history: int = 0
    memory: Memory = field(default_factory=lambda: ([], []))
    state: FloatArray | None = None


class Pass:
    """A batch on its way through time.

    Parameters
    ----------
    batch : Batch
    unrolling : Unrolling
    workspace : callable
        ``workspace(n_steps, training) -> (stack, readout)`` for windows of so many steps.
    loss : Loss
    weights, grads : Parameters
    stream : Stream, optional
        Where the sequences stand; it is brought up to date by ``finish``.
    masks : Masks, optional
        Those of dropout.
    """

    def __init__(
        self,
        batch: Batch,
        unrolling: Unrolling,
        workspace: Callable[[int, bool], tuple[Stack, Readout]],
        loss: Loss,
        weights: Parameters,
        grads: Parameters,
        stream: Stream | None = None,
        masks: Masks | None = None,
    ) -> None:
        self.batch, self.unrolling, self.loss, self.stream = batch, unrolling, loss, stream
        self.weights, self.grads, self.masks = weights, grads, masks
        before = stream or Stream()
        if masks is not None:  # another call may have had none
            before = Stream(state=before.state)
        self.windows, self.interval = unrolling.windows(batch, None if stream is None else before)
        n_rows = max(window.history + min(window.stop - window.start, self.interval) for window in self.windows)
        if n_rows == batch.n_steps:  # with room for batches of longer sequences, which may come next
            n_rows = min(2 * n_rows, batch.sequences.longest)
        self.stack, self.readout = workspace(n_rows, True)
        self.row, self.memory = 0, Stream()
        #: for what is not kept: the steps before the window, and before the last checkpoint
        self.light = None
        if len(self.windows) == 1 and (self.windows[0].start > 0 or self.interval < batch.n_steps):
            self.light = workspace(batch.n_steps, False)[0]
        if masks is not None:
            self.readout.mask = masks.readout
            self.stack.mask(masks)
            if self.light is not None:
                self.light.mask(masks)
        if before.history:
            self.stack.remember(before.memory, self.windows[0].history)
        else:
            self.stack.start_from(before.state)

    def weight(self, number: int) -> float:
        """Return the weight of the targets of a window."""
        window = self.windows[number]
        return self.batch.total_weight(window.start, window.stop)

    def propagate(self, number: int, total: float, submit: Submit | None = None) -> float:
        """Run a window, after those before it, and back; return its loss, and add its gradient.

        Losses are divided by ``total``; if it is zero there are none, and no way back. ``submit`` is that of ``bptt.backward``.
        """
        window, history = self.windows[number], self.windows[number].history
        if number:
            self.stack.carry(self.row, history)
        self.stack.load(self.weights)
        starts = range(window.start, window.stop, self.interval)
        states = None if self.light is None else self._states_before(self.light, starts)
        loss = 0.0
        for k in reversed(range(len(starts))):
            start, is_last = starts[k], k == len(starts) - 1
            stop = min(start + self.interval, window.stop)
            if states is not None:
                self.stack.start_from(states[k])
            self.row = history + stop - start
            self.stack.forward(self.batch, start, stop, history)
            if self.stream is not None and is_last:
                # masks of dropout are drawn anew for the next batch, so its losses stay within it
                overlap = 0 if self.masks is not None else min(self.row, self.unrolling.overlap(self.batch, stop - start))
                self.memory = Stream(overlap, self.stack.memory(self.row, overlap), self.stack.state(self.row))
            if total == 0:
                break
            W, dW = self.weights.readout, self.grads.readout
            loss += self.readout.loss_and_gradient(self.stack, self.batch, start, stop, history, self.loss, W, dW, total)
            edges = window.edges or self.batch.events(self.batch.entries, start, stop)
            dy, dlast = self.readout.dy, self.readout.dlast
            self.stack.backward(self.batch, self.row, edges, self.grads, dy, dlast, continues=not is_last, submit=submit)
        return loss

    def finish(self) -> None:
        """Bring the stream up to date."""
        if self.stream is not None:
            vars(self.stream).update(vars(self.memory))

    def _states_before(self, light: Stack, steps: Sequence[int]) -> list[FloatArray]:
        """Run to the last of the steps, activations not kept, and return the states before each of them."""
        light.load(self.weights)
        states = [self.stack.state(0)]
        for start, stop in itertools.pairwise([0, *steps]):
            state = states[-1]
            for a, b in run(light, self.batch, start, stop, state):
                self.readout.take(light, self.batch, a, b)
                state = light.state(b - a)
            states.append(state)
        return states[1:]


def run(stack: Stack, batch: Batch, start: int, stop: int, state: FloatArray | None = None) -> Iterator[tuple[int, int]]:
    """Run steps ``start`` to ``stop`` from a state; yield each window of them as soon as it is in the first rows."""
    stack.start_from(state)
    for first in range(start, stop, stack.n_steps):
        if first > start:
            stack.carry(stack.n_steps)
        last = min(first + stack.n_steps, stop)
        stack.forward(batch, first, last)
        yield first, last
