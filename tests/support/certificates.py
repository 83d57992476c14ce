"""Owns real certificates for tests: an authority, and what it signs, as files."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """Signs, and keeps what it signs in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def pair(
        self, name: str = "server", *hosts: str, ends: datetime | None = None, folder: str = ""
    ) -> Pair:
        """Writes a certificate for hosts (those of loopback, unless given) and its key, in the
        place of what has that name."""
        issued = self._ca.issue_cert(*(hosts or ("localhost", "127.0.0.1")), not_after=ends)
        where = self._folder / folder
        where.mkdir(exist_ok=True)
        pair = Pair(where / f"{name}.crt", where / f"{name}.key")
        pair.cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        pair.key.write_bytes(issued.private_key_pem.bytes())
        return pair

    def believer(self, shown: Pair | None = None) -> ssl.SSLContext:
        """A client that believes this authority, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
        return context
