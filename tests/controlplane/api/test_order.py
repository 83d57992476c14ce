"""What every change takes: dry_run, Idempotency-Key, reason, override."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.support import DOCUMENT, SHOP_WEIGHTS, Api, control

HALVES = {"weights": {"stable": 50, "canary": 50}, "reason": "try"}
CHANGES: list[tuple[str, str, Any]] = [
    ("PUT", SHOP_WEIGHTS, HALVES),
    ("PUT", "/v1/config", {"services": {}, "routes": []}),
    ("POST", "/v1/revisions/1/restore", None),
    ("PUT", "/v1/freeze", {"reason": "no"}),
    ("PUT", "/v1/services/shop/freeze", {"reason": "no"}),
    ("DELETE", "/v1/freeze", None),
    (
        "PUT",
        "/v1/change-windows",
        {"windows": [{"days": ["mon"], "opens": "00:00", "closes": "00:00"}]},
    ),
]


def contents(folder: Path) -> list[Any]:
    database = sqlite3.connect(folder / "control.db")
    try:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [database.execute(f"SELECT * FROM {name}").fetchall() for (name,) in sorted(tables)]  # noqa: S608 - our own names
    finally:
        database.close()


async def send(api: Api, change: tuple[str, str, Any], query: str = "", **headers: str) -> Any:
    method, path, body = change
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.call(method, f"{path}{query}", json=body, headers=fields)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]} {change[1]}")
def test_what_is_tried_leaves_nothing_behind(tmp_path: Path, change: tuple[str, str, Any]) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy() as proxy:
            await api.push()
            await proxy.snapshot()
            await api.set_weights(stable=90, canary=10)
            await proxy.snapshot()
            before = contents(tmp_path)
            answer = await send(api, change, "?dry_run=true", Idempotency_Key="k")
            assert answer.status == 200, answer.body
            assert answer.body["after"] is None
            assert bool(answer.body["fields"]) is (change[0] != "DELETE")
            assert contents(tmp_path) == before
            await proxy.settle()  # fails if a snapshot came

    asyncio.run(scenario())


def test_a_trial_tells_fields_and_users(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            answer = await send(api, CHANGES[0], "?dry_run=true", If_Match='"1"')
            assert answer.headers["ETag"] == '"1"'
            assert answer.body["fields"] == [
                {"path": "services.shop.weights.stable", "before": 95, "after": 50},
                {"path": "services.shop.weights.canary", "before": 5, "after": 50},
            ]
            moves = [{"from": "stable", "to": "canary", "slots": 4_500}]
            (service,) = answer.body["services"]
            assert (service["service"], service["moves"]) == ("shop", moves)
            stale = await send(api, CHANGES[0], "?dry_run=true", If_Match='"0"')
            assert stale.status == 412
            wrong = await api.put(f"{SHOP_WEIGHTS}?dry_run=true", {"weights": {"nobody": 1}})
            assert wrong.status == 422

    asyncio.run(scenario())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]} {change[1]}")
def test_a_request_that_is_sent_again_is_answered_again(
    tmp_path: Path, change: tuple[str, str, Any]
) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            await api.set_weights(stable=90, canary=10)
            first = await send(api, change, Idempotency_Key="one")
            assert first.status == 200, first.body
            assert "Idempotent-Replay" not in first.headers
            before = contents(tmp_path)
            again = await send(api, change, Idempotency_Key="one")
            assert again.headers["Idempotent-Replay"] == "true"
            assert (again.status, again.body) == (200, first.body)
            assert again.headers.get("ETag") == first.headers.get("ETag")
            assert contents(tmp_path) == before
            other = await send(api, change, "?dry_run=false", Idempotency_Key="one")
            assert other.status == 422
            assert other.body["type"] == "urn:splitway:problem:idempotency-key-reused"

    asyncio.run(scenario())


def test_the_answer_stays_what_it_was_though_others_changed_things_since(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            first = await send(api, CHANGES[0], If_Match='"1"', Idempotency_Key="one")
            await api.set_weights(stable=1)
            again = await send(api, CHANGES[0], If_Match='"1"', Idempotency_Key="one")
            assert (again.status, again.body) == (200, first.body)
            assert (await api.get(SHOP_WEIGHTS)).body["revision"] == 3

    asyncio.run(scenario())


def test_of_requests_at_the_same_moment_one_applies(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            sent = [send(api, CHANGES[0], Idempotency_Key="one") for _ in range(8)]
            answers = await asyncio.gather(*sent)
            assert {answer.status for answer in answers} == {200}
            replays = [answer for answer in answers if "Idempotent-Replay" in answer.headers]
            assert len(replays) == 7
            log = (await api.get("/v1/audit")).body["entries"]
            assert [entry["action"] for entry in log] == ["weights.set", "config.replace"]

    asyncio.run(scenario())


def test_what_failed_may_be_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await send(api, CHANGES[0], Idempotency_Key="one")).status == 404
            await api.push()
            assert (await send(api, CHANGES[0], Idempotency_Key="one")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256])
def test_a_key_that_is_none(tmp_path: Path, key: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            assert (await send(api, CHANGES[0], Idempotency_Key=key)).status == 400

    asyncio.run(scenario())


def test_a_server_that_asks_for_reasons(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path, require_reason=True) as api:
            answer = await api.put("/v1/config", DOCUMENT)
            assert (answer.status, answer.fields) == (422, ["reason"])
            assert (await api.put("/v1/config?reason=%20", DOCUMENT)).status == 422
            assert (await api.put("/v1/config?dry_run=true", DOCUMENT)).status == 200
            assert (await api.put("/v1/config?reason=first", DOCUMENT)).status == 200
            assert (await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}})).status == 422
            assert (await api.put(SHOP_WEIGHTS, HALVES)).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["dry_run=yes", "dry_run=", "override=1"])
def test_a_flag_that_is_none_changes_nothing(tmp_path: Path, query: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.put(f"/v1/config?{query}", DOCUMENT)
            assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])
            assert (await api.get("/v1/config")).body["revision"] == 0

    asyncio.run(scenario())
