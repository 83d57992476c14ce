import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from controlplane.operations import Operations
from tests.controlplane.support import DOCUMENT, SHOP_WEIGHTS, TOKEN, control

CLOSED = [
    ("GET", "/v1/config"),
    ("PUT", "/v1/config"),
    ("GET", "/v1/services"),
    ("GET", "/v1/services/shop"),
    ("GET", SHOP_WEIGHTS),
    ("PUT", SHOP_WEIGHTS),
    ("GET", "/v1/revisions"),
    ("GET", "/v1/proxies"),
    ("GET", "/v1/convergence"),
    ("GET", "/v1/services/shop/convergence"),
    ("GET", "/v1/stream"),
    ("GET", "/metrics"),
    ("GET", "/v1/convergence"),
    ("GET", "/v1/services/shop/convergence"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/docs"),
    ("GET", "/v1/revisions/7"),
    ("GET", "/v1/revisions/7/diff"),
    ("POST", "/v1/revisions/7/restore"),
    ("GET", "/v1/freeze"),
    ("PUT", "/v1/freeze"),
    ("DELETE", "/v1/freeze"),
    ("PUT", "/v1/services/shop/freeze"),
    ("DELETE", "/v1/services/shop/freeze"),
    ("GET", "/v1/change-windows"),
    ("PUT", "/v1/change-windows"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/audit/export"),
    ("GET", "/v1/nothing"),
    ("DELETE", "/v1/config"),
]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"],
)
def test_every_path_but_the_probes_needs_the_token(
    tmp_path: Path, authorization: str | None
) -> None:
    async def scenario() -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with control(tmp_path) as api, aiohttp.ClientSession(headers=headers) as stranger:
            for method, path in CLOSED:
                async with stranger.request(method, f"{api.url}{path}", json=DOCUMENT) as response:
                    assert response.status == 401, path
                    assert response.headers["WWW-Authenticate"].startswith("Bearer")
                    assert response.content_type == "application/problem+json"
                    assert TOKEN not in await response.text()
            assert (await api.get("/v1/config")).body["revision"] == 0

    asyncio.run(scenario())


def test_the_list_of_closed_paths_is_whole(tmp_path: Path) -> None:
    async def scenario() -> set[tuple[str, str]]:
        from controlplane.app import Settings, build
        from controlplane.store.opening import open_database

        database = await open_database(f"sqlite:///{tmp_path / 'a.db'}")
        app, _ = await build(database, Settings("", "", 0, TOKEN))
        await database.close()
        return {
            (
                route.method,
                route.resource.canonical.format(name="shop", number=7),
            )
            for route in app.router.routes()
            if route.resource and route.method != "HEAD"
        }

    served = asyncio.run(scenario()) - {("GET", "/healthz"), ("GET", "/readyz")}
    assert served == set(CLOSED[:-2])


def test_the_scheme_is_read_in_any_case_and_the_probes_need_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, aiohttp.ClientSession() as stranger:
            for path in ("/healthz", "/readyz"):
                async with stranger.get(f"{api.url}{path}") as response:
                    assert (response.status, await response.json()) == (200, {"status": "ok"})
            bearer = {"Authorization": f"bEARER {TOKEN}"}
            async with stranger.get(f"{api.url}/v1/config", headers=bearer) as response:
                assert response.status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1/services/nobody", 404, "unknown-service"),
        ("GET", "/v1/services/nobody/weights", 404, "unknown-service"),
        ("GET", "/v1/services/%3Cscript%3E", 404, "unknown-service"),
        ("DELETE", "/v1/config", 405, "method-not-allowed"),
        ("POST", "/healthz", 405, "method-not-allowed"),
        ("GET", "/v1/stream", 400, "bad-request"),
    ],
)
def test_errors_are_problem_documents(
    tmp_path: Path, method: str, path: str, status: int, kind: str
) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.call(method, path)
            assert answer.status == answer.body["status"] == status
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.body["type"] == f"urn:splitway:problem:{kind}"
            assert answer.body["title"]
            assert answer.body["detail"]
            assert ("Allow" in answer.headers) is (status == 405)

    asyncio.run(scenario())


def test_an_unexpected_error_says_nothing_of_the_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(Operations, "set_weights", broken)

    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.put(SHOP_WEIGHTS, {"weights": {"a": 1}})
            assert (answer.status, answer.body["type"]) == (500, "urn:splitway:problem:internal")
            assert "inside" not in str(answer.body)
            assert "Traceback" not in str(answer.body)

    asyncio.run(scenario())
    assert "the inside" in caplog.text


def test_a_full_disk_is_507_and_nothing_is_half_applied(tmp_path: Path) -> None:
    room = {"pages": 2**30}

    def cap(connection: Any, _record: object, _proxy: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {room['pages']}")
        cursor.close()

    endpoints = [f"http://10.0.0.1:{port}" for port in range(1, 3000)]
    big = {"services": {"shop": {"versions": {"v": {"endpoints": endpoints}}}}}

    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy() as proxy:
            await api.push()
            await proxy.snapshot()
            room["pages"] = 1
            answer = await api.put("/v1/config", big)
            assert (answer.status, answer.body["type"]) == (507, "urn:splitway:problem:store-full")
            assert (await api.get("/v1/config")).body["revision"] == 1
            await proxy.settle()  # fails if a snapshot came
            room["pages"] = 2**30
            assert await api.push(big) == 2
            assert (await proxy.snapshot()).revision == 2

    event.listen(Pool, "checkout", cap)
    try:
        asyncio.run(scenario())
    finally:
        event.remove(Pool, "checkout", cap)


def test_a_broken_store_is_503_and_not_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            database = sqlite3.connect(tmp_path / "control.db")
            database.execute("ALTER TABLE revisions RENAME TO lost")
            database.execute("ALTER TABLE store RENAME TO lost_too")
            database.commit()
            database.close()
            for answer in (
                await api.get("/v1/config"),
                await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}}),
                await api.get("/readyz"),
            ):
                assert answer.status == 503
                assert answer.body["type"] == "urn:splitway:problem:store-unavailable"
                assert "no such table" not in str(answer.body)
            assert (await api.get("/healthz")).status == 200

    asyncio.run(scenario())
