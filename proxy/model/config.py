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
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$(?!\n)",
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
    str,
    Meta(
        pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$(?!\n)", max_length=128, description="a field name"
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=256)]
Method = Annotated[
    str,
    Meta(pattern=r"^[A-Z][A-Z-]{0,31}$(?!\n)", description="a method in capitals, such as GET"),
]
Secret = Annotated[str, Meta(min_length=16, max_length=256, description="a secret")]
Content = Annotated[str, Meta(max_length=65_536, description="may have line breaks and tabs")]
Regex = Annotated[str, Meta(min_length=1, max_length=4_096)]
"""In RE2's syntax, which takes time in proportion to the text whatever the pattern; it must match
the whole text."""


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


FieldValue = Annotated[str, Meta(max_length=4_096)]


class HeaderChanges(Struct, frozen=True):
    """What happens to the fields of a head: first some are removed, then some are added."""

    set: dict[HeaderName, FieldValue] = {}
    """In place of whatever fields of these names there are."""
    add: dict[HeaderName, FieldValue] = {}
    """Beside whatever fields of these names there are."""
    remove: tuple[HeaderName, ...] = ()


EndpointUrl = Annotated[
    str,
    Meta(description="http://host:port or unix:/path, or a source such as dns://name:port"),
]
MAX_ENDPOINT_WEIGHT = 1_000


class Endpoint(Struct, frozen=True):
    """One address of a version, or a source of addresses, with what distinguishes it from the
    others."""

    url: EndpointUrl
    weight: Annotated[int, Meta(ge=0, le=MAX_ENDPOINT_WEIGHT)] = 1
    """Relative to the version's other endpoints; 0 takes it out."""
    zone: Annotated[str, Meta(max_length=64)] = ""
    """Where it runs; see ``zone``."""


class Version(Struct, frozen=True):
    """One deployed release of a service."""

    endpoints: Annotated[tuple[EndpointUrl | Endpoint, ...], Meta(min_length=1)]
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()


class CookieAttributes(Struct, frozen=True):
    """Of a cookie that the proxy sets."""

    max_age_s: Annotated[int, Meta(ge=0, le=34_560_000)] = 31_536_000
    """0 makes a session cookie."""
    path: Annotated[str, Meta(pattern=r"^/[!-:<-~]*$(?!\n)", max_length=256)] = "/"
    domain: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]*$(?!\n)", max_length=253)] = ""
    """Empty: the host that was asked, and no other."""
    same_site: Literal["Lax", "Strict", "None"] = "Lax"
    secure: bool = False


class GeneratedId(CookieAttributes, frozen=True):
    """The id cookie that the proxy sets for users it cannot tell apart otherwise."""

    cookie: HeaderName = "splitway_id"


class DrainUntil(Struct, frozen=True):
    """Users stay for a while."""

    drain_until: Seconds
    """Since their pin was last renewed, which it is while their version has a share."""


class PinCookie(CookieAttributes, frozen=True):
    """The signed cookie that holds a user's version."""

    cookie: HeaderName = "splitway_pin"
    secrets: Annotated[tuple[Secret, ...], Meta(min_length=1, max_length=8)] = ()
    """The first signs, each is believed."""
    epoch: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    """Raise it, and every pin there is becomes worthless at once."""
    at_zero: Literal["evict", "honor"] | DrainUntil = "evict"
    """What becomes of a user whose version has no share any more."""


class Override(Struct, frozen=True):
    """Lets testers name their version: ``canary``, or ``canary:secret`` where there is one."""

    header: HeaderName | None = None
    cookie: HeaderName | None = None
    secret: Secret | None = None


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
    mode: Literal["hash", "pin"] = "hash"
    """``pin``: who was given a version keeps it, by a signed cookie."""
    pin: PinCookie | None = None
    override: Override | None = None


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


class Balance(Struct, frozen=True):
    """How the endpoints of a version share its requests."""

    policy: Literal["round_robin", "least_request", "ring_hash"] = "round_robin"
    """``least_request`` takes the less busy of two that are drawn; ``ring_hash`` keeps users with
    their endpoint."""
    bounded_load: Annotated[float, Meta(ge=0, le=100)] = 1.25
    """With ``ring_hash``: no endpoint has more requests in hand than so many times its part; the
    users beyond go to the next. 0 turns it off."""
    slow_start_s: SecondsOrNone = 0.0
    """An endpoint that has just come back gets its whole share after so long."""


