"""Characters a second in training a language model on Grimm's tales, as a stream: beside PyTorch, in one run.

Both read 32 rows of text with one-hot inputs, are updated every 64 steps by Adam after clipping the norm to 1, and carry their
state on. This package does so through ``partial_fit``, validation included; PyTorch in a hand-written loop.

    python tests/benchmarks/character_model.py --threads 1
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from skrnn import RNNClassifier
from skrnn.datasets import load_grimm_tales

ROWS, WINDOW, WINDOWS_A_CALL = 32, 64, 8


def skrnn_trainer(cell, n_units, n_characters):
    network = RNNClassifier(
        cell=cell, hidden_layer_sizes=n_units, return_sequences=True, stateful=True, truncation_length=WINDOW, alpha=0,
        learning_rate_init=3e-3, random_state=0,
    )  # fmt: skip

    def train(X, Y):
        return network.partial_fit(X, Y, classes=np.arange(n_characters)).loss_

    return train


def torch_trainer(cell, n_units, n_characters):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](
                n_characters, n_units, batch_first=True
            )
            self.readout = torch.nn.Linear(n_units, n_characters)

    model, state = Model(), None
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, foreach=True)

    def train(X, Y):
        nonlocal state
        X, Y, losses = torch.from_numpy(X), torch.from_numpy(Y), []
        for start in range(0, X.shape[1], WINDOW):
            window = slice(start, start + WINDOW)
            optimizer.zero_grad(set_to_none=True)
            outputs, state = model.rnn(X[:, window], state)
            state = tuple(s.detach() for s in state) if cell == "lstm" else state.detach()
            loss = torch.nn.functional.cross_entropy(model.readout(outputs).flatten(0, 1), Y[:, window].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    return train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--calls", type=int, default=16)
    options = parser.parse_args()
    trainers = {"skrnn": skrnn_trainer}
    try:
        import torch

        torch.set_num_threads(options.threads)
        trainers[f"PyTorch {torch.__version__.partition('+')[0]}"] = torch_trainer
    except ImportError:
        pass

    characters, codes = np.unique(list("\n".join(load_grimm_tales().data)), return_inverse=True)
    n_columns, one_hot = (len(codes) - 1) // ROWS, np.eye(len(characters), dtype=np.float32)
    inputs, targets = (codes[shift:][: ROWS * n_columns].reshape(ROWS, n_columns) for shift in (0, 1))
    n_steps = WINDOW * WINDOWS_A_CALL
    print(f"{options.units} units, float32, {ROWS} rows, truncation {WINDOW}, {options.threads} thread(s); characters a second")
    for cell in ("rnn", "gru", "lstm"):
        peers = {name: trainer(cell, options.units, len(characters)) for name, trainer in trainers.items()}
        seconds = {name: [] for name in peers}
        for call in range(options.calls):
            steps = slice(call * n_steps, (call + 1) * n_steps)
            X, Y = one_hot[inputs[:, steps]], np.ascontiguousarray(targets[:, steps])
            for name, train in peers.items():
                with threadpool_limits(options.threads):
                    start = time.perf_counter()
                    loss = train(X, Y)
                    seconds[name].append(time.perf_counter() - start)
            if call == options.calls - 1:
                losses = f"last loss {loss:.2f}"
        rates = {name: ROWS * n_steps / np.median(values[1:]) for name, values in seconds.items()}
        print(f"{cell:5s}" + "".join(f"  {name} {rate:9,.0f}" for name, rate in rates.items()) + f"   {losses}")


if __name__ == "__main__":
    main()
