"""Owns the use cases that change the configuration: check, append, publish, in that order.

Never speaks HTTP and never names a database. Every change, by whomever, comes through here.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from controlplane.changes import checked, tables_after, with_weights
from controlplane.model import Draft, Revision
from controlplane.store.base import Store
from proxy.model.config import Traffic


class Operations:
    """What can be done to the configuration."""

    def __init__(
        self, store: Store, publish: Callable[[Revision], None], wall: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._publish = publish
        self._wall = wall

    async def replace_traffic(
        self, traffic: Traffic, author: str, reason: str, expected: frozenset[int] | None
    ) -> Revision:
        """Puts a whole new traffic in force; the same one again makes no revision.

        Raises: ConfigError, StaleRevisionError, StoreError.
        """
        good = checked(traffic)
        return await self._change(lambda _: good, author, reason, expected)

    async def set_weights(
        self,
        service: str,
        weights: Mapping[str, int],
        author: str,
        reason: str,
        expected: frozenset[int] | None,
    ) -> Revision:
        """Replaces one service's weights whole; the same ones again make no revision.

        Raises: UnknownServiceError, ConfigError, StaleRevisionError, StoreError.
        """
        return await self._change(
            lambda newest: with_weights(newest.traffic, service, weights), author, reason, expected
        )

    async def _change(
        self,
        change: Callable[[Revision], Traffic],
        author: str,
        reason: str,
        expected: frozenset[int] | None,
    ) -> Revision:
        at = self._wall()

        def decide(newest: Revision) -> Draft | None:
            traffic = change(newest)
            if newest.number and traffic == newest.traffic:
                return None
            return Draft(traffic, tables_after(newest, traffic), author, reason, at)

        revision = await self._store.append(decide, expected)
        self._publish(revision)  # an unchanged revision is ignored there
        return revision
