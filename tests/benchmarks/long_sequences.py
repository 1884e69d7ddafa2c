"""Peak memory and time of one epoch on long sequences: all activations kept, checkpointed, truncated.

Each setting runs in a process of its own, which reports by how much it grew beyond its data while it fitted:

    python tests/benchmarks/long_sequences.py
    python tests/benchmarks/long_sequences.py --target every_step --dtype float32
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

#: steps, parameters
SETTINGS = [
    (10_000, {}),
    (10_000, {"checkpoint_interval": "auto"}),
    (10_000, {"truncation_length": 200}),
    (100_000, {"checkpoint_interval": "auto"}),
    (100_000, {"truncation_length": 200}),
]
MIB = 2**20


def peak():
    """Peak resident memory of this process so far, in bytes; from the system's own account where it has one."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def measure(n_steps, parameters, target, dtype, n_sequences, n_units):
    """One epoch in this process: growth in MiB, and seconds."""
    from skrnn import RNNRegressor

    every_step = target == "every_step"
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_sequences, n_steps, 1), dtype)  # straight into place: the peak so far is what is in use
    y = rng.standard_normal((n_sequences, n_steps) if every_step else n_sequences, dtype)
    reg = RNNRegressor(
        hidden_layer_sizes=n_units, cell="lstm", return_sequences=every_step, max_iter=1, batch_size=n_sequences,
    )  # fmt: skip
    reg.fit(X[:2, :50], y[:2, :50] if every_step else y[:2])  # what is loaded at the first call only
    before = peak()
    start = time.perf_counter()
    reg.set_params(**parameters).fit(X, y)
    return {"growth": (peak() - before) / MIB, "seconds": time.perf_counter() - start, "input": X.nbytes / MIB}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="last", choices=("last", "every_step"))
    parser.add_argument("--dtype", default="float64", choices=("float32", "float64"))
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.one:
        n_steps, parameters = json.loads(options.one)
        print(json.dumps(measure(n_steps, parameters, options.target, options.dtype, options.sequences, options.units)))
        return
    print(f"LSTM, {options.units} units, {options.sequences} sequences, {options.dtype}, target: {options.target}")
    print(f"{'steps':>8s}  {'setting':32s} {'growth, MiB':>12s} {'input, MiB':>11s} {'seconds':>8s}")
    for setting in SETTINGS:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", json.dumps(setting)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        name = ", ".join(f"{key}={value!r}" for key, value in setting[1].items()) or "all activations kept"
        figures = f"{result['growth']:12.0f} {result['input']:11.0f} {result['seconds']:8.1f}"
        print(f"{setting[0]:8d}  {name:32s} {figures}", flush=True)


if __name__ == "__main__":
    main()
