"""Save over an older file, so that at every moment the whole of either the older or the newer one is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import BinaryIO

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when it is complete, and only then.

    ``joblib.dump(model, path)`` empties the file before it writes: if it fails or is killed, the older model is lost too. This
    writes a temporary file in the same folder, has the system bring it to the disk (``os.fsync``) and renames it
    (``os.replace``), which a reader sees as one step [1]_. For anything that writes to a file object, not only for models of
    this package.

    Parameters
    ----------
    path : str or path-like
        The file to make or to replace. Of a symbolic link, the file that it points to. An older file's permission bits are
        kept, but not its owner.

    Yields
    ------
    file : binary file object
        To be written to, and not to be closed. Leaving the ``with`` block replaces ``path``; an error within it, Ctrl-C
        included, removes the temporary file and leaves ``path`` as it was.

    Raises
    ------
    ValueError
        If ``path`` is a folder, a device or anything else that is not a file.
    OSError
        If the file can't be written or replaced: no room, no permission, no such folder; under Windows also while another
        process has ``path`` open or memory-mapped. ``path`` is as it was.

    Notes
    -----
    A process that is killed at once, or a machine that loses power, can leave a temporary file named ``.skrnn-*.tmp``, which
    may be deleted. Of several writers, the last one to leave its block wins. Who has the older file open or memory-mapped goes
    on reading that one.

    References
    ----------
    .. [1] IEEE Std 1003.1, "rename": the new name "shall remain visible to other threads throughout the renaming operation".

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import joblib
    >>> from skrnn import RNNClassifier
    >>> from skrnn.persistence import atomic_write
    >>> model = RNNClassifier(hidden_layer_sizes=4, max_iter=10, random_state=0).fit([[0.0, 1.0], [1.0, 0.0]], ["up", "down"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.joblib"
    ...     with atomic_write(path) as file:
    ...         _ = joblib.dump(model, file)
    ...     joblib.load(path).n_iter_
    10
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise ValueError(f"path must be a file to make or to replace, got {os.fspath(path)!r}, which is something else.")
    mode = S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".skrnn-{token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            if mode is not None:
                temporary.chmod(mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):  # it may never have been made
            temporary.unlink()
        raise
    with suppress(OSError):  # the newer file is there; some systems can't open a folder, or bring it to the disk
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a loss of power could bring the older name back
        finally:
            os.close(folder)
