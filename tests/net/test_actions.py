"""What routes do beside leading to a service, on sockets: redirects, answers, changed heads."""

from typing import Any

import pytest

from proxy.model.config import (
    Config,
    Cors,
    DirectResponse,
    HeaderChanges,
    Match,
    PathMatch,
    Redirect,
    Rewrite,
    Route,
    Service,
    Substitution,
    Version,
)
from tests.support.raw_backend import OK, RawBackend, Visit, replying
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, run
from tests.support.tunnels import SWITCHED, upgrade

NOWHERE = Service(versions={"stable": Version(endpoints=("http://127.0.0.1:1",))})


def one(endpoint: str, version: Version | None = None, **route: Any) -> Config:
    """One service with one version, and one route."""
    given = version or Version(endpoints=(endpoint,))
    return Config(
        services={"shop": Service(versions={"stable": given})},
        routes=(Route(service="shop", **route),),
    )


def seen_by_endpoint(request: bytes, version: Version | None = None, **route: Any) -> list[str]:
    """The head that an endpoint gets, line by line."""
    lines: list[str] = []

    async def script(visit: Visit) -> None:
        lines.extend((await visit.head()).decode().removesuffix("\r\n\r\n").split("\r\n"))
        await visit.send(OK)

    async def test() -> None:
        async with RawBackend(script) as backend:
            given = None
            if version is not None:
                given = Version(
                    endpoints=(backend.endpoint,), request_headers=version.request_headers
                )
            async with (
                Running(one(backend.endpoint, given, **route)) as running,
                RawClient(running.where) as client,
            ):
                assert (await client.ask(request)).status == 200

    run(test)
    return lines


@pytest.mark.parametrize("field", ["", "X-Plain: no\r\nConnection: x"])
def test_path_and_host_are_rewritten(field: str) -> None:
    rewrite = Rewrite(prefix="/v2", host="shop.internal:81")
    match = Match(path=PathMatch(segment_prefix="/v1"))
    request = get("/v1/items?of=/v1", *([field] if field else []))
    lines = seen_by_endpoint(request, match=match, rewrite=rewrite)
    assert lines[0] == "GET /v2/items?of=/v1 HTTP/1.1"
    assert [line for line in lines if line.startswith("Host:")] == ["Host: shop.internal:81"]
    assert "X-Forwarded-Host: shop.test" in lines


def test_of_absolute_form_the_path_is_rewritten() -> None:
    request = b"GET http://shop/v1/x HTTP/1.1\r\nHost: shop\r\n\r\n"
    rewrite = Rewrite(regex=Substitution(pattern="^/v(.)", to=r"/n\1"))
    assert seen_by_endpoint(request, rewrite=rewrite)[0] == "GET /n1/x HTTP/1.1"


def test_the_route_then_the_version_change_the_requests_fields() -> None:
    version = Version(
        endpoints=("http://127.0.0.1:1",),
        request_headers=HeaderChanges(set={"X-A": "version"}, remove=("X-C",)),
    )
    route = HeaderChanges(set={"X-A": "route", "X-B": "route"}, add={"X-C": "route"})
    request = get("/", "x-a: client", "X-B: client", "X-C: client", "X-D: client")
    lines = seen_by_endpoint(request, version, request_headers=route)
    kept = [line for line in lines if line.lower().startswith("x-") and line[3] == ":"]
    assert kept == ["X-D: client", "X-B: route", "X-A: version"]


@pytest.mark.parametrize(
    ("match", "rewrite", "path"),
    [
        (PathMatch(prefix="/static"), Rewrite(prefix="/files/"), "/static../etc/passwd"),
        (PathMatch(segment_prefix="/api"), Rewrite(prefix="/v1/open"), "/api/../api/x"),
        (PathMatch(segment_prefix="/api"), Rewrite(prefix="/v1/open"), "/api/%2e%2e/api/x"),
        (PathMatch(segment_prefix="/api"), Rewrite(prefix="/v1/open"), "/api/..%2fapi/x"),
        (None, Rewrite(prefix="/tenant/a"), "/../b/secret"),
        (None, Rewrite(regex=Substitution(pattern="-x-", to="")), "/.-x-./admin"),
        (None, Rewrite(regex=Substitution(pattern="-x-", to="")), "/a%0-x-0"),
    ],
)
def test_nobody_climbs_out_of_where_a_path_was_rewritten_to(
    match: PathMatch | None, rewrite: Rewrite, path: str
) -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend:
            config = one(backend.endpoint, match=Match(path=match), rewrite=rewrite)
            async with Running(config) as running, RawClient(running.where) as client:
                assert (await client.ask(get(path))).status == 400
            assert backend.visits == []

    run(test)


def test_a_body_is_sent_behind_a_rewritten_head() -> None:
    async def script(visit: Visit) -> None:
        assert (await visit.head()).startswith(b"POST /b HTTP/1.1\r\n")
        assert await visit.until(b"12345") == b"12345"
        await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(one(backend.endpoint, rewrite=Rewrite(path="/b"))) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(post(b"12345", path="/a"))).status == 200

    run(test)


