"""The admin server over real sockets: what it shows, what it hides, whom it refuses."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.admin import HIDDEN, Running, build_admin, redacted
from proxy.core.forwarded import TrustedProxies
from proxy.core.router import Router, compile_router
from proxy.model.config import (
    Config,
    Control,
    KeyFrom,
    Match,
    PathMatch,
    Route,
    Service,
    Sticky,
    Version,
    traffic_of,
)
from proxy.model.wire import Snapshot
from proxy.telemetry.exposition import ProxyState
from proxy.telemetry.metrics import Registry

CONFIG = Config(
    services={
        "shop": Service(
            versions={
                "stable": Version(endpoints=("http://127.0.0.1:9001",)),
                "canary": Version(endpoints=("http://127.0.0.1:9002",)),
            },
            weights={"stable": 95, "canary": 5},
            sticky=Sticky(key=(KeyFrom(header="X-User-Id"), KeyFrom(query="user"), "client_ip")),
        )
    },
    routes=(
        Route(service="shop", match=Match(host="shop.example")),
        Route(service="shop", match=Match(path=PathMatch(prefix="/shop"))),
    ),
    control=Control(url="http://splitway:hunter2@127.0.0.1:9800", token_file="/run/secrets/token"),
)


class State:
    """A proxy with nothing in front or behind: the admin server's real neighbours are injected."""

    def __init__(self) -> None:
        self.ready = (True, "ready")
        self.drains = 0
        self.failure: Exception | None = None
        self._router = compile_router(
            Snapshot(revision=3, traffic=traffic_of(CONFIG)),
            TrustedProxies(["10.0.0.0/8"]),
            lambda: 0,
            lambda: "A" * 22,
            lambda: 0.0,
        )

    async def proxy_state(self) -> ProxyState:
        if self.failure:
            raise self.failure
        registry = Registry()
        registry.version("shop", "canary").started("header")
        return ProxyState(counts=registry.counts(), revision=3, release="1.2.3")

    def running(self) -> Running:
        return Running(config=CONFIG, revision=3, store="store-1", source="control")

    def readiness(self) -> tuple[bool, str]:
        return self.ready

    def router(self) -> Router:
        return self._router

    def drain(self) -> None:
        self.drains += 1


