"""Owns how this process treats memory: freed buffers, and objects that last. Never allocates.

A read from a socket is up to 256 KiB. By default glibc maps and unmaps blocks of that size, or
trims the heap behind them, so that every read faults in 64 pages anew: it cost more than the
copying. Figures: ``docs/adr/0008-hot-path.md``. Source: mallopt(3).
"""

import ctypes
import gc
import os

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD_BYTES = 4 * 1024 * 1024
TRIM_THRESHOLD_BYTES = 16 * 1024 * 1024
"""What may stay with the process at the end of its heap: far below the 64 MB it is given."""


COLLECT_EACH = (10_000, 20, 50)
"""Connections and requests leave no cycles behind; few other things do, and those may wait. With
Python's own (700, 10, 10) all that 9,000 connections hold is looked through again and again while
they come, at last for 34 ms."""


def keep_buffers() -> bool:
    """Have freed buffers stay with the process, ready for the next read.

    Returns:
        Whether the allocator took it; another one than glibc's does not know the call, and whoever
        has set ``MALLOC_…`` in the environment has decided already.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        and mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
    )


def spare_what_lasts() -> None:
    """Have the garbage collector leave out what is there now: modules, types, the configuration.

    They are a hundred thousand objects, looked through each time for nothing, while requests wait.
    And have it look more seldom.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_EACH)