class HealthCheck(Struct, frozen=True):
    """Requests by which each proxy learns which endpoints work."""

    path: Text = "/"
    host: Annotated[str, Meta(max_length=256)] = ""
    """The Host that is asked for; empty means the endpoint's own."""
    interval_s: Seconds = 5.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """So much of an interval is left to chance, so that proxies do not all ask at once."""
    timeout_s: Seconds = 2.0
    healthy_after: Annotated[int, Meta(ge=1, le=100)] = 2
    """Passes in a row that bring an endpoint back; the very first check needs one."""
    unhealthy_after: Annotated[int, Meta(ge=1, le=100)] = 3
    """Failures in a row that take it out."""
    statuses: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    pattern=r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$(?!\n)", description="200 or 200-299"
                ),
            ],
            ...,
        ],
        Meta(min_length=1),
    ] = ("200-299",)
    """What counts as a pass."""


class Outliers(Struct, frozen=True):
    """When an endpoint is ejected for what its requests met (Envoy's outlier detection)."""

    consecutive_5xx: Annotated[int, Meta(ge=0, le=10_000)] = 5
    """Answers of 500 and above, and failures, in a row; 0 turns the rule off."""
    consecutive_gateway_errors: Annotated[int, Meta(ge=0, le=10_000)] = 5
    """502, 503, 504 and failures in a row; 0 turns the rule off."""
    interval_s: Seconds = 10.0
    """How often success rates are compared, and ejections looked at whether they are over."""
    base_ejection_s: Seconds = 30.0
    """The first ejection's length; the second is twice as long, and so on."""
    max_ejection_s: Seconds = 300.0
    max_ejected_percent: Annotated[int, Meta(ge=0, le=100)] = 10
    """Of a version's endpoints. One may always be ejected, the last one never."""
    success_rate_hosts: Annotated[int, Meta(ge=2, le=10_000)] = 5
    """Rates are compared where so many endpoints had ``success_rate_requests`` in an interval."""
    success_rate_requests: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """0 turns the comparison off."""
    success_rate_factor: Annotated[float, Meta(gt=0, le=100)] = 1.9
    """An endpoint is ejected whose rate is so many standard deviations below the mean."""


class Breakers(Struct, frozen=True):
    """What one worker process may ask of one version at a time; 503 beyond. 0 means no limit."""

    max_requests: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Requests in hand."""
    max_connections: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Connections to its endpoints."""
    max_pending: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Requests that wait for a connection to open."""


class Fallback(Struct, frozen=True):
    """Who serves a version's users while it has no endpoint that works."""

    version: Name


class Segment(Struct, frozen=True):
    """One dimension of the audience. Where it is read: exactly one of the fields but ``values`` and
    ``metrics`` is set. What is none of its values is ``other``."""

    header: HeaderName | None = None
    cookie: Text | None = None
    query: Text | None = None
    jwt: Text | None = None
    networks: (
        Annotated[
            dict[Name, tuple[Annotated[str, Meta(description="a CIDR or an address")], ...]],
            Meta(max_length=64),
        ]
        | None
    ) = None
    """The client's address, by lists of networks."""
    values: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    """Of a header, cookie, parameter or claim; in any case of letters."""
    metrics: bool = False
    """Shows the counts to Prometheus, too."""


class Service(Struct, frozen=True):
    """What users call; has versions, and the weights that share its users among them."""

    versions: Annotated[dict[Name, Version], Meta(min_length=1, max_length=64)]
    weights: dict[Name, Weight] = {}
    """May be left out where there is one version."""
    sticky: Sticky = Sticky()
    salt: Annotated[str, Meta(max_length=256)] = ""
    """Seeds the users' hash; empty means the service's name."""
    timeouts: Timeouts = Timeouts()
    balance: Balance = Balance()
    health: HealthCheck | None = None
    outliers: Outliers | None = None
    panic_percent: Annotated[int, Meta(ge=0, le=100)] = 0
    """With fewer endpoints of a version that work, in percent, all of them are used."""
    fallback: Fallback | None = None
    breakers: Breakers = Breakers()
    segments: Annotated[dict[Name, Segment], Meta(max_length=16)] = {}
    """Dimensions by which requests are counted for the analysis."""


class PathMatch(Struct, frozen=True):
    """How a path is compared; exactly one of the fields but ``ignore_case`` is set."""

    exact: Text | None = None
    prefix: Text | None = None
    """Compared as a raw string."""
    segment_prefix: Text | None = None
    """Compared by whole path segments."""
    regex: Regex | None = None
    ignore_case: bool = False
    """Takes ASCII letters of either case for the same."""


