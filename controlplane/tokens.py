"""Owns the bearer tokens: where they come from and how they are compared. Never logs one.

Of a token only its SHA-256 is kept in memory, and digests are compared in constant time.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

ENVIRONMENT = "SPLITWAY_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750 §2.1: what can stand in an Authorization header."""


class TokenError(Exception):
    """A token that cannot be used."""


class Tokens:
    """Who may call: one administrator, for now."""

    def __init__(self, admin: str) -> None:
        self._by_name = {"admin": _digest(admin)}

    def name_of(self, token: str) -> str | None:
        """Whose token this is; ``None`` when nobody's."""
        digest = _digest(token)
        found = None
        for name, known in self._by_name.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def given_token(file: Path | None, env: Mapping[str, str]) -> str | None:
    """The token the operator gave: the file's, else the environment's; ``None`` when neither.

    Raises: TokenError: it cannot be read or used.
    """
    if file is not None:
        return _checked(_read(file), str(file))
    if ENVIRONMENT in env:
        return _checked(env[ENVIRONMENT], ENVIRONMENT)
    return None


def generated_token(file: Path) -> tuple[str, bool]:
    """The token made at the first start, and whether that is now.

    Raises: TokenError: the file cannot be read, used or written.
    """
    if file.exists():
        return _checked(_read(file), str(file)), False
    token = secrets.token_urlsafe(32)
    new = file.with_name(f"{file.name}.new")
    try:
        new.unlink(missing_ok=True)  # a start that was killed here; its mode is not to be trusted
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(f"{token}\n")
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)  # never seen half written
    except OSError as error:
        raise TokenError(f"token file {file}: {error.strerror}") from error
    return token, True


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
