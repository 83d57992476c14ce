import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.support import DOCUMENT, SHOP, control

YAML = """
services:
  shop:
    versions:
      stable: {endpoints: ["http://127.0.0.1:9001"]}
      canary: {endpoints: ["http://127.0.0.1:9002"]}
    weights: {stable: 95, canary: 5}
routes:
  - {match: {path: {prefix: /}}, service: shop}
"""


def test_there_is_an_empty_configuration_before_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.get("/v1/config")
            assert answer.body == {"revision": 0, "services": {}, "routes": []}
            assert answer.headers["ETag"] == '"0"'

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        (YAML, "application/yaml"),
        (YAML, "text/yaml; charset=utf-8"),
        (json.dumps(DOCUMENT), "application/json"),
        (json.dumps(DOCUMENT, indent="\t").replace("/", "\\/"), "application/json"),
        ("\ufeff" + json.dumps(DOCUMENT), "application/json"),
    ],
)
def test_yaml_and_json_say_the_same(tmp_path: Path, text: str, content_type: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            headers = {"Content-Type": content_type}
            answer = await api.call(
                "PUT", "/v1/config?reason=first", data=text.encode(), headers=headers
            )
            assert (answer.status, answer.headers["ETag"]) == (200, '"1"')
            assert answer.body == {"revision": 1, **DOCUMENT}
            assert (await api.get("/v1/config")).body == answer.body
            (note,) = (await api.get("/v1/revisions")).body["revisions"]
            assert (note["author"], note["reason"]) == ("admin", "first")

    asyncio.run(scenario())


def test_what_is_got_can_be_put_and_changes_nothing(tmp_path: Path) -> None:
    """Also what YAML would read otherwise: variables, line separators, surrogate pairs."""
    header = {"cookie": "a ${HOME} $${X} é 😀 \u2028 no"}
    shop = SHOP | {"sticky": {"key": [header]}, "salt": "1e3"}

    async def scenario() -> None:
        async with control(tmp_path) as api:
            document = {"services": {"shop": shop}, "routes": []}
            raw = json.dumps(document).encode()  # escapes what is not ASCII, in surrogate pairs
            json_type = {"Content-Type": "application/json"}
            first = await api.call("PUT", "/v1/config", data=raw, headers=json_type)
            assert first.body == {"revision": 1, **document}
            again = await api.put("/v1/config", document)
            assert (again.status, again.headers["ETag"]) == (200, '"1"')

    asyncio.run(scenario())


def test_a_variable_in_yaml_is_not_this_servers_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_SECRET", "do-not-tell")

    async def scenario() -> None:
        async with control(tmp_path) as api:
            text = YAML.replace("127.0.0.1:9001", "${CANARY_SECRET}:1").encode()
            headers = {"Content-Type": "application/yaml"}
            answer = await api.call("PUT", "/v1/config", data=text, headers=headers)
            assert answer.status == 422
            assert "do-not-tell" not in str(answer.body)
            assert "CANARY_SECRET" in answer.body["problems"][0]["message"]

    asyncio.run(scenario())


def test_every_problem_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            text = YAML.replace("canary: 5}", "canry: -5}").replace("service: shop", "service: shp")
            headers = {"Content-Type": "application/yaml"}
            answer = await api.call("PUT", "/v1/config", data=text.encode(), headers=headers)
            assert answer.status == 422
            assert answer.body["type"] == "urn:splitway:problem:invalid"
            lines = {problem["field"]: problem["line"] for problem in answer.body["problems"]}
            assert lines["services.shop.weights.canry"] == 7
            assert lines["routes[0].service"] == 9
            assert (await api.get("/v1/config")).body == {"revision": 1, **DOCUMENT}

    asyncio.run(scenario())


def test_problems_of_json_have_no_lines(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.put("/v1/config", {"services": {"shop": {"weights": {"a": "x"}}}})
            assert answer.status == 422
            assert "services.shop.versions" in answer.fields
            assert all("line" not in problem for problem in answer.body["problems"])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("content_type", "data", "status"),
    [
        (None, b"{}", 415),
        ("text/plain", b"{}", 403),
        ("application/x-www-form-urlencoded", b"{}", 403),
        ("application/json; charset=utf-16", b"{}", 415),
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"NaN", 400),
        ("application/json", b'{"routes": [], "routes": []}', 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'"\xff"', 400),
        ("application/json", b'{"salt": 1' + b"0" * 5000 + b"}", 400),
        ("application/json", b"[]", 422),
        ("application/json", b'{"services": {"\\ud800": {}}}', 422),
        ("application/yaml", b"", 422),
        ("application/yaml", b"a: [", 422),
        ("application/yaml", b"[" * 100_000, 422),
        ("application/yaml", b"a: &a [*a]", 422),
        ("application/yaml", b"unknown: 1", 422),
        ("application/yaml", b"x" * (5 << 20), 413),
    ],
)
def test_a_body_that_cannot_be_used(
    tmp_path: Path, content_type: str | None, data: bytes, status: int
) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            headers = {"Content-Type": content_type} if content_type else {}
            skip = () if content_type else ("Content-Type",)
            async with api.session.put(
                f"{api.url}/v1/config", data=_pieces(data), headers=headers, skip_auto_headers=skip
            ) as response:
                body = await response.json(content_type="application/problem+json")
            assert (response.status, body["status"]) == (status, status)
            assert (await api.get("/v1/config")).body["revision"] == 0

    asyncio.run(scenario())


async def _pieces(data: bytes) -> Any:
    yield data


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ('"2"', 200),
        ("*", 200),
        ('"1", "2"', 200),
        ('"1"', 412),
        ('"3"', 412),
        ('W/"2"', 412),
        ('"two"', 412),
        ('""', 412),
        ("2", 400),
        ('"2', 400),
        ("", 400),
        ('"1",,"2"', 400),
    ],
)
def test_if_match(tmp_path: Path, tag: str, status: int) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            await api.set_weights(stable=1)
            answer = await api.put("/v1/config", DOCUMENT, If_Match=tag)
            assert answer.status == status
            if status == 412:
                assert answer.body["type"] == "urn:splitway:problem:stale-revision"
                assert answer.headers["ETag"] == '"2"'
            expected = 3 if status == 200 else 2
            assert (await api.get("/v1/config")).body["revision"] == expected

    asyncio.run(scenario())


def test_if_match_zero_creates_but_never_replaces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.put("/v1/config", DOCUMENT, If_Match='"0"')).status == 200
            assert (await api.put("/v1/config", DOCUMENT, If_Match='"0"')).status == 412

    asyncio.run(scenario())


def test_if_none_match_saves_the_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            for tag, status in (('"1"', 304), ('W/"1"', 304), ("*", 304), ('"0"', 200)):
                answer = await api.get("/v1/config", If_None_Match=tag)
                assert (answer.status, answer.headers["ETag"]) == (status, '"1"')

    asyncio.run(scenario())


@pytest.mark.parametrize("reason", ["x" * 501, "bell\x07"])
def test_a_reason_that_is_no_text_for_people(tmp_path: Path, reason: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.call("PUT", "/v1/config", params={"reason": reason}, json=DOCUMENT)
            assert (answer.status, answer.fields) == (422, ["reason"])

    asyncio.run(scenario())
