"""Time one training step (forward, loss, backward, norm clip, Adam) side by side with PyTorch, in one run.

The step is the package's own: batch, ``Network.loss_and_gradient``, ``clip``, ``Solver.step``. Run it on a quiet machine:

    python tests/benchmarks/training_step.py --threads 1 --dtype float32

Columns are medians in milliseconds and their ratios; peers that are not installed are left out. Timings of the competitors
alternate, so that a machine whose speed drifts slows all of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from skrnn._core.losses import MulticlassLogLoss
from skrnn._network import Architecture, Network
from skrnn._optim.clipping import clip
from skrnn._optim.solvers import Adam
from skrnn._runtime import second_thread
from skrnn.sequences import Batch, Sequences

#: sequences, steps, features, hidden units
GRID = [
    (32, 50, 1, 16), (32, 50, 8, 32), (32, 100, 16, 64), (64, 28, 28, 128), (64, 100, 32, 128), (200, 100, 12, 64),
    (128, 100, 64, 256),
]  # fmt: skip
CELLS = ("rnn", "gru", "lstm")
N_CLASSES = 9


def skrnn_step(cell, X, y, hidden, submit=None):
    """One training step of this package on X (N, T, F)."""
    N, T, F = X.shape
    network = Network(Architecture(F, (hidden,), cell, "tanh", False, ("last",), N_CLASSES), MulticlassLogLoss(N_CLASSES))
    network.submit = submit
    theta = network.initialize(
        np.random.RandomState(0), np.zeros(N_CLASSES), X.dtype,
        init_scheme="glorot_uniform", recurrent_init_scheme="orthogonal", forget_bias=1.0, n_steps=T,
    )  # fmt: skip
    sequences = Sequences(X.reshape(N * T, F), np.full(N, T))
    solver, grad, weight, index = Adam(theta.size, theta.dtype), np.empty_like(theta), np.ones(N, X.dtype), np.arange(N)

    def step():
        loss = network.loss_and_gradient(theta, Batch(sequences, index, y, weight), grad)
        clip(grad, None, 1.0)
        solver.step(theta, grad, 1e-3)
        return loss

    return step


def torch_step(cell, X, y, hidden):
    """The same in PyTorch, with its fused multi-step layers."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
            self.layer, self.readout = layer(X.shape[2], hidden, batch_first=True), torch.nn.Linear(hidden, N_CLASSES)

        def forward(self, x):
            return self.readout(self.layer(x)[0][:, -1])

    x, target = torch.tensor(X), torch.tensor(y)
    model = Model().to(x.dtype)
    optimizer, loss_function = torch.optim.Adam(model.parameters(), 1e-3), torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(model(x), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def medians(steps, seconds):
    """Median time of each step in milliseconds, rounds of all of them in turn, each about as long as the others."""
    times, rounds = [[] for _ in steps], []
    for step in steps:
        step(), step()
        begin = time.perf_counter()
        step()
        rounds.append(max(3, int(0.02 / (time.perf_counter() - begin))))
    start = time.perf_counter()
    while time.perf_counter() - start < seconds * len(steps) or len(times[0]) < 5:
        for step, of_step, n in zip(steps, times, rounds, strict=True):
            for _ in range(n):
                begin = time.perf_counter()
                step()
                of_step.append(time.perf_counter() - begin)
    return [1e3 * float(np.median(of_step)) for of_step in times]


def main(peers):
    """Print the table for this package and ``peers``, functions like ``torch_step`` by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, and n_jobs of fit")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--seconds", type=float, default=0.7, help="for each competitor and grid point")
    args = parser.parse_args()
    rng, write = np.random.default_rng(0), sys.stdout.write
    write(f"{args.dtype}, {args.threads} thread(s); milliseconds a training step, and ratios to skrnn\n")
    write(f"{'cell':5}{'N':>4}{'T':>5}{'F':>4}{'H':>5} |{'skrnn':>9}" + "".join(f"{p:>11}{'ratio':>7}" for p in peers) + "\n")
    ratios = {peer: [] for peer in peers}
    with threadpool_limits(1, user_api="blas"), second_thread(args.threads) as submit:  # as in fit
        for N, T, F, H in GRID:
            X = rng.standard_normal((N, T, F)).astype(args.dtype)
            y = rng.integers(0, N_CLASSES, N)
            for cell in CELLS:
                steps = [make(cell, X, y, H) for make in (partial(skrnn_step, submit=submit), *peers.values())]
                ours, *others = medians(steps, args.seconds)
                for peer, other in zip(peers, others, strict=True):
                    ratios[peer].append(other / ours)
                columns = "".join(f"{other:11.2f}{other / ours:7.2f}" for other in others)
                write(f"{cell:5}{N:4}{T:5}{F:4}{H:5} |{ours:9.2f}{columns}\n")
                sys.stdout.flush()
    for peer, of_peer in ratios.items():
        write(f"{peer} / skrnn: least {min(of_peer):.2f}, geometric mean {np.exp(np.mean(np.log(of_peer))):.2f}\n")


if __name__ == "__main__":
    available = {}
    try:
        import torch

        torch.set_num_threads(int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1)
        available["torch"] = torch_step
    except ImportError:
        pass
    main(available)
