"""Owns the control plane's nouns and its exceptions. Never touches a database or a socket."""

from datetime import datetime

import msgspec

from proxy.model.config import Traffic
from proxy.model.errors import Problem
from proxy.model.wire import Edges, SplitTable


class Draft(msgspec.Struct, frozen=True):
    """A change that was judged good and has no number yet."""

    traffic: Traffic
    tables: dict[str, SplitTable]
    """By service, for every service in ``traffic``."""
    author: str
    reason: str
    at: datetime
    """Aware, UTC."""
    edges: dict[str, Edges] = {}
    """By service whose users are split, as far as there are any."""


class Revision(msgspec.Struct, frozen=True):
    """One accepted state of the traffic. Number 0 is the empty state before the first change."""

    number: int
    traffic: Traffic = Traffic()
    tables: dict[str, SplitTable] = {}
    edges: dict[str, Edges] = {}
    """As in ``Draft``."""


class RevisionNote(msgspec.Struct, frozen=True):
    """Who made a revision, when and why; without its content."""

    revision: int
    at: datetime
    author: str
    reason: str


class Order(msgspec.Struct, frozen=True):
    """How a change is asked for: by whom, from where, why, and on which conditions."""

    author: str
    reason: str = ""
    address: str = ""
    """Where the call came from."""
    request: str = ""
    """The call's ``X-Request-Id``."""
    expected: frozenset[str] | None = None
    """The entity tags, without quotes, that what is changed may have; ``None`` means any."""
    dry_run: bool = False
    """Only tell what would change."""
    override: bool = False
    """Go past the change windows."""
    key: str = ""
    """``Idempotency-Key``; empty when there is none."""
    digest: str = ""
    """SHA-256 of the request, by which one that is sent again is known."""


class Kept(msgspec.Struct, frozen=True):
    """A reply that may be asked for again."""

    digest: str
    """Of the request that it answered."""
    body: bytes
    tag: str | None
    """See ``Reply``."""


class Reply(msgspec.Struct, frozen=True):
    """What a change is answered with."""

    body: bytes
    """JSON."""
    tag: str | None = None
    """Of what it tells, without quotes: a revision, or a digest of what has none."""
    replayed: bool = False
    """It is the answer to an earlier request with the same key."""


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
    zone: str = ""
    place: dict[str, str] = {}
    """Where it says it runs: its pod, its ECS task."""


class OnRevision(msgspec.Struct, frozen=True):
    """How many connected proxies have a revision in force."""

    revision: int
    proxies: int


class Refusal(msgspec.Struct, frozen=True):
    """A connected proxy that refused, and why."""

    instance: str
    address: str
    revision: int
    """The one it refused."""
    problems: tuple[Problem, ...]


class Refusing(msgspec.Struct, frozen=True):
    """How many connected proxies are on one revision and refused another one last."""

    revision: int
    refused: int
    proxies: int


class Summary(msgspec.Struct, frozen=True):
    """What one control plane tells the others of the proxies that are connected to it."""

    revisions: tuple[OnRevision, ...]
    refusing: tuple[Refusing, ...]
    refusals: tuple[tuple[int, Refusal], ...]
    """Each with the revision in force there; by instance, the first twenty."""


class Convergence(msgspec.Struct, frozen=True):
    """How far a revision has come among the connected proxies."""

    revision: int
    connected: int
    confirmed: int
    """This revision or a newer one is in force there."""
    behind: int
    """Have not said anything to it yet."""
    refused: int
    done: bool
    """Every connected proxy has confirmed; so it is when none is connected."""
    revisions: tuple[OnRevision, ...]
    """The newest first; 0 is that of proxies that have none from this store."""
    refusals: tuple[Refusal, ...]
    """By instance; the first twenty."""


class ControlError(Exception):
    """Base of what the control plane itself raises."""


class UnknownServiceError(ControlError):
    """No such service in the newest revision."""

    def __init__(self, service: str, known: tuple[str, ...]) -> None:
        self.service = service
        there_are = ", ".join(known) if known else "none"
        super().__init__(f"unknown service {service!r}; services: {there_are}")


class UnknownRevisionError(ControlError):
    """No such revision."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no revision {number}")


class KeyReusedError(ControlError):
    """The key was sent with another request before."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another request; take a new one")


class StaleError(ControlError):
    """The caller built its change on what is no longer so."""

    def __init__(self, tag: str, message: str = "") -> None:
        self.tag = tag
        """Of what is there now."""
        super().__init__(
            message or "somebody else has changed this meanwhile; read it and decide anew"
        )


class StaleRevisionError(StaleError):
    """The caller built its change on a revision that is no longer the newest."""

    def __init__(self, newest: int) -> None:
        told = f"the newest revision is {newest}; read it and apply your change to that"
        super().__init__(str(newest), told)
