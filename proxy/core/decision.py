"""Owns the nouns of a decision: where one request goes, and why."""

from enum import StrEnum

import msgspec

from proxy.core.sticky import Source


class Reason(StrEnum):
    """Why a request got its version."""

    SPLIT = "split"
    """Its sticky key's slot belongs to that version."""
    ONLY_VERSION = "only_version"
    """No other version has a share."""
    RANDOM = "random"
    """It has no sticky key, so its slot was drawn."""
    PIN = "pin"
    """Its user was given that version before."""
    OVERRIDE = "override"
    """It says so itself, as a tester may."""


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
    """0–9,999; -1 where none decided."""
    source: Source
    reason: Reason
    set_cookies: tuple[bytes, ...] = ()
    """Values of the Set-Cookie fields that the response must carry."""
    spread: int = 0
    """Of the sticky key, 0 to 2^32 - 1, in another hash than the slot's; only where the service's
    endpoints are chosen by it."""
    sent_target: bytes | None = None
    """What the endpoint is asked for in place of the request's own target."""
