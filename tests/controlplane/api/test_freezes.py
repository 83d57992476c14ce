import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.gate import DAYS
from tests.controlplane.support import DOCUMENT, SHOP_WEIGHTS, Answer, Api, control
from tests.controlplane.test_following import replica

HALVES = {"weights": {"stable": 50, "canary": 50}, "reason": "try"}
CLOSED = "/v1/change-windows"


def not_today() -> dict[str, object]:
    """A window that is not open now, and not soon."""
    day = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    return {"days": [day], "opens": "09:00", "closes": "17:00", "zone": "Europe/Berlin"}


@pytest.mark.parametrize("path", ["/v1/freeze", "/v1/services/shop/freeze"])
def test_no_change_until_it_is_lifted(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            frozen = await api.put(path, {"reason": "release day"})
            assert frozen.status == 200
            found = (await api.get("/v1/freeze")).body
            assert found == frozen.body
            freeze = found["all"] or found["services"]["shop"]
            assert (freeze["author"], freeze["reason"]) == ("admin", "release day")
            for query in ("", "?override=true", "?dry_run=true"):
                answer = await api.put(f"{SHOP_WEIGHTS}{query}", HALVES)
                assert (answer.status, answer.body["type"]) == (409, "urn:splitway:problem:frozen")
                assert "release day" in answer.body["detail"]
                assert f"DELETE {path}" in answer.body["detail"]
            assert (await api.put("/v1/config", {"services": {}})).status == 409
            assert (await api.get("/v1/config")).body["revision"] == 1
            lifted = await api.change("DELETE", path)
            assert lifted.body == {"all": None, "services": {}}
            assert (await api.put(SHOP_WEIGHTS, HALVES)).status == 200

    asyncio.run(scenario())


def test_other_services_may_be_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            services = {**DOCUMENT["services"], "cart": DOCUMENT["services"]["shop"]}
            await api.push({**DOCUMENT, "services": services})
            await api.put("/v1/services/cart/freeze", {"reason": "x"})
            assert (await api.put(SHOP_WEIGHTS, HALVES)).status == 200
            answer = await api.put("/v1/services/cart/weights", HALVES)
            assert answer.status == 409
            assert (await api.push({**DOCUMENT, "services": services, "routes": []})) == 3

    asyncio.run(scenario())


def test_a_freeze_is_lifted_of_services_that_are_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            services = {**DOCUMENT["services"], "cart": DOCUMENT["services"]["shop"]}
            await api.push({**DOCUMENT, "services": services})
            for name in ("nobody", "%F0%99%AC%93"):
                answer = await api.change("DELETE", f"/v1/services/{name}/freeze")
                assert (answer.status, answer.body["type"].split(":")[-1]) == (
                    404,
                    "unknown-service",
                )
            assert (await api.change("DELETE", "/v1/services/cart/freeze")).status == 200
            assert (await api.put("/v1/services/cart/freeze", {"reason": "x"})).status == 200
            assert (await api.put("/v1/config", {"services": {}})).status == 409
            assert (await api.change("DELETE", "/v1/services/cart/freeze")).status == 200

    asyncio.run(scenario())


def test_a_freeze_that_is_wrong(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
            for body, field in (
                ({}, ""),
                ({"reason": ""}, "reason"),
                ({"reason": "x", "until": past}, "until"),
                ({"reason": "x", "until": "2099-01-01T00:00:00"}, "until"),
            ):
                answer = await api.put("/v1/freeze", body)
                assert (answer.status, answer.fields) == (422, [field]), body
            assert (await api.put("/v1/services/no/freeze", {"reason": "x"})).status == 404

    asyncio.run(scenario())


def test_outside_of_the_windows_only_an_override_with_a_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            window = not_today()
            answer = await api.put(CLOSED, {"windows": [window]})
            assert answer.body == {"windows": [window], "open": False}
            assert (await api.get(CLOSED)).body == answer.body
            refused = await api.put(SHOP_WEIGHTS, HALVES)
            assert refused.status == 409
            assert refused.body["type"] == "urn:splitway:problem:outside-change-window"
            assert "Europe/Berlin" in refused.body["detail"]
            silent = await api.put(f"{SHOP_WEIGHTS}?override=true", {"weights": {"stable": 1}})
            assert (silent.status, silent.fields) == (422, ["reason"])
            assert (await api.put(f"{SHOP_WEIGHTS}?override=true", HALVES)).status == 200
            log = (await api.get("/v1/audit?limit=1")).body["entries"]
            assert log[0]["action"] == "weights.set.override"
            assert (await api.put(CLOSED, {"windows": []})).body["open"] is True
            assert (await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}})).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"zone": "Europe/Atlantis"}, "windows[0].zone"),
        ({"zone": "../../etc/passwd"}, "windows[0].zone"),
        ({"opens": "9:00"}, "windows[0].opens"),
        ({"closes": "17:00\n"}, "windows[0].closes"),
        ({"days": []}, "windows[0].days"),
        ({"days": ["someday"]}, "windows[0].days[0]"),
    ],
)
def test_a_window_that_is_wrong(tmp_path: Path, change: dict[str, object], field: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.put(CLOSED, {"windows": [{**not_today(), **change}]})
            assert (answer.status, answer.fields) == (422, [field])

    asyncio.run(scenario())


RELEASE = {"reason": "release day"}
MONDAYS = {"windows": [{"days": ["mon"], "opens": "09:00", "closes": "17:00", "zone": "UTC"}]}
NO_BODY: Any = None
EDITS: list[tuple[str, str, str, Any]] = [
    ("/v1/freeze", "PUT", "/v1/freeze", RELEASE),
    ("/v1/freeze", "PUT", "/v1/services/shop/freeze", RELEASE),
    ("/v1/freeze", "DELETE", "/v1/freeze", NO_BODY),
    ("/v1/freeze", "DELETE", "/v1/services/shop/freeze", NO_BODY),
    ("/v1/change-windows", "PUT", "/v1/change-windows", MONDAYS),
]
"""Where the ETag is, and what may be changed by it."""


async def edit(api: Api, method: str, path: str, body: Any, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.call(method, path, json=body, headers=fields)


@pytest.mark.parametrize(("shown_at", "method", "path", "body"), EDITS)
def test_an_edit_is_made_only_to_what_the_caller_has_seen(
    url: str, shown_at: str, method: str, path: str, body: Any
) -> None:
    async def scenario() -> None:
        async with replica(url) as api:
            await api.push()
            await api.put("/v1/services/shop/freeze", {"reason": "before"})
            before = await api.get(shown_at)
            tag = before.headers["ETag"]
            stale = await edit(api, method, path, body, If_Match='"0123456789abcdef"')
            assert (stale.status, stale.body["type"]) == (412, "urn:splitway:problem:stale")
            assert stale.headers["ETag"] == tag
            weak = await edit(api, method, path, body, If_Match=f"W/{tag}")
            assert weak.status == 412
            wrong = await edit(api, method, path, body, If_Match="mine")
            assert wrong.status == 400
            assert (await api.get(shown_at)).body == before.body
            query = f"{path}?dry_run=true"
            tried = await edit(api, method, query, body, If_Match=tag)
            assert (tried.status, tried.headers["ETag"]) == (200, tag)
            assert (await edit(api, method, query, body, If_Match='"0"')).status == 412
            made = await edit(api, method, path, body, If_Match=f'"0", {tag}')
            assert made.status == 200
            after = await api.get(shown_at)
            assert (after.body, after.headers["ETag"]) == (made.body, made.headers["ETag"])
            assert (after.headers["ETag"] == tag) is (after.body == before.body)
            assert (await edit(api, method, path, body, If_Match="*")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(("shown_at", "method", "path", "body"), [EDITS[0], EDITS[1], EDITS[4]])
def test_of_many_who_have_seen_the_same_one_edits(
    url: str, shown_at: str, method: str, path: str, body: Any
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            replicas = 1 if url.startswith("sqlite") else 2
            apis = [await stack.enter_async_context(replica(url)) for _ in range(replicas)]
            await apis[0].push()
            tag = (await apis[0].get(shown_at)).headers["ETag"]
            answers = await asyncio.gather(
                *(edit(api, method, path, body, If_Match=tag) for api in apis for _ in range(6))
            )
            assert sorted(answer.status for answer in answers) == [200] + [412] * (len(answers) - 1)
            (made,) = (answer for answer in answers if answer.status == 200)
            for api in apis:
                found = await api.get(shown_at)
                assert (found.body, found.headers["ETag"]) == (made.body, made.headers["ETag"])

    asyncio.run(scenario())


def test_an_edit_that_is_sent_again_gets_its_tag_again(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as api:
            tag = (await api.get("/v1/freeze")).headers["ETag"]
            sent = {"If_Match": tag, "Idempotency_Key": "k"}
            first = await edit(api, "PUT", "/v1/freeze", RELEASE, **sent)
            again = await edit(api, "PUT", "/v1/freeze", RELEASE, **sent)
            assert again.headers["Idempotent-Replay"] == "true"
            assert (again.status, again.body) == (200, first.body)
            assert again.headers["ETag"] == first.headers["ETag"] != tag

    asyncio.run(scenario())


def test_the_end_of_a_freeze_is_told_in_utc_and_within_the_calendar(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as api:
            far = {"reason": "x", "until": "9999-12-31T23:59:59-12:00"}
            answer = await api.put("/v1/freeze", far)
            assert (answer.status, answer.fields) == (422, ["until"])
            made = await api.put(
                "/v1/freeze", {"reason": "x", "until": "2999-01-01T01:00:00+01:00"}
            )
            assert made.body["all"]["until"] == "2999-01-01T00:00:00Z"
            found = await api.get("/v1/freeze")
            assert (found.body, found.headers["ETag"]) == (made.body, made.headers["ETag"])

    asyncio.run(scenario())