class Answer:
    """A response that was read whole."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.type = response.headers["Content-Type"]
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Awaitable[Answer]]


def serve(
    check: Callable[[Ask], Awaitable[None]], state: State | None = None, bind: str | None = None
) -> None:
    """Runs ``check`` against a server on an ephemeral loopback port."""

    async def run() -> None:
        runner = web.AppRunner(build_admin(state or State(), bind or "127.0.0.1:9900"))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            async with aiohttp.ClientSession(f"http://{host}:{port}") as client:

                async def ask(path: str, method: str = "GET", **more: Any) -> Answer:
                    async with client.request(method, path, **more) as response:
                        return Answer(response, await response.read())

                await check(ask)
        finally:
            await runner.cleanup()

    asyncio.run(run())


def test_metrics_are_prometheus_text_and_openmetrics_on_request() -> None:
    async def check(ask: Ask) -> None:
        answer = await ask("/metrics")
        assert answer.status == 200
        assert answer.type == "text/plain; version=0.0.4; charset=utf-8"
        line = b'splitway_requests_in_flight{service="shop",version="canary"} 1.0'
        assert line in answer.body
        answer = await ask("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert answer.type.startswith("application/openmetrics-text")
        assert answer.body.endswith(b"# EOF\n")

    serve(check)


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (TimeoutError(), 503, "the workers did not answer in time"),
        (RuntimeError("a secret"), 500, "see the proxy's log"),
    ],
)
def test_metrics_that_cannot_be_had_are_a_problem(
    caplog: pytest.LogCaptureFixture, failure: Exception, status: int, words: str
) -> None:
    state = State()
    state.failure = failure

    async def check(ask: Ask) -> None:
        answer = await ask("/metrics")
        assert (answer.status, answer.type) == (status, "application/problem+json")
        assert answer.json()["detail"] == words
        assert b"secret" not in answer.body

    serve(check, state)
    assert ("GET /metrics failed" in caplog.text) == (status == 500)


def test_health_does_not_depend_on_readiness() -> None:
    state = State()
    state.ready = (False, "draining")

    async def check(ask: Ask) -> None:
        assert (await ask("/healthz")).status == 200
        answer = await ask("/readyz")
        assert (answer.status, answer.json()) == (503, {"ready": False, "reason": "draining"})
        state.ready = (True, "revision 3")
        answer = await ask("/readyz")
        assert (answer.status, answer.json()) == (200, {"ready": True, "reason": "revision 3"})
        assert (await ask("/readyz", method="HEAD")).status == 200

    serve(check, state)


def test_the_configuration_is_shown_without_secrets() -> None:
    async def check(ask: Ask) -> None:
        answer = await ask("/config")
        shown = answer.json()
        assert (shown["revision"], shown["store"], shown["source"]) == (3, "store-1", "control")
        assert shown["config"]["services"]["shop"]["weights"] == {"stable": 95, "canary": 5}
        assert shown["config"]["control"]["url"] == f"http://{HIDDEN}@127.0.0.1:9800"
        assert shown["config"]["control"]["token_file"] == "/run/secrets/token"
        assert b"hunter2" not in answer.body

    serve(check)


def test_redaction_hides_by_name_and_in_urls_and_nothing_else() -> None:
    assert redacted(
        {
            "token": "t",
            "list": [{"secret": "s", "password": "p"}, "see https://u:p@h/x and http://h/a@b"],
            "services": {"token": {"weights": {"secret": 5}}},
        }
    ) == {
        "token": HIDDEN,
        "list": [
            {"secret": HIDDEN, "password": HIDDEN},
            f"see https://{HIDDEN}@h/x and http://h/a@b",
        ],
        "services": {"token": {"weights": {"secret": 5}}},
    }


def explained(parameters: list[tuple[str, str]]) -> Answer:
    found = []

    async def check(ask: Ask) -> None:
        found.append(await ask("/explain", params=parameters))

    serve(check)
    return found[0]


def test_explain_says_how_a_request_would_be_split() -> None:
    told = explained(
        [("host", "Shop.Example:8080"), ("path", "/cart"), ("header", "x-user-id: u1")]
    ).json()
    assert (told["service"], told["route"], told["key_source"]) == ("shop", 0, "header")
    assert told["version"] in ("stable", "canary")


def test_explain_sees_query_client_and_repeated_headers() -> None:
    shop = ("path", "/shop?user=u7")
    assert explained([shop]).json()["key_source"] == "query"
    first = explained([("path", "/shop"), ("client", "203.0.113.7")]).json()
    assert (first["key_source"], first["route"]) == ("client_ip", 1)
    forwarded = [
        ("header", "X-Forwarded-For: 198.51.100.1"),
        ("header", "X-Forwarded-For: 203.0.113.7"),
    ]
    behind = explained([("path", "/shop"), ("client", "10.0.0.1"), *forwarded]).json()
    assert behind["slot"] == first["slot"]


def test_explain_without_parameters_asks_for_the_root_of_localhost() -> None:
    answer = explained([])
    assert (answer.status, answer.json()) == (200, {"route": None, "reason": "no_route"})


@pytest.mark.parametrize(
    ("parameters", "named", "words"),
    [
        ([("method", "GET /")], "method", "must be a method"),
        ([("host", "a/b")], "host", "must be a host name"),
        ([("path", "cart")], "path", "begins with /"),
        ([("path", "/a b")], "path", "percent-encoded"),
        ([("path", "/\u00e9")], "path", "percent-encoded"),
        ([("header", "no colon")], "header", "must be Name:Value"),
        ([("header", "a: b\r\nc: d")], "header", "must be Name:Value"),
        ([("header", "a: \u0100")], "header", "must be Name:Value"),
        ([("client", "me")], "client", "must be an IP address"),
        ([("path", "/a"), ("path", "/b")], "path", "is given twice"),
        ([("paht", "/a")], "paht", "known are client, header, host, method, path"),
    ],
)
def test_explain_names_the_parameter_it_refuses(
    parameters: list[tuple[str, str]], named: str, words: str
) -> None:
    answer = explained(parameters)
    assert (answer.status, answer.type) == (400, "application/problem+json")
    problem = answer.json()
    assert problem["parameter"] == named
    assert problem["detail"].startswith(f"{named}: ")
    assert words in problem["detail"]


def test_drain_is_begun_and_accepted() -> None:
    state = State()

    async def check(ask: Ask) -> None:
        answer = await ask("/drain", method="POST")
        assert (answer.status, answer.json()) == (202, {"status": "draining"})
        assert state.drains == 1
        answer = await ask("/drain")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert state.drains == 1

    serve(check, state)


def test_the_index_links_to_everything() -> None:
    async def check(ask: Ask) -> None:
        answer = await ask("/")
        assert answer.type == "text/html; charset=utf-8"
        for path in ("/metrics", "/healthz", "/readyz", "/config", "/explain", "/drain"):
            assert path.encode() in answer.body

    serve(check)


def test_every_answer_is_hardened_and_errors_are_problems() -> None:
    async def check(ask: Ask) -> None:
        for path, status in (("/", 200), ("/metrics", 200), ("/nothing", 404)):
            answer = await ask(path)
            assert answer.status == status
            assert answer.headers["Server"] == "splitway"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.type == "application/problem+json"
        assert answer.json()["title"] == "Not Found"

    serve(check)


def host_status(host: str, bind: str) -> int:
    found = []

    async def check(ask: Ask) -> None:
        found.append((await ask("/healthz", headers={"Host": host})).status)

    serve(check, bind=bind)
    return found[0]


@pytest.mark.parametrize(
    ("host", "bind", "status"),
    [
        ("localhost", "127.0.0.1:9900", 200),
        ("LocalHost:1234", "127.0.0.1:9900", 200),
        ("127.0.0.1:9900", "127.0.0.1:9900", 200),
        ("[::1]:9900", "127.0.0.1:9900", 200),
        ("127.0.0.2", "127.0.0.2:9900", 200),
        ("127.0.0.2", "127.0.0.1:9900", 403),
        ("evil.example", "127.0.0.1:9900", 403),
        ("evil.example", "[::1]:9900", 403),
        ("evil.example", "localhost:9900", 403),
        ("localhost.evil.example", "127.0.0.1:9900", 403),
        ("localhost:evil", "127.0.0.1:9900", 403),
        ("evil.example", "0.0.0.0:9900", 200),
        ("evil.example", "unix:/run/admin.sock", 200),
    ],
)
def test_a_loopback_address_answers_to_its_own_names_only(
    host: str, bind: str, status: int
) -> None:
    assert host_status(host, bind) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost:9900", "Host": "localhost:9900"}, 202),
        ({"Content-Type": "application/json"}, 202),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8080", "Host": "localhost:9900"}, 403),
        ({"Content-Type": "text/plain"}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, 403),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 403),
    ],
)
@pytest.mark.parametrize("bind", ["127.0.0.1:9900", "0.0.0.0:9900"])
def test_no_foreign_page_can_start_a_drain(headers: dict[str, str], status: int, bind: str) -> None:
    state = State()

    async def check(ask: Ask) -> None:
        answer = await ask("/drain", method="POST", headers=headers)
        assert answer.status == status
        assert answer.type.startswith("application/")

    serve(check, state, bind)
    assert state.drains == (1 if status == 202 else 0)


def test_a_request_without_or_with_two_hosts_is_refused_on_loopback() -> None:
    async def run() -> list[bytes]:
        runner = web.AppRunner(build_admin(State(), "127.0.0.1:9900"))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            first_lines = []
            for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
                reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
                writer.write(b"GET /healthz HTTP/1.0\r\n" + hosts + b"\r\n")
                first_lines.append(await reader.readline())
                writer.close()
                await writer.wait_closed()
            return first_lines
        finally:
            await runner.cleanup()

    for first_line in asyncio.run(run()):
        assert first_line.split()[1] in (b"400", b"403")


def test_it_is_served_on_a_unix_socket_too(tmp_path: Path) -> None:
    async def run() -> int:
        path = str(tmp_path / "admin.sock")
        runner = web.AppRunner(build_admin(State(), f"unix:{path}"))
        await runner.setup()
        try:
            await web.UnixSite(runner, path).start()
            connector = aiohttp.UnixConnector(path)
            async with (
                aiohttp.ClientSession(connector=connector) as client,
                client.post("http://splitway/drain") as response,
            ):
                return response.status
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) == 202
