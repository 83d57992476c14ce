"""Owns what the proxy refuses or ends though the grammar allows it. Each entry has its reason.

Whatever is served that is not valid, or refused that is valid and not named here, is a bug.
"""

from proxy.http1.request import METHODS
from tests.support.oracle import Message

MAX_FIELDS = 128
MAX_TARGET_BYTES = 8_192

NONE: frozenset[int] = frozenset()


def refusals(message: Message) -> frozenset[int]:
    """The statuses that a valid request may be refused with; none for what must be served."""
    target, found = message.target, set()
    if message.method not in METHODS:
        found.add(501)  # methods outside IANA's registry, and CONNECT: no tunnels for clients
        if message.method == b"CONNECT":
            found.add(400)
    if b"%00" in target:
        found.add(400)  # NUL ends a path for programs in C
    if "other scheme" in message.loose:
        found.add(400)  # nothing but http is spoken
    if "fragment" in message.loose:
        found.add(400)  # an absolute URI has none (RFC 3986 §4.3)
    if "authority" in message.loose:
        found.add(400)  # ports beyond five digits, IPvFuture, addresses that are none
    if "long Content-Length" in message.loose:
        found.add(400)  # above 2 to the 63, or as many zeros
    if "long chunk size" in message.loose:
        found.add(400)  # above 2 to the 60
    if len(target) > MAX_TARGET_BYTES:
        found.add(414)
    if len(message.fields) > MAX_FIELDS:
        found.add(431)
    return frozenset(found)


def is_upgrade(message: Message) -> bool:
    """Bytes behind it are the other protocol's: they are held, and dropped without a 101."""
    return bool(message.values(b"upgrade")) and b"upgrade" in message.members(b"connection")
