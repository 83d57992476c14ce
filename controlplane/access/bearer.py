"""Owns the text of a token, ``sw_<id>_<secret>``, and what is kept of its secret. Never logs one.

The secret is 256 random bits, so that nobody can try them all, whatever one check costs. It is kept
as salted scrypt nevertheless, at the least cost that the word deserves: after a restart thousands
of proxies come back at once. Sources: RFC 6750 §2.1 (what can stand in an Authorization header),
RFC 7914 (scrypt).
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

PREFIX = "sw_"
_ID_BYTES, _SECRET_BYTES, _SALT_BYTES, _KEY_BYTES = 6, 32, 16, 32
_FORM = re.compile(r"sw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_COST, _BLOCK, _PARALLEL = 2**9, 8, 1
"""0.8 ms and 512 KiB a check. They stand in what is kept, so that others may come."""


class Bearer(NamedTuple):
    """A token in its parts."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """As it is sent."""
        return f"{PREFIX}{self.id}_{self.secret}"


def new_bearer(ident: str = "") -> Bearer:
    """A token that nobody has, or a new secret for the one of that id."""
    ident = ident or secrets.token_hex(_ID_BYTES)
    return Bearer(ident, secrets.token_urlsafe(_SECRET_BYTES))


def read_bearer(text: str) -> Bearer | None:
    """The parts of a token; ``None`` when it has not the form of one."""
    found = _FORM.fullmatch(text)
    return Bearer(found[1], found[2]) if found else None


def keep(secret: str) -> str:
    """What is kept of a secret: ``scrypt:n:r:p:salt:key``. Takes about a millisecond."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _key(secret, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt:{_COST}:{_BLOCK}:{_PARALLEL}:{salt.hex()}:{key.hex()}"


def fits(secret: str, kept: str) -> bool:
    """Whether that was kept of this secret. Takes about a millisecond."""
    _, cost, block, parallel, salt, key = kept.split(":")
    found = _key(secret, bytes.fromhex(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, bytes.fromhex(key))


def _key(secret: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    plain = secret.encode("ascii")
    return hashlib.scrypt(plain, salt=salt, n=cost, r=block, p=parallel, dklen=_KEY_BYTES)
