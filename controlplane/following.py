"""Owns hearing of revisions that other control planes on the same database made. Never makes one.

What the database tells at each commit is the quick way; asking for the newest number every two
seconds is the safety net, for as long as nothing is told (a connection that was lost, a pooler
between). Both end in the same question, so it does not matter which came.
"""

import asyncio
import logging
from collections.abc import Callable

from controlplane.model import Revision
from controlplane.store.base import Store, StoreError
from controlplane.store.database import Database

_log = logging.getLogger(__name__)

POLL_S = 2.0
_AGAIN_S = 1.0
"""Between two tries to listen."""


class Follower:
    """Publishes what is newer in the store than what is known here.

    Args:
        told: called whenever somebody may have changed something, revisions or not.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        known: Callable[[], int],
        publish: Callable[[Revision], None],
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._store = store
        self._known = known
        self._publish = publish
        self._tell = told
        self._told = asyncio.Event()
        self._one_question = asyncio.Lock()

    async def run(self) -> None:
        """Follows until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="listening to the store")
            tasks.create_task(self._ask(), name="asking the store")

    async def catch_up(self, revision: int) -> None:
        """Learns of ``revision`` if it is in the store and not known yet.

        Raises: StoreError.
        """
        # Many proxies of a control plane that died come at once: one question serves them all.
        async with self._one_question:
            if self._known() < revision and await self._store.newest_number() > self._known():
                self._publish(await self._store.newest())

    async def _listen(self) -> None:
        while True:
            try:
                await self._database.listen(self._hear)
            except StoreError as error:
                _log.warning("changes of other control planes are asked for, not heard: %s", error)
            await asyncio.sleep(_AGAIN_S)

    def _hear(self) -> None:
        self._told.set()
        self._tell()

    async def _ask(self) -> None:
        fails = False
        while True:
            try:
                await self.catch_up(self._known() + 1)
            except StoreError as error:
                if not fails:
                    _log.warning("the newest revision is not known: %s", error)
                fails = True
            else:
                fails = False
            await self._until_told()

    async def _until_told(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._told.wait()
        except TimeoutError:
            return
        self._told.clear()
