"""Owns the configuration's types, each default once. Never reads a file (see ``parse``).

The same types are the YAML file, the control plane's documents and the published JSON Schema
(``docs/config.schema.json``). Names follow ``docs/settings.md``; times are seconds (``_s``).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$",
        description="1–63 letters, digits, '.', '_' or '-'; starts and ends with a letter or digit",
    ),
]
Weight = Annotated[
    int, Meta(ge=0, le=1_000_000, description="relative; the share is weight / sum of weights")
]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=86_400)]
"""0 means no limit."""
HeaderName = Annotated[
    str, Meta(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$", max_length=128, description="a field name")
]
Text = Annotated[str, Meta(min_length=1, max_length=256)]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every configuration type: immutable, and an unknown field is a mistake."""


class Listener(Struct, frozen=True):
    """A bound address that takes clients' connections."""

    name: Name
    bind: Annotated[str, Meta(description="host:port, [v6]:port or unix:/path")]


class Admin(Struct, frozen=True):
    """Where /metrics, /healthz, /readyz, /config and /explain are served."""

    bind: Annotated[str, Meta(description="host:port or unix:/path; keep it on loopback")] = (
        "127.0.0.1:9900"
    )


class Version(Struct, frozen=True):
    """One deployed release of a service."""

    endpoints: Annotated[
        tuple[Annotated[str, Meta(description="http://host:port or unix:/path")], ...],
        Meta(min_length=1),
    ]


class GeneratedId(Struct, frozen=True):
    """The id cookie that the proxy sets for users it cannot tell apart otherwise."""

    cookie: HeaderName = "splitway_id"
    max_age_s: Annotated[int, Meta(ge=0, le=34_560_000)] = 31_536_000
    """0 makes a session cookie."""


class KeyFrom(Struct, frozen=True):
    """One source of the sticky key; exactly one field is set."""

    header: HeaderName | None = None
    cookie: Text | None = None
    query: Text | None = None
    jwt: Annotated[Text, Meta(description="a claim of the bearer token")] | None = None
    generated: GeneratedId | None = None


KeySource = Literal["client_ip", "generated"] | KeyFrom


class Sticky(Struct, frozen=True):
    """What identifies a user, tried in order; the first non-empty value is the sticky key."""

    key: tuple[KeySource, ...] = ()


class Timeouts(Struct, frozen=True):
    """How long each stage of a request may take, as far as endpoints go."""

    connect_s: Seconds = 5.0
    """To open a connection to an endpoint."""
    response_s: Seconds = 60.0
    """From the last byte sent upstream to the head of the response."""
    idle_s: Seconds = 60.0
    """Between two pieces of a response, and for an endpoint to take more of a request."""
    request_s: SecondsOrNone = 3_600.0
    """The whole request, from its head to the response's last byte; not for streams."""
    stream_idle_s: Seconds = 3_600.0
    """As idle_s, for streams: event streams, and tunnels in either direction."""


class RouteTimeouts(Struct, frozen=True):
    """What one route has otherwise than its service."""

    connect_s: Seconds | None = None
    response_s: Seconds | None = None
    idle_s: Seconds | None = None
    request_s: SecondsOrNone | None = None
    stream_idle_s: Seconds | None = None


class Service(Struct, frozen=True):
    """What users call; has versions, and the weights that share its users among them."""

    versions: Annotated[dict[Name, Version], Meta(min_length=1, max_length=64)]
    weights: dict[Name, Weight] = {}
    """May be left out where there is one version."""
    sticky: Sticky = Sticky()
    salt: Annotated[str, Meta(max_length=256)] = ""
    """Seeds the users' hash; empty means the service's name."""
    timeouts: Timeouts = Timeouts()


class PathMatch(Struct, frozen=True):
    """How a path is compared; exactly one field is set."""

    exact: Text | None = None
    prefix: Text | None = None
    """Compared as a raw string."""
    segment_prefix: Text | None = None
    """Compared by whole path segments."""


class Match(Struct, frozen=True):
    """What a request must look like; what is left out matches everything."""

    host: Annotated[Text, Meta(description="a name or *.suffix; case and port ignored")] | None = (
        None
    )
    path: PathMatch | None = None


class Route(Struct, frozen=True):
    """A match and the service it leads to. The first matching route wins."""

    service: Name
    match: Match = Match()
    timeouts: RouteTimeouts = RouteTimeouts()


