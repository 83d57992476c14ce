"""``splitway explain``: of a file, and of a proxy that runs, which must say the same."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner, Result

from controlplane.operator.cli import app
from proxy.admin import AdminState, Running, build_admin
from proxy.core.forwarded import TrustedProxies
from proxy.core.router import Router, compile_router
from proxy.model.config import traffic_of
from proxy.model.parse import parse_config
from proxy.model.wire import Counts, Snapshot
from proxy.telemetry.exposition import ProxyState

FILE = """\
trusted_proxies: [10.0.0.1]
services:
  shop:
    versions:
      stable: {endpoints: ["http://10.0.0.7:9001", "dns://stable.internal:9001"]}
      canary: {endpoints: ["http://127.0.0.1:9002"]}
    weights: {stable: 1, canary: 0}
    sticky: {key: [{header: X-User-Id}, client_ip]}
routes:
  - {match: {path: {exact: /old}}, redirect: {path: /new, status: 308}}
  - match: {path: {segment_prefix: /api}, methods: [GET]}
    service: shop
    rewrite: {prefix: /v2}
  - {match: {host: shop.example.com}, service: shop}
"""


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments], env={"SPLITWAY_PROXY": None})


@pytest.fixture(name="file")
def written(tmp_path: Path) -> str:
    file = tmp_path / "proxy.yaml"
    file.write_text(FILE)
    return str(file)


class State(AdminState):
    """A proxy that runs on ``FILE``, as far as its admin port is concerned."""

    def __init__(self) -> None:
        config = parse_config(FILE)
        self._running = Running(config, 1, "", "file")
        self._router = compile_router(
            Snapshot(1, traffic_of(config)),
            TrustedProxies(config.trusted_proxies),
            draw_slot=lambda: 0,
            new_id=lambda: "id",
            clock=lambda: 0.0,
        )

    async def proxy_state(self) -> ProxyState:
        return ProxyState(Counts(versions=()), 1, "1.2.3")

    def running(self) -> Running:
        return self._running

    def readiness(self) -> tuple[bool, str]:
        return True, "yes"

    def router(self) -> Router:
        return self._router

    def drain(self) -> None:
        raise AssertionError


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """In a thread of its own, as the command has a loop of its own."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    host, port = runner.addresses[0][:2]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://{host}:{port}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


def test_a_file_says_where_a_request_goes_and_why(file: str) -> None:
    answer = json.loads(
        explain("/api/items?x=1", "--file", file, "--header", "X-User-Id: u1", "--json").stdout
    )
    assert answer == {
        "route": 1,
        "service": "shop",
        "key_source": "header",
        "key_present": True,
        "slot": answer["slot"],
        "version": "stable",
        "endpoints": ["http://10.0.0.7:9001", "dns://stable.internal:9001"],
        "reason": "only_version",
        "sets_cookie": False,
        "sent_target": "/v2/items?x=1",
    }
    assert 0 <= answer["slot"] < 10_000


def test_a_table_for_people(file: str) -> None:
    lines = [
        line.split() for line in explain("/old", "--file", file).stdout.splitlines() if line.strip()
    ]
    assert ["status", "308"] in lines
    assert ["reason", "redirect"] in lines
    text = explain("/x", "--file", file, "--host", "shop.example.com:80").stdout
    assert "http://10.0.0.7:9001" in text
    assert "client_ip" in text
    assert "no_route" in explain("/x", "--file", file).stdout


@pytest.mark.parametrize(
    "described",
    [
        ["/api/items", "--header", "X-User-Id: u1"],
        ["/api/items", "--method", "POST"],
        ["/", "--host", "shop.example.com", "--client", "203.0.113.9"],
        ["/", "--host", "shop.example.com", "--client", "10.0.0.1",
         "--header", "X-Forwarded-For: 203.0.113.9"],
        ["/old"],
        ["/api/../old"],
    ],
)  # fmt: skip
def test_a_proxy_and_its_file_say_the_same(file: str, described: list[str]) -> None:
    with serving(build_admin(State(), "127.0.0.1:0")) as url:
        asked = explain(*described, "--json", "--proxy", url)
    assert asked.exit_code == 0, asked.stderr
    told = json.loads(asked.stdout)
    of_file = json.loads(explain(*described, "--json", "--file", file).stdout)
    for answer in (told, of_file):
        answer.pop("endpoints", None)  # a proxy knows those that were found
    assert told == of_file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["api"], "path: must be a path that begins with /"),
        (["/", "--header", "X"], "header: must be Name:Value"),
        (["/", "--client", "me"], "client: must be an IP address"),
        (["/", "--method", "GET /"], "method: must be a method"),
    ],
)
def test_what_makes_no_sense(file: str, arguments: list[str], words: str) -> None:
    result = explain(*arguments, "--file", file)
    assert result.exit_code == 1
    assert words in result.stderr
    with serving(build_admin(State(), "127.0.0.1:0")) as url:
        asked = explain(*arguments, "--proxy", url)
    assert asked.exit_code == 1
    assert words in asked.stderr


def test_a_file_that_is_wrong_or_away(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("routes: [{service: shop}]\nservices: {}\n")
    assert "unknown service" in explain("/", "--file", str(file)).stderr
    assert "No such file" in explain("/", "--file", str(tmp_path / "none")).stderr


def test_nobody_is_there_or_somebody_else() -> None:
    result = explain("/", "--proxy", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no proxy at http://127.0.0.1:1: connection refused" in result.stderr
    other = web.Application()
    other.router.add_get("/explain", _hello)
    with serving(other) as url:
        assert "not as a proxy's admin port does" in explain("/", "--proxy", url).stderr


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")
