"""Tokens from their making to their end, over real servers on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from controlplane import bookkeeping
from controlplane.access.caller import Role
from controlplane.app import Settings, create_token, running
from controlplane.issuing import TokenRequest
from controlplane.store import postgres as module
from controlplane.stream.standing import ENDED
from proxy.model.wire import Hello, Snapshot
from proxy.sync.stream import ControlStream
from tests.controlplane.support import PATIENCE_S, SHOP_WEIGHTS, TOKEN, Api

SECRET_CHARS = 43
"""Of a token, at its end; an underscore may be among them."""


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[Api]:
    async with running(Settings(url, "127.0.0.1", 0, TOKEN)) as at, Api.at(at) as api:
        yield api


async def status(url: str, token: str) -> int:
    async with Api.at(url, token) as api:
        return (await api.get("/v1/services")).status


async def until_status(url: str, token: str, wanted: int) -> None:
    async with asyncio.timeout(5):  # as is promised
        while await status(url, token) != wanted:  # noqa: ASYNC110 - another replica's state
            await asyncio.sleep(0.05)


def test_a_token_is_told_once_and_works_at_once(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            issued = await admin.token("ada", "operator", "shop")
            assert (issued["name"], issued["services"], issued["living"]) == ("ada", ["shop"], True)
            assert (issued["created_by"], issued["expires_at"]) == ("admin", None)
            assert await status(admin.url, issued["token"]) == 200
            listed = await admin.get("/v1/tokens")
            assert issued["token"] not in str(listed.body)
            assert "token" not in listed.body["tokens"][0]
            await admin.push()
            async with Api.at(admin.url, issued["token"]) as ada:
                answer = await ada.put(SHOP_WEIGHTS, {"weights": {"stable": 1}})
                assert answer.status == 200
            (entry,) = (await admin.get("/v1/audit?limit=1")).body["entries"]
            assert entry["actor"] == "ada"
        async with replica(url) as admin:  # and after a restart
            assert await status(admin.url, issued["token"]) == 200

    asyncio.run(scenario())


def test_revocation_is_felt_at_once(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            issued = await admin.token("ada", "viewer")
            assert await status(admin.url, issued["token"]) == 200
            answer = await admin.change("DELETE", f"/v1/tokens/{issued['id']}?reason=lost")
            assert (answer.status, answer.body["living"]) == (200, False)
            assert await status(admin.url, issued["token"]) == 401
            again = await admin.change("DELETE", f"/v1/tokens/{issued['id']}")
            assert again.body == answer.body
            turned = await admin.change("POST", f"/v1/tokens/{issued['id']}/rotate")
            assert (turned.status, turned.body["type"]) == (409, "urn:splitway:problem:token-over")
            assert (await admin.token("ada", "viewer"))["id"] != issued["id"]  # the name is free

    asyncio.run(scenario())


def test_a_rotated_token_works_in_both_forms_for_its_grace(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            first = await admin.token("ada", "viewer")
            path = f"/v1/tokens/{first['id']}/rotate"
            second = (await admin.change("POST", f"{path}?grace_s=600")).body
            assert (second["id"], second["old_until"] is None) == (first["id"], False)
            assert await status(admin.url, first["token"]) == 200
            assert await status(admin.url, second["token"]) == 200
            third = (await admin.change("POST", f"{path}?grace_s=0")).body
            found = [await status(admin.url, each["token"]) for each in (first, second, third)]
            assert found == [401, 401, 200]
            for grace in ("-1", "86401", "x", "1.5"):
                answer = await admin.change("POST", f"{path}?grace_s={grace}")
                assert (answer.status, answer.fields) == (422, ["grace_s"])

    asyncio.run(scenario())


def test_every_replica_learns_of_it(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "POLL_S", 1_000.0)  # what comes, comes by being told

    async def scenario() -> None:
        async with replica(postgres_url) as one, replica(postgres_url) as other:
            issued = await one.token("ada", "viewer")
            await until_status(other.url, issued["token"], 200)
            await other.change("DELETE", f"/v1/tokens/{issued['id']}")
            await until_status(one.url, issued["token"], 401)

    asyncio.run(scenario())


def test_without_being_told_it_is_asked_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHANNEL", "nobody tells here")

    async def scenario() -> None:
        async with replica(postgres_url) as one, replica(postgres_url) as other:
            issued = await one.token("ada", "viewer")
            await until_status(other.url, issued["token"], 200)
            await one.change("DELETE", f"/v1/tokens/{issued['id']}")
            await until_status(other.url, issued["token"], 401)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "how", ["DELETE {}", "POST {}/rotate?grace_s=0", "POST {}/rotate?grace_s=1"]
)
def test_open_streams_end_with_their_token(url: str, how: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            issued = await admin.token("fleet", "proxy")
            keeps = await admin.token("others", "proxy")
            async with (
                Api.at(admin.url, issued["token"]) as one,
                Api.at(admin.url, keeps["token"]) as other,
                one.proxy("p1") as ends,
                other.proxy("p2") as stays,
            ):
                await ends.settle()
                method, path = how.format(f"/v1/tokens/{issued['id']}").split()
                assert (await admin.change(method, path)).status == 200
                async with asyncio.timeout(5):  # as is promised
                    assert await ends.closed_with() == ENDED
                await stays.settle()

    asyncio.run(scenario())


def test_who_says_hello_after_the_token_s_end_is_sent_nothing(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            await admin.push()
            issued = await admin.token("fleet", "proxy")
            async with Api.at(admin.url, issued["token"]) as api, api.stream() as late:
                await admin.change("DELETE", f"/v1/tokens/{issued['id']}")
                await late.say(Hello("p1", "1.0"))
                assert await late.closed_with() == ENDED
            assert await admin.proxies() == []

    asyncio.run(scenario())


def test_a_real_proxy_s_stream_ends_and_comes_back_with_the_new_token(
    url: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    taken: asyncio.Queue[int] = asyncio.Queue()

    async def apply(snapshot: Snapshot) -> tuple[()]:
        taken.put_nowait(snapshot.revision)
        return ()

    async def until_connected(stream: ControlStream, wanted: bool) -> None:
        while stream.connected is not wanted:  # noqa: ASYNC110 - the state itself is promised
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        async with replica(url) as admin:
            issued = await admin.token("fleet", "proxy")
            file.write_text(issued["token"])
            await admin.push()
            stream = ControlStream(admin.url, str(file), lambda: Hello("p1", "1.0"), apply)
            stream.start()
            try:
                assert await asyncio.wait_for(taken.get(), PATIENCE_S) == 1
                await admin.change("DELETE", f"/v1/tokens/{issued['id']}")
                async with asyncio.timeout(5):  # as is promised
                    await until_connected(stream, wanted=False)
                await admin.set_weights(stable=1)
                assert taken.empty()
                file.write_text((await admin.token("fleet", "proxy"))["token"])
                assert await asyncio.wait_for(taken.get(), PATIENCE_S) == 2
            finally:
                await stream.stop()

    asyncio.run(scenario())


def test_who_does_not_answer_the_close_is_cut(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            issued = await admin.token("fleet", "proxy")
            host, port = admin.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Authorization: Bearer " + issued["token"].encode() + b"\r\n\r\n"
            )
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            hello = b'{"type":"hello","instance":"p1","release":"1"}'
            # Masked by zeros, which leaves it as it is.
            writer.write(bytes((0x81, 0x80 | len(hello), 0, 0, 0, 0)) + hello)
            await admin.until_proxies(True)
            await admin.change("DELETE", f"/v1/tokens/{issued['id']}")
            async with asyncio.timeout(5):  # as is promised
                said = b""
                try:
                    while piece := await reader.read(4096):
                        said += piece
                except ConnectionResetError:
                    pass
            assert ENDED.to_bytes(2, "big") in said
            writer.close()

    asyncio.run(scenario())


def test_a_token_that_is_wrongly_asked_for(url: str) -> None:
    good = {"name": "ada", "role": "viewer"}
    wrong = [
        ({"role": "viewer"}, ""),
        ({**good, "name": "two words"}, "name"),
        ({**good, "name": "admin"}, "name"),
        ({**good, "role": "root"}, "role"),
        ({**good, "services": []}, "services"),
        ({**good, "role": "proxy", "services": ["shop"]}, "services"),
        ({**good, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({**good, "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({**good, "expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({**good, "name": "ada\n"}, "name"),
        ({**good, "name": "Admin"}, "name"),
        ({**good, "more": 1}, ""),
    ]

    async def scenario() -> None:
        async with replica(url) as admin:
            for body, field in wrong:
                answer = await admin.post("/v1/tokens", body)
                assert (answer.status, answer.fields) == (422, [field]), body
            tried = await admin.post("/v1/tokens?dry_run=true", good)
            assert tried.status == 200
            assert "sw_" not in str(tried.body)
            assert (await admin.get("/v1/tokens")).body["tokens"] == []
            keyed = await admin.post("/v1/tokens", good, Idempotency_Key="k")
            assert (keyed.status, "not taken here" in keyed.body["detail"]) == (400, True)
            await admin.token("ada", "viewer")
            taken = await admin.post("/v1/tokens", good)
            assert (taken.status, taken.body["type"]) == (409, "urn:splitway:problem:name-taken")
            none = await admin.change("DELETE", "/v1/tokens/000000000000")
            assert (none.status, none.body["type"]) == (404, "urn:splitway:problem:unknown-token")

    asyncio.run(scenario())


def test_the_list_comes_page_by_page(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            for name in ("a", "b", "c"):
                await admin.token(name, "viewer")
            page = (await admin.get("/v1/tokens?limit=2")).body
            assert [token["name"] for token in page["tokens"]] == ["c", "b"]
            rest = (await admin.get(f"/v1/tokens?limit=2&cursor={page['next_cursor']}")).body
            assert [token["name"] for token in rest["tokens"]] == ["a"]
            assert rest["next_cursor"] is None

    asyncio.run(scenario())


def test_each_change_is_audited_without_secrets(url: str) -> None:
    async def scenario() -> None:
        async with replica(url) as admin:
            first = await admin.token("ada", "viewer")
            path = f"/v1/tokens/{first['id']}"
            second = (await admin.change("POST", f"{path}/rotate?reason=monthly")).body
            await admin.change("DELETE", f"{path}?reason=left", Idempotency_Key="k")
            entries = (await admin.get("/v1/audit")).body["entries"]
            told = [(entry["action"], entry["reason"]) for entry in entries]
            assert told == [
                ("token.revoke", "left"),
                ("token.rotate", "monthly"),
                ("token.create", ""),
            ]
            assert entries[0]["after"]["revoked_at"]
            for token in (first["token"], second["token"]):
                assert token[-SECRET_CHARS:] not in str(entries)
            assert "scrypt" not in str(entries)

    asyncio.run(scenario())


def test_use_is_noted_now_and_then(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "NOTED_S", 0.0)
    monkeypatch.setattr(bookkeeping, "POLL_S", 0.05)

    async def is_noted(admin: Api) -> bool:
        return (await admin.get("/v1/tokens")).body["tokens"][0]["used_at"] is not None

    async def scenario() -> None:
        async with replica(url) as admin:
            issued = await admin.token("ada", "viewer")
            assert issued["used_at"] is None
            assert await status(admin.url, issued["token"]) == 200
            async with asyncio.timeout(PATIENCE_S):
                while not await is_noted(admin):  # noqa: ASYNC110 - written in the background
                    await asyncio.sleep(0.02)

    asyncio.run(scenario())


def test_the_first_start_makes_one_token(url: str) -> None:
    said: list[str] = []
    settings = Settings(url, "127.0.0.1", 0, None, first=said.append)

    async def scenario() -> None:
        async with running(settings) as at:
            (first,) = said
            assert await status(at, first) == 200
            async with Api.at(at, first) as api:
                (token,) = (await api.get("/v1/tokens")).body["tokens"]
                assert (token["name"], token["role"]) == ("first", "admin")
                await api.change("DELETE", f"/v1/tokens/{token['id']}")
        async with running(settings):  # there have been tokens: none is made again
            assert said == [first]

    asyncio.run(scenario())


def test_two_that_start_at_once_make_one(postgres_url: str) -> None:
    said: list[str] = []
    settings = Settings(postgres_url, "127.0.0.1", 0, None, first=said.append)

    async def started(together: asyncio.Barrier) -> None:
        async with running(settings) as at:
            await together.wait()
            await until_status(at, said[0], 200)
            await together.wait()

    async def scenario() -> None:
        together = asyncio.Barrier(2)
        await asyncio.gather(started(together), started(together))
        assert len(said) == 1

    asyncio.run(scenario())


def test_one_is_made_on_the_store_itself(url: str) -> None:
    async def scenario() -> None:
        issued = await create_token(url, TokenRequest("ada", Role.ADMIN))
        settings = Settings(url, "127.0.0.1", 0, None, needs_admin=True)
        async with running(settings) as at:
            assert await status(at, issued.token) == 200
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{at}/v1/services") as response,
            ):
                assert response.status == 401

    asyncio.run(scenario())
