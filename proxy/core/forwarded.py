"""Owns which address is the client's when proxies stand in front. Never looks up a name.

``X-Forwarded-For`` grows at its right end, so it is read from the right: an entry counts only if
everything to the right of it, and the peer itself, is a proxy we trust.

Source: RFC 7239 section 7.4 (only what trusted proxies wrote is to be believed).
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_MAPPED = "::ffff:"
_WITH_PORT = re.compile(
    r"(?:\[(?P<v6>[^\]]*:[^\]]*)\](?::\d{1,5})?|(?P<v4>[^:\[]+):\d{1,5})", re.ASCII
)
_REMEMBERED = 1_024
# Peers are few (load balancers), but X-Forwarded-For entries are anyone's: the memory is bounded.


class TrustedProxies:
    """The networks whose ``X-Forwarded-*`` fields are believed."""

    __slots__ = ("_known", "_networks")

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        """Compiles CIDRs and single addresses; ValueError names one that is neither."""
        self._networks = tuple(_network(cidr) for cidr in cidrs)
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def contains(self, ip: str) -> bool:
        """Whether an address is a trusted proxy's; what is no address is not."""
        known = self._known.get(ip)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[ip] = self._search(ip)
        return known

    def _search(self, ip: str) -> bool:
        try:
            address = int(_as_v6(ip_address(ip)))
        except ValueError:
            return False
        return any(address & mask == base for base, mask in self._networks)


def client_ip(peer: str, forwarded_for: bytes | None, trusted: TrustedProxies) -> str:
    """The client's address.

    Args:
        peer: the address of the other end of the connection; empty on a Unix socket.
        forwarded_for: the whole ``X-Forwarded-For`` list, or None.
        trusted: the proxies whose entries are believed.

    Returns:
        The rightmost address that is no trusted proxy's; the last one believed if an entry is
        malformed or the list ends. A v4-mapped IPv6 address comes as IPv4.

    Source: RFC 7239 section 7.4.
    """
    client = peer if not peer.startswith(_MAPPED) else _normal(peer) or peer
    if not trusted or forwarded_for is None:
        return client
    rest = forwarded_for
    while rest and trusted.contains(client):
        rest, _, last = rest.rpartition(b",")
        entry = _normal(last.strip(b" \t").decode("latin-1"))
        if entry is None:
            break
        client = entry
    return client


def _network(cidr: str) -> tuple[int, int]:
    """Base and mask among IPv6 addresses, where IPv4 has its mapped range."""
    network = ip_network(cidr, strict=False)
    if isinstance(network, IPv6Network):
        return int(network.network_address), int(network.netmask)
    mask = (2**128 - 2**32) | int(network.netmask)
    return int(_as_v6(network.network_address)), mask


def _as_v6(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address((0xFFFF << 32) | int(address))


def _normal(entry: str) -> str | None:
    """An entry's address in its one spelling; None when it is malformed.

    Some load balancers append the port (``1.2.3.4:5678``, ``[2001:db8::1]:5678``): it is dropped.
    """
    if "%" in entry:
        return None  # a zone means nothing beyond the machine that wrote it
    with_port = _WITH_PORT.fullmatch(entry)
    try:
        address = ip_address(with_port["v6"] or with_port["v4"] if with_port else entry)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
