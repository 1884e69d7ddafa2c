"""``docs/user_guide/distributed.rst``: its code runs, on real clusters of processes, also if a worker is killed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (it enables the import below)
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skrnn import RNNClassifier
from skrnn._runtime import threads

PAGE = (Path(__file__).parents[1] / "docs" / "user_guide" / "distributed.rst").read_text(encoding="utf-8")


def run(title, **names):
    """Execute the Python of a section of the page as it stands, and return its names."""
    section = re.search(rf"^{title}\n[=-]+\n(.*?)(?=^[^\n]+\n(?:=+|-+)\n|\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:(?: {4}.*)?\n)+)", section)
    assert blocks
    exec(compile("".join(re.sub("^ {4}", "", block, flags=re.MULTILINE) for block in blocks), title, "exec"), names)
    return names


def make_data(n=60):
    X = np.random.default_rng(0).normal(size=(n, 5, 2))
    return X, (X[:, :, 0].sum(axis=1) > 0).astype(int)


def make_search(Search, directory):
    """Return a search of which one worker kills itself, at the fifth call or a little later, and leaves a file "killed"."""
    main, calls, killed = os.getpid(), directory / "calls", directory / "killed"

    def die_once(X):  # local, so that it is pickled by value: workers can't import this file
        import os
        import signal
        from contextlib import suppress

        if os.getpid() != main:
            with calls.open("ab") as file:
                file.write(b".")
            if calls.stat().st_size >= 5:
                with suppress(FileExistsError):
                    killed.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
        return X

    estimator = make_pipeline(FunctionTransformer(die_once), RNNClassifier(4, max_iter=2, random_state=0))
    grid = {"rnnclassifier__clip_norm": [0.1, 1.0], "rnnclassifier__alpha": [1e-4, 1e-1]}
    options = {"min_resources": 24, "random_state": 0} if Search is HalvingGridSearchCV else {}
    return Search(estimator, grid, cv=3, **options)


def assert_survived(title, Search, tmp_path):
    """Run the section with a search that loses a worker; the results must be those of one process."""
    X, y = make_data()
    search = make_search(Search, tmp_path)
    expected = make_search(Search, tmp_path).fit(X, y)
    assert not (tmp_path / "calls").exists()
    run(title, X=X, y=y, search=search)
    assert (tmp_path / "killed").exists()
    assert search.cv_results_["params"] == expected.cv_results_["params"]
    assert_array_equal(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert_array_equal(search.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("Search", [GridSearchCV, HalvingGridSearchCV])
def test_a_search_on_dask_survives_the_death_of_a_worker_with_the_same_results(Search, tmp_path):
    pytest.importorskip("distributed")
    assert_survived("Dask", Search, tmp_path)


@pytest.mark.parametrize("Search", [GridSearchCV, HalvingGridSearchCV])
def test_a_search_on_ray_survives_the_death_of_a_worker_with_the_same_results(Search, tmp_path):
    ray = pytest.importorskip("ray")
    try:
        assert_survived("Ray", Search, tmp_path)
    finally:
        ray.shutdown()


def test_a_fit_has_one_thread_of_its_own_in_a_cluster_whatever_n_jobs_says():
    """``effective_n_jobs`` of Dask's backend is the number of cores of the whole cluster."""
    distributed = pytest.importorskip("distributed")

    def has_threads(n_jobs):
        with threads(n_jobs) as submit:
            return submit is not None

    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None), joblib.parallel_config(backend="dask"):
        assert [has_threads(n_jobs) for n_jobs in (None, 2, -1)] == [False] * 3
        in_workers = joblib.Parallel()(
            joblib.delayed(lambda n_jobs: (os.getpid(), has_threads(n_jobs)))(n) for n in (None, 2, -1)
        )
    assert os.getpid() not in dict(in_workers)
    assert not any(dict(in_workers).values())


def test_incremental_over_chunks_is_partial_fit_over_a_memory_map(tmp_path, monkeypatch):
    pytest.importorskip("dask_ml")
    import dask.array as da

    X, y = make_data(2500)
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", X)
    np.save("y.npy", y)
    da.to_npy_stack("X_stack", da.from_array(X, chunks=(1000, -1, -1)))
    names = run("Larger than memory", **run("More than one machine"))
    by_hand = names["model"]
    names = run("dask-ml", **names)
    assert_array_equal(names["model"]._theta, by_hand._theta)
    assert by_hand.n_iter_ == 3
    assert_array_equal(names["labels"].compute(), by_hand.predict(X))
    assert_array_equal(names["labels_3d"].compute(), names["by_chunks"].predict(X))


LIMITED = """
import resource
import numpy as np
from skrnn import RNNClassifier

X = np.lib.format.open_memmap("X.npy", "w+", np.float32, (200_000, 20, 25))  # 400 MB, a sparse file
X[:, 0, 0] = np.tile([-1, 1], 100_000)
X.flush()
X, y = np.load("X.npy", mmap_mode="r"), np.tile([0, 1], 100_000)
model = RNNClassifier(4, batch_size=1000, random_state=0).partial_fit(X[:1000], y[:1000], classes=[0, 1])
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 100 * 2**20, -1))
try:
    np.array(X)
except MemoryError:
    print("too large")
for start in range(0, len(X), 10_000):
    model.partial_fit(X[start : start + 10_000], y[start : start + 10_000])
print(model.predict(X[-1000:]).shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts memory of one's own on Linux only")
def test_a_memory_map_may_be_larger_than_memory(tmp_path):
    """The process may have 100 MB more than it has, and the file takes 400."""
    script = tmp_path / "limited.py"
    script.write_text(LIMITED, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["too large", "(1000,)"], done.stderr
