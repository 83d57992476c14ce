"""Row 31 of the design's table of faults: a canary secret in every input shows nowhere."""

import asyncio
import io
import logging
from pathlib import Path

import aiohttp
import pytest

from controlplane.access import admission
from controlplane.api.operation import Operation
from controlplane.logs import FORMATTERS
from tests.controlplane.api.test_rules import declared, path_of
from tests.controlplane.support import TOKEN, Api, control

CANARY = "canary-secret-31-0123456789abcdefghijklmnop"
STORED = f"sw_0123456789ab_{CANARY}"[:59]
PLACES = [
    {"Authorization": f"Bearer {CANARY}"},
    {"Authorization": f"Bearer {STORED}"},
    {"Authorization": f"Basic {CANARY}"},
    {"Authorization": CANARY},
    {"Cookie": f"session={CANARY}"},
    {"X-Api-Key": CANARY},
    {"Proxy-Authorization": f"Bearer {CANARY}"},
]


async def answers(
    api: Api, operation: Operation, headers: dict[str, str], query: dict[str, str] | None = None
) -> str:
    """All that is answered to a request which has the canary wherever nobody should put it."""
    async with api.session.request(
        operation.method, f"{api.url}{path_of(operation)}", headers=headers, params=query
    ) as response:
        return f"{response.headers} {await response.text()}"


def test_a_secret_shows_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REFUSED_S", 0.0)
    output = io.StringIO()
    handlers = []
    for formatter in FORMATTERS.values():
        handler = logging.StreamHandler(output)
        handler.setFormatter(formatter())
        handlers.append(handler)
    root = logging.getLogger()
    level = root.level
    operations = [each for each in declared(tmp_path) if each.path != "/v1/stream"]
    said: list[str] = []
    secrets = [CANARY, STORED, TOKEN]

    async def scenario() -> None:
        async with control(tmp_path) as admin, aiohttp.ClientSession() as session:
            await admin.push()
            stranger = Api(admin.url, session)
            for operation in operations:
                said.extend([await answers(stranger, operation, each) for each in PLACES])
                # Of a caller who is known, beside what they may send.
                said.append(await answers(admin, operation, PLACES[4] | PLACES[5]))
                # In the URL, where some put a token.
                query = {"access_token": CANARY}
                said.extend([await answers(api, operation, {}, query) for api in (stranger, admin)])
            first = await admin.token("ada", "viewer")
            second = (await admin.change("POST", f"/v1/tokens/{first['id']}/rotate")).body
            secrets.extend((first["token"], second["token"]))
            secrets.extend(token.rpartition(f"{first['id']}_")[2] for token in secrets[-2:])
            async with Api.at(admin.url, second["token"]) as ada:
                said.append(str(await ada.get("/v1/services")))
                said.append(str(await ada.get("/v1/tokens")))  # 403
            shown = ("/v1/tokens", "/v1/audit", "/v1/config", "/v1/revisions")
            said.extend([str(await admin.get(path)) for path in shown])
            for path in ("/metrics", "/v1/audit/export", "/v1/docs"):
                async with admin.session.get(f"{admin.url}{path}") as response:
                    said.append(await response.text())

    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    try:
        asyncio.run(scenario())
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
    said.append(output.getvalue())
    assert "status=401" in said[-1]
    assert "status=403" in said[-1]
    for secret in secrets:
        assert [text[:200] for text in said if secret in text] == []
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("control.db*"))
    assert b"scrypt:" in stored
    assert [secret for secret in secrets if secret.encode() in stored] == []
