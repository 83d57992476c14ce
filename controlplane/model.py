"""Owns the control plane's nouns and its exceptions. Never touches a database or a socket."""

from datetime import datetime

import msgspec

from proxy.model.config import Traffic
from proxy.model.errors import Problem
from proxy.model.wire import SplitTable


class Draft(msgspec.Struct, frozen=True):
    """A change that was judged good and has no number yet."""

    traffic: Traffic
    tables: dict[str, SplitTable]
    """By service, for every service in ``traffic``."""
    author: str
    reason: str
    at: datetime
    """Aware, UTC."""


class Revision(msgspec.Struct, frozen=True):
    """One accepted state of the traffic. Number 0 is the empty state before the first change."""

    number: int
    traffic: Traffic = Traffic()
    tables: dict[str, SplitTable] = {}


class RevisionNote(msgspec.Struct, frozen=True):
    """Who made a revision, when and why; without its content."""

    revision: int
    at: datetime
    author: str
    reason: str


class ProxyInfo(msgspec.Struct, frozen=True):
    """One proxy as the control plane knows it."""

    instance: str
    release: str
    address: str
    connected: bool
    connected_since: datetime
    disconnected_at: datetime | None
    revision: int
    """The newest revision it says is in force; 0 when it has none from this store."""
    target: int
    """The revision it should be on."""
    refused: int | None = None
    """The revision it refused last, unless a newer one is in force."""
    problems: tuple[Problem, ...] = ()
    """Why it refused."""


class ControlError(Exception):
    """Base of what the control plane itself raises."""


class UnknownServiceError(ControlError):
    """No such service in the newest revision."""

    def __init__(self, service: str, known: tuple[str, ...]) -> None:
        there_are = ", ".join(known) if known else "none"
        super().__init__(f"unknown service {service!r}; services: {there_are}")


class StaleRevisionError(ControlError):
    """The caller built its change on a revision that is no longer the newest."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        super().__init__(f"the newest revision is {newest}; read it and apply your change to that")
