"""Owns which segments of the audience a request belongs to. Never counts.

A dimension has the values that were declared for it, and ``other``: whatever clients send, what is
counted stays bounded.
"""

from collections.abc import Callable, Mapping
from typing import Final

from proxy.core.forwarded import TrustedProxies
from proxy.core.message import HeadView
from proxy.core.sticky import read_client_ip, reader_of
from proxy.model.config import KeyFrom, Segment

OTHER: Final = "other"

FindSegments = Callable[[HeadView, str], tuple[str, ...]]
"""(head, peer) → ``dimension=value`` for each dimension, in their order."""


def compile_segments(
    segments: Mapping[str, Segment], trusted: TrustedProxies
) -> FindSegments | None:
    """Makes the dimensions of a service ready; None when it has none."""
    if not segments:
        return None
    readers = tuple(_dimension(name, segment, trusted) for name, segment in segments.items())

    def find(head: HeadView, peer: str) -> tuple[str, ...]:
        return tuple(reader(head, peer) for reader in readers)

    return find


def _dimension(
    name: str, segment: Segment, trusted: TrustedProxies
) -> Callable[[HeadView, str], str]:
    other = f"{name}={OTHER}"
    if segment.networks:
        networks = [
            (f"{name}={value}", TrustedProxies(cidrs)) for value, cidrs in segment.networks.items()
        ]
        read_address = read_client_ip(trusted)

        def by_address(head: HeadView, peer: str) -> str:
            address = read_address(head, peer).decode("latin-1")
            return next((label for label, known in networks if known.contains(address)), other)

        return by_address
    source = KeyFrom(segment.header, segment.cookie, segment.query, segment.jwt)
    read = reader_of(source)
    labels = {value.lower().encode(): f"{name}={value}" for value in segment.values}

    def by_value(head: HeadView, peer: str) -> str:
        value = read(head, peer)
        return other if value is None else labels.get(value.lower(), other)

    return by_value
