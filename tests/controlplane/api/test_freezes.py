import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane.gate import DAYS
from tests.controlplane.support import DOCUMENT, SHOP_WEIGHTS, control

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
