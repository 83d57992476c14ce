"""Owns reading raw HTTP off a connection piece by piece, for both sides. Never judges it."""

from abc import ABC, abstractmethod


class RawReader(ABC):
    """Keeps what was read and not asked for yet."""

    def __init__(self) -> None:
        self._kept = b""

    @abstractmethod
    async def more(self) -> bytes:
        """Some more bytes; raises when none come."""

    async def head(self) -> bytes:
        """The next head, with its empty line; what is behind it stays."""
        return await self.until(b"\r\n\r\n")

    async def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        while len(self._kept) < size:
            self._kept += await self.more()
        data, self._kept = self._kept[:size], self._kept[size:]
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with ``mark``."""
        while mark not in self._kept:
            self._kept += await self.more()
        data, _, self._kept = self._kept.partition(mark)
        return data + mark
