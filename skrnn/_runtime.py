"""Process-wide settings that are changed for a while and always given back: BLAS threads, Ctrl-C, and other threads."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import LokyBackend, MultiprocessingBackend, SequentialBackend, ThreadingBackend, get_active_backend
from threadpoolctl import ThreadpoolController

_LOCAL_BACKENDS = (LokyBackend, MultiprocessingBackend, SequentialBackend, ThreadingBackend)

_lock = threading.Lock()
#: what computes, and in which thread
_users: dict[object, int] = {}
_before: list[tuple[_Blas, int]] = []


class _Blas(NamedTuple):
    """Functions that get and set the number of threads of a BLAS library."""

    get_threads: Callable[[], int]
    set_threads: Callable[[int], object]


@functools.cache
def _libraries() -> tuple[list[_Blas], list[_Blas]]:
    """BLAS libraries whose number of threads belongs to the process, and those where each thread has its own."""
    shared, own = [], []
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        if getattr(library, "threading_layer", "") == "openmp":
            own.append(_Blas(library.get_num_threads, library.set_num_threads))
        elif library.internal_api == "openblas" and hasattr(library, "_get_symbol"):  # threadpoolctl 3.2
            # its methods look the functions up at every call, and those of 3.8 let only the first thread that ever asks set
            # the number, so fits in worker threads would be ignored; here, users are counted, so that any of them may
            shared.append(_Blas(*(library._get_symbol(f"openblas_{verb}_num_threads") for verb in ("get", "set"))))
        else:
            shared.append(_Blas(library.get_num_threads, library.set_num_threads))
    return shared, own


def _limit(libraries: list[_Blas], before: list[tuple[_Blas, int]]) -> None:
    """Set one thread where there are more; note in ``before`` what there was, for ``_restore``."""
    before[:] = [(library, n_threads) for library in libraries if (n_threads := library.get_threads()) != 1]
    for library, _ in before:
        library.set_threads(1)


def _restore(before: list[tuple[_Blas, int]]) -> None:
    """Set the threads of all libraries, also if Ctrl-C arrives meanwhile."""
    if before:
        library, n_threads = before[0]
        try:
            library.set_threads(n_threads)
        finally:
            _restore(before[1:])


@contextmanager
def computing() -> Iterator[None]:
    """One BLAS thread, for speed on small matrices and for the same bits under every setting; and no warnings of overflow.

    Nested and concurrent uses share one limit: the first sets it and the last restores what was there before. Overflow is
    looked for where it matters, in the loss and the norm of the gradient.
    """
    shared, own = _libraries()
    user, own_before = object(), list[tuple[_Blas, int]]()
    with np.errstate(all="ignore"):
        try:
            with _lock:
                if not _users:
                    _limit(shared, _before)
                _users[user] = threading.get_ident()
            _limit(own, own_before)
            yield
        finally:
            try:
                _restore(own_before)
            finally:
                with _lock:
                    _leave({user})


def _leave(users: set[object]) -> None:
    """Give back what there was before if nothing else computes."""
    try:
        if _users.keys() <= users:
            _restore(_before)
            _before.clear()
    finally:
        for user in users:
            _users.pop(user, None)


def _after_fork() -> None:
    """In a child, where only the thread that forked goes on, stop waiting for the others."""
    _leave({user for user, thread in _users.items() if thread != threading.get_ident()})
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)


@contextmanager
def threads(n_jobs: int | None) -> Iterator[Callable[..., Future[Any]] | None]:
    """Yield ``submit(function, *arguments)`` of ``n_jobs`` threads that end with the context, or None for a single job.

    They begin when there is something to do. BLAS has one thread there, too, and NumPy's warnings are off, as in ``computing``.
    """

    def initialize() -> None:
        _limit(_libraries()[1], [])
        np.seterr(all="ignore")

    backend = get_active_backend()[0]
    # in a worker of joblib or of a multiprocessing.Pool, whose others use the cores
    is_worker = getattr(backend, "nesting_level", None) or multiprocessing.current_process().daemon
    is_local = type(backend) in _LOCAL_BACKENDS  # others, such as dask's, count the cores of a cluster
    n_threads = effective_n_jobs(n_jobs) if is_local and not is_worker else 1
    if n_threads == 1:
        yield None
        return
    with ThreadPoolExecutor(n_threads, "skrnn", initialize) as executor:

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            future: Future[Any] = Future()
            begun = threading.Lock()

            def run() -> None:
                if begun.acquire(blocking=False):
                    try:
                        future.set_result(function(*arguments))
                    except BaseException as error:
                        future.set_exception(error)

            try:
                executor.submit(run)
            except RuntimeError:  # no thread can begin, but one that has may still come to it
                run()
            return future

        try:
            yield submit
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


class deferred_interrupt:
    """Note Ctrl-C instead of raising KeyboardInterrupt, so that no update is torn; yield a function that tells of it.

    A second Ctrl-C is raised at once, and one that nobody was told of at the end. Nothing is changed outside the main thread,
    where Python delivers no signals, and where Ctrl-C is ignored or has a handler of the user's own.
    """

    def __enter__(self) -> Callable[[], bool]:
        self._received = self._told = False
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._takes_part = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._takes_part:
            signal.signal(signal.SIGINT, self._note)
        return self._tell

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self._takes_part:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._received and not self._told and kind is None:
                raise KeyboardInterrupt

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        if self._received:
            self._told = True
            signal.signal(signal.SIGINT, signal.default_int_handler)  # here, since wherever this is raised may be the end
            raise KeyboardInterrupt
        self._received = True

    def _tell(self) -> bool:
        self._told |= self._received
        return self._received
