"""Memory, as the benchmarks measure it: by how much a process of its own has grown at most."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

MIB = 2**20


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, run in a new process, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()


def peak() -> float:
    """Peak resident memory of this process so far, in MiB; from the system's own account where it has one."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / MIB if sys.platform == "darwin" else usage / 1024