def test_a_path_with_too_many_matches_is_refused() -> None:
    async def test() -> None:
        rewrite = Rewrite(regex=Substitution(pattern="a", to="b"))
        async with (
            RawBackend(replying(OK)) as backend,
            Running(one(backend.endpoint, rewrite=rewrite)) as running,
        ):
            async with RawClient(running.where) as client:
                assert (await client.ask(get("/" + "a" * 33))).status == 400
            assert backend.visits == []

    run(test)


def test_the_responses_fields_are_changed_but_not_the_proxys_own() -> None:
    reply = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok"

    async def test() -> None:
        async with RawBackend(replying(reply)) as backend:
            config = one(
                backend.endpoint,
                Version(
                    endpoints=(backend.endpoint,),
                    response_headers=HeaderChanges(set={"X-A": "2"}, remove=("server",)),
                ),
                response_headers=HeaderChanges(set={"Server": "shop"}, add={"X-B": "3"}),
            )
            async with Running(config) as running, RawClient(running.where) as client:
                answer = await client.ask(get("/"))
                assert answer.body == b"ok"
                for name, value in ((b"x-a", b"2"), (b"x-b", b"3"), (b"server", None)):
                    assert answer.head.header(name) == value

    run(test)


GONE = DirectResponse(status=410, body="gone")


def test_a_redirect_and_the_next_request_on_the_connection() -> None:
    async def test() -> None:
        redirect = Redirect(path="/new", status=308)
        routes = (
            Route(redirect=redirect, match=Match(path=PathMatch(exact="/"))),
            Route(respond=GONE, response_headers=HeaderChanges(set={"Cache-Control": "no-store"})),
        )
        config = Config(services={"shop": NOWHERE}, routes=routes)
        async with Running(config) as running, RawClient(running.where) as client:
            answer = await client.ask(get("/?q"))
            assert (answer.status, answer.body) == (308, b"")
            assert answer.head.header(b"location") == b"http://shop.test/new?q"
            assert answer.head.header(b"content-length") == b"0"
            answer = await client.ask(get("/other", "X-Request-Id: mine"))
            assert (answer.status, answer.body) == (410, b"gone")
            for name, value in (
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"x-request-id", b"mine"),
                (b"cache-control", b"no-store"),
            ):
                assert answer.head.header(name) == value
            counts = running.counts("", "")
            assert counts.requests == {"GET 308": 1, "GET 410": 1}
            assert (counts.in_flight, counts.response_bytes) == (0, len("gone"))

    run(test)


def test_the_body_of_a_request_that_is_answered_here_has_no_taker() -> None:
    async def test() -> None:
        config = Config(services={"shop": NOWHERE}, routes=(Route(respond=GONE),))
        async with Running(config) as running:
            async with RawClient(running.where) as client:
                whole = await client.ask(post(b"12345") + get("/next"))
                assert (whole.status, whole.body) == (410, b"gone")
                assert (await client.answer()).status == 410
            async with RawClient(running.where) as client:
                client.write(post(b"12345")[:-2])
                part = await client.answer()
                assert (part.status, part.head.header(b"connection")) == (410, b"close")
                assert await client.rest() == b""
            async with RawClient(running.where) as client:
                await client.send(get("/", method="HEAD") + get("/"))
                head = await client.head()
                assert b"Content-Length: 4\r\n" in head
                assert (await client.answer()).body == b"gone"

    run(test)


CORS = Cors(allow_origins=("https://shop.example.com",), expose_headers=("X-Price",))
ORIGIN = "Origin: https://shop.example.com"


def test_the_routes_word_on_origins_replaces_the_endpoints() -> None:
    async def test() -> None:
        reply = (
            b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n"
            b"access-control-allow-credentials: true\r\nContent-Length: 2\r\n\r\nok"
        )
        async with (
            RawBackend(replying(reply)) as backend,
            Running(one(backend.endpoint, cors=CORS)) as running,
        ):
            for field, allowed in ((ORIGIN, ORIGIN[8:].encode()), ("Origin: https://evil", None)):
                async with RawClient(running.where) as client:
                    answer = await client.ask(get("/", field))
                assert answer.body == b"ok"
                assert answer.head.header(b"access-control-allow-origin") == allowed
                assert answer.head.header(b"access-control-allow-credentials") is None
                assert answer.head.header(b"vary") == b"Origin"
            seen = len(backend.visits)
            async with RawClient(running.where) as client:
                asked = get("/", ORIGIN, "Access-Control-Request-Method: GET", method="OPTIONS")
                answer = await client.ask(asked)
                assert answer.status == 204
                assert answer.head.header(b"access-control-allow-methods") == b"GET, HEAD, POST"
            assert len(backend.visits) == seen

    run(test)


def test_a_switch_of_protocols_is_changed_too() -> None:
    async def script(visit: Visit) -> None:
        assert (await visit.head()).startswith(b"GET /ws/chat HTTP/1.1\r\n")
        await visit.send(SWITCHED)
        await visit.send(await visit.until(b"ping"))
        await visit.end()

    async def test() -> None:
        async with RawBackend(script) as backend:
            config = one(
                backend.endpoint,
                rewrite=Rewrite(prefix="/ws"),
                response_headers=HeaderChanges(set={"X-A": "1"}),
            )
            async with Running(config) as running, RawClient(running.where) as client:
                client.write(upgrade(path="/chat"))
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 101 ")
                assert b"\r\nX-A: 1\r\n" in head
                client.write(b"ping")
                assert await client.until(b"ping") == b"ping"

    run(test)
