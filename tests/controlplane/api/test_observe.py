import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from controlplane.api.observe import HEADER
from controlplane.logs import FIELDS
from tests.controlplane.support import TOKEN, Api, control

SECRET = "canary-secret-17"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        vars(record)[FIELDS]
        for record in caplog.records
        if record.name == "splitway.control.requests" and record.levelno >= logging.INFO
    ]


def test_each_request_has_an_id_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.get("/v1/config", X_Request_Id="from-outside_1")
            assert answer.headers[HEADER] == "from-outside_1"
            forged = await api.get("/nowhere", X_Request_Id="two words")
            assert forged.headers[HEADER] != "two words"
            assert len(forged.headers[HEADER]) == 32
            assert (await api.get("/healthz")).status == 200

    caplog.set_level(logging.INFO)
    asyncio.run(scenario())
    told = [(line["method"], line["path"], line["status"]) for line in lines(caplog)]
    assert told == [("GET", "/v1/config", 200), ("GET", "/nowhere", 404)]
    assert lines(caplog)[0]["author"] == "admin"
    assert lines(caplog)[0]["client"] == "127.0.0.1"


def test_no_secret_reaches_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A canary in every place that a caller writes to."""

    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.get(f"/v1/config?reason={SECRET}", X_Api_Key=SECRET, Cookie=f"a={SECRET}")
            await api.put("/v1/config", {"services": SECRET})
            async with Api.at(api.url) as other:
                await other.get("/v1/config", Authorization=f"Bearer {SECRET}")

    caplog.set_level(logging.DEBUG)
    asyncio.run(scenario())
    text = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert len(lines(caplog)) == 3
    assert SECRET not in text
    assert TOKEN not in text


def test_a_stream_is_told_when_it_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            async with api.proxy():
                await api.until_proxies(True)
                assert not [line for line in lines(caplog) if line["path"] == "/v1/stream"]
            await api.until_proxies(False)

    caplog.set_level(logging.INFO)
    asyncio.run(scenario())
    (line,) = [line for line in lines(caplog) if line["path"] == "/v1/stream"]
    assert line["status"] == 101
