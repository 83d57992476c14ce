"""Owns the bytes that big bodies are made of: any length, the same every time, no block twice.

Never keeps a whole body in memory. Each block opens with its own number, so that a lost, repeated
or swapped block changes the SHA-256.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache

BLOCK_BYTES = 64 * 1024
_NUMBER_BYTES = 8
_FILLING = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(BLOCK_BYTES // 32))
_TAIL = _FILLING[_NUMBER_BYTES:]


def blocks(body_bytes: int) -> Iterator[bytes]:
    """A body of exactly ``body_bytes``, in pieces of at most ``BLOCK_BYTES``."""
    number, left = 0, body_bytes
    while left > 0:
        block = number.to_bytes(_NUMBER_BYTES, "big") + _TAIL
        yield block if left >= BLOCK_BYTES else block[:left]
        number, left = number + 1, left - BLOCK_BYTES


@lru_cache(maxsize=64)
def sha256_of(body_bytes: int) -> str:
    """The hexadecimal SHA-256 of the body of that length."""
    digest = hashlib.sha256()
    for block in blocks(body_bytes):
        digest.update(block)
    return digest.hexdigest()


class BodyReader:
    """The same body as a file to read from, with a length: clients send it with Content-Length."""

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._blocks = blocks(body_bytes)
        self._rest = b""

    def __len__(self) -> int:
        return self._body_bytes

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, all that is left if negative, empty at the end."""
        pieces, wanted = [self._rest], self._body_bytes if size < 0 else size
        have = len(self._rest)
        while have < wanted and (block := next(self._blocks, b"")):
            pieces.append(block)
            have += len(block)
        joined = b"".join(pieces)
        self._rest = joined[wanted:]
        return joined[:wanted]
