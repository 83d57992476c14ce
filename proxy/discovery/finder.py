"""Owns what every way of finding endpoints has in common."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from proxy.model.config import Endpoint

Found = Callable[[tuple[Endpoint, ...]], None]
"""Takes the endpoints that there are now: all of them, in any order."""
Failed = Callable[[str], None]
"""Takes in words what went wrong; what was found last stays."""
Wait = Callable[[float], Awaitable[None]]
"""How time passes; ``asyncio.sleep``."""


class Finder(Protocol):
    """One source."""

    async def run(self, found: Found, failed: Failed) -> None:
        """Look, and look again, until cancelled. Calls ``found`` or ``failed`` soon, and then at
        each change; may call them though nothing has changed."""