class Control(Struct, frozen=True):
    """The control plane that this proxy follows."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#]+/?$",
            description="http://host:port or https://host:port, without a path",
        ),
    ]
    token_file: Annotated[str, Meta(min_length=1)] | None = None
    state_file: Annotated[str, Meta(min_length=1)] = "/var/lib/splitway/last-good.json"
    """Where the last good snapshot is kept for the next start."""


class Drain(Struct, frozen=True):
    """How the proxy leaves after SIGTERM."""

    grace_s: Annotated[float, Meta(ge=0, le=3_600)] = 5.0
    """Not ready, but still accepting: the time load balancers need to notice."""
    deadline_s: Seconds = 30.0
    """From the signal to the exit, whatever is still open."""
    tunnel_s: Annotated[float, Meta(ge=0, le=3_600)] = 10.0
    """How long tunnels (WebSockets) go on once no connections are accepted."""


class AccessLog(Struct, frozen=True):
    """One JSON line a request."""

    path: Annotated[str, Meta(min_length=1, description="a file, or - for standard output")] = "-"


class Keepalive(Struct, frozen=True):
    """How long an idle connection is kept for the next request."""

    downstream_s: Seconds = 75.0
    upstream_s: Seconds = 4.0
    """Below the 5 s after which Node.js and uvicorn close, so that a reused one is seldom stale."""


class Downstream(Struct, frozen=True):
    """How long clients may take over what they send and read."""

    head_s: Seconds = 10.0
    """From the first byte of a head to its last: many times what any network needs."""
    body_s: Seconds = 30.0
    """Between two pieces of a request's body."""
    write_s: Seconds = 30.0
    """For a client that is behind to read on."""
    min_bytes_per_s: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 240
    """Of a body, once body_s are over, and of a response while the client is behind; 0 turns it
    off. Every network of this century is faster; attackers send a byte now and then."""
    linger_s: Seconds = 2.0
    """How long a refused client is listened to, so that it can read the answer."""


class Limits(Struct, frozen=True):
    """What clients may use of a worker process; beyond it they are answered 503 and closed."""

    connections: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Clients' connections; 0: what the limit of open files allows."""
    head_bytes: Annotated[int, Meta(ge=1_024, le=1_048_576)] = 65_536
    fields: Annotated[int, Meta(ge=8, le=1_024)] = 128
    target_bytes: Annotated[int, Meta(ge=256, le=65_536)] = 8_192
    held_bytes: Annotated[int, Meta(ge=65_536, le=17_179_869_184)] = 67_108_864
    """Unfinished heads and requests that wait their turn, over all connections."""
    memory_bytes: Annotated[int, Meta(ge=0, le=274_877_906_944)] = 0
    """Of the process; 0: its part of nine tenths of the container's limit, if there is one."""


class Traffic(Struct, frozen=True):
    """What the control plane holds and changes while proxies run: services and routes."""

    services: dict[Name, Service] = {}
    routes: tuple[Route, ...] = ()


class Config(Traffic, frozen=True):
    """One proxy's whole file: what the process itself needs, and its traffic."""

    listeners: Annotated[tuple[Listener, ...], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: (Listener(name="web", bind="127.0.0.1:8080"),)
    )
    admin: Admin = Admin()
    control: Control | None = None
    trusted_proxies: tuple[Annotated[str, Meta(description="a CIDR or an address")], ...] = ()
    """Peers whose X-Forwarded-* fields are believed."""
    ambiguous_paths: Literal["route", "refuse", "pass"] = "route"
    """Paths that an endpoint may read as others: refused where the other would take another
    route, always, or never."""
    downstream: Downstream = Downstream()
    limits: Limits = Limits()
    keepalive: Keepalive = Keepalive()
    drain: Drain = Drain()
    access_log: AccessLog | None = None
    debug_header: bool = False
    """Adds X-Splitway-Decision to every response: for tests, not for the public."""


def weights_of(service: Service) -> dict[str, int]:
    """Every version's weight: one version needs none given, and one left out of others has 0."""
    if not service.weights and len(service.versions) == 1:
        return dict.fromkeys(service.versions, 1)
    return {version: service.weights.get(version, 0) for version in service.versions}


def traffic_of(config: Traffic) -> Traffic:
    """The part of a configuration that the control plane may hold."""
    return Traffic(services=config.services, routes=config.routes)


def to_plain(value: Any) -> Any:
    """A configuration as plain dicts and lists, defaults left out."""
    return msgspec.to_builtins(value)
