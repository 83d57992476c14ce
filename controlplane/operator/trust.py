"""Owns whom ``splitway`` believes over TLS, and what it shows of itself. Never connects."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from proxy.model.certificate import certificate_fault


class TrustError(Exception):
    """A file that cannot be used; names its option."""


@dataclass(frozen=True)
class Trust:
    """The files of one command; each may be left out."""

    ca_file: Path | None = None
    """Without it: the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """Without it: what is in ``cert_file``."""

    def context(self) -> ssl.SSLContext | bool:
        """For one connection, if it is over TLS.

        Raises: TrustError.
        """
        if self == Trust():
            return True
        for option, path in (
            ("--ca-file", self.ca_file),
            ("--cert-file", self.cert_file),
            ("--key-file", self.key_file),
        ):
            _check_readable(option, path)
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:
            text = f"--ca-file {self.ca_file}: holds no certificate in PEM form"
            raise TrustError(text) from None
        if self.key_file is not None and self.cert_file is None:
            raise TrustError("--key-file: needs --cert-file")
        if self.cert_file is not None:
            _show(context, self.cert_file, self.key_file)
        return context

    def fault(self, error: aiohttp.ClientError) -> str:
        """What is wrong with the other side's certificate, or with ours; empty: nothing of TLS."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            refused = error.certificate_error
            where = f"a CA in --ca-file {self.ca_file}"
            return certificate_fault(
                getattr(refused, "verify_code", 0),
                getattr(refused, "verify_message", str(refused)),
                error.host,
                where if self.ca_file else "a CA that this system knows (give --ca-file)",
            )
        if isinstance(error, aiohttp.ClientSSLError):
            return "no TLS there; is it http:// that is meant?"
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
            # In TLS 1.3 a client's own handshake ends before its certificate is judged. What the
            # server says of that is lost if the request comes to a closed socket: then it is reset.
            return "it hung up; " + (
                f"is --cert-file {self.cert_file} of a CA that it believes?"
                if self.cert_file
                else "does it speak TLS (https://), or want a certificate (--cert-file)?"
            )
        return ""


def _check_readable(option: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.open("rb").close()
    except OSError as error:
        raise TrustError(f"{option} {path}: {error.strerror}") from None


def _show(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    try:
        context.load_cert_chain(cert_file, key_file)  # OpenSSL asks for a password if it needs one
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"--key-file {key_file}: does not belong to --cert-file {cert_file}"
        else:
            text = f"--cert-file {cert_file}: no certificate and key in PEM form; see --key-file"
        raise TrustError(text) from None
