"""Owns which version of one service a request goes to, and why.

The hash of its sticky key decides; before it, if they are configured, a tester's own word and the
pin of a user who was here before. Source: product.md "Splitting: exact semantics".
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from proxy.core.decision import Decision, Reason, Target
from proxy.core.forwarded import TrustedProxies
from proxy.core.message import HeadView
from proxy.core.pin import Pin, PinKeys
from proxy.core.request_view import DrawSlot
from proxy.core.slot import SLOTS, hash32, seed_of, slot_of
from proxy.core.split import Table
from proxy.core.sticky import FindKey, Key, NewId, compile_sticky, cookie_attributes, first_header
from proxy.core.values import cookie_value
from proxy.model.config import DrainUntil, Override, PinCookie, Service

Assign = Callable[[HeadView, str, int], Decision]
"""(head, peer, index of the route) → the decision."""
_SPREAD_SEED: Final = 0x5EED
_NO_SLOT: Final = -1
MAX_AHEAD_S: Final = 300.0
"""By so much may the clock of the proxy that made a pin be ahead of ours."""


class Means(NamedTuple):
    """What deciding needs of the process."""

    trusted: TrustedProxies
    draw_slot: DrawSlot
    new_id: NewId
    clock: Callable[[], float]
    """Unix time in seconds."""


def compile_assign(
    name: str,
    service: Service,
    table: Table,
    targets: Mapping[tuple[str, str], Target],
    means: Means,
) -> Assign:
    """The decision within one service.

    A service with one version in use is decided like any other but for the reason: it costs a
    fraction of a microsecond, and who has a key and who has none shows before a rollout begins.
    """
    own = {version: targets[name, version] for version in service.versions}
    assign = _hashed(name, service, table, own, means)
    pin = service.sticky.pin
    if service.sticky.mode == "pin" and pin is not None:
        assign = _pinned(assign, pin, PinKeys(name, pin.secrets), own, means.clock)
    override = service.sticky.override
    if override is not None:
        assign = _overridden(assign, override, own)
    if service.balance.policy == "ring_hash" and (override is not None or pin is not None):
        assign = _spread(assign, compile_sticky(service.sticky, means.trusted, means.new_id), means)
    return assign


def _spread(otherwise: Assign, find_key: FindKey, means: Means) -> Assign:
    """Who has a pin, or names a version, keeps an endpoint by the same key as everybody else."""

    def spread_of(key: Key | None) -> int:
        if key is None:
            return (means.draw_slot() << 32) // SLOTS
        return hash32(key[0], _SPREAD_SEED)

    def assign(head: HeadView, peer: str, route: int) -> Decision:
        decision = otherwise(head, peer, route)
        if decision.source not in ("pin", "override"):
            return decision
        key = find_key(head, peer)
        return msgspec.structs.replace(decision, spread=spread_of(key))

    return assign


def _hashed(
    name: str, service: Service, table: Table, own: Mapping[str, Target], means: Means
) -> Assign:
    find_key = compile_sticky(service.sticky, means.trusted, means.new_id)
    draw_slot = means.draw_slot
    owners = tuple(own[version] for version in table.names)
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
        set_cookies = () if set_cookie is None else (set_cookie,)
        return Decision(owners[slots[slot]], route, slot, source, keyed, set_cookies)

    def assign_and_spread(head: HeadView, peer: str, route: int) -> Decision:
        key = find_key(head, peer)
        if key is None:
            slot = draw_slot()
            spread = (slot << 32) // SLOTS
            return Decision(owners[slots[slot]], route, slot, "random", drawn, (), spread)
        value, source, set_cookie = key
        slot = slot_of(value, seed)
        spread = hash32(value, _SPREAD_SEED)
        set_cookies = () if set_cookie is None else (set_cookie,)
        return Decision(owners[slots[slot]], route, slot, source, keyed, set_cookies, spread)

    if service.balance.policy == "ring_hash":
        return assign_and_spread
    header = first_header(service.sticky)
    if header is None:
        return assign
    return _header_first(header, assign, (owners, slots, seed, keyed))


def _header_first(
    header: bytes, otherwise: Assign, split: tuple[tuple[Target, ...], bytes, int, Reason]
) -> Assign:
    """The common case in one call to the head; all other requests take the whole chain."""
    owners, slots, seed, reason = split

    def assign(head: HeadView, peer: str, route: int) -> Decision:
        key = head.header(header)
        if not key:
            return otherwise(head, peer, route)
        slot = slot_of(key, seed)
        return Decision(owners[slots[slot]], route, slot, "header", reason)

    return assign


def _pinned(
    otherwise: Assign,
    config: PinCookie,
    keys: PinKeys,
    own: Mapping[str, Target],
    clock: Callable[[], float],
) -> Assign:
    """Who was given a version keeps it while its pin is worth something.

    A pin is made anew while its version has a share. So at weight 0 the time since it was made is
    at least the time that its user was not sent away, on every proxy and after every restart.
    """
    name = config.cookie.encode()
    attributes = cookie_attributes(config)
    at_zero = config.at_zero
    drain_s = at_zero.drain_until if isinstance(at_zero, DrainUntil) else 0.0
    renew_s = min(config.max_age_s or 86_400, drain_s or 86_400 * 365) / 2

    def cookie(version: str, now: float) -> bytes:
        value = keys.sign(Pin(version, config.epoch, int(now)))
        return f"{config.cookie}={value}{attributes}".encode()

    def assign(head: HeadView, peer: str, route: int) -> Decision:
        value = cookie_value(head, name)
        pin = keys.read(value) if value else None
        now = clock()
        age_s = 0.0 if pin is None else now - pin.issued_s
        # A pin of the future would outlive what drain_until says.
        if pin is not None and pin.epoch == config.epoch and age_s > -MAX_AHEAD_S:
            target = own.get(pin.version)
            if target is not None and target.share:
                fresh = pin.first_key and age_s < renew_s
                set_cookies = () if fresh else (cookie(pin.version, now),)
                return Decision(target, route, _NO_SLOT, "pin", Reason.PIN, set_cookies)
            if target is not None and (at_zero == "honor" or age_s < drain_s):
                return Decision(target, route, _NO_SLOT, "pin", Reason.PIN)
        decision = otherwise(head, peer, route)
        made = cookie(decision.target.version, now)
        return msgspec.structs.replace(decision, set_cookies=(*decision.set_cookies, made))

    return assign


def _overridden(otherwise: Assign, config: Override, own: Mapping[str, Target]) -> Assign:
    """A tester names the version, whatever its weight."""
    header = config.header.lower().encode() if config.header else b""
    cookie = config.cookie.encode() if config.cookie else b""
    secret = config.secret.encode() if config.secret else b""
    targets = {version.encode(): target for version, target in own.items()}

    def assign(head: HeadView, peer: str, route: int) -> Decision:
        said = head.header(header) if header else cookie_value(head, cookie)
        if said:
            version, _, given = said.partition(b":")
            target = targets.get(version)
            if target is not None and hmac.compare_digest(given, secret):
                return Decision(target, route, _NO_SLOT, "override", Reason.OVERRIDE)
        return otherwise(head, peer, route)

    return assign
