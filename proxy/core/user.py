"""Owns which user a request is of, for those who count users. Never decides anything by it.

A user is whoever has one sticky key; without a key a request is nobody's. Users with a pin are
known by the key that they would have been split by.

Source: RFC 7693 (BLAKE2), for a hash that clients cannot steer.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from proxy.core.forwarded import TrustedProxies
from proxy.core.message import HeadView
from proxy.core.sticky import compile_sticky, generated_cookies
from proxy.model.config import Sticky

FindUser = Callable[[HeadView, str, tuple[bytes, ...]], int]
"""(head, peer, Set-Cookie values of the answer) → the user; 0 where there is none."""
NOBODY: Final = 0
_NO_ID: Final = ""
_BYTES: Final = 8


def user_of(key: bytes, secret: bytes = b"") -> int:
    """The hash by which a user is known: unsigned 64 bits, the same in every service and on every
    proxy of one control plane, and independent of the slot.

    Args:
        key: the sticky key.
        secret: what clients do not know, up to 64 bytes. Who knew it could make up keys whose
            hashes are small, and with a few hundred of them drive everybody else out of the
            samples (``proxy.model.users``).
    """
    return int.from_bytes(blake2b(key, digest_size=_BYTES, key=secret).digest(), "big")


def compile_user(sticky: Sticky, trusted: TrustedProxies, secret: bytes = b"") -> FindUser | None:
    """Finds users; None where requests have no keys.

    Args:
        secret: as in ``user_of``.
    """
    if not sticky.key:
        return None
    find_key = compile_sticky(sticky, trusted, lambda: _NO_ID)
    made = tuple(f"{cookie}=".encode() for cookie in generated_cookies(sticky))

    def find(head: HeadView, peer: str, set_cookies: tuple[bytes, ...]) -> int:
        key = find_key(head, peer)
        if key is None:
            return NOBODY
        if key.value:
            return user_of(key.value, secret)
        # The id that this very answer gives them.
        for cookie in set_cookies:
            for prefix in made:
                if cookie.startswith(prefix):
                    return user_of(cookie[len(prefix) :].partition(b";")[0], secret)
        return NOBODY

    return find
