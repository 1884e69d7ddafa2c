"""At every moment the whole of either the older or the newer file is there, whatever stops the writing."""

import errno
import gzip
import os
import pickle
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrnn import RNNRegressor
from skrnn.persistence import atomic_write

X = np.random.default_rng(0).normal(size=(20, 5, 3))
OLDER, NEWER = (
    RNNRegressor(hidden_layer_sizes=size, max_iter=2, random_state=0).fit(X, X.sum(axis=(1, 2))) for size in (5, 20)
)
posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX systems")


def by_skops(model, file):
    pytest.importorskip("skops.io").dump(model, file)


def load_skops(path):
    return pytest.importorskip("skops.io").load(path, trusted=["skrnn._regressor.RNNRegressor"])


WAYS = {
    "pickle": (pickle.dump, lambda path: pickle.loads(path.read_bytes())),
    "cloudpickle": (cloudpickle.dump, lambda path: pickle.loads(path.read_bytes())),
    "joblib": (joblib.dump, joblib.load),
    "memory map": (joblib.dump, lambda path: joblib.load(path, mmap_mode="r")),
    "compressed": (lambda model, file: joblib.dump(model, file, compress=3), joblib.load),
    "skops": (by_skops, load_skops),
}
each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def path(tmp_path):
    """Return where the older model is, alone in its folder."""
    joblib.dump(OLDER, tmp_path / "model")
    return tmp_path / "model"


def assert_only(path, model):
    """Is this model at ``path``, and nothing else in the folder?"""
    assert_array_equal(joblib.load(path).predict(X), model.predict(X))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@each_way
@pytest.mark.parametrize("there", [False, True])
def test_everything_that_writes_to_a_file_can_write_to_it(way, there, tmp_path):
    dump, load = WAYS[way]
    path = tmp_path / "model"
    if there:
        path.write_bytes(b"older")
    with atomic_write(path) as file:
        dump(NEWER, file)
        assert path.exists() == there
    assert_array_equal(load(path).predict(X), NEWER.predict(X))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_error_leaves_the_older_file_alone(error, path):
    def write():
        with atomic_write(path) as file:
            file.write(b"something")
            raise error

    with pytest.raises(error):
        write()
    assert_only(path, OLDER)


def test_what_cannot_be_pickled_leaves_the_older_file_alone(path):
    model = RNNRegressor(random_state=(each for each in ()))
    with pytest.raises(TypeError, match="pickle"), atomic_write(path) as file:
        joblib.dump(model, file)
    assert_only(path, OLDER)


@contextmanager
def full_disk(size):
    """Let files grow to ``size`` bytes only, and then fail as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
@each_way
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_full_disk_leaves_the_older_file_alone(way, share, path):
    dump, _ = WAYS[way]
    with (path.parent / "enough").open("w+b") as file:
        dump(NEWER, file)
        size = file.seek(0, os.SEEK_END)
    (path.parent / "enough").unlink()

    def write():
        with full_disk(int(share * size)), atomic_write(path) as file:
            dump(NEWER, file)

    with pytest.raises(OSError, match="File too large"):
        write()
    assert_only(path, OLDER)


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_after_writing_leaves_the_older_file_alone(where, path, monkeypatch):
    def fail(*_):
        raise PermissionError

    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), fail)
    with pytest.raises(PermissionError), atomic_write(path) as file:
        joblib.dump(NEWER, file)
    monkeypatch.undo()
    assert_only(path, OLDER)


@posix
def test_a_folder_that_cannot_be_brought_to_the_disk_is_no_failure(path, monkeypatch):
    fsync = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    with atomic_write(path) as file:
        joblib.dump(NEWER, file)
    monkeypatch.undo()
    assert_only(path, NEWER)


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(path):
    path.parent.chmod(0o500)
    with pytest.raises(PermissionError), atomic_write(path) as file:
        joblib.dump(NEWER, file)
    path.parent.chmod(0o700)
    assert_only(path, OLDER)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "missing" / "model"):
        pass


@pytest.mark.parametrize("where", [".", pytest.param(os.devnull, marks=posix)])
def test_a_folder_or_a_device_is_refused(where, tmp_path):
    with pytest.raises(ValueError, match="path must be a file to make or to replace"), atomic_write(tmp_path / where):
        pass
    assert not list(tmp_path.iterdir())


@posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o400])
def test_the_permissions_of_the_older_file_are_kept(mode, path):
    path.chmod(mode)
    with atomic_write(path) as file:
        joblib.dump(NEWER, file)
    assert path.stat().st_mode & 0o777 == mode


@posix
def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    with atomic_write(tmp_path / "model"):
        pass
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "other").stat().st_mode


@posix
def test_a_symbolic_link_stays_one(path, tmp_path):
    link = tmp_path / "folder" / "link"
    link.parent.mkdir()
    link.symlink_to(path)
    with atomic_write(link) as file:
        joblib.dump(NEWER, file)
    assert link.is_symlink()
    assert not path.is_symlink()
    assert_array_equal(joblib.load(path).predict(X), NEWER.predict(X))


@posix
def test_a_memory_mapped_model_can_be_saved_where_it_came_from(path):
    mapped = joblib.load(path, mmap_mode="r")
    with atomic_write(path) as file:
        joblib.dump(mapped, file)  # joblib.dump(mapped, path) would empty the file that it reads from
    assert_array_equal(mapped.predict(X), OLDER.predict(X))
    assert_only(path, OLDER)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_that_write_to_the_file(kind, path):
    with atomic_write(kind(path)) as file, gzip.GzipFile(fileobj=file, mode="wb") as compressed:
        pickle.dump(NEWER, compressed)
    assert_array_equal(pickle.loads(gzip.decompress(path.read_bytes())).predict(X), NEWER.predict(X))


@posix
def test_several_writers_and_a_reader(path):
    def write(model):
        for _ in range(10):
            with atomic_write(path) as file:
                joblib.dump(model, file)

    threads = [threading.Thread(target=write, args=[model]) for model in (OLDER, NEWER, OLDER, NEWER)]
    for thread in threads:
        thread.start()
    whole = [model.predict(X).tolist() for model in (OLDER, NEWER)]
    while any(thread.is_alive() for thread in threads):
        assert joblib.load(path).predict(X).tolist() in whole
    for thread in threads:
        thread.join()
    assert_only(path, OLDER if joblib.load(path).hidden_layer_sizes == 5 else NEWER)


@posix
def test_writers_that_are_killed():
    script = Path(__file__).with_name("_killed.py")
    answer = subprocess.run([sys.executable, script, "25"], capture_output=True, check=True, text=True).stdout
    killed, within_a_write, lost = map(int, answer.split())
    assert killed == 25
    assert within_a_write > 0
    assert lost == 0
