"""Owns the token that is given by file or environment: where it comes from and how it is compared.
Never logs it, and never makes one (``controlplane.issuing`` does).

Only its SHA-256 is kept in memory, and digests are compared in constant time.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from controlplane.access.bearer import PREFIX
from controlplane.access.book import Admitted
from controlplane.access.caller import Caller, Role

ENVIRONMENT = "SPLITWAY_TOKEN"
GIVEN = "admin"
"""What the audit log calls who has it."""
MIN_CHARS = 20
"""Of the administrator's."""
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750 §2.1: what can stand in an Authorization header."""


BEYOND_LOOPBACK = (
    "beyond loopback there must be a token: use --token-file FILE or SPLITWAY_TOKEN, or make one "
    "on the store: splitway-control tokens create --role admin --name NAME"
)


class TokenError(Exception):
    """A token that cannot be used."""


class GivenToken:
    """The token that the server was started with: an administrator's, for as long as it runs."""

    def __init__(self, token: str) -> None:
        self._kept = _digest(token)
        self._admitted = Admitted(Caller(GIVEN, Role.ADMIN), lambda _now: True)

    def find(self, bearer: str) -> Admitted | None:
        """Who sends this, if it is the one."""
        return self._admitted if hmac.compare_digest(_digest(bearer), self._kept) else None


def given_token(file: Path | None, env: Mapping[str, str]) -> str | None:
    """The token the operator gave: the file's, else the environment's; ``None`` when neither.

    Raises: TokenError: it cannot be read or used.
    """
    if file is not None:
        return _checked(_read(file), str(file))
    if ENVIRONMENT in env:
        return _checked(env[ENVIRONMENT], ENVIRONMENT)
    return None


def administrators_token(file: Path | None, env: Mapping[str, str]) -> str | None:
    """The same, for the server: whoever has it may do everything.

    Raises: TokenError: it cannot be read or used, or is one of a store.
    """
    token = given_token(file, env)
    if token is not None and token.startswith(PREFIX):
        # A shell with a viewer's token in its environment must not make that an administrator's.
        raise TokenError(
            f"{file or ENVIRONMENT}: this is a token of a store ({PREFIX}…), good for what it was "
            "made for without being given to the server; "
            + ("leave it out" if file else f"start it with env -u {ENVIRONMENT}")
            + ", or give one of your own choice"
        )
    if token is not None and len(token) < MIN_CHARS:
        raise TokenError(
            f"{file or ENVIRONMENT}: {len(token)} characters can be guessed, and whoever has this "
            f"token may do everything; give at least {MIN_CHARS}, such as: openssl rand -hex 32"
        )
    return token


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise TokenError(f"token file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TokenError(f"token file {file}: not text") from error


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token:
        raise TokenError(f"{where}: the token is empty")
    if not _TOKEN.fullmatch(token):
        raise TokenError(f"{where}: a token is one line of letters, digits and -._~+/")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
