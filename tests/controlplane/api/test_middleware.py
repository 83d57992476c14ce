import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from controlplane.access import admission
from controlplane.operations import Operations
from tests.controlplane.support import DOCUMENT, SHOP_WEIGHTS, TOKEN, Api, control

CLOSED = [
    ("GET", "/v1/config"),
    ("PUT", SHOP_WEIGHTS),
    ("GET", "/v1/stream"),
    ("GET", "/metrics"),
    ("GET", "/v1/nothing"),
    ("DELETE", "/v1/config"),
    ("GET", "/healthz/"),
]
"""Every route there is: ``test_rules``."""


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


def test_after_many_bad_tokens_429_and_good_ones_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admission, "REFUSED_S", 0.0)

    async def scenario() -> None:
        async with control(tmp_path) as api:
            ada = await api.token("ada", "viewer")
            async with Api.at(api.url, "wrong") as stranger:
                answers = [await stranger.get("/v1/config") for _ in range(40)]
                statuses = [answer.status for answer in answers]
                assert statuses[: admission.BURST] == [401] * admission.BURST
                last = answers[-1]
                assert (last.status, last.body["type"]) == (
                    429,
                    "urn:splitway:problem:too-many-bad-tokens",
                )
                assert 1 <= int(last.headers["Retry-After"]) <= admission.REFILL_S
            async with Api.at(api.url, ada["token"]) as viewer:
                assert (await viewer.get("/v1/config")).status == 200
            async with aiohttp.ClientSession() as nobody:
                for _ in range(30):  # whoever sends none is not slowed down, only logged less
                    async with nobody.get(f"{api.url}/v1/config") as response:
                        assert response.status == 401

    caplog.set_level(logging.INFO)
    asyncio.run(scenario())
    lines = [vars(record)["fields"] for record in caplog.records if "fields" in vars(record)]
    refused = [line for line in lines if line["status"] in (401, 429)]
    assert admission.BURST <= len(refused) <= admission.BURST + 5
    assert "wrong" not in caplog.text


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
