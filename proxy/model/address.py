"""Owns the text form of network addresses: what listeners bind and where endpoints are.

Never resolves a name, never opens a socket. Sources: RFC 3986 section 3.2 (authority), RFC 1123
section 2.1 (host names), unix(7) (108 bytes of ``sun_path``, the last one NUL).
"""

import re
from ipaddress import IPv4Address, IPv6Address

import msgspec

from proxy.model.wording import has_control, shown

_UNIX = "unix:"
_UNIX_MAX_BYTES = 107
_NAME_MAX = 253
# The underscore is no host name's by RFC 1123, but Compose and Kubernetes make such names.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[^:]*))?")


class Address(msgspec.Struct, frozen=True):
    """Where to listen or connect: a host and port, or a Unix socket's path."""

    host: str = ""
    """A name in lower case or an IP address without brackets; empty for a Unix socket."""
    port: int = 0
    path: str = ""

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket."""
        return bool(self.path)

    @property
    def authority(self) -> str:
        """What a Host field says: ``host:port``; ``localhost`` for a Unix socket."""
        if self.is_unix:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}" if self.is_unix else self.authority


def parse_bind(text: str) -> Address:
    """A listener's address: ``host:port``, ``[v6]:port`` or ``unix:/path``; port 0 takes any.

    Raises: ValueError saying what to write instead.
    """
    if text.startswith(_UNIX):
        return _parse_unix(text)
    if "/" in text:
        raise ValueError(f"expected host:port, [v6]:port or unix:/path, got {shown(text)}")
    return parse_authority(text, default_port=None, lowest_port=0)


def parse_endpoint(text: str) -> Address:
    """An endpoint: ``http://host``, ``http://host:port`` or ``unix:/path``.

    Raises: ValueError saying what to write instead.
    """
    scheme, separator, rest = text.partition("://")
    if scheme.lower() == "https" and separator:
        raise ValueError("TLS to endpoints is not supported yet; use http://")
    if text.startswith(_UNIX):
        return _parse_unix(text)
    if scheme.lower() != "http" or not separator:
        raise ValueError(f"expected http://host:port or unix:/path, got {shown(text)}")
    if "@" in rest:
        raise ValueError("a user or password is not supported in an endpoint")
    if re.search(r"[/?#]", rest):
        raise ValueError("an endpoint has no path or query; write http://host:port")
    return parse_authority(rest, default_port=80, lowest_port=1)


def parse_authority(text: str, *, default_port: int | None, lowest_port: int) -> Address:
    """``host:port``; the port may be left out where there is a default.

    Raises: ValueError saying what to write instead.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise ValueError(
            f"expected host:port, got {shown(text)}; an IPv6 address stands in brackets: [::1]:8080"
        )
    port = _parse_port(found["port"], default_port, lowest_port)
    if found["v6"] is not None:
        return Address(_parse_v6(found["v6"]), port)
    return Address(parse_host(found["name"]), port)


def parse_host(text: str) -> str:
    """A host name or IPv4 address, in lower case.

    Raises: ValueError saying what is wrong with it.
    """
    if not text:
        raise ValueError("the host is missing; for every interface write 0.0.0.0 or [::]")
    labels = text.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        try:
            return str(IPv4Address(text))
        except ValueError:
            raise ValueError(f"{shown(text)} is not an IPv4 address") from None
    if not text.isascii():
        raise ValueError(f"{shown(text)} is not ASCII; write it in its xn-- form")
    if len(text) > _NAME_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{shown(text)} is not a host name")
    return text.lower()


def _parse_v6(text: str) -> str:
    if "%" in text:
        raise ValueError("an IPv6 zone (%…) is not supported")
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IPv6 address") from None


def _parse_port(text: str | None, default: int | None, lowest: int) -> int:
    if text is None:
        if default is None:
            raise ValueError("the port is missing; write host:port")
        return default
    port = int(text) if re.fullmatch("[0-9]{1,5}", text) else -1
    if not lowest <= port <= 65_535:
        raise ValueError(f"the port must be a number from {lowest} to 65535, got {shown(text)}")
    return port


def _parse_unix(text: str) -> Address:
    path = text.removeprefix(_UNIX)
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f"expected unix:/absolute/path, got {shown(text)}")
    if path.endswith("/") or has_control(path):
        raise ValueError(f"{shown(path)} is not the path of a socket")
    if len(path.encode()) > _UNIX_MAX_BYTES:
        raise ValueError(f"a socket's path has at most {_UNIX_MAX_BYTES} bytes")
    return Address(path=path)
