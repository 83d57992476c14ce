"""Owns every message between the processes of Splitway. Never sends one.

Control stream (WebSocket text frames of JSON, one message each): the proxy opens with ``Hello``;
the control plane sends whole, numbered ``Snapshot``s; the proxy answers each with ``Ack`` or
``Nack``. Once ``Reporting`` has asked for them, the proxy sends ``Report``s, each answered with
``ReportAck``. Worker link (length-prefixed MessagePack, see ``proxy.supervisor.link``): ``Install``
is answered the same way, ``Pull`` with ``Counts``, ``Take`` with ``Taken``; ``Leave`` with ``Left``
and the process's end.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from proxy.model.config import Config, Endpoint, Traffic
from proxy.model.errors import Problem

MAX_ZONE_CHARS = 64
MAX_PLACE_CHARS = 256
_MAX_PLACES = 16
MAX_NAME_CHARS = 63
MAX_SEGMENT_CHARS = 2 * MAX_NAME_CHARS + 1
LAST_BUCKET = 321
"""Of latency: ``proxy.telemetry.histogram.OVERFLOW``."""
MAX_COUNT = 2**53
"""What every reader of JSON takes for the number it is."""
MAX_SAMPLE_BYTES = 2_048
MAX_ENDPOINT_CHARS = 300
MAX_EDGES = 4
MAX_SPREAD = 65 * (2 + MAX_EDGES)
MAX_ROWS = 5_000
MAX_INTERVAL_S = 400 * 86_400.0

_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Edges = Annotated[
    tuple[Annotated[int, Meta(ge=0, lt=LAST_BUCKET)], ...], Meta(max_length=MAX_EDGES)
]
"""Buckets of latency (``proxy.telemetry.histogram``), ascending: slow is what is above one."""


class SplitTable(msgspec.Struct, frozen=True):
    """A service's 10,000 slots, run-length coded.

    ``runs`` holds pairs flattened: index into ``versions``, number of slots, and so on.
    """

    versions: tuple[str, ...]
    runs: tuple[Annotated[int, Meta(ge=0, le=10_000)], ...]


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """A whole, numbered configuration of the traffic."""

    revision: Annotated[int, Meta(ge=0)]
    traffic: Traffic
    tables: dict[str, SplitTable] = {}
    """By service; a service that is missing gets the canonical table of its weights."""
    store: str = ""
    """Which control plane's store numbered it; empty when it came from the file.
    Revisions are compared only within one store."""
    edges: dict[str, Edges] = {}
    """By service whose users are split: above which latencies a request counts as slow."""


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A proxy presents itself."""

    instance: Annotated[str, Meta(min_length=1, max_length=128)]
    release: Annotated[str, Meta(max_length=64)]
    """The proxy's own software version."""
    store: str = ""
    revision: int = 0
    """What it runs on now; 0 when it has none from this store."""
    zone: Annotated[str, Meta(max_length=MAX_ZONE_CHARS)] = ""
    place: Annotated[
        dict[
            Annotated[str, Meta(max_length=MAX_ZONE_CHARS)],
            Annotated[str, Meta(max_length=MAX_PLACE_CHARS)],
        ],
        Meta(max_length=_MAX_PLACES),
    ] = {}
    """Where it runs, as far as it knows: its pod, its ECS task (``proxy.sync.identity``)."""
    reports: bool = False
    """It sends reports if it is asked to."""


class Sample(msgspec.Struct, frozen=True):
    """Some of the users that were seen, by their hashes (``proxy.model.users``)."""

    depth: Annotated[int, Meta(ge=0, le=45)]
    """All those whose hash begins with so many zero bits: each stands for 2^depth."""
    users: Annotated[bytes, Meta(max_length=MAX_SAMPLE_BYTES)]
    """Eight bytes each, big-endian, ascending."""


class Spread(msgspec.Struct, frozen=True):
    """How requests, errors and slow requests are spread over users (``proxy.model.spread``)."""

    edges: Edges
    counts: Annotated[tuple[_Count, ...], Meta(max_length=MAX_SPREAD)]
    """Requests, errors, and for each edge those that were slow or errors; each of the three by the
    bucket of the user, or in all."""


class ReportRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one version did in a report's interval: for all, for one segment of its audience, or at
    one of its endpoints."""

    service: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    version: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    segment: Annotated[str, Meta(max_length=MAX_SEGMENT_CHARS)] = ""
    """``dimension=value``; empty for everybody, testers among them. Each request is in one segment
    of every dimension that its service declares."""
    requests: _Count = 0
    """Finished."""
    errors: _Count = 0
    """Of them, those whose first attempt was an error or brought no answer."""
    latency: dict[Annotated[int, Meta(ge=0, le=LAST_BUCKET)], _Count] = {}
    """By bucket (``proxy.telemetry.histogram``), empty ones left out."""
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of the users, in force all through the interval; left out if it changed, and by segment."""
    users: Sample | None = None
    """Who was seen, without testers; left out where nobody has a sticky key."""
    erring: Sample | None = None
    """Of them, those whose first attempt was an error or brought no answer."""
    endpoint: Annotated[
        str, Meta(pattern=r"^[^\x00-\x20\x7f]*$(?!\n)", max_length=MAX_ENDPOINT_CHARS)
    ] = ""
    """Which the first attempt was at; empty for all. Only where users are split, without testers;
    latency is that of the whole request."""
    spread: Spread | None = None
    """Only where users are split, without testers: by user, and by endpoint in all."""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """What one proxy counted in one interval: differences, never totals (docs/adr/0022).

    Which one it is, is said by ``boot`` and ``number``: the same two are the same report, however
    often and on whichever connection they come.
    """

    boot: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    """Drawn for each life of a proxy."""
    number: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    """1, 2, 3 … in one life, in the order of the intervals."""
    store: Annotated[str, Meta(max_length=MAX_ZONE_CHARS)]
    revision: Annotated[int, Meta(ge=0, le=MAX_COUNT)]
    """In force at the end of the interval."""
    start: Annotated[datetime, Meta(tz=True)]
    """When the interval began, by the proxy's wall clock."""
    length_s: Annotated[float, Meta(gt=0, le=MAX_INTERVAL_S)]
    """How long it was, by the monotonic clock."""
    age_s: Annotated[float, Meta(ge=0, le=MAX_INTERVAL_S)]
    """How long before the sending it ended, by the same."""
    rows: Annotated[tuple[ReportRow, ...], Meta(max_length=MAX_ROWS)] = ()
    """Of what finished requests in the interval; what has no row had none."""
    goes_on: bool = False
    """It has more rows of the interval that the report before it has begun."""


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """The revision is in force."""

    revision: int


class Nack(msgspec.Struct, frozen=True, tag="nack"):
    """The revision was refused; the one before stays in force."""

    revision: int
    problems: tuple[Problem, ...]


class Reporting(msgspec.Struct, frozen=True, tag="reporting"):
    """Asks a proxy whose ``Hello`` says that it can for a ``Report`` every so often. Until it is
    asked it sends none."""

    every_s: Annotated[float, Meta(ge=0.1, le=3_600)]
    splits: bool = False
    """Where users are split, it is to say by whom and at which endpoints requests were met, too.
    Who does not ask does not know these rows, and would count their requests again."""


class ReportAck(msgspec.Struct, frozen=True, tag="report-ack"):
    """A report is counted, now or before, and durable; or it never will be. Do not send it again.
    One without an answer is to be sent again."""

    number: int
    refused: str = ""
    """Why it, or a part of it, is not counted."""
    lost: int = 0
    """The requests of that part."""


