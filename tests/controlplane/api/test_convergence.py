import asyncio
from pathlib import Path

from proxy.model.errors import Problem
from tests.controlplane.support import control


def test_a_change_is_followed_until_all_have_confirmed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            async with api.proxy("p1") as quick, api.proxy("p2") as slow:
                await quick.snapshot()
                await quick.ack(1)
                await slow.snapshot()
                for path in ("/v1/convergence", "/v1/services/shop/convergence"):
                    assert (await api.get(path)).body == {
                        "revision": 1,
                        "connected": 2,
                        "confirmed": 1,
                        "behind": 1,
                        "refused": 0,
                        "done": False,
                        "revisions": [
                            {"revision": 1, "proxies": 1},
                            {"revision": 0, "proxies": 1},
                        ],
                        "refusals": [],
                    }
                await slow.nack(1, Problem("services.shop", "no such host"))
                told = (await api.get("/v1/convergence")).body
                assert (told["refused"], told["behind"], told["done"]) == (1, 0, False)
                (refusal,) = told["refusals"]
                assert (refusal["instance"], refusal["revision"]) == ("p2", 1)
                assert refusal["problems"][0]["message"] == "no such host"
                await slow.ack(1)
                assert (await api.get("/v1/convergence")).body["done"]

    asyncio.run(scenario())


def test_an_older_revision_is_confirmed_by_a_newer_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            number = await api.set_weights(stable=1)
            async with api.proxy() as proxy:
                await proxy.snapshot()
                await proxy.ack(number)
                told = (await api.get("/v1/convergence?revision=1")).body
                assert (told["revision"], told["done"]) == (1, True)

    asyncio.run(scenario())


def test_a_wrong_question_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.get("/v1/convergence")).body["done"]
            await api.push()
            answer = await api.get("/v1/convergence?revision=2")
            assert (answer.status, answer.fields) == (422, ["revision"])
            assert (await api.get("/v1/services/shap/convergence")).status == 404

    asyncio.run(scenario())
