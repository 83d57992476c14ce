"""Owns what a service's EndpointSlices say together. Never asks for them.

Source: Kubernetes API discovery.k8s.io/v1, and KEP-1669: endpoints that terminate are used while
they still serve and no other is ready, as kube-proxy does.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from proxy.model.address import Address
from proxy.model.config import Endpoint


class Conditions(msgspec.Struct, frozen=True):
    """Of one endpoint; what is missing is unknown."""

    ready: bool | None = None
    """Unknown counts as ready."""
    serving: bool | None = None
    """Unknown: as ``ready``."""
    terminating: bool | None = None


class SliceEndpoint(msgspec.Struct, frozen=True):
    """One pod, as a rule."""

    addresses: tuple[str, ...] | None = None
    """Only the first counts: they are fungible."""
    conditions: Conditions | None = None
    zone: str | None = None


class SlicePort(msgspec.Struct, frozen=True):
    """One port, of every endpoint of a slice."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What of an object's metadata is looked at."""

    name: str = ""
    resource_version: str = ""


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    """Some of a service's endpoints, of one address type."""

    metadata: Metadata = Metadata()
    address_type: str = ""
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None


class PortUnclear(ValueError):
    """A service's slices do not have the port that was asked for, or several and none was."""


_FAMILIES: Final = ("IPv4", "IPv6")


def endpoints_in(slices: Iterable[EndpointSlice], port: str) -> tuple[Endpoint, ...]:
    """The endpoints that are to be asked now, each address once.

    In a service with both address families the IPv4 slices name the same pods as the IPv6 ones;
    the first family that has endpoints is taken.

    Args:
        port: a name, a number, or empty where the service has but one.

    Raises:
        PortUnclear: see there.
    """
    known = list(slices)
    for family in _FAMILIES:
        ready: dict[str, str] = {}
        leaving: dict[str, str] = {}
        for each in known:
            if each.address_type != family or not each.endpoints:
                continue
            number = _port(each.ports or (), port)
            for endpoint in each.endpoints:
                if not endpoint.addresses:
                    continue
                url = f"http://{Address(endpoint.addresses[0], number).authority}"
                conditions = endpoint.conditions or Conditions()
                if conditions.ready is not False:
                    ready[url] = endpoint.zone or ""
                elif conditions.serving and conditions.terminating:
                    leaving[url] = endpoint.zone or ""
        chosen = ready or leaving
        if chosen:
            return tuple(Endpoint(url, zone=zone[:64]) for url, zone in sorted(chosen.items()))
    return ()


def _port(ports: Iterable[SlicePort], wanted: str) -> int:
    if wanted.isdigit():
        return int(wanted)
    usable = {each.name or "": each.port for each in ports
              if each.port and (each.protocol or "TCP") == "TCP"}  # fmt: skip
    if wanted:
        number = usable.get(wanted)
    else:
        number = next(iter(usable.values())) if len(usable) == 1 else None
    if number is None:
        raise PortUnclear(_unclear(usable, wanted))
    return number


def _unclear(usable: Mapping[str, int], wanted: str) -> str:
    known = ", ".join(f"{name or 'unnamed'} ({number})" for name, number in usable.items())
    if wanted:
        return f"there is no port named {wanted}; the service has {known or 'none'}"
    return f"name one of the service's ports: {known or 'it has none'}"
