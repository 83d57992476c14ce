"""Owns the decision: which route, which service, which version, and why. Never forwards anything.

A snapshot is compiled once to closures over flat tables; a request then costs a few look-ups. A
route that takes everything is not compared at all.

Source: product.md "Splitting: exact semantics" and "Routing"; ADRs on the hash and the slots.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from proxy.core.forwarded import TrustedProxies
from proxy.core.match import Predicate, compile_match
from proxy.core.message import HeadView
from proxy.core.split import Table, canonical_table, decode, quotas, seed_of, slot_of
from proxy.core.sticky import NewId, Source, compile_sticky, first_header
from proxy.model.config import Service, Timeouts, weights_of
from proxy.model.errors import ConfigError, Problem
from proxy.model.validate import check_traffic
from proxy.model.wire import Snapshot, SplitTable

DrawSlot = Callable[[], int]
"""Draws a slot, 0–9,999, each as likely."""


class Reason(StrEnum):
    """Why a request got its version."""

    SPLIT = "split"
    """Its sticky key's slot belongs to that version."""
    ONLY_VERSION = "only_version"
    """No other version has a share."""
    RANDOM = "random"
    """It has no sticky key, so its slot was drawn."""


class Target(msgspec.Struct, frozen=True):
    """One version of a service, ready to be sent to."""

    index: int
    """Its place in ``Router.versions``."""
    service: str
    version: str
    endpoints: tuple[str, ...]
    timeouts: Timeouts
    share: float
    """0–1, in steps of 0.0001; 0 for a version that gets no users."""


class Decision(msgspec.Struct, frozen=True):
    """Where one request goes, and why."""

    target: Target
    route: int
    """Index of the route that matched."""
    slot: int
    """0–9,999."""
    source: Source
    reason: Reason
    set_cookie: bytes | None = None
    """Value of a Set-Cookie field that the response must carry."""


Decide = Callable[[HeadView, str], Decision | None]
_Assign = Callable[[HeadView, str, int], Decision]


class Router(msgspec.Struct, frozen=True):
    """A snapshot made ready to decide."""

    versions: tuple[Target, ...]
    """Every version of every service, those without a share too."""
    decide: Decide
    """(head, peer's address) → where the request goes; None when no route matches."""


def compile_router(
    snapshot: Snapshot, trusted: TrustedProxies, draw_slot: DrawSlot, new_id: NewId
) -> Router:
    """Makes a snapshot ready to decide.

    Args:
        snapshot: a service without a table gets the canonical one of its weights.
        trusted: the proxies whose X-Forwarded-For is believed.
        draw_slot: draws the slot of a request that has no sticky key.
        new_id: draws the id of a user who has none (``proxy.core.sticky.NewId``).

    Raises:
        ConfigError: with every problem found in services, routes and tables.
    """
    services = snapshot.traffic.services
    problems = check_traffic(snapshot.traffic)
    if problems:
        raise ConfigError(problems)
    tables = _tables(services, snapshot.tables)
    targets = _targets(services, tables)
    assigns = {
        name: _assign(name, service, tables[name], targets, (trusted, draw_slot, new_id))
        for name, service in services.items()
    }
    routes = [
        (compile_match(route.match), assigns[route.service]) for route in snapshot.traffic.routes
    ]
    return Router(versions=tuple(targets.values()), decide=_decide(routes))


def explain(router: Router, head: HeadView, peer: str) -> dict[str, object]:
    """A decision in words, for ``GET /explain``. The key itself is not shown: it names a user."""
    decision = router.decide(head, peer)
    if decision is None:
        return {"route": None, "reason": "no_route"}
    target = decision.target
    return {
        "route": decision.route,
        "service": target.service,
        "key_source": decision.source,
        "key_present": decision.source != "random",
        "slot": decision.slot,
        "version": target.version,
        "endpoints": list(target.endpoints),
        "reason": str(decision.reason),
        "sets_cookie": decision.set_cookie is not None,
    }


