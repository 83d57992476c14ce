"""What one decision costs. ``make microbench`` times it; else it runs once and must be right."""

import itertools
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from proxy.core.forwarded import TrustedProxies
from proxy.core.router import Router, compile_router
from proxy.core.slot import SLOTS
from proxy.http1.request import RequestHead, parse_request
from proxy.model.config import (
    KeyFrom,
    KeySource,
    Match,
    PathMatch,
    Route,
    Service,
    Sticky,
    Traffic,
    Version,
)
from proxy.model.wire import Snapshot

PEER = "203.0.113.9"
FIELDS = (
    "Host: shop.example", "User-Agent: bench", "Accept: application/json", "X-User-Id: user-17",
    "Cookie: theme=dark; session=0123456789abcdef", "Accept-Encoding: gzip, br",
)  # fmt: skip
KEYS: dict[str, KeySource] = {
    "header": KeyFrom(header="X-User-Id"),
    "cookie": KeyFrom(cookie="session"),
    "client_ip": "client_ip",
}


KINDS: dict[str, Callable[[int], Match]] = {
    "prefix": lambda number: Match(path=PathMatch(prefix=f"/area-{number}/")),
    "host": lambda number: Match(host=f"shop-{number}.example"),
    "regex": lambda number: Match(path=PathMatch(regex=f"/area-{number}/[a-z]+/.*")),
}


def router_of(source: KeySource, kind: str, routes: int) -> Router:
    """A split of two versions behind so many routes; what is asked for matches the last one."""
    shop = Service(
        versions={name: Version(endpoints=(f"http://{name}:80",)) for name in ("stable", "canary")},
        weights={"stable": 95, "canary": 5},
        sticky=Sticky(key=(source,)),
    )
    others = (Route(service="shop", match=KINDS[kind](number)) for number in range(1, routes))
    last = Route(service="shop", match=Match(path=PathMatch(prefix="/api")))
    traffic = Traffic(services={"shop": shop}, routes=(*others, last))
    slots = itertools.cycle(range(SLOTS))
    return compile_router(
        Snapshot(revision=1, traffic=traffic),
        TrustedProxies(()),
        lambda: next(slots),
        lambda: "id",
        lambda: 0.0,
    )


def head() -> RequestHead:
    lines = "\r\n".join(("GET /api/items?id=17 HTTP/1.1", *FIELDS, "", ""))
    return parse_request(lines.encode())


@pytest.mark.parametrize(("kind", "routes"), [("prefix", 1), *((kind, 1_000) for kind in KINDS)])
@pytest.mark.parametrize("source", KEYS)
def test_decide(benchmark: BenchmarkFixture, source: str, kind: str, routes: int) -> None:
    router = router_of(KEYS[source], kind, routes)
    decision = benchmark(router.decide, head(), PEER)
    assert (decision.source, decision.route) == (source, routes - 1)
    assert decision.target.service == "shop"
