"""Owns ending a write whole though whoever asked for it is told to stop. Never begins one.

Cancelled in the middle of a transaction, the driver of SQLite gives the database back late: the
next writer, such as the last one before the end, would wait for its lock in vain.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

WAIT_S = 5.0


async def uncut(writing: Coroutine[Any, Any, _T]) -> _T:
    """What the write gives. Cancelled, it ends the write first, for ``WAIT_S`` at most."""
    task = asyncio.create_task(writing, name="a write to the store")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=WAIT_S)
        if task.done() and not task.cancelled() and (error := task.exception()):
            _log.warning("a write that was under way at the end failed: %s", error)
        raise