def _tables(services: Mapping[str, Service], coded: Mapping[str, SplitTable]) -> dict[str, Table]:
    problems = [
        Problem(f"tables.{name}", "a split table for a service that does not exist")
        for name in coded
        if name not in services
    ]
    tables = {}
    for name, service in services.items():
        weights = weights_of(service)
        try:
            tables[name] = (
                _checked(coded[name], weights) if name in coded else canonical_table(weights)
            )
        except ValueError as error:
            problems.append(Problem(f"tables.{name}", str(error)))
    if problems:
        raise ConfigError(problems)
    return tables


def _checked(coded: SplitTable, weights: Mapping[str, int]) -> Table:
    table = decode(coded)
    counts = table.counts()
    wanted = {version: slots for version, slots in quotas(weights).items() if slots}
    if counts != wanted:
        raise ValueError(
            f"the split table gives {_slots(counts)}; the weights say {_slots(wanted)}"
        )
    return table


def _slots(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{version} {slots} slots" for version, slots in sorted(counts.items()))


def _targets(
    services: Mapping[str, Service], tables: Mapping[str, Table]
) -> dict[tuple[str, str], Target]:
    targets: dict[tuple[str, str], Target] = {}
    for name, service in services.items():
        counts = tables[name].counts()
        for version, release in service.versions.items():
            targets[name, version] = Target(
                index=len(targets),
                service=name,
                version=version,
                endpoints=release.endpoints,
                timeouts=service.timeouts,
                share=counts.get(version, 0) / len(tables[name].slots),
            )
    return targets


def _decide(routes: list[tuple[Predicate | None, _Assign]]) -> Decide:
    if routes and routes[0][0] is None:
        catch_all = routes[0][1]
        return lambda head, peer: catch_all(head, peer, 0)
    numbered = tuple((index, matches, assign) for index, (matches, assign) in enumerate(routes))

    def decide(head: HeadView, peer: str) -> Decision | None:
        for index, matches, assign in numbered:
            if matches is None or matches(head):
                return assign(head, peer, index)
        return None

    return decide


def _assign(
    name: str,
    service: Service,
    table: Table,
    targets: Mapping[tuple[str, str], Target],
    means: tuple[TrustedProxies, DrawSlot, NewId],
) -> _Assign:
    """(head, peer, route) → the decision within one service.

    A service with one version in use is decided like any other but for the reason: it costs a
    fraction of a microsecond, and who has a key and who has none shows before a rollout begins.
    """
    trusted, draw_slot, new_id = means
    find_key = compile_sticky(service.sticky, trusted, new_id)
    owners = tuple(targets[name, version] for version in table.names)
    slots = table.slots
    seed = seed_of(service.salt or name)
    keyed, drawn = (Reason.SPLIT, Reason.RANDOM) if len(owners) > 1 else (Reason.ONLY_VERSION,) * 2

    def assign(head: HeadView, peer: str, route: int) -> Decision:
        key = find_key(head, peer)
        if key is None:
            slot = draw_slot()
            return Decision(owners[slots[slot]], route, slot, "random", drawn)
        value, source, set_cookie = key
        slot = slot_of(value, seed)
        return Decision(owners[slots[slot]], route, slot, source, keyed, set_cookie)

    header = first_header(service.sticky)
    if header is None:
        return assign
    return _header_first(header, assign, (owners, slots, seed, keyed))


def _header_first(
    header: bytes, otherwise: _Assign, split: tuple[tuple[Target, ...], bytes, int, Reason]
) -> _Assign:
    """The common case in one call to the head; all other requests take the whole chain."""
    owners, slots, seed, reason = split

    def assign(head: HeadView, peer: str, route: int) -> Decision:
        key = head.header(header)
        if not key:
            return otherwise(head, peer, route)
        slot = slot_of(key, seed)
        return Decision(owners[slots[slot]], route, slot, "header", reason)

    return assign
