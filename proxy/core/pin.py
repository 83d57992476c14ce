"""Owns pins: signed cookies that hold the version a user was given. Never decides what one is worth
(``router`` does).

A pin says: this user of this service was given this version in this epoch, at this time. Whoever
has no key can neither make one nor change one, and a rollback makes all of an epoch worthless.
Source: HMAC (RFC 2104) with SHA-256, its first 128 bits.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple

_MAC_CHARS: Final = 22
"""128 bits in base64url."""
_KNOWN: Final = 4_096
"""Pins whose signature is remembered to be good."""
_MOST_BYTES: Final = 256


class Pin(NamedTuple):
    """What a pin says."""

    version: str
    epoch: int
    issued_s: int
    """Unix time."""
    first_key: bool = True
    """Signed with the key that new ones are signed with."""


class PinKeys:
    """Signs and reads the pins of one service.

    Args:
        service: its name, so that no pin is good for another.
        keys: the first signs, each is believed: to rotate, put the new one in front, and take the
            old one away once its pins are gone.
    """

    __slots__ = ("_good", "_keys", "_service")

    def __init__(self, service: str, keys: Sequence[str]) -> None:
        self._service = service.encode()
        self._keys = [key.encode(errors="surrogateescape") for key in keys]
        self._good: dict[bytes, Pin] = {}

    def sign(self, pin: Pin) -> str:
        """The cookie's value."""
        said = f"{pin.version}~{pin.epoch}~{pin.issued_s}"
        return f"{said}~{self._mac(self._keys[0], said.encode())}"

    def read(self, value: bytes) -> Pin | None:
        """What a cookie says; None when it is not ours, whatever is wrong with it."""
        pin = self._good.get(value)
        if pin is not None:
            return pin
        if len(value) > _MOST_BYTES or value.count(b"~") != 3:
            return None
        said, _, mac = value.rpartition(b"~")
        good = [hmac.compare_digest(self._mac(key, said).encode(), mac) for key in self._keys]
        if not any(good):
            return None
        version, epoch, issued = said.decode("ascii").split("~")
        pin = Pin(version, int(epoch), int(issued), good[0])
        if len(self._good) >= _KNOWN:
            self._good.clear()
        self._good[value] = pin
        return pin

    def _mac(self, key: bytes, said: bytes) -> str:
        digest = hmac.digest(key, self._service + b"\0" + said, "sha256")
        return urlsafe_b64encode(digest).decode()[:_MAC_CHARS]
