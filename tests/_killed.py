"""Writers that are killed, and what is left of the file: python tests/_killed.py 100.

Prints how many were killed, how many of them within a write, and how often the file was neither the older nor the newer model.
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np

from skrnn import RNNRegressor
from skrnn.persistence import atomic_write


def write_for_ever(path, models, started):
    """Save one model over the other until killed."""
    os.write(started, b".")
    while True:
        for model in models:
            with atomic_write(path) as file:
                joblib.dump(model, file)


def main(n_kills, n_writers=1):
    """Kill this many writers with ``kill -9``, at random times."""
    X = np.random.default_rng(0).normal(size=(20, 5, 3))
    models = [RNNRegressor(max_iter=1, random_state=seed).fit(X, X.sum(axis=(1, 2))) for seed in range(2)]
    whole = {joblib.hash(model) for model in models}
    within_a_write = n_lost = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.joblib"
        joblib.dump(models[0], path)
        for _ in range(n_kills):
            begun, started = os.pipe()
            writers = []
            for _ in range(n_writers):
                writers.append(os.fork())
                if writers[-1] == 0:
                    write_for_ever(path, models, started)
            for _ in writers:
                os.read(begun, 1)
            time.sleep(random.uniform(0, 0.02))
            for writer in writers:
                os.kill(writer, signal.SIGKILL)
                os.waitpid(writer, 0)
            os.close(begun), os.close(started)
            try:
                n_lost += joblib.hash(joblib.load(path)) not in whole
            except Exception:  # whatever a torn file makes of it
                n_lost += 1
            for temporary in path.parent.glob(".skrnn-*.tmp"):
                within_a_write += 1
                temporary.unlink()
        assert [each.name for each in path.parent.iterdir()] == [path.name]
    print(n_kills * n_writers, within_a_write, n_lost)  # noqa: T201  # its answer


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
