"""Save one estimator of each kind in each way, for ``test_persistence.py`` of this and of all later versions to load.

python tests/pickles/make.py, once for each release, with the oldest supported versions of all libraries: newer ones read what
older ones wrote. It writes a folder named after the version and the format of the state, which is not changed afterwards.
"""

import pickle
from pathlib import Path

import joblib
import numpy as np
import skops.io

from skrnn import RNNClassifier, RNNRegressor, __version__
from skrnn._base import STATE_FORMAT


def main():
    """Save the estimators, their data, and what they predict now and after a ``partial_fit``."""
    folder = Path(__file__).parent / f"{__version__}-format{STATE_FORMAT}"
    folder.mkdir()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 5, 2))
    common = {"hidden_layer_sizes": (3, 2), "max_iter": 3, "random_state": 0}
    estimators = {
        "classifier": (RNNClassifier(cell="lstm", bidirectional=True, **common), np.array(["a", "b", "c"])[np.arange(12) % 3]),
        "regressor": (RNNRegressor(pooling=("last", "max"), solver="sgd", dtype=np.float32, **common), X.sum(axis=(1, 2))),
    }
    arrays = {"X": X}
    for name, (estimator, y) in estimators.items():
        predict = estimator.fit(X, y).predict_proba if name == "classifier" else estimator.fit(X, y).predict
        with (folder / f"{name}.pickle").open("wb") as file:
            pickle.dump(estimator, file, protocol=2)
        joblib.dump(estimator, folder / f"{name}.joblib")
        skops.io.dump(estimator, folder / f"{name}.skops")
        arrays |= {f"{name}_y": y, f"{name}_before": predict(X)}
        estimator.partial_fit(X, y)
        arrays |= {f"{name}_after": predict(X)}
    np.savez_compressed(folder / "expected.npz", **arrays)


if __name__ == "__main__":
    main()
