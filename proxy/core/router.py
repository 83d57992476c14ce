"""Owns the decision: which route, which service, which version, and why. Never forwards anything.

A snapshot is compiled once to closures over flat tables; a request then costs a few look-ups. A
route that takes everything is not compared at all.

Source: product.md "Splitting: exact semantics" and "Routing"; ADRs on the hash and the slots.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from proxy.core.forwarded import TrustedProxies
from proxy.core.match import (
    Predicate,
    compile_match,
    decoded_match,
    is_encoded,
    looks_at_path,
    path_of,
)
from proxy.core.message import HeadView, Reread
from proxy.core.path import PLAIN, AmbiguousPath, has_nul, is_ambiguous, readings
from proxy.core.slot import seed_of, slot_of
from proxy.core.split import Table, canonical_table, decode, quotas
from proxy.core.sticky import NewId, Source, compile_sticky, first_header
from proxy.model.config import Route, Service, Timeouts, weights_of
from proxy.model.errors import ConfigError, Problem
from proxy.model.validate import check_traffic
from proxy.model.wire import Snapshot, SplitTable

AmbiguousPaths = Literal["route", "refuse", "pass"]
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
_Find = Callable[[HeadView], int]
_Assign = Callable[[HeadView, str, int], Decision]


class Router(msgspec.Struct, frozen=True):
    """A snapshot made ready to decide."""

    versions: tuple[Target, ...]
    """Every version of every service, those without a share too."""
    decide: Decide
    """(head, peer's address) → where the request goes; None when no route matches. Raises
    ``AmbiguousPath``."""
    timeouts: tuple[Timeouts, ...]
    """By route."""


def compile_router(
    snapshot: Snapshot,
    trusted: TrustedProxies,
    draw_slot: DrawSlot,
    new_id: NewId,
    ambiguous_paths: AmbiguousPaths = "route",
) -> Router:
    """Makes a snapshot ready to decide.

    Args:
        snapshot: a service without a table gets the canonical one of its weights.
        trusted: the proxies whose X-Forwarded-For is believed.
        draw_slot: draws the slot of a request that has no sticky key.
        new_id: draws the id of a user who has none (``proxy.core.sticky.NewId``).
        ambiguous_paths: when paths that an endpoint may read as others are refused
            (``proxy.core.path``).

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
    routes = snapshot.traffic.routes
    return Router(
        versions=tuple(targets.values()),
        decide=_decide(routes, assigns, ambiguous_paths),
        timeouts=tuple(_timeouts(services[route.service].timeouts, route) for route in routes),
    )


def _timeouts(of_service: Timeouts, route: Route) -> Timeouts:
    """The service's, where the route has none of its own; an answer that would come after the
    whole request's end is not waited for."""
    own = msgspec.structs.asdict(route.timeouts)
    given = {name: value for name, value in own.items() if value is not None}
    timeouts = msgspec.structs.replace(of_service, **given)
    if timeouts.request_s and timeouts.request_s < timeouts.response_s:
        timeouts = msgspec.structs.replace(timeouts, response_s=timeouts.request_s)
    return timeouts


def explain(router: Router, head: HeadView, peer: str) -> dict[str, object]:
    """A decision in words, for ``GET /explain``. The key itself is not shown: it names a user."""
    try:
        decision = router.decide(head, peer)
    except AmbiguousPath:
        return {"route": None, "reason": "ambiguous_path"}
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
                share=counts.get(version, 0) / len(tables[name].slots),
            )
    return targets


def _decide(
    routes: tuple[Route, ...], assigns: Mapping[str, _Assign], ambiguous: AmbiguousPaths
) -> Decide:
    predicates = [compile_match(route.match) for route in routes]
    ordered = tuple(assigns[route.service] for route in routes)
    refuse = _policy(routes, ambiguous)
    if routes and predicates[0] is None:
        catch_all = ordered[0]

        def decide_all(head: HeadView, peer: str) -> Decision:
            refuse(head, 0)
            return catch_all(head, peer, 0)

        return decide_all
    find = _find(predicates)

    def decide(head: HeadView, peer: str) -> Decision | None:
        index = find(head)
        refuse(head, index)
        return ordered[index](head, peer, index) if index >= 0 else None

    return decide


def _find(predicates: list[Predicate | None]) -> _Find:
    """head → the index of the first route that matches; -1 when none does."""
    numbered = tuple(enumerate(predicates))

    def find(head: HeadView) -> int:
        for index, matches in numbered:
            if matches is None or matches(head):
                return index
        return -1

    return find


def _policy(
    routes: tuple[Route, ...], ambiguous: AmbiguousPaths
) -> Callable[[HeadView, int], None]:
    """(head, the index of its route) → nothing, or ``AmbiguousPath``. See ``proxy.core.path``."""
    by_path = any(looks_at_path(route.match) for route in routes)
    if ambiguous == "pass" or (ambiguous == "route" and not by_path):
        return _refuse_nul
    find = _find([compile_match(decoded_match(route.match)) for route in routes])
    # A pattern that is encoded itself has other spellings among the plain paths.
    skip_plain = ambiguous == "refuse" or not any(is_encoded(route.match) for route in routes)

    def refuse(head: HeadView, index: int) -> None:
        target = head.target
        if skip_plain and PLAIN.fullmatch(target) is not None:
            return
        path = path_of(target)
        if has_nul(path):
            raise AmbiguousPath
        if ambiguous == "refuse":
            if is_ambiguous(path):
                raise AmbiguousPath
        elif not (skip_plain and PLAIN.fullmatch(path) is not None):
            for reading in readings(path):
                if find(Reread(head, reading)) != index:
                    raise AmbiguousPath

    return refuse


def _refuse_nul(head: HeadView, _index: int) -> None:
    if has_nul(head.target) and has_nul(path_of(head.target)):
        raise AmbiguousPath


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
