"""Owns how long figures of reports are kept. Never counts any.

Runs on one control plane at a time, though to delete twice does no harm.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from controlplane.rollup import LEVELS
from controlplane.screening import REMEMBERED_S
from controlplane.store.base import Store, StoreError
from controlplane.store.uncut import uncut

_log = logging.getLogger(__name__)

KEPT: Final[dict[str, timedelta]] = {
    "10s": timedelta(hours=6),
    "1m": timedelta(days=7),
    "1h": timedelta(days=400),
}
"""By level, unless the command line says otherwise."""
EVERY_S = 60.0


class Retention:
    """Deletes what is too old.

    Args:
        leads: whether this control plane is the one that does.
    """

    def __init__(
        self,
        store: Store,
        leads: Callable[[], bool],
        wall: Callable[[], datetime],
        kept: Mapping[str, timedelta],
    ) -> None:
        self._store = store
        self._leads = leads
        self._wall = wall
        self._kept = kept

    async def run(self) -> None:
        """Deletes for ever, while this control plane leads."""
        while True:
            await asyncio.sleep(EVERY_S)
            if not self._leads():
                continue
            try:
                await uncut(self.forget())
            except StoreError as error:
                _log.warning("figures that are too old are still there: %s", error)

    async def forget(self) -> None:
        """Deletes what is too old now.

        Raises: StoreError.
        """
        now = self._wall()
        before = {
            LEVELS[level]: int((now - kept).timestamp()) for level, kept in self._kept.items()
        }
        async with self._store.writing() as unit:
            await unit.forget_figures(before)
            await unit.forget_seen_reports(now - timedelta(seconds=REMEMBERED_S))
