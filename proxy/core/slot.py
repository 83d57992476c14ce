"""Owns the hash, and with it which slot a sticky key has. Knows no versions.

Apart from ``core/split`` because every request comes here: this module is compiled.

Source: product.md "Splitting: exact semantics".
"""

from typing import Final

import mmh3

SLOTS: Final = 10_000
"""A share is exact to 0.01 %."""

hash32: Final = mmh3.mmh3_32_uintdigest
"""(bytes, seed) → unsigned 32 bits."""


def seed_of(salt: str) -> int:
    """The hash seed of a service's salt: unsigned 32 bits."""
    return hash32(salt.encode(), 0)


def slot_of(key: bytes, seed: int) -> int:
    """The slot of a sticky key, 0–9,999.

    Args:
        key: what identifies the user, of any length.
        seed: ``seed_of(salt)`` of the service.

    The product and shift spread 32 bits over the slots without a division.
    """
    return (hash32(key, seed) * SLOTS) >> 32
