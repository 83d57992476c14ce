"""Owns what a change does to the traffic and to the split tables. Pure; never stores anything.

A service's table has a history: new weights move only the slots that must move. It starts afresh
(the canonical table of the weights, as a proxy without a control plane would have it) when the
service is new, and when its salt changes, because then every user is drawn again anyway.
Source: product.md, "Splitting: exact semantics".
"""

from collections.abc import Mapping

import msgspec

from controlplane.model import Revision, UnknownServiceError
from proxy.core.slot import SLOTS
from proxy.core.split import (
    MAX_VERSIONS,
    canonical_table,
    decode,
    encode,
    move_table,
    quotas,
)
from proxy.model.config import Service, Traffic, weights_of
from proxy.model.errors import ConfigError
from proxy.model.validate import check_traffic, check_weights
from proxy.model.wire import SplitTable


def checked(traffic: Traffic) -> Traffic:
    """The traffic, if there is nothing wrong with it.

    Raises: ConfigError with every problem.
    """
    if problems := check_traffic(traffic):
        raise ConfigError(problems)
    return traffic


def with_weights(traffic: Traffic, service: str, weights: Mapping[str, int]) -> Traffic:
    """The traffic with one service's weights replaced whole.

    Args:
        traffic: what is in force.
        service: whose weights.
        weights: relative, integers ≥ 0; a version that is not named gets 0.

    Raises: UnknownServiceError; ConfigError naming the versions or weights that are wrong.
    """
    found = service_of(traffic, service)
    if problems := check_weights(service, found.versions, weights):
        raise ConfigError(problems)
    whole = {version: weights.get(version, 0) for version in found.versions}
    changed = msgspec.structs.replace(found, weights=whole)
    return Traffic(services={**traffic.services, service: changed}, routes=traffic.routes)


def service_of(traffic: Traffic, service: str) -> Service:
    """The service of that name.

    Raises: UnknownServiceError.
    """
    try:
        return traffic.services[service]
    except KeyError:
        raise UnknownServiceError(service, tuple(traffic.services)) from None


def tables_after(newest: Revision, traffic: Traffic) -> dict[str, SplitTable]:
    """The split table of every service in ``traffic``, moved as little as can be from ``newest``.

    Returns: by service name, in the order of ``traffic``.
    """
    return {name: _table(newest, name, service) for name, service in traffic.services.items()}


def shares(service: Service) -> dict[str, float]:
    """The exact share of every version, 0–1, in steps of a slot."""
    slots = quotas(weights_of(service))
    return {version: slots.get(version, 0) / SLOTS for version in service.versions}


def _table(newest: Revision, name: str, service: Service) -> SplitTable:
    weights = weights_of(service)
    before, table = newest.traffic.services.get(name), newest.tables.get(name)
    if before is None or table is None or (before.salt or name) != (service.salt or name):
        return encode(canonical_table(weights))
    if weights == weights_of(before):
        return table
    if len({*table.versions, *weights}) > MAX_VERSIONS:
        # More than one table may name: nearly every version was replaced, so nearly all must move.
        return encode(canonical_table(weights))
    return encode(move_table(decode(table), weights))
