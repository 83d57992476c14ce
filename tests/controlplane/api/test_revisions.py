import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.core.split import decode, movement
from tests.controlplane.support import DOCUMENT, control


def test_who_changed_what_newest_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.get("/v1/revisions")).body == {
                "revisions": [],
                "next": None,
                "next_cursor": None,
            }
            await api.push()
            for canary in range(1, 5):
                await api.set_weights(canary=canary)
            page = (await api.get("/v1/revisions?limit=2")).body
            assert [note["revision"] for note in page["revisions"]] == [5, 4]
            assert page["next"] == 4
            at = datetime.fromisoformat(page["revisions"][0]["at"])
            assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
            page = (await api.get("/v1/revisions?limit=3&before=4")).body
            assert [note["revision"] for note in page["revisions"]] == [3, 2, 1]
            assert page["next"] is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=-1",
        "limit=",
        "before=0",
        "cursor=x",
        "cursor=",
        "cursor=YWJj",
    ],
)
def test_a_page_that_is_none(tmp_path: Path, query: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.get(f"/v1/revisions?{query}")
            assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])

    asyncio.run(scenario())


def test_page_by_page_with_a_cursor(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            for canary in range(1, 7):
                await api.set_weights(canary=canary, stable=10)
            seen: list[list[int]] = []
            cursor: str | None = ""
            while cursor is not None:
                page = (await api.get(f"/v1/revisions?limit=3{cursor}")).body
                seen.append([note["revision"] for note in page["revisions"]])
                cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
            assert seen == [[7, 6, 5], [4, 3, 2], [1]]
            both = await api.get("/v1/revisions?before=3&cursor=YmVsb3cgMw==")
            assert (both.status, both.fields) == (422, ["before"])

    asyncio.run(scenario())


def test_one_revision_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            await api.set_weights(stable=50, canary=50)
            old = (await api.get("/v1/revisions/1")).body
            assert (old["revision"], old["author"]) == (1, "admin")
            assert old["config"] == {"revision": 1, **DOCUMENT}
            for path in ("/v1/revisions/3", "/v1/revisions/3/diff", "/v1/revisions/9999999999"):
                answer = await api.get(path)
                assert answer.status == 404
                assert answer.body["type"] == "urn:splitway:problem:unknown-revision"

    asyncio.run(scenario())


def test_what_differs_between_two_revisions(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            await api.set_weights(stable=50, canary=50)
            await api.set_weights(stable=40, canary=60)
            found = (await api.get("/v1/revisions/2/diff")).body
            assert (found["before"], found["after"]) == (1, 2)
            paths = {change["path"]: change for change in found["fields"]}
            assert paths["services.shop.weights.canary"]["after"] == 50
            moves = [{"from": "stable", "to": "canary", "slots": 4_500}]
            assert found["services"] == [
                {"service": "shop", "moved": 4_500, "moves": moves, "redrawn": False}
            ]
            back = (await api.get("/v1/revisions/3/diff?to=1")).body["services"][0]
            assert back["moves"] == [{"from": "canary", "to": "stable", "slots": 5_500}]
            first = (await api.get("/v1/revisions/1/diff")).body
            assert (first["before"], first["services"]) == (0, [])

    asyncio.run(scenario())


def test_a_revision_that_is_restored_is_a_new_one_and_moves_nobody_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy() as proxy:
            await api.push()
            first = await proxy.snapshot()
            await api.set_weights(stable=50, canary=50)
            second = await proxy.snapshot()
            stale = await api.change("POST", "/v1/revisions/1/restore", If_Match='"1"')
            assert stale.status == 412
            path = "/v1/revisions/1/restore?reason=errors"
            answer = await api.change("POST", path, If_Match='"2"')
            assert (answer.status, answer.headers["ETag"]) == (200, '"3"')
            assert answer.body == {"revision": 3, **DOCUMENT}
            third = await proxy.snapshot()
            assert (third.revision, third.traffic) == (3, first.traffic)
            moved = movement(decode(second.tables["shop"]), decode(third.tables["shop"]))
            assert moved == {("canary", "stable"): 4_500}
            again = await api.change("POST", path)
            assert again.body["revision"] == 3
            assert (await api.change("POST", "/v1/revisions/8/restore")).status == 404
            notes = (await api.get("/v1/revisions")).body["revisions"]
            assert [note["reason"] for note in notes] == ["errors", "", ""]

    asyncio.run(scenario())
