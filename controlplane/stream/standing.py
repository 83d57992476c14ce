"""Owns which streams stay open: those whose callers still stand by what they proved. Never judges
that itself.

A stream outlives the request it began with by weeks. So each caller is asked about every second,
and the streams of one who no longer stands are closed; one that does not answer the close is cut.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from controlplane.access.book import Admitted

ENDED = 4401
"""The close code, of those that RFC 6455 §7.4.2 leaves to applications."""
SWEEP_S = 1.0
_CUT_S = 1.0
"""With the two seconds after which every control plane knows: less than the five promised."""
WHY = "the token is revoked, replaced or expired"


class Guarded(Protocol):
    """The way to one proxy."""

    def goodbye(self, code: int, reason: str) -> None:
        """Begin to close the connection."""

    def cut(self) -> None:
        """End the connection, if it has not ended."""


class Standing:
    """Closes the streams of those who may no longer be there."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._open: dict[Admitted, set[Guarded]] = {}
        """Thousands of proxies may have one token: it is asked about once."""

    def stands(self, admitted: Admitted) -> bool:
        """Whether a stream of theirs may begin."""
        return admitted.holds(self._wall())

    def join(self, admitted: Admitted, stream: Guarded) -> None:
        """A stream is open."""
        self._open.setdefault(admitted, set()).add(stream)

    def leave(self, admitted: Admitted, stream: Guarded) -> None:
        """It is closed."""
        streams = self._open.get(admitted, set())
        streams.discard(stream)
        if not streams:
            self._open.pop(admitted, None)

    def sweep(self) -> None:
        """Closes what must be closed."""
        now = self._wall()
        for admitted in [each for each in self._open if not each.holds(now)]:
            for stream in self._open.pop(admitted):
                stream.goodbye(ENDED, WHY)
                asyncio.get_running_loop().call_later(_CUT_S, stream.cut)

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()