class VersionCounts(msgspec.Struct):
    """What one process counted for one version since it started; every figure only grows,
    but for ``in_flight`` and ``tunnels``."""

    service: str
    version: str
    requests: dict[str, int] = {}
    """Finished requests by ``"METHOD CODE"``."""
    latency: dict[int, int] = {}
    """Finished requests by bucket index (``proxy.telemetry.histogram``), empty buckets left out."""
    latency_sum_s: float = 0.0
    attempts: dict[str, int] = {}
    """Tries against endpoints by outcome (``proxy.core.outcome``)."""
    assignments: dict[str, int] = {}
    """Decisions by the sticky source that made them."""
    in_flight: int = 0
    tunnels: int = 0
    """Open now."""
    request_bytes: int = 0
    response_bytes: int = 0
    ejections: int = 0
    """Of endpoints; not by endpoint, as those that sources find come and go without end."""
    segments: dict[str, int] = {}
    """Finished requests by ``"dimension=value"`` and class of status, such as ``"country=de 2xx"``.
    Those of testers are not among them."""
    errors: int = 0
    """Finished requests whose first attempt was an error (500 or above) or brought no answer: what
    the version is charged for, whatever a retry made of it."""
    segment_errors: dict[str, int] = {}
    """The same by ``"dimension=value"``, without testers."""
    segment_latency: dict[str, dict[int, int]] = {}
    """As ``latency``, by ``"dimension=value"``, without testers."""


class UsersSeen(msgspec.Struct, frozen=True):
    """Who was seen by one version since it was asked last; by segment, too."""

    service: str
    version: str
    segment: str
    users: Sample | None
    """None where requests have no sticky key."""
    erring: Sample | None
    spread: Spread | None = None


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """What a worker has seen since it was asked last, where users are split. The first time
    nothing: who is never asked does not look."""

    seen: tuple[UsersSeen, ...] = ()
    served: tuple[ReportRow, ...] = ()
    """By endpoint."""


class EndpointStates(msgspec.Struct):
    """In how many processes an endpoint is in which state, and what they ask of it now."""

    service: str
    version: str
    endpoint: str
    used: int = 0
    ejected: int = 0
    unhealthy: int = 0
    unknown: int = 0
    """Not checked yet."""
    off: int = 0
    """Its weight is 0."""
    busy: int = 0
    """Connections that serve a request."""


class SourceState(msgspec.Struct, frozen=True):
    """What there is to tell of one source of endpoints."""

    source: str
    """Its URL."""
    endpoints: int
    """Found last."""
    trouble: str = ""
    """Why it does not answer now; empty when it does."""
    failures: int = 0
    """How often it did not."""


class Counts(msgspec.Struct, frozen=True, tag="counts"):
    """Everything one worker has counted since it started."""

    versions: tuple[VersionCounts, ...]
    connections: int = 0
    """Clients' connections open now."""
    log_dropped: int = 0
    """Access log lines dropped because their reader was too slow or the disk refused them."""
    shed: dict[str, int] = {}
    """Connections and requests refused for overload, by the limit that was reached."""
    endpoints: tuple[EndpointStates, ...] = ()
    """Of the revision in force."""
    copies: tuple[VersionCounts, ...] = ()
    """As ``versions``, of mirrored requests."""
    copies_dropped: int = 0
    """For want of room, or because their body was too long."""


class Install(msgspec.Struct, frozen=True, tag="install"):
    """Serve by this from now on; answered with ``Ack`` or ``Nack``."""

    config: Config
    """What it says of the process itself; its traffic is not looked at."""
    snapshot: Snapshot
    found: dict[str, tuple[Endpoint, ...]] = {}
    """By a source's URL, the endpoints behind it now (``proxy.model.found``)."""


class Pull(msgspec.Struct, frozen=True, tag="pull"):
    """Asks a worker for its ``Counts`` now."""


class Take(msgspec.Struct, frozen=True, tag="take"):
    """Asks a worker for what was ``Taken`` since the last time."""


class Reopen(msgspec.Struct, frozen=True, tag="reopen"):
    """Tells a worker that its access log was rotated; answered with ``Counts``."""


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Tells a worker to drain: stop accepting, finish, exit within the deadline."""

    deadline_s: float


class Left(msgspec.Struct, frozen=True, tag="left"):
    """A worker's last words."""

    counts: Counts
    clean: bool
    """Whether nothing had to be cut."""
    taken: Taken = Taken()


ToControl = Hello | Ack | Nack | Report
FromControl = Snapshot | Reporting | ReportAck
ToWorker = Install | Pull | Take | Reopen | Leave
FromWorker = Ack | Nack | Counts | Taken | Left
