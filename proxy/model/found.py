"""Owns what sources and what was found behind them make together: a version's endpoints."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from proxy.model.config import MAX_ENDPOINT_WEIGHT, Endpoint, Traffic, Version, endpoint_of
from proxy.model.source import parse_source

FoundEndpoints = Mapping[str, tuple[Endpoint, ...]]
"""By a source's URL. A source that is missing has found nothing yet."""
NOTHING: Final[FoundEndpoints] = MappingProxyType({})


def is_source(url: str) -> bool:
    """Whether a valid endpoint's URL is a source rather than an address."""
    return parse_source(url) is not None


def sources_of(traffic: Traffic) -> Iterator[str]:
    """The URL of every source that a configuration names, repeated ones too."""
    for service in traffic.services.values():
        for version in service.versions.values():
            yield from (url for given in version.endpoints
                        if is_source(url := endpoint_of(given).url))  # fmt: skip


def endpoints_of(version: Version, found: FoundEndpoints = NOTHING) -> tuple[Endpoint, ...]:
    """A version's endpoints now, each address once; the first mention counts.

    A source's weight multiplies those of what it finds, and its zone stands in for theirs.
    """
    endpoints: dict[str, Endpoint] = {}
    for given in version.endpoints:
        endpoint = endpoint_of(given)
        if not is_source(endpoint.url):
            endpoints.setdefault(endpoint.url, endpoint)
            continue
        for each in found.get(endpoint.url, ()):
            weight = min(each.weight * endpoint.weight, MAX_ENDPOINT_WEIGHT)
            zone = each.zone or endpoint.zone
            own = msgspec.structs.replace(each, weight=weight, zone=zone)
            endpoints.setdefault(own.url, own)
    return tuple(endpoints.values())


def has_sources(version: Version) -> bool:
    """Whether some of a version's endpoints are found rather than listed."""
    return any(is_source(endpoint_of(given).url) for given in version.endpoints)
