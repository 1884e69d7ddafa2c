"""Process-wide settings that are changed for a while and always given back: BLAS threads, Ctrl-C, and a second thread."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_before: list[int] = []


@functools.cache
def _libraries() -> tuple[list[Any], list[Any]]:
    """BLAS libraries whose number of threads belongs to the process, and those where each thread has its own."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    own = [library for library in libraries if getattr(library, "threading_layer", "") == "openmp"]
    return [library for library in libraries if library not in own], own


def _set_threads(library: Any, n_threads: int) -> None:
    # threadpoolctl 3.8 lets only the first thread that ever asks set OpenBLAS, so fits in worker threads would be ignored;
    # here, users are counted, so that any of them may
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n_threads)


def _restore(libraries: list[tuple[Any, int]]) -> None:
    """Set the threads of all libraries, also if Ctrl-C arrives meanwhile."""
    if libraries:
        try:
            _set_threads(*libraries[0])
        finally:
            _restore(libraries[1:])


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS run on one thread, for speed on small matrices and for the same bits under every setting.

    Nested and concurrent uses share one limit: the first sets it and the last restores what was there before.
    """
    global _users
    shared, own = _libraries()
    own_before = [library.get_num_threads() for library in own]
    with _lock:
        if _users == 0:
            _before[:] = [library.get_num_threads() for library in shared]
            for library in shared:
                _set_threads(library, 1)
        _users += 1
    for library in own:
        _set_threads(library, 1)
    try:
        yield
    finally:
        for library, n_threads in zip(own, own_before, strict=True):
            _set_threads(library, n_threads)
        with _lock:
            _users -= 1
            if _users == 0:
                _restore(list(zip(shared, _before, strict=True)))


@contextmanager
def second_thread(n_jobs: int | None) -> Iterator[Callable[..., Future[Any]] | None]:
    """Yield ``submit(function, *arguments)`` of a thread that ends with the context, or None if ``n_jobs`` allows but one.

    The thread begins with the first function that it is given. BLAS has one thread there, too.
    """

    def limit() -> None:
        for library in _libraries()[1]:
            _set_threads(library, 1)

    if effective_n_jobs(n_jobs) == 1:
        yield None
        return
    with ThreadPoolExecutor(1, initializer=limit) as executor:
        last: Future[Any] = Future()
        last.set_result(None)

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            nonlocal last
            try:
                last = executor.submit(function, *arguments)
            except RuntimeError:  # no thread can begin, for instance because the interpreter is about to end
                last.result()
                last = Future()
                last.set_result(function(*arguments))
            return last

        yield submit


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C instead of raising KeyboardInterrupt, so that no update is torn; yield a function that tells of it.

    A second Ctrl-C is raised. Nothing is changed outside the main thread, where Python delivers no signals, and where Ctrl-C
    is ignored or has a handler of the user's own.
    """
    received: list[int] = []
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield lambda: False
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signum)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, previous)
