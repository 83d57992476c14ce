"""Owns what the system allows this process: open files, memory. Never enforces anything.

Memory counts for the whole container, as its limit does: what all its processes use, without file
pages that the kernel gives up first (what the kubelet calls the working set).
"""

import os
import resource
from collections.abc import Callable
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
SAFE = 0.9
"""Of the container's limit: beyond the whole of it the kernel kills."""
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes a number near 2⁶³ where there is no limit."""


def raise_open_files() -> int:
    """Use the whole of what is allowed. Returns the limit of descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def memory_reader(cgroup: Path = CGROUP) -> Callable[[int], tuple[int, int]]:
    """A function: a limit in bytes for this process → (bytes in use, the limit for them).

    For 0 it is the container's use and limit; a limit of 0 says that there is none.
    """
    container = _container_reader(cgroup)
    return lambda own: (_resident(), own) if own else container()


def _container_reader(cgroup: Path) -> Callable[[], tuple[int, int]]:
    for limit, used, stat, key in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        bound = _number(cgroup / limit)
        if 0 < bound < _NO_LIMIT_BYTES:
            allowed = int(bound * SAFE)
            current, details = cgroup / used, cgroup / stat
            return lambda: (_number(current) - _entry(details, key), allowed)
    return lambda: (0, 0)


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" too
        return 0


def _entry(path: Path, key: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)
