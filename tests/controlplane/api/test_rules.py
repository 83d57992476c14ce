"""Every route of a server that runs: who may, who may not, and who learns nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from controlplane.access.caller import Caller, Role
from controlplane.api.operation import OPERATIONS, Operation
from controlplane.api.rules import Reach
from controlplane.app import Settings, build
from controlplane.store.opening import open_database
from proxy.model.errors import Problem
from tests.controlplane.support import DOCUMENT, ROOT, SHOP, TOKEN, Answer, Api, control

TWO = {**DOCUMENT, "services": {"shop": SHOP, "cart": SHOP}}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def declared(folder: Path) -> list[Operation]:
    async def scenario() -> list[Operation]:
        database = await open_database(f"sqlite:///{folder / 'declared.db'}")
        app, _ = await build(database, Settings("", "", 0, TOKEN))
        await database.close()
        served = {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.resource and route.method != "HEAD"
        }
        operations = app[OPERATIONS]
        assert served == {(each.method, each.plain_path) for each in operations}
        return list(operations)

    return asyncio.run(scenario())


def path_of(operation: Operation) -> str:
    return operation.plain_path.format(name="shop", number=1, id="0" * 12)


async def status_of(api: Api, operation: Operation, method: str = "") -> Answer:
    """What a caller is answered. A body that cannot be read changes nothing."""
    headers = UPGRADE if operation.path == "/v1/stream" else {"Content-Type": "application/json"}
    data = b"{" if operation.body is not None else None
    async with api.session.request(
        method or operation.method, f"{api.url}{path_of(operation)}", data=data, headers=headers
    ) as response:
        if response.status == 101 or response.content_type != "application/problem+json":
            return Answer(response.status, response.headers, None)
        return Answer(response.status, response.headers, await response.json(content_type=None))


@asynccontextmanager
async def caller(admin: Api, name: str, role: Role, *services: str) -> AsyncIterator[Api]:
    issued = await admin.token(name, role.value, *services)
    async with Api.at(admin.url, issued["token"]) as api:
        yield api


def test_without_a_token_or_with_a_bad_one_401(tmp_path: Path) -> None:
    operations = declared(tmp_path)

    async def scenario() -> None:
        async with control(tmp_path) as admin, aiohttp.ClientSession() as session:
            await admin.push(TWO)
            stranger = Api(admin.url, session)
            for operation in operations:
                answer = await status_of(stranger, operation)
                if operation.public:
                    assert answer.status == 200, operation.path
                    continue
                assert answer.status == 401, operation.path
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert answer.body["type"] == "urn:splitway:problem:unauthorized"
                if operation.method == "GET":
                    assert (await status_of(stranger, operation, "HEAD")).status == 401
            for path in ("/", "/v1/nothing", "/v1/services/shop/nothing"):
                assert (await stranger.get(path)).status == 401
            assert (await admin.get("/v1/config")).body["revision"] == 1

    asyncio.run(scenario())


def test_just_who_has_the_role_may(tmp_path: Path) -> None:
    operations = [each for each in declared(tmp_path) if not each.public]
    assert {each.rule.role for each in operations} == set(Role)

    async def scenario() -> None:
        async with control(tmp_path) as admin:
            await admin.push(TWO)
            for role in Role:
                async with caller(admin, f"a-{role}", role) as api:
                    for operation in operations:
                        assert operation.rule.role is not None
                        may = Caller("", role).is_at_least(operation.rule.role)
                        answer = await status_of(api, operation)
                        what = (role, operation.method, operation.path, answer)
                        if may:
                            assert answer.status not in (401, 403, 429), what
                            continue
                        assert answer.status == 403, what
                        assert answer.body["type"] == "urn:splitway:problem:forbidden"
                        assert operation.rule.role in answer.body["detail"]
            assert (await admin.get("/v1/config")).body["revision"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_just_within_the_scope(tmp_path: Path, role: Role) -> None:
    operations = [each for each in declared(tmp_path) if not each.public]
    mine = [each for each in operations if Caller("", role).is_at_least(each.rule.role or role)]
    assert {each.rule.reach for each in mine} == set(Reach)
    for operation in operations:
        assert (operation.rule.reach is Reach.SERVICE) is ("{name}" in operation.path)

    async def scenario() -> None:
        async with (
            control(tmp_path) as admin,
            caller(admin, "inside", role, "shop") as inside,
            caller(admin, "outside", role, "cart", "gone") as outside,
        ):
            await admin.push(TWO)
            for operation in mine:
                reach = operation.rule.reach
                good, bad = [await status_of(api, operation) for api in (inside, outside)]
                what = (operation.method, operation.path, good, bad)
                assert (good.status == 403) is (reach is Reach.ALL), what
                assert (bad.status == 403) is (reach is not Reach.ANY), what
                assert good.status not in (401, 429), what
            unknown = await outside.get("/v1/services/gone")
            assert (unknown.status, unknown.body["detail"]) == (404, "unknown service 'gone'")

    asyncio.run(scenario())


def test_lists_show_what_is_in_the_scope(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            control(tmp_path) as admin,
            caller(admin, "inside", Role.OPERATOR, "shop") as inside,
        ):
            await admin.push(TWO)
            for service in ("shop", "cart"):
                await admin.put(f"/v1/services/{service}/freeze", {"reason": f"why {service}"})
            listed = (await inside.get("/v1/services")).body["services"]
            assert [service["name"] for service in listed] == ["shop"]
            assert len((await admin.get("/v1/services")).body["services"]) == 2
            found = (await inside.get("/v1/freeze")).body
            assert list(found["services"]) == ["shop"]
            lifted = await inside.change("DELETE", "/v1/services/shop/freeze")
            assert lifted.body == {"all": None, "services": {}}
            assert list((await admin.get("/v1/freeze")).body["services"]) == ["cart"]

    asyncio.run(scenario())


def test_problems_of_other_services_are_not_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            control(tmp_path) as admin,
            caller(admin, "inside", Role.VIEWER, "shop") as inside,
            admin.proxy() as proxy,
        ):
            await admin.push(TWO)
            await proxy.snapshot()
            mine, theirs = Problem("services.shop.salt", "x"), Problem("services.shopping", "y")
            await proxy.nack(1, mine, theirs)
            path = "/v1/services/shop/convergence"
            for api, fields in ((admin, [mine.field, theirs.field]), (inside, [mine.field])):
                (refusal,) = (await api.get(path)).body["refusals"]
                assert [problem["field"] for problem in refusal["problems"]] == fields

    asyncio.run(scenario())


def test_only_an_admin_goes_past_the_windows(tmp_path: Path) -> None:
    weights = {"weights": {"stable": 1}, "reason": "now"}

    async def scenario() -> None:
        async with (
            control(tmp_path) as admin,
            caller(admin, "op", Role.OPERATOR) as operator,
            caller(admin, "shop-admin", Role.ADMIN, "shop") as owner,
        ):
            await admin.push(TWO)
            refused = await operator.put("/v1/services/shop/weights?override=true", weights)
            assert (refused.status, refused.body["type"]) == (403, "urn:splitway:problem:forbidden")
            assert "override=true needs the role admin" in refused.body["detail"]
            done = await owner.put("/v1/services/shop/weights?override=true", weights)
            assert done.status == 200
            (entry,) = (await admin.get("/v1/audit?limit=1")).body["entries"]
            assert (entry["actor"], entry["action"]) == ("shop-admin", "weights.set.override")

    asyncio.run(scenario())


def test_the_table_in_the_document_says_the_same(tmp_path: Path) -> None:
    reach = {Reach.ANY: "any", Reach.SERVICE: "the service", Reach.ALL: "none"}
    rows = {
        f"| `{each.method} {each.plain_path}` | {each.rule.role or 'nobody'} |"
        f" {reach[each.rule.reach]} |"
        for each in declared(tmp_path)
    }
    text = (ROOT / "docs" / "api.md").read_text()
    section = text.partition("### Who may do what")[2].partition("\n## ")[0]
    told = {line for line in section.splitlines() if line.startswith("| `")}
    assert told == rows
