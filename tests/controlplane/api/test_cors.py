"""What pages of allowed origins are told, on a control plane that really runs."""

import asyncio
from pathlib import Path
from typing import Any

from tests.controlplane.api.test_guard import OPS, refused, serving
from tests.controlplane.support import SHOP_WEIGHTS, Answer, Api

ALLOWED: dict[str, Any] = {"allowed_origins": (OPS,)}


async def preflight(api: Api, path: str, method: str, origin: str = OPS) -> Answer:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
        "Sec-Fetch-Site": "cross-site",
        "Authorization": "",
    }
    return await api.call("OPTIONS", path, headers=asked)


def words(text: str) -> set[str]:
    return set(text.split(", "))


def test_a_preflight_tells_what_the_contract_tells_and_needs_no_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, **ALLOWED) as (api, _):
            paths = (await api.get("/v1/openapi.json")).body["paths"]
            for path, methods in paths.items():
                if path == "/v1/stream":
                    continue
                real = path.format(name="shop", number=1, id="0123456789ab")
                for method, told in methods.items():
                    answer = await preflight(api, real, method.upper())
                    assert answer.status == 204
                    assert answer.headers["Access-Control-Allow-Origin"] == OPS
                    wanted = {each.upper() for each in methods} | (
                        {"HEAD"} if "get" in methods else set()
                    )
                    assert words(answer.headers["Access-Control-Allow-Methods"]) == wanted
                    fields = {each["name"] for each in told["parameters"] if each["in"] == "header"}
                    fields |= {"Content-Type"} if "requestBody" in told else set()
                    assert words(answer.headers["Access-Control-Allow-Headers"]) == fields | {
                        "Authorization",
                        "X-Request-Id",
                    }
                    assert "Access-Control-Allow-Credentials" not in answer.headers
                    assert "Origin" in answer.headers.getall("Vary")  # type: ignore[attr-defined] # aiohttp's

    asyncio.run(scenario())


def test_what_no_route_takes_is_not_allowed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, **ALLOWED) as (api, _):
            for path, method in (
                ("/v1/config", "DELETE"),
                ("/v1/config", "NONSENSE"),
                ("/v1/nothing", "GET"),
                ("/v1/stream", "GET"),
            ):
                answer = await preflight(api, path, method)
                assert answer.status == 204
                assert "Access-Control-Allow-Methods" not in answer.headers
                assert "Access-Control-Allow-Headers" not in answer.headers

    asyncio.run(scenario())


def test_who_is_not_allowed_is_told_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        for settings in (ALLOWED, {}):
            async with serving(tmp_path, **settings) as (api, _):
                for origin in ("https://ops.example.com.evil", "http://ops.example.com", "null"):
                    answer = await preflight(api, "/v1/config", "GET", origin)
                    assert answer.status == 403
                    assert "Access-Control-Allow-Origin" not in answer.headers
                    await refused(api, "PUT", "/v1/config", "foreign-origin", Origin=origin)
                if not settings:
                    assert (await preflight(api, "/v1/config", "GET")).status == 403
                    assert "Vary" not in (await api.get("/v1/config")).headers

    asyncio.run(scenario())


def test_an_allowed_page_reads_and_changes_and_reads_its_errors(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, **ALLOWED) as (api, _):
            await api.push()
            page = {"Origin": OPS, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
            for answer, status in (
                (await api.get("/v1/config", **page), 200),
                (await api.put(SHOP_WEIGHTS, {"weights": {"stable": 1}}, **page), 200),
                (await api.put(SHOP_WEIGHTS, {"weights": {"stable": -1}}, **page), 422),
                (await api.get("/v1/config", **page, Authorization=""), 401),
            ):
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == OPS
                assert "ETag" in words(answer.headers["Access-Control-Expose-Headers"])
            # Even it sends nothing that a form could.
            headers = {**page, "Content-Type": "text/plain"}
            await refused_page(api, headers)

    async def refused_page(api: Api, headers: dict[str, str]) -> None:
        answer = await api.call("PUT", "/v1/config", data=b"{}", headers=headers)
        assert (answer.status, answer.body["type"]) == (
            403,
            "urn:splitway:problem:page-content-type",
        )

    asyncio.run(scenario())
