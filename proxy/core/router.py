"""Owns the decision: which route, which service, which version, and why. Never forwards anything.

A snapshot is compiled once to closures over flat tables; a request then costs a few look-ups. A
route that takes everything is not compared at all.

Source: product.md "Splitting: exact semantics" and "Routing"; ADRs on the hash and the slots.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from proxy.core.assign import Assign, Means, compile_assign
from proxy.core.decision import Decision, Target
from proxy.core.finder import compile_find, looks_closer
from proxy.core.forwarded import TrustedProxies
from proxy.core.local_reply import CorsPolicy, LocalReply, compile_direct, compile_redirect
from proxy.core.match import decoded_match, is_encoded, path_of, takes_every_path
from proxy.core.message import HeadView
from proxy.core.path import PLAIN, AmbiguousPath, has_dots, has_nul, is_ambiguous, readings
from proxy.core.request_view import DrawSlot, RequestView
from proxy.core.rewrite import compile_change
from proxy.core.split import Table, canonical_table, decode, quotas
from proxy.core.sticky import NewId
from proxy.model.config import (
    DirectResponse,
    Match,
    Route,
    Service,
    Timeouts,
    weights_of,
)
from proxy.model.errors import ConfigError, Problem
from proxy.model.found import NOTHING, FoundEndpoints, endpoints_of
from proxy.model.regex import BeyondRegex
from proxy.model.validate import check_traffic
from proxy.model.wire import Snapshot, SplitTable

AmbiguousPaths = Literal["route", "refuse", "pass"]


Decide = Callable[[HeadView, str], Decision | LocalReply | None]
_Refuse = Callable[[HeadView, int, RequestView | None], None]
_Act = Callable[[HeadView, str, int], Decision | LocalReply]


class Router(msgspec.Struct, frozen=True):
    """A snapshot made ready to decide."""

    versions: tuple[Target, ...]
    """Every version of every service, those without a share too."""
    decide: Decide
    """(head, peer's address) → where the request goes, or what it is answered; None when no route
    matches. Raises ``AmbiguousPath`` and ``BeyondRegex``."""
    timeouts: tuple[Timeouts, ...]
    """By route; the defaults where it leads to no service."""
    routes: tuple[Route, ...]


def compile_router(
    snapshot: Snapshot,
    trusted: TrustedProxies,
    draw_slot: DrawSlot,
    new_id: NewId,
    clock: Callable[[], float],
    ambiguous_paths: AmbiguousPaths = "route",
    found: FoundEndpoints = NOTHING,
) -> Router:
    """Makes a snapshot ready to decide.

    Args:
        snapshot: a service without a table gets the canonical one of its weights.
        trusted: the proxies whose X-Forwarded-For is believed.
        draw_slot: draws the slot of a request that has no sticky key, and whether one falls into
            a match's fraction.
        new_id: draws the id of a user who has none (``proxy.core.sticky.NewId``).
        clock: Unix time in seconds, for pins.
        ambiguous_paths: when paths that an endpoint may read as others are refused
            (``proxy.core.path``).
        found: what is behind the sources of endpoints now.

    Raises:
        ConfigError: with every problem found in services, routes and tables.
    """
    services = snapshot.traffic.services
    problems = check_traffic(snapshot.traffic)
    if problems:
        raise ConfigError(problems)
    tables = _tables(services, snapshot.tables)
    targets = _targets(services, tables, found)
    means = Means(trusted, draw_slot, new_id, clock)
    assigns = {
        name: compile_assign(name, service, tables[name], targets, means)
        for name, service in services.items()
    }
    routes = snapshot.traffic.routes
    strict = ambiguous_paths != "pass"
    acts = tuple(_act(route, assigns, trusted, strict=strict) for route in routes)
    return Router(
        versions=tuple(targets.values()),
        decide=_decide(routes, acts, ambiguous_paths, (trusted, draw_slot)),
        timeouts=tuple(
            _timeouts(services[route.service].timeouts if route.service else Timeouts(), route)
            for route in routes
        ),
        routes=routes,
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
    except BeyondRegex:
        return {"route": None, "reason": "beyond_regex"}
    if decision is None:
        return {"route": None, "reason": "no_route"}
    if isinstance(decision, LocalReply):
        said = {"route": decision.route, "reason": decision.reason, "status": decision.status}
        return said | ({"location": location} if (location := _location(decision)) else {})
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
        "sets_cookie": bool(decision.set_cookies),
    } | ({} if (sent := decision.sent_target) is None else {"sent_target": sent.decode("latin-1")})


def _location(answer: LocalReply) -> str:
    name, _, value = answer.lines.partition(b": ")
    return value.rstrip(b"\r\n").decode("latin-1") if name == b"Location" else ""


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
    services: Mapping[str, Service], tables: Mapping[str, Table], found: FoundEndpoints
) -> dict[tuple[str, str], Target]:
    targets: dict[tuple[str, str], Target] = {}
    for name, service in services.items():
        counts = tables[name].counts()
        for version, release in service.versions.items():
            targets[name, version] = Target(
                index=len(targets),
                service=name,
                version=version,
                endpoints=tuple(each.url for each in endpoints_of(release, found)),
                share=counts.get(version, 0) / len(tables[name].slots),
            )
    return targets


def _act(
    route: Route, assigns: Mapping[str, Assign], trusted: TrustedProxies, *, strict: bool
) -> _Act:
    """(head, peer, route) → what a route does with a request that it matched."""
    act: _Act
    if route.service is not None:
        act = _rewriting(assigns[route.service], route, strict=strict)
    elif route.redirect is not None:
        act = compile_redirect(route.redirect, route.match.path, trusted)
    else:
        act = compile_direct(route.respond or DirectResponse())
    if route.cors is None:
        return act
    cors = CorsPolicy(route.cors)

    def asked_first(head: HeadView, peer: str, index: int) -> Decision | LocalReply:
        return cors.preflight(head, index) or act(head, peer, index)

    return asked_first


def _rewriting(assign: Assign, route: Route, *, strict: bool) -> Assign:
    """Args: strict: a path that climbs out of where it was rewritten to is refused: the routes were
    asked about another one."""
    change = compile_change(route.rewrite, route.match.path) if route.rewrite else None
    if change is None:
        return assign

    def rewritten(head: HeadView, peer: str, index: int) -> Decision:
        target = change(head.target)
        path = path_of(target)
        if has_nul(path) or (strict and has_dots(path)):
            raise AmbiguousPath
        return msgspec.structs.replace(assign(head, peer, index), sent_target=target)

    return rewritten


def _decide(
    routes: tuple[Route, ...],
    ordered: tuple[_Act, ...],
    ambiguous: AmbiguousPaths,
    means: tuple[TrustedProxies, DrawSlot],
) -> Decide:
    refuse = _policy(routes, ambiguous)
    if routes and _takes_all(routes[0].match):
        catch_all = ordered[0]

        def decide_all(head: HeadView, peer: str) -> Decision | LocalReply:
            refuse(head, 0, None)
            return catch_all(head, peer, 0)

        return decide_all
    trusted, draw_slot = means
    find = compile_find((route.match for route in routes), cors=_with_cors(routes))
    closer = any(looks_closer(route.match) for route in routes)

    def decide(head: HeadView, peer: str) -> Decision | LocalReply | None:
        view = RequestView(head, peer, trusted, draw_slot) if closer else None
        index = find(head, path_of(head.target), view)
        refuse(head, index, view)
        return ordered[index](head, peer, index) if index >= 0 else None

    return decide


def _takes_all(match: Match) -> bool:
    return match.host is None and takes_every_path(match.path) and not looks_closer(match)


def _with_cors(routes: tuple[Route, ...]) -> frozenset[int]:
    return frozenset(index for index, route in enumerate(routes) if route.cors is not None)


def _policy(routes: tuple[Route, ...], ambiguous: AmbiguousPaths) -> _Refuse:
    """(head, the index of its route, a view of it) → nothing, or ``AmbiguousPath``. See
    ``proxy.core.path``."""
    by_path = not all(takes_every_path(route.match.path) for route in routes)
    if ambiguous == "pass" or (ambiguous == "route" and not by_path):
        return _refuse_nul
    matches = (decoded_match(route.match) for route in routes)
    find = compile_find(matches, decoded=True, cors=_with_cors(routes))
    # A pattern that is encoded itself has other spellings among the plain paths.
    skip_plain = ambiguous == "refuse" or not any(is_encoded(route.match) for route in routes)

    def refuse(head: HeadView, index: int, view: RequestView | None) -> None:
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
                if find(head, reading, view) != index:
                    raise AmbiguousPath

    return refuse


def _refuse_nul(head: HeadView, _index: int, _view: RequestView | None) -> None:
    if has_nul(head.target) and has_nul(path_of(head.target)):
        raise AmbiguousPath
