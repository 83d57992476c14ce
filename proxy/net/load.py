"""Owns what clients use of this process, and whether more is let in. Never answers anyone.

Connections, bytes that wait unread, and memory each have a limit; beyond it work is shed with 503
and ``Retry-After`` before it costs anything (Envoy's overload manager does so in stages).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.model.config import Limits

RETRY_AFTER_S: Final = 1
"""What a shed client is told: most overloads are bursts."""
RESERVED_FILES: Final = 64
"""Descriptors for what is no connection of a client: listeners, logs, the admin port, the link."""
RECOVERED: Final = 0.95
"""Of the memory's limit: below it requests are let in again."""


class Load:
    """What is in use now. Whoever uses or gives back changes the figures directly.

    Args:
        open_files: the process's limit of descriptors.
        memory: the configured limit, or 0 → (bytes in use, the limit for them or 0).

    Attributes:
        held_bytes: unfinished heads, and requests that wait, over all connections.
        most_connections, most_held_bytes: the limits.
        is_over_memory: requests are shed.
        shed: how often, by reason.
    """

    __slots__ = (
        "_memory", "_memory_bytes", "_open_files", "held_bytes", "is_over_memory",
        "most_connections", "most_held_bytes", "shed",
    )  # fmt: skip

    def __init__(self, open_files: int, memory: Callable[[int], tuple[int, int]]) -> None:
        self._open_files = open_files
        self._memory = memory
        self._memory_bytes = 0
        self.held_bytes = 0
        self.most_connections = 0
        self.most_held_bytes = 0
        self.is_over_memory = False
        self.shed = {"connections": 0, "held_bytes": 0, "memory": 0, "rate_limit": 0}

    def limit(self, limits: Limits) -> None:
        """Hold to these limits from now on."""
        # Each of them may need a connection to an endpoint as well, but hardly all at once.
        most = max(16, (self._open_files - RESERVED_FILES) * 2 // 3)
        self.most_connections = min(limits.connections or most, most)
        self.most_held_bytes = limits.held_bytes
        self._memory_bytes = limits.memory_bytes
        self.look()

    def look(self) -> None:
        """Read the memory in use; to be called now and then."""
        used, limit = self._memory(self._memory_bytes)
        if not limit:
            self.is_over_memory = False
        elif used > limit:
            self.is_over_memory = True
        elif used < limit * RECOVERED:
            self.is_over_memory = False