class TextMatch(Struct, frozen=True):
    """How a value is compared; exactly one of the fields but ``invert`` is set."""

    exact: Annotated[str, Meta(max_length=4_096)] | None = None
    prefix: Text | None = None
    regex: Regex | None = None
    present: bool | None = None
    """True: it is there, whatever its value. False: it is not."""
    invert: bool = False
    """Matches where it would not, and the other way round; then a value that is not there does."""


class Match(Struct, frozen=True):
    """What a request must look like; what is left out matches everything."""

    host: Annotated[Text, Meta(description="a name or *.suffix; case and port ignored")] | None = (
        None
    )
    path: PathMatch | None = None
    methods: tuple[Method, ...] = ()
    """One of them."""
    headers: dict[HeaderName, TextMatch] = {}
    """All of them. The values of a field that is repeated are joined with commas."""
    query: dict[Text, TextMatch] = {}
    """All of them, decoded. Of a parameter that is repeated the first counts."""
    cookies: dict[Text, TextMatch] = {}
    """All of them. Of a cookie that is repeated the first counts."""
    fraction: Annotated[float, Meta(ge=0, le=1)] | None = None
    """So large a part of the requests, in steps of 0.0001, drawn for each of them by itself."""


class Substitution(Struct, frozen=True):
    """Every match of an expression in a path is replaced."""

    pattern: Regex
    to: Annotated[str, Meta(max_length=256)]
    """``\\1`` to ``\\9`` stand for its groups, ``\\0`` for all of the match."""


class PathChange(Struct, frozen=True):
    """What a path becomes: at most one of ``path``, ``prefix`` and ``regex`` is set."""

    path: Text | None = None
    """All of it."""
    prefix: Annotated[str, Meta(max_length=256)] | None = None
    """In place of the prefix that was matched."""
    regex: Substitution | None = None


class Rewrite(PathChange, frozen=True):
    """What the endpoint is asked for instead. The query stays."""

    host: Annotated[Text, Meta(description="a name, with a port if it needs one")] | None = None


class Redirect(PathChange, frozen=True):
    """Where the client is sent instead."""

    scheme: Literal["http", "https"] | None = None
    host: Annotated[Text, Meta(description="a name without a port")] | None = None
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    keep_query: bool = True
    status: Literal[301, 302, 303, 307, 308] = 302


class DirectResponse(Struct, frozen=True):
    """What the proxy answers by itself."""

    status: Annotated[int, Meta(ge=200, le=599)] = 200
    body: Content = ""
    content_type: Annotated[str, Meta(min_length=1, max_length=256)] = "text/plain; charset=utf-8"


class Mirror(Struct, frozen=True):
    """Another version that gets a copy of a route's requests. Nobody waits for its answers; they
    are counted apart."""

    version: Name
    fraction: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """So large a part of the requests."""
    host_suffix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]*$(?!\n)", max_length=64)] = ""
    """What is put behind the name in ``Host``, such as ``-shadow``."""
    body_bytes: Annotated[int, Meta(ge=0, le=16_777_216)] = 65_536
    """A request with a longer body is not copied."""
    max_active: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Copies of one worker process on their way at a time; what is beyond is dropped."""


class Fault(Struct, frozen=True):
    """What goes wrong on purpose, before an endpoint is asked."""

    delay_s: SecondsOrNone = 0.0
    delay_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    abort_status: Annotated[int, Meta(ge=0, le=599)] = 0
    """200 to 599; 0 aborts nothing."""
    abort_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    headers: dict[HeaderName, TextMatch] = {}
    """Only requests with these."""
    max_active: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Delays of one worker process at a time; beyond them nothing goes wrong. 0: no limit."""


class RateLimit(Struct, frozen=True):
    """How many requests of a route a worker process lets pass; 429 beyond."""

    per_s: Annotated[float, Meta(gt=0, le=1_000_000)]
    """On average."""
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """At once, after a pause."""


