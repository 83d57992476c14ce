"""Owns whom the control stream believes over TLS, and what it shows of itself. Never connects.

The files of ``control`` are read anew for each connection, so that renewed ones are used. Without
any the system's certificates are believed, and read once.
"""

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from proxy.model.certificate import certificate_fault
from proxy.sync.frames import StreamError


@dataclass(frozen=True)
class TlsFiles:
    """What ``control`` in the configuration names; each may be left out."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


NO_FILES = TlsFiles()


class Trust:
    """What connections to one control plane need of TLS.

    Args:
        url: of the control plane.
    """

    def __init__(self, url: str, files: TlsFiles) -> None:
        self._url = url
        self._is_tls = url.startswith("https:")
        self._files = files
        self._system: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | bool:
        """For one connection; ``True`` where there is no TLS. Blocks while it reads.

        Raises: StreamError: a file cannot be used; names its setting.
        """
        files = self._files
        if not self._is_tls:
            return True
        if files == NO_FILES:
            # aiohttp's own context believes nobody (``proxy.lean``).
            self._system = self._system or ssl.create_default_context()
            return self._system
        context = _believing(files.ca)
        if files.cert is not None and files.key is not None:
            _show(context, files.cert, files.key)
        return context

    @property
    def is_open(self) -> bool:
        """Whether everybody on the way can read what is sent, the token too."""
        host = urlsplit(self._url).hostname or ""
        try:
            return not (self._is_tls or ip_address(host).is_loopback)
        except ValueError:
            return not (self._is_tls or host == "localhost")

    def fault(self, error: aiohttp.ClientError) -> str:
        """What went wrong, if it is of TLS; else empty."""
        files = self._files
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            refused = error.certificate_error
            trusted = "a CA that the system knows (set control.ca_file)"
            return certificate_fault(
                getattr(refused, "verify_code", 0),
                getattr(refused, "verify_message", str(refused)),
                error.host,
                f"a CA in control.ca_file {files.ca}" if files.ca else trusted,
            )
        if isinstance(error, aiohttp.ClientSSLError):
            return f"speaks no TLS (is it http://?): {error.os_error}"
        if self._is_tls and isinstance(error, aiohttp.ServerDisconnectedError):
            # In TLS 1.3 a client's own handshake ends before its certificate is judged.
            return "hung up; " + (
                f"is control.cert_file {files.cert} of a CA that it believes?"
                if files.cert
                else "does it want a client's certificate (control.cert_file)?"
            )
        return ""


def _believing(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise StreamError(f"control.ca_file {ca_file} holds no certificate in PEM form") from None
    except OSError as error:
        raise StreamError(f"control.ca_file {ca_file} cannot be read: {error.strerror}") from None


def _show(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    for name, path in (("cert_file", cert_file), ("key_file", key_file)):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise StreamError(f"control.{name} {path} cannot be read: {error.strerror}") from None
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except _EncryptedError:
        raise StreamError(f"control.key_file {key_file} is encrypted: give it without") from None
    except ssl.SSLError as error:
        said = (
            f"does not belong to control.cert_file {cert_file}"
            if error.reason == "KEY_VALUES_MISMATCH"
            else f"and control.cert_file {cert_file} are no certificate and key in PEM form"
        )
        raise StreamError(f"control.key_file {key_file} {said}") from None


class _EncryptedError(Exception):
    """OpenSSL asks for a password, on the terminal if nobody answers."""


def _no_password() -> str:
    raise _EncryptedError
