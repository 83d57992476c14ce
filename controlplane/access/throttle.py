"""Owns how often an address may do what it should not. Pure: never waits, and has no clock.

Addresses of one IPv6 /64 are one: whoever has one of them has them all (RFC 6177). What is kept is
bounded: the address that was seen longest ago is forgotten first.
Source: the generic cell rate algorithm (ITU-T I.371), a token bucket that keeps one number.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

_MAX_ADDRESSES = 10_000
_HOST_BITS = 64


class Throttle:
    """One bucket for each address.

    Args:
        monotonic_s: the clock.
        burst: how often at once.
        refill_s: until once more.
    """

    def __init__(self, monotonic_s: Callable[[], float], burst: int, refill_s: float) -> None:
        self._monotonic_s = monotonic_s
        self._burst_s = burst * refill_s
        self._refill_s = refill_s
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        """By address, when its bucket is full again; the one seen longest ago first."""

    def wait_s(self, address: str) -> float:
        """How long until it may once more; 0 when it may now."""
        now_s = self._monotonic_s()
        full_at_s = self._full_at_s.get(network_of(address), now_s)
        return max(0.0, full_at_s - now_s + self._refill_s - self._burst_s)

    def count(self, address: str) -> None:
        """It did once more. Beyond its burst nothing is counted: the wait does not grow."""
        if self.wait_s(address):
            return
        network, now_s = network_of(address), self._monotonic_s()
        full_at_s = max(now_s, self._full_at_s.pop(network, now_s))
        self._full_at_s[network] = full_at_s + self._refill_s
        if len(self._full_at_s) > _MAX_ADDRESSES:
            self._full_at_s.popitem(last=False)


def network_of(address: str) -> str:
    """What counts as one address: an IPv6 /64 whole."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> _HOST_BITS << _HOST_BITS))