class Retry(Struct, frozen=True):
    """When a request is tried once more, on another endpoint of the same version first. The first
    attempt is what the version is charged for; all are counted."""

    retries: Annotated[int, Meta(ge=1, le=10)] = 1
    """Attempts after the first."""
    conditions: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    pattern=r"^(connect_failure|reset|timeout|bad_response"
                    r"|[45][0-9]{2}(-[45][0-9]{2})?)$(?!\n)",
                    description="connect_failure, reset, timeout, bad_response, 503 or 500-599",
                ),
            ],
            ...,
        ],
        Meta(min_length=1),
    ] = ("connect_failure", "reset", "502", "503", "504")
    """What of an attempt leads to another, as long as the client was sent nothing."""
    methods: Literal["repeatable", "all"] = "repeatable"
    """GET, HEAD, OPTIONS, TRACE, PUT and DELETE; or any, if the service knows repeated requests."""
    per_try_s: SecondsOrNone = 0.0
    """How long one attempt may take to be answered; 0 means ``timeouts.response_s``."""
    backoff_s: Annotated[float, Meta(ge=0, le=60)] = 0.025
    """The longest wait before the first retry, doubled for each further one; chance decides how
    much of it is waited."""
    max_backoff_s: Annotated[float, Meta(ge=0, le=60)] = 0.25
    replay_bytes: Annotated[int, Meta(ge=0, le=16_777_216)] = 65_536
    """What may be kept of a body; a request with a longer one is not retried."""
    budget_percent: Annotated[int, Meta(ge=0, le=100)] = 20
    """So many of a version's requests may be retried at a time,"""
    budget_min: Annotated[int, Meta(ge=0, le=10_000)] = 3
    """but always so many."""


class Cors(Struct, frozen=True):
    """Which pages of other origins may use a route from a browser, and for what."""

    allow_origins: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=256)]
    """``https://shop.example.com``, ``https://*.example.com``, or ``*``."""
    allow_methods: tuple[Annotated[str, Meta(pattern=r"^([A-Z][A-Z-]{0,31}|\*)$(?!\n)")], ...] = (
        "GET",
        "HEAD",
        "POST",
    )
    """``*`` means whatever is asked for."""
    allow_headers: tuple[HeaderName, ...] = ()
    """``*`` means whatever is asked for."""
    expose_headers: tuple[HeaderName, ...] = ()
    allow_credentials: bool = False
    max_age_s: Annotated[int, Meta(ge=0, le=86_400)] = 5


class Route(Struct, frozen=True):
    """A match and what it leads to. The first matching route wins."""

    service: Name | None = None
    redirect: Redirect | None = None
    respond: DirectResponse | None = None
    match: Match = Match()
    rewrite: Rewrite | None = None
    request_headers: HeaderChanges = HeaderChanges()
    response_headers: HeaderChanges = HeaderChanges()
    cors: Cors | None = None
    retry: Retry | None = None
    rate_limit: RateLimit | None = None
    mirror: tuple[Mirror, ...] = ()
    fault: Fault | None = None
    timeouts: RouteTimeouts = RouteTimeouts()


class Control(Struct, frozen=True):
    """The control plane that this proxy follows."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#]+/?$(?!\n)",
            description="http://host:port or https://host:port, without a path",
        ),
    ]
    token_file: Annotated[str, Meta(min_length=1)] | None = None
    ca_file: Annotated[str, Meta(min_length=1)] | None = None
    """Whose certificates are believed, in PEM form; null: the system's."""
    cert_file: Annotated[str, Meta(min_length=1)] | None = None
    """This proxy's certificate for mutual TLS, in PEM form."""
    key_file: Annotated[str, Meta(min_length=1)] | None = None
    """The key of cert_file, in PEM form, without a password."""
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


class Discovery(Struct, frozen=True):
    """How sources of endpoints are asked."""

    dns_servers: tuple[
        Annotated[str, Meta(description="an address, with a port if it is not 53")], ...
    ] = ()
    """Instead of those of /etc/resolv.conf."""
    timeout_s: Seconds = 5.0
    """For an answer; also how long a start waits for the first ones."""
    max_ttl_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    """A DNS answer is asked for anew when its TTL is over, or after so long."""


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
    zone: Annotated[str, Meta(max_length=64)] = ""
    """Where this proxy runs: endpoints of the same zone come first."""
    ambiguous_paths: Literal["route", "refuse", "pass"] = "route"
    """Paths that an endpoint may read as others: refused where the other would take another
    route, always, or never."""
    discovery: Discovery = Discovery()
    downstream: Downstream = Downstream()
    limits: Limits = Limits()
    keepalive: Keepalive = Keepalive()
    drain: Drain = Drain()
    access_log: AccessLog | None = None
    debug_header: bool = False
    """Adds X-Splitway-Decision to every response: for tests, not for the public."""


def endpoint_of(given: str | Endpoint) -> Endpoint:
    """An endpoint in its long form."""
    return Endpoint(given) if isinstance(given, str) else given


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
