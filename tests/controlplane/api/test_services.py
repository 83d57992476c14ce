import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.core.split import decode, movement
from tests.controlplane.support import DOCUMENT, SHOP, SHOP_WEIGHTS, control


def test_services_are_listed_with_what_is_in_force(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            answer = await api.get("/v1/services")
            service = {
                "name": "shop",
                "versions": SHOP["versions"],
                "weights": {"stable": 95, "canary": 5},
                "shares": {"stable": 0.95, "canary": 0.05},
                "proxies": {"connected": 0, "on_newest": 0},
            }
            assert answer.body == {"revision": 1, "services": [service]}
            one = await api.get("/v1/services/shop")
            assert (one.body, one.headers["ETag"]) == (service, '"1"')

    asyncio.run(scenario())


def test_weights_are_replaced_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            body = {"weights": {"canary": 3}, "reason": "all in"}
            answer = await api.put(SHOP_WEIGHTS, body, If_Match='"1"')
            assert answer.body == {
                "service": "shop",
                "revision": 2,
                "weights": {"stable": 0, "canary": 3},
                "shares": {"stable": 0.0, "canary": 1.0},
            }
            assert answer.headers["ETag"] == '"2"'
            assert (await api.get(SHOP_WEIGHTS)).body == answer.body
            notes = (await api.get("/v1/revisions")).body["revisions"]
            assert notes[0]["reason"] == "all in"

    asyncio.run(scenario())


def test_the_same_weights_again_make_no_revision(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            answer = await api.put(SHOP_WEIGHTS, {"weights": {"canary": 5, "stable": 95}})
            assert (answer.status, answer.headers["ETag"]) == (200, '"1"')
            assert len((await api.get("/v1/revisions")).body["revisions"]) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [""]),
        ([], [""]),
        ({"weights": 5}, ["weights"]),
        ({"weights": {}}, ["services.shop.weights"]),
        ({"weights": {"stable": 1}, "weight": 1}, [""]),
        ({"weights": {"stable": 1}, "reason": 5}, ["reason"]),
        ({"weights": {"stable": 1}, "reason": "x" * 501}, ["reason"]),
        ({"weights": {"canary": -1}}, ["services.shop.weights.canary"]),
        ({"weights": {"canary": 1.5}}, ["services.shop.weights.canary"]),
        ({"weights": {"canary": "1"}}, ["services.shop.weights.canary"]),
        ({"weights": {"canary": True}}, ["services.shop.weights.canary"]),
        ({"weights": {"canary": None}}, ["services.shop.weights.canary"]),
        ({"weights": {"canary": 10**30}}, ["services.shop.weights.canary"]),
        ({"weights": {"stable": 0, "canary": 0}}, ["services.shop.weights"]),
        (
            {"weights": {"stable": "x", "nobody": 1}},
            ["services.shop.weights.stable", "services.shop.weights.nobody"],
        ),
    ],
)
def test_bad_weights_are_refused_by_name(tmp_path: Path, body: Any, fields: list[str]) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            answer = await api.call("PUT", SHOP_WEIGHTS, json=body)
            assert (answer.status, answer.fields) == (422, fields)
            assert (await api.get("/v1/config")).body == {"revision": 1, **DOCUMENT}

    asyncio.run(scenario())


def test_weights_of_an_unknown_service_and_of_a_stale_revision(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            body = {"weights": {"stable": 1}}
            answer = await api.put("/v1/services/nobody/weights", body)
            assert (answer.status, answer.body["type"][-15:]) == (404, "unknown-service")
            assert "shop" in answer.body["detail"]
            assert (await api.put(SHOP_WEIGHTS, body, If_Match='"0"')).status == 412
            answer = await api.call("PUT", SHOP_WEIGHTS, data=b"{}")
            assert answer.status == 415

    asyncio.run(scenario())


def test_of_many_at_once_exactly_one_wins_a_revision(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            won: list[int] = []

            async def change(number: int) -> None:
                while True:
                    tag = (await api.get(SHOP_WEIGHTS)).headers["ETag"]
                    weights = {"stable": 1000, "canary": number}
                    answer = await api.put(SHOP_WEIGHTS, {"weights": weights}, If_Match=tag)
                    if answer.status == 200:
                        assert answer.body["revision"] == int(tag.strip('"')) + 1
                        won.append(answer.body["revision"])
                        return
                    assert answer.status == 412

            await asyncio.gather(*(change(number) for number in range(20)))
            assert sorted(won) == list(range(2, 22))

    asyncio.run(scenario())


def test_of_twenty_with_the_same_tag_one_wins(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            answers = await asyncio.gather(
                *(
                    api.put(SHOP_WEIGHTS, {"weights": {"canary": n, "stable": 7}}, If_Match='"1"')
                    for n in range(20)
                )
            )
            assert sorted(answer.status for answer in answers) == [200] + [412] * 19

    asyncio.run(scenario())


def test_users_move_as_little_as_can_be_over_restarts_too(tmp_path: Path) -> None:
    versions = {name: {"endpoints": [f"http://{name}:80"]} for name in "abc"}
    shop = {"versions": versions, "weights": {"a": 10, "b": 45, "c": 45}}

    async def scenario() -> None:
        async with control(tmp_path) as api, api.proxy() as proxy:
            await api.push({"services": {"shop": shop}, "routes": []})
            before = decode((await proxy.snapshot()).tables["shop"])
        async with control(tmp_path) as api, api.proxy() as proxy:
            assert decode((await proxy.snapshot()).tables["shop"]) == before
            await api.set_weights(a=20, b=40, c=40)
            after = decode((await proxy.snapshot()).tables["shop"])
        assert movement(before, after) == {("b", "a"): 500, ("c", "a"): 500}

    asyncio.run(scenario())
