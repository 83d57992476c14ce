"""The guard before every route of a control plane that really runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.api.guard import Known
from controlplane.app import Settings, running
from tests.controlplane.support import DOCUMENT, SHOP_WEIGHTS, TOKEN, Api, store_url

OPS = "https://ops.example.com"
PAGE_TYPES = (
    "text/plain",
    "text/plain;charset=UTF-8",
    "Text/Plain, application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
)


@asynccontextmanager
async def serving(
    folder: Path, host: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[tuple[Api, int]]:
    """A control plane, somebody with the token who calls it on loopback, and its port."""
    whole = Settings(store_url(folder), host, 0, TOKEN, **settings)
    async with running(whole) as url:
        port = int(url.rpartition(":")[2])
        async with Api.at(f"http://127.0.0.1:{port}") as api:
            yield api, port


async def refused(api: Api, method: str, path: str, kind: str, **headers: str) -> None:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.call(method, path, headers=fields, data=b"{}")
    assert (answer.status, answer.body["type"]) == (403, f"urn:splitway:problem:{kind}"), fields
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Access-Control-Allow-Origin" not in answer.headers


async def mutating(api: Api) -> list[tuple[str, str]]:
    """Every route that changes something, of a service that there is."""
    paths = (await api.get("/v1/openapi.json")).body["paths"]
    return [
        (method.upper(), path.format(name="shop", number=1, id="1"))
        for path, methods in paths.items()
        for method in methods
        if method not in ("get", "head", "options")
    ]


def test_no_page_changes_anything_on_any_route(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (api, port):
            await api.push()
            before = (await api.get("/v1/audit")).body
            routes = await mutating(api)
            assert ("PUT", SHOP_WEIGHTS) in routes
            assert len(routes) >= 8
            for method, path in routes:
                for origin in ("http://evil.example", "null", f"http://127.0.0.1:{port + 1}", ""):
                    await refused(api, method, path, "foreign-origin", Origin=origin)
                for site in ("cross-site", "same-site"):
                    await refused(api, method, path, "foreign-origin", Sec_Fetch_Site=site)
                for host in ("evil.example", f"evil.example:{port}", "10.0.0.1", "a b", ""):
                    await refused(api, method, path, "foreign-host", Host=host)
                rebound = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
                await refused(api, method, path, "foreign-host", **rebound)
                for media in PAGE_TYPES:
                    await refused(api, method, path, "page-content-type", Content_Type=media)
            assert (await api.get("/v1/audit")).body == before
            assert (await api.get("/v1/freeze")).body == {"all": None, "services": {}}

    asyncio.run(scenario())


def test_reading_and_the_stream_are_not_for_foreign_pages(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (api, _):
            for path in ("/v1/config", "/v1/stream", "/metrics", "/healthz", "/v1/nothing", "/"):
                await refused(api, "GET", path, "foreign-origin", Origin="http://evil.example")
                await refused(api, "GET", path, "foreign-host", Host="evil.example")
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with api.session.ws_connect(f"{api.url}/v1/stream", origin="http://evil"):
                    pass
            # The browser's address bar, and a link.
            for site in ("none", "cross-site"):
                answer = await api.get("/v1/config", Sec_Fetch_Site=site)
                assert answer.status == 200

    asyncio.run(scenario())


def test_a_page_of_its_own_and_names_of_loopback_are_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (api, port):
            await api.push()
            for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.8.9.10"):
                for field in (host, f"{host}:{port}"):
                    own = {"Host": field, "Origin": f"http://{field}", "Sec-Fetch-Site": "none"}
                    answer = await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}}, **own)
                    assert answer.status == 200, field
            # TLS may end in front of it.
            own = {"Host": "localhost", "Origin": "https://localhost"}
            assert (await api.get("/v1/config", **own)).status == 200

    asyncio.run(scenario())


def test_more_than_one_host_or_origin_is_nobody_s(tmp_path: Path) -> None:
    async def say(port: int, *fields: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = [f"DELETE /v1/freeze HTTP/1.1\r\nAuthorization: Bearer {TOKEN}", *fields]
        writer.write(("\r\n".join(head) + "\r\nConnection: close\r\n\r\n").encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def scenario() -> None:
        async with serving(tmp_path) as (_, port):
            own = f"Origin: http://127.0.0.1:{port}"
            host = f"Host: 127.0.0.1:{port}"
            assert b" 200 " in await say(port, host, own)
            assert b" 403 " in await say(port, host, own, own)
            assert b" 403 " in await say(port, host, own, "Origin: http://evil.example")
            for hosts in ([], [host, host], ["Host: evil.example", host]):
                answer = await say(port, *hosts)
                assert answer.split()[1] in (b"403", b"400"), answer

    asyncio.run(scenario())


def test_beyond_loopback_any_name_will_do_but_not_for_pages(tmp_path: Path) -> None:
    """As pods call `http://splitway-control:9800` with no configuration at all."""

    async def scenario() -> None:
        async with serving(tmp_path, "0.0.0.0") as (api, port):  # noqa: S104 that is the point
            name = f"splitway-control.web.svc:{port}"
            assert await api.push()
            assert (await api.get("/v1/config", Host=name)).status == 200
            answer = await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}}, Host=name)
            assert answer.status == 200
            assert (await api.get("/v1/config", Host=name, Authorization="")).status == 401
            for mark in ({"Origin": f"http://{name}"}, {"Sec_Fetch_Mode": "cors"}):
                await refused(api, "PUT", "/v1/config", "foreign-host", Host=name, **mark)
                await refused(api, "GET", "/v1/config", "foreign-host", Host=name, **mark)
            # The address that the connection came to is ours, whatever others call it.
            own = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"}
            assert (await api.get("/v1/config", **own)).status == 200

    asyncio.run(scenario())


def test_names_that_are_given_hold_for_everybody(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = {"allowed_hosts": ("control.example.com",)}
        async with serving(tmp_path, "0.0.0.0", **settings) as (api, port):  # noqa: S104 again
            for host in ("control.example.com", f"Control.Example.Com:{port}", "127.0.0.1"):
                answer = await api.get("/v1/config", Host=host)
                assert answer.status == 200, host
            page = {"Host": "control.example.com", "Origin": "https://control.example.com"}
            assert (await api.put("/v1/config", DOCUMENT, **page)).status == 200
            await refused(api, "GET", "/v1/config", "foreign-host", Host="splitway-control")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("host", "local", "known"),
    [
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5:9800", "::ffff:10.0.0.5", True),
        ("10.0.0.6", "10.0.0.5", False),
        ("[2001:db8::5]:9800", "2001:db8::5", True),
        ("[2001:DB8:0::5]", "2001:db8::5", True),
        ("[2001:db8::6]", "2001:db8::5", False),
        ("2001:db8::5", "2001:db8::5", False),
        ("0.0.0.0", "127.0.0.1", False),  # noqa: S104 again
        ("[::]", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("127.0.0.1@evil.example", "127.0.0.1", False),
        ("127.1", "127.0.0.1", False),
        ("localhost:x", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_hosts(host: str, local: str, known: bool) -> None:
    assert Known("0.0.0.0").has_host(host, local) is known  # noqa: S104 again


def test_over_tls_a_page_without_is_foreign() -> None:
    plain, tls = Known("control.internal"), Known("control.internal", is_tls=True)
    assert plain.has_host("control.internal:9800", "10.0.0.5")
    for origin, by_plain, by_tls in (
        ("https://control.internal:9800", True, True),
        ("http://control.internal:9800", True, False),
        ("https://control.internal", False, False),
    ):
        assert plain.has_origin(origin, "control.internal:9800") is by_plain
        assert tls.has_origin(origin, "control.internal:9800") is by_tls


def test_every_answer_is_nothing_but_what_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (api, _):
            for path in ("/v1/config", "/v1/nothing", "/metrics", "/healthz", "/v1/docs"):
                async with api.session.get(f"{api.url}{path}") as response:
                    assert response.headers["X-Content-Type-Options"] == "nosniff"
                    policy = response.headers["Content-Security-Policy"]
                    assert policy.startswith("default-src 'none'")
                    assert "unsafe" not in policy
                    assert response.headers["Referrer-Policy"] == "no-referrer"
                    assert "Access-Control-Allow-Origin" not in response.headers

    asyncio.run(scenario())
