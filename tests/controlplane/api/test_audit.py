import asyncio
import sqlite3
from pathlib import Path

from controlplane.audit import BEGINNING, verify
from tests.controlplane.support import SHOP_WEIGHTS, Api, control


async def export(api: Api) -> list[bytes]:
    async with api.session.get(f"{api.url}/v1/audit/export") as response:
        assert (response.status, response.content_type) == (200, "application/jsonl")
        return (await response.read()).splitlines()


def test_everything_that_was_changed_is_in_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.get("/v1/audit")).body == {
                "entries": [],
                "head": BEGINNING,
                "next_cursor": None,
            }
            await api.push()
            body = {"weights": {"stable": 1}, "reason": "errors"}
            await api.put(SHOP_WEIGHTS, body, X_Request_Id="my-id")
            await api.put("/v1/freeze", {"reason": "night"})
            await api.change("DELETE", "/v1/freeze?reason=morning")
            await api.change("DELETE", "/v1/freeze")  # changes nothing
            await api.put(SHOP_WEIGHTS, body)  # the same
            await api.put("/v1/change-windows", {"windows": []})  # the same
            page = (await api.get("/v1/audit")).body
            told = [(e["number"], e["action"], e["target"], e["reason"]) for e in page["entries"]]
            assert told == [
                (4, "freeze.lift", "", "morning"),
                (3, "freeze.set", "", "night"),
                (2, "weights.set", "services.shop.weights", "errors"),
                (1, "config.replace", "", ""),
            ]
            changed = page["entries"][2]
            assert (changed["actor"], changed["address"]) == ("admin", "127.0.0.1")
            assert changed["request"] == "my-id"
            assert (changed["before"]["revision"], changed["after"]["revision"]) == (1, 2)
            assert changed["before"]["sha256"] != changed["after"]["sha256"]
            assert page["entries"][1]["after"]["all"]["reason"] == "night"
            lines = await export(api)
            assert len(lines) == 4
            assert verify(lines, page["head"]) is None
            first = (await api.get("/v1/audit?limit=3")).body
            rest = (await api.get(f"/v1/audit?limit=3&cursor={first['next_cursor']}")).body
            assert [entry["number"] for entry in rest["entries"]] == [1]
            assert rest["next_cursor"] is None

    asyncio.run(scenario())


def test_a_row_that_was_edited_is_found_in_the_export(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            for canary in range(1, 4):
                await api.set_weights(canary=canary, stable=9)
            head = (await api.get("/v1/audit")).body["head"]
            database = sqlite3.connect(tmp_path / "control.db")
            database.execute(
                "UPDATE audit SET entry = replace(entry, 'admin', 'nobody') WHERE number = 2"
            )
            database.commit()
            flaw = verify(await export(api), head)
            assert flaw is not None
            assert flaw.number == 2
            database.execute("UPDATE audit SET entry = 'no JSON' WHERE number = 4")
            database.commit()
            assert len(await export(api)) == 4
            assert (await api.get("/v1/audit")).status == 503
            database.execute("DELETE FROM audit WHERE number = 2")
            database.commit()
            database.close()
            flaw = verify(await export(api), head)
            assert flaw is not None
            assert flaw.number == 2

    asyncio.run(scenario())


def test_a_change_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            assert (await api.put(SHOP_WEIGHTS, {"weights": {"no": 1}})).status == 422
            stale = await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}}, If_Match='"0"')
            assert stale.status == 412
            assert len((await api.get("/v1/audit")).body["entries"]) == 1

    asyncio.run(scenario())


def test_every_answer_tells_its_request_s_id(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            given = await api.get("/v1/config", X_Request_Id="abc-1")
            assert given.headers["X-Request-Id"] == "abc-1"
            made = await api.get("/v1/nothing", X_Request_Id="no good")
            assert len(made.headers["X-Request-Id"]) == 32

    asyncio.run(scenario())
