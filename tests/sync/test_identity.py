import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from proxy.sync import identity as module
from proxy.sync.identity import ECS_URI, Identity, identity_in

TASK = {
    "Cluster": "default",
    "TaskARN": "arn:aws:ecs:eu-1:1234:task/default/abc",
    "Family": "shop",
    "Revision": "17",
    "ServiceName": "shop-service",
    "AvailabilityZone": "eu-1a",
    "Containers": [],
}


@asynccontextmanager
async def ecs(answer: web.Response, hold: asyncio.Event | None = None) -> AsyncIterator[str]:
    async def task(_request: web.Request) -> web.Response:
        if hold is not None:
            await hold.wait()
        return answer

    app = web.Application()
    app.router.add_get("/v4/id/task", task)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v4/id"
    finally:
        if hold is not None:
            hold.set()
        await runner.cleanup()


def asked(answer: web.Response, **env: str) -> Identity:
    async def scenario() -> Identity:
        async with ecs(answer) as uri:
            return await identity_in({ECS_URI: uri, **env})

    return asyncio.run(scenario())


def test_nothing_is_known_where_nothing_is_said() -> None:
    assert asyncio.run(identity_in({})) == Identity()


def test_a_pod_knows_its_name() -> None:
    env = {"POD_NAME": "shop-1", "POD_NAMESPACE": "web", "NODE_NAME": "n" * 999, "HOME": "/"}
    env |= {"SERVICE_NAME": "shop", "SERVICE_VERSION": "1.4.0"}
    place = {"pod": "shop-1", "namespace": "web", "node": "n" * 256}
    place |= {"service": "shop", "version": "1.4.0"}
    assert asyncio.run(identity_in(env)) == Identity(place=place)


def test_a_task_of_ecs_is_asked_where_it_runs() -> None:
    task = {"ecs_task": str(TASK["TaskARN"]), "ecs_family": "shop"}
    place = {"service": "shop-service", "version": "17", **task}
    assert asked(web.json_response(TASK)) == Identity("eu-1a", place)
    place |= {"version": "1.4.0"}
    assert asked(web.json_response(TASK), SERVICE_VERSION="1.4.0") == Identity("eu-1a", place)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(text="garbage"),
        web.json_response([]),
        web.json_response({"TaskARN": 7}),
        web.Response(body=b" " * (module.MAX_ANSWER_BYTES + 1) + b"{}"),
        web.Response(status=302, headers={"Location": "/v4/id/task"}),
    ],
    ids=["500", "garbage", "list", "number", "endless", "redirect"],
)
def test_an_endpoint_that_does_not_tell_is_no_error(answer: web.Response) -> None:
    assert asked(answer) == Identity()


def test_an_endpoint_that_hangs_or_is_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ECS_S", 0.05)

    async def scenario() -> None:
        async with ecs(web.json_response(TASK), asyncio.Event()) as uri:
            assert await identity_in({ECS_URI: uri}) == Identity()
        assert await identity_in({ECS_URI: uri}) == Identity()

    asyncio.run(scenario())
