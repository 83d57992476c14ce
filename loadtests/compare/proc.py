"""Owns what the kernel says of a process and of all its descendants: CPU time and memory.

Never starts or ends one. Source: proc_pid_stat(5), proc_pid_smaps(5); PSS counts a page that
n processes share as 1/n of a page in each, so that a master and its workers add up.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
_UTIME, _STIME, _RSS = 11, 12, 21  # counted from the field behind the name, which may hold anything


def family(pid: int, proc: Path = PROC) -> list[int]:
    """The process and its living descendants."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for children in sorted((proc / str(current) / "task").glob("*/children")):
            waiting += map(int, _read(children).split())
    return found


def cpu_us(pid: int, proc: Path = PROC) -> float:
    """Microseconds of CPU, user and system, that the process and its descendants have used."""
    ticks = sum(int(fields[_UTIME]) + int(fields[_STIME]) for fields in _stats(pid, proc))
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid: int, proc: Path = PROC) -> int:
    """Proportional memory of the process and its descendants."""
    texts = (_read(proc / str(member) / "smaps_rollup") for member in family(pid, proc))
    return sum(1024 * int(kib) for text in texts for kib in _PSS.findall(text))


def rss_bytes(pid: int, proc: Path = PROC) -> int:
    """Resident memory of the process and its descendants, what they share counted for each.

    For what grows: the kernel has this figure at hand, while to add up PSS it goes through every
    page and keeps a process of some hundred MB waiting.
    """
    pages = sum(int(fields[_RSS]) for fields in _stats(pid, proc))
    return pages * os.sysconf("SC_PAGE_SIZE")


def _stats(pid: int, proc: Path) -> Iterator[list[str]]:
    for member in family(pid, proc):
        fields = _read(proc / str(member) / "stat").rpartition(")")[2].split()
        if fields:
            yield fields


def _read(path: Path) -> str:
    """A process may be gone between two looks: nothing is said of it then."""
    try:
        return path.read_text()
    except OSError:
        return ""
