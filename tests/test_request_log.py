"""What of a request stands in the access log, by real requests through a real plane."""

import json
from pathlib import Path

from proxy.request_log import AccessLogger
from proxy.telemetry.access_log import AccessLog
from tests.support.raw_backend import OK, RawBackend, replying
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, run

NOWHERE = "http://127.0.0.1:1"


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_that_reached_a_version(tmp_path: Path) -> None:
    path = tmp_path / "log"

    async def test() -> str:
        log = AccessLog(str(path))
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint), log=AccessLogger(log, lambda: 0.5)) as running,
            RawClient(running.where) as client,
        ):
            await client.ask(post(b"abc", path="/cart?secret=1"))
            await client.ask(get("/x", "X-Request-Id: mine"))
        assert log.close()
        return backend.endpoint

    endpoint = run(test)
    first, second = entries(path)
    assert first["time"] == "1970-01-01T00:00:00.500Z"
    assert (first["method"], first["path"], first["status"]) == ("POST", "/cart", 200)
    assert (first["service"], first["version"], first["revision"]) == ("shop", "stable", 1)
    assert (first["endpoint"], first["attempts"], first["error"]) == (endpoint, 1, "")
    assert (first["request_bytes"], first["client"]) == (3, "127.0.0.1")
    assert first["protocol"] == "HTTP/1.1"
    assert first["source"] == "random"
    assert isinstance(first["slot"], int)
    assert first["reason"]
    assert second["id"] == "mine"
    assert first["id"] not in ("", "mine")


def test_what_went_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log"

    async def test() -> None:
        log = AccessLog(str(path))
        async with (
            Running(config_for(NOWHERE, path="/yes"), log=AccessLogger(log, lambda: 0.0)) as it,
            RawClient(it.where) as client,
        ):
            await client.ask(get("/yes"))
            await client.ask(get("/no?token=1"))
            await client.ask(b"GET /secret HTTP/1.1\r\nbroken header\r\n\r\n")
        assert log.close()

    run(test)
    failed, unrouted, refused = entries(path)
    assert (failed["status"], failed["error"]) == (503, "connect_failed")
    assert (unrouted["status"], unrouted["error"], unrouted["path"]) == (404, "no route", "/no")
    assert (unrouted["service"], unrouted["slot"]) == ("", None)
    assert (refused["status"], refused["method"], refused["path"]) == (400, "", "")
    assert refused["error"]
    assert "secret" not in path.read_text()
