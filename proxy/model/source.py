"""Owns the text form of sources: where a version's endpoints are found when they are not listed.

Never looks anything up. Sources: RFC 1035 (names), RFC 2782 (SRV), RFC 8089 (``file:``).
"""

import re
from typing import Final, Literal

import msgspec

from proxy.model.address import parse_authority, parse_host
from proxy.model.wording import has_control, shown

Kind = Literal["dns", "dns+srv", "file", "kubernetes", "cloudmap"]

_FORMS: Final[dict[str, str]] = {
    "dns": "dns://name:port",
    "dns+srv": "dns+srv://_service._protocol.name",
    "file": "file:///absolute/path",
    "kubernetes": "kubernetes://namespace/service:port",
    "cloudmap": "cloudmap://namespace/service",
}
FORMS: Final = ", ".join(_FORMS.values())
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# RFC 1123 labels, and the names of ports (RFC 6335 section 5.1), which are 15 characters at most.
_KUBERNETES: Final = re.compile(
    rf"({_LABEL})/({_LABEL})(?::([a-z0-9]([a-z0-9-]{{0,13}}[a-z0-9])?))?"
)
# What CreateHttpNamespace and CreateService take as a name, but for a slash.
_CLOUDMAP: Final = re.compile(r"([!-.0-~]{1,253})/([!-.0-9;-~]{1,127})(?::([0-9]{1,5}))?")
_MAX_PORT: Final = 65_535


class Source(msgspec.Struct, frozen=True):
    """Where endpoints are found."""

    kind: Kind
    name: str
    """A DNS name, an absolute path, or a service's name."""
    namespace: str = ""
    """Of a service in Kubernetes or Cloud Map."""
    port: str = ""
    """A number; in Kubernetes also a name; empty where the source tells it."""


def parse_source(text: str) -> Source | None:
    """A source, or None if the text is not one but an address.

    Raises: ValueError saying what to write instead.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _FORMS:
        return None
    if scheme == "dns":
        address = parse_authority(rest, default_port=None, lowest_port=1)
        if ":" in address.host or address.host.replace(".", "").isdigit():
            raise ValueError(f"{shown(address.host)} is an address, not a name; write http://")
        return Source("dns", address.host, port=str(address.port))
    if scheme == "dns+srv":
        if ":" in rest:
            raise ValueError("an SRV record tells the port; leave it out")
        return Source("dns+srv", parse_host(rest))
    if scheme == "file":
        return Source("file", _path(rest))
    found = (_KUBERNETES if scheme == "kubernetes" else _CLOUDMAP).fullmatch(rest)
    if found is None:
        raise ValueError(f"expected {_FORMS[scheme]}, got {shown(text)}")
    port = found[5] if scheme == "kubernetes" else found[3]
    if port and port.isdigit() and not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(f"the port must be a number from 1 to {_MAX_PORT}, got {shown(port)}")
    kind: Kind = "kubernetes" if scheme == "kubernetes" else "cloudmap"
    service = found[3] if scheme == "kubernetes" else found[2]
    return Source(kind, service, found[1], port or "")


def _path(text: str) -> str:
    if not text.startswith("/") or text.startswith("//") or text.endswith("/"):
        raise ValueError(f"expected {_FORMS['file']}, got {shown('file://' + text)}")
    if has_control(text) or "?" in text or "#" in text or "%" in text:
        raise ValueError(f"{shown(text)} is not the path of a file; it is taken as it stands")
    return text
