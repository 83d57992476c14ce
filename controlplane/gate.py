"""Owns when a change may be made: freezes and change windows. Pure: ``now`` is an argument.

Never stores one. Time zones are the IANA database's, by ``zoneinfo``; a window is read on the clock
on the wall, so that it stays at nine o'clock when summer time begins.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from controlplane.model import ControlError
from proxy.model.config import Name, Route, Traffic

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", description="HH:MM")]
_TAG_CHARS = 16
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Freeze(msgspec.Struct, frozen=True):
    """No changes until it is lifted."""

    author: str
    reason: str
    at: datetime
    until: datetime | None = None
    """It lifts itself then."""

    def is_over(self, now: datetime) -> bool:
        """Whether it has lifted itself."""
        return self.until is not None and self.until <= now


class Freezes(msgspec.Struct, frozen=True):
    """What may not be changed now."""

    all: Freeze | None = None
    services: dict[Name, Freeze] = {}


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When changes may be made."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)]
    """On which it opens."""
    opens: Clock
    closes: Clock
    """On the next day, if that is not later than ``opens``."""
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """Such as ``Europe/Berlin``."""


class ClosedError(ControlError):
    """The change may not be made now."""


class FrozenError(ClosedError):
    """There is a freeze."""

    def __init__(self, freeze: Freeze, service: str | None) -> None:
        what, path = ("everything", "/v1/freeze")
        if service is not None:
            what, path = f"service {service!r}", f"/v1/services/{service}/freeze"
        until = f" until {_told(freeze.until)}" if freeze.until else ""
        super().__init__(
            f"{what} is frozen{until}: {freeze.author} froze it on {_told(freeze.at)} "
            f"({freeze.reason}); DELETE {path} lifts it"
        )


class OutsideWindowError(ClosedError):
    """No change window is open."""

    def __init__(self, windows: Sequence[Window]) -> None:
        told = "; ".join(f"{','.join(w.days)} {w.opens}-{w.closes} {w.zone}" for w in windows)
        super().__init__(
            f"changes are made within these windows only: {told}; "
            "an admin may use override=true with a reason"
        )


def tag_of(held: object) -> str:
    """The entity tag of what no revision numbers, such as freezes, change windows or a token: the
    same for the same, wherever and whenever it is made. A freeze that is over belongs to none."""
    text = msgspec.json.encode(held, order="sorted")
    return hashlib.sha256(text).hexdigest()[:_TAG_CHARS]


def check_open(
    freezes: Freezes,
    windows: Sequence[Window],
    services: Iterable[str],
    now: datetime,
    *,
    override: bool,
) -> None:
    """Whether these services may be changed now.

    Args:
        services: that the change touches.
        now: aware.
        override: goes past the windows, never past a freeze: that is lifted by hand.

    Raises: FrozenError, OutsideWindowError.
    """
    if freezes.all and not freezes.all.is_over(now):
        raise FrozenError(freezes.all, None)
    for service in services:
        freeze = freezes.services.get(service)
        if freeze and not freeze.is_over(now):
            raise FrozenError(freeze, service)
    if windows and not override and not any(is_open(window, now) for window in windows):
        raise OutsideWindowError(windows)


def is_open(window: Window, now: datetime) -> bool:
    """Whether the window is open. ``now`` is aware."""
    local = now.astimezone(ZoneInfo(window.zone))
    clock, today = f"{local:%H:%M}", DAYS[local.weekday()]
    if window.opens < window.closes:
        return today in window.days and window.opens <= clock < window.closes
    yesterday = DAYS[(local - timedelta(days=1)).weekday()]
    return (today in window.days and clock >= window.opens) or (
        yesterday in window.days and clock < window.closes
    )


def touched(before: Traffic, after: Traffic) -> list[str]:
    """The services whose users may notice the change, sorted.

    A change of routes touches every service that a route from the first to the last changed one
    leads to: the first match wins, so their order counts.
    """
    names = before.services.keys() | after.services.keys()
    changed = {name for name in names if _differs(before.services, after.services, name)}
    for routes in _changed_routes(before.routes, after.routes):
        changed |= {route.service for route in routes if route.service is not None}
    return sorted(changed)


def _differs(before: Mapping[str, object], after: Mapping[str, object], name: str) -> bool:
    return before.get(name) != after.get(name)


def _changed_routes(
    old: Sequence[Route], new: Sequence[Route]
) -> tuple[Sequence[Route], Sequence[Route]]:
    shorter = min(len(old), len(new))
    start = 0
    while start < shorter and old[start] == new[start]:
        start += 1
    end = 0
    while end < shorter - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return old[start : len(old) - end], new[start : len(new) - end]


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
