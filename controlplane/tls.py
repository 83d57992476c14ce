"""Owns the server's side of TLS: which certificate is shown, which clients' are believed, and
taking over new files while connections are open. Never decides who calls: a client's certificate
opens the door, the bearer token says who comes in.

The files are looked at every two seconds, and at once on SIGHUP. They are small, so they are read
and compared by digest: that sees what times and inodes can miss, and the symbolic link that
Kubernetes swaps behind a mounted Secret is followed each time. All of them are taken together or
none, once two readings agree and the key belongs to the certificate; what is in memory is what is
used, so a file that changes in between cannot mix a new certificate with an old key. Each new
connection is made by the newest context; open ones keep theirs.
"""

import asyncio
import hashlib
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

_log = logging.getLogger(__name__)

LOOK_S = 2.0
SETTLE_S = 0.05
"""Between two readings that must agree before changed files count as written whole."""
_MAX_BYTES = 1 << 20


class TlsError(Exception):
    """Certificates or a key that cannot be used; names the option and the file."""


@dataclass(frozen=True)
class TlsFiles:
    """Where the certificates and the key are, all in PEM form."""

    cert: Path
    """The server's certificate, then those between it and the root."""
    key: Path
    client_ca: Path | None = None
    """Who signs clients' certificates; ``None`` asks clients for none."""


@dataclass(frozen=True)
class _Contents:
    cert: bytes
    key: bytes
    client_ca: bytes | None

    @property
    def digest(self) -> bytes:
        whole = hashlib.sha256()
        for part in (self.cert, self.key, self.client_ca or b""):
            whole.update(hashlib.sha256(part).digest())
        return whole.digest()


class _Newest(ssl.SSLContext):
    """What the event loop is given: has each connection made by the newest context."""

    newest: ssl.SSLContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Called once a connection."""
        return self.newest.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class ServerTls:
    """The certificate in use, and the watch over its files.

    Args:
        wait: how time passes while changed files settle.

    Raises: TlsError: the files cannot be used.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        look_s: float = LOOK_S,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._files = files
        self._look_s = look_s
        self._wait = wait
        self._asked = asyncio.Event()
        self._trouble = ""
        self.context: ssl.SSLContext = _Newest(ssl.PROTOCOL_TLS_SERVER)
        """For the server, as long as it runs."""
        contents = _read(files)
        self._take(contents.digest, *_context(contents, files))

    @property
    def ends_at(self) -> datetime:
        """When the first of the certificates that are shown ends."""
        return self._ends_at

    def reload_now(self) -> None:
        """Asks the running watch to look at once (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watches the files until cancelled."""
        while True:
            await self._next_look()
            await self.look()

    async def look(self) -> bool:
        """One look at the files. Returns whether new ones were taken over."""
        try:
            contents = await asyncio.to_thread(_read, self._files)
            if contents.digest == self._digest:
                self._report("")
                return False
            await self._wait(SETTLE_S)
            if await asyncio.to_thread(_read, self._files) != contents:
                return False  # somebody is writing; the next look sees the end of it
            context, ends_at = await asyncio.to_thread(_context, contents, self._files)
        except TlsError as error:
            self._report(str(error))
            return False
        self._trouble = ""
        self._take(contents.digest, context, ends_at)
        return True

    def _take(self, digest: bytes, context: ssl.SSLContext, ends_at: datetime) -> None:
        assert isinstance(self.context, _Newest)  # noqa: S101 it is made above
        self.context.newest = context
        self._digest = digest
        self._ends_at = ends_at
        level = logging.INFO if ends_at > datetime.now(UTC) else logging.ERROR
        _log.log(level, "certificate %s is in use, it ends %s", self._files.cert, ends_at)

    async def _next_look(self) -> None:
        try:
            async with asyncio.timeout(self._look_s):
                await self._asked.wait()
        except TimeoutError:
            return
        self._asked.clear()

    def _report(self, trouble: str) -> None:
        """Once for each change of state, not once a look."""
        if trouble == self._trouble:
            return
        if trouble:
            _log.error("%s; the certificate in use stays, it ends %s", trouble, self._ends_at)
        else:
            _log.info("%s is again what is in use", self._files.cert)
        self._trouble = trouble


def _read(files: TlsFiles) -> _Contents:
    return _Contents(
        _content("--tls-cert", files.cert),
        _content("--tls-key", files.key),
        _content("--tls-client-ca", files.client_ca) if files.client_ca else None,
    )


def _content(option: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise TlsError(f"{option} {path}: {error.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise TlsError(f"{option} {path}: is larger than {_MAX_BYTES} bytes")
    return raw


def _context(contents: _Contents, files: TlsFiles) -> tuple[ssl.SSLContext, datetime]:
    """A context of what was read, and when it ends."""
    chain = _certificates("--tls-cert", files.cert, contents.cert)
    if _key(files.key, contents.key).public_key() != _public_key(files.cert, chain[0]):
        raise TlsError(
            f"--tls-key {files.key} does not belong to the first certificate in "
            f"--tls-cert {files.cert}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _refused("--tls-cert", files.cert):
        _load_pair(context, contents)
    if files.client_ca is not None and contents.client_ca is not None:
        believed = _certificates("--tls-client-ca", files.client_ca, contents.client_ca)
        with _refused("--tls-client-ca", files.client_ca):
            # Not the file's text: what stands between certificates is of any bytes.
            context.load_verify_locations(
                cadata=b"".join(each.public_bytes(Encoding.DER) for each in believed)
            )
        context.verify_mode = ssl.CERT_REQUIRED
    return context, min(each.not_valid_after_utc for each in chain)


@contextmanager
def _refused(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise TlsError(f"{option} {path}: OpenSSL refuses it: {error.reason}") from None
    except OSError as error:
        raise TlsError(f"{option} {path}: {error.strerror}") from None


def _certificates(option: str, path: Path, raw: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(raw)
    except ValueError:
        raise TlsError(f"{option} {path}: holds no certificate in PEM form") from None


def _public_key(path: Path, certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise TlsError(f"--tls-cert {path}: its key is of a kind that is not known here") from None


def _key(path: Path, raw: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(raw, None)
    except TypeError:
        raise TlsError(f"--tls-key {path}: is encrypted; give it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TlsError(f"--tls-key {path}: holds no private key in PEM form") from None


def _load_pair(context: ssl.SSLContext, contents: _Contents) -> None:
    """OpenSSL takes a path only: this one leads to memory, never to a disk."""
    handle = os.memfd_create("splitway-tls", os.MFD_CLOEXEC)
    with os.fdopen(handle, "wb") as memory:
        memory.write(contents.key + b"\n" + contents.cert)
        memory.flush()
        context.load_cert_chain(f"/proc/self/fd/{handle}")
