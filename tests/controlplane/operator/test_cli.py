"""The real command against a real control plane, which runs in a thread of its own."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controlplane.operator.cli import app
from proxy import __version__
from proxy.model.errors import Problem
from tests.controlplane.support import DOCUMENT, TOKEN, Api, control_thread

FILE = """\
listeners:
  - {name: web, bind: "127.0.0.1:8080"}
services:
  shop:
    versions:
      stable: {endpoints: ["${SHOP_STABLE:-http://127.0.0.1:9001}"]}
      canary: {endpoints: ["http://127.0.0.1:9002"]}
    weights: {stable: 95, canary: 5}
routes:
  - {match: {path: {prefix: /}}, service: shop}
"""


class Cli:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.env: dict[str, str | None] = {"SPLITWAY_URL": url, "SPLITWAY_TOKEN": TOKEN}
        self.folder = folder

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=self.env)

    def says(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return str(result.stdout)

    def fails(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        assert result.stdout == ""
        return str(result.stderr)

    def file(self, text: str = FILE) -> str:
        path = self.folder / "splitway.yaml"
        path.write_text(text)
        return str(path)


@pytest.fixture(name="cli")
def running_control_plane(tmp_path: Path) -> Iterator[Cli]:
    with control_thread(tmp_path) as url:
        yield Cli(url, tmp_path)


def test_an_operators_day(cli: Cli) -> None:
    assert cli.says("config", "push", cli.file(), "--reason", "first") == "revision 1\n"
    said = cli.says("weights", "set", "shop", "stable=90", "canary=10", "--reason", "go on")
    assert "shop, revision 2" in said
    assert "10 %" in cli.says("weights", "get", "shop")
    assert json.loads(cli.says("weights", "get", "shop", "--json")) == {
        "service": "shop",
        "revision": 2,
        "weights": {"stable": 90, "canary": 10},
        "shares": {"stable": 0.9, "canary": 0.1},
    }
    assert "90 %" in cli.says("services")
    services = json.loads(cli.says("services", "--json"))["services"]
    assert [service["name"] for service in services] == ["shop"]
    assert "go on" in cli.says("revisions")
    revisions = json.loads(cli.says("revisions", "--limit", "1", "--json"))["revisions"]
    assert [(note["revision"], note["reason"]) for note in revisions] == [(2, "go on")]
    assert "INSTANCE" in cli.says("proxies")
    assert json.loads(cli.says("proxies", "--json")) == {"revision": 2, "proxies": []}


def test_proxies_and_their_refusals_are_shown(cli: Cli) -> None:
    async def scenario() -> tuple[str, list[dict[str, object]]]:
        async with Api.at(cli.url) as api:
            await api.push()
            async with api.proxy("pod-1\x1b[31m") as proxy:
                await proxy.snapshot()
                await proxy.nack(1, Problem("services.shop", "no such host"))
                table = await asyncio.to_thread(cli.says, "proxies")
                plain = await asyncio.to_thread(cli.says, "proxies", "--json")
                return table, json.loads(plain)["proxies"]

    table, proxies = asyncio.run(scenario())
    assert "0 of 1" in table
    assert "refused 1: services.shop: no such host" in table
    assert "\x1b" not in table
    assert proxies[0]["refused"] == 1


def test_what_is_got_can_be_pushed_back(cli: Cli) -> None:
    text = FILE.replace("/}}", "/a$${b}/}}").replace("prefix: /a", 'prefix: "/a')
    cli.says("config", "push", cli.file(text.replace("}/}}", '}/"}}')))
    got = cli.run("config", "get")
    assert got.stderr == "revision 1\n"
    assert cli.says("config", "push", cli.file(got.stdout)) == "revision 1\n"
    answer = json.loads(cli.says("config", "get", "--json"))
    assert (answer["revision"], answer["routes"][0]["match"]["path"]["prefix"]) == (1, "/a${b}/")


def test_a_variable_of_this_shell(cli: Cli) -> None:
    cli.env["SHOP_STABLE"] = "http://10.9.8.7:80"
    cli.says("config", "push", cli.file())
    answer = json.loads(cli.says("config", "get", "--json"))
    assert answer["services"]["shop"]["versions"]["stable"]["endpoints"] == ["http://10.9.8.7:80"]


def test_a_wrong_file_is_refused_with_every_line(cli: Cli) -> None:
    text = FILE.replace("canary: 5", "canry: 5").replace("service: shop", "service: shp")
    path = cli.file(text)
    lines = cli.fails("config", "push", path).splitlines()
    assert f"{path}:8: services.shop.weights.canry" in lines[0]
    assert f"{path}:10: routes[0].service" in lines[1]
    assert json.loads(cli.says("config", "get", "--json"))["revision"] == 0


def test_a_file_without_traffic_does_not_remove_everything(cli: Cli) -> None:
    cli.says("config", "push", cli.file())
    path = cli.file('control: {url: "http://127.0.0.1:9800"}\n')
    assert "no services" in cli.fails("config", "push", path)
    assert json.loads(cli.says("config", "get", "--json"))["revision"] == 1


def test_a_file_that_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    assert "nowhere: No such file" in cli.fails("config", "push", str(tmp_path / "nowhere"))
    (tmp_path / "latin").write_bytes(b"services: \xe9")
    assert "not UTF-8" in cli.fails("config", "push", str(tmp_path / "latin"))


def test_only_if_it_is_the_newest(cli: Cli) -> None:
    cli.says("config", "push", cli.file(), "--if-match", "0")
    assert "newest revision is 1" in cli.fails("config", "push", cli.file(), "--if-match", "0")
    arguments = ("weights", "set", "shop", "stable=1", "--if-match")
    assert "newest revision is 1" in cli.fails(*arguments, "7")
    cli.says(*arguments, "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shop", "stable=1", "canry=2"), "services.shop.weights.canry: unknown version"),
        (("shop", "stable=0"), "all weights are 0"),
        (("shop", "stable"), "write VERSION=WEIGHT"),
        (("shop", "stable="), "write VERSION=WEIGHT"),
        (("shop", "=5"), "write VERSION=WEIGHT"),
        (("shop", "stable=1.5"), "write VERSION=WEIGHT"),
        (("shop", "stable=²"), "write VERSION=WEIGHT"),
        (("shop", "stable=1", "stable=2"), "given twice"),
        (("nobody", "a=1"), "unknown service 'nobody'; services: shop"),
        (("../config", "a=1"), "unknown service '../config'"),
    ],
)
def test_weights_that_are_wrong(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    cli.says("config", "push", cli.file())
    error = cli.fails("weights", "set", *arguments)
    assert message in error
    assert error.count("\n") == 1
    assert json.loads(cli.says("config", "get", "--json"))["services"] == DOCUMENT["services"]


def test_the_token_is_needed_only_to_call(cli: Cli, tmp_path: Path) -> None:
    cli.env["SPLITWAY_TOKEN"] = "wrong"
    assert "token is not valid" in cli.fails("services")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    assert json.loads(cli.says("--token-file", str(token), "services", "--json"))
    cli.env["SPLITWAY_TOKEN"] = None
    assert "give --token-file FILE or set SPLITWAY_TOKEN" in cli.fails("services")
    assert "VERSION=WEIGHT" in cli.says("weights", "set", "--help")


def test_nobody_is_there(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    cli.env["SPLITWAY_URL"] = f"http://127.0.0.1:{port}"
    error = cli.fails("services")
    assert error == f"splitway: no control plane at http://127.0.0.1:{port}: connection refused\n"


@pytest.mark.parametrize("url", ["somewhere", "127.0.0.1:9800", "ftp://127.0.0.1"])
def test_an_address_that_is_no_url(cli: Cli, url: str) -> None:
    assert "not a URL such as http://" in cli.fails("--url", url, "services")


def test_tls_where_none_is_spoken(cli: Cli) -> None:
    assert "is it http://" in cli.fails("--url", cli.url.replace("http:", "https:"), "services")


def test_version(cli: Cli) -> None:
    assert cli.says("--version") == f"splitway {__version__}\n"


def _waiting(cli: Cli, answer: str, *arguments: str) -> Result:
    """Runs a command that waits while one proxy takes snapshots and answers in its way."""

    async def scenario() -> Result:
        async with Api.at(cli.url) as api:
            await api.push()
            async with api.proxy("pod-1\x1b[31m") as proxy:
                await proxy.snapshot()
                await proxy.ack(1)
                running = asyncio.create_task(asyncio.to_thread(cli.run, *arguments))
                revision = (await proxy.snapshot()).revision
                if answer == "ack":
                    await proxy.ack(revision)
                if answer == "nack":
                    await proxy.nack(revision, Problem("services.shop", "no such host"))
                return await running

    return asyncio.run(scenario())


WEIGHTS = ("weights", "set", "shop", "stable=1")


@pytest.mark.parametrize("command", ["weights", "push"])
def test_wait_returns_when_all_have_confirmed(cli: Cli, command: str) -> None:
    text = FILE.replace("stable: 95", "stable: 94")
    arguments = WEIGHTS if command == "weights" else ("config", "push", cli.file(text))
    result = _waiting(cli, "ack", *arguments, "--wait")
    assert result.exit_code == 0, result.stderr
    assert "revision 2" in result.stdout
    assert result.stderr.endswith("revision 2: confirmed by 1 of 1 proxies\n")


def test_wait_tells_who_refused(cli: Cli) -> None:
    result = _waiting(cli, "nack", *WEIGHTS, "--wait")
    assert result.exit_code == 2
    assert "refused 2: services.shop: no such host\n" in result.stderr
    assert "\x1b" not in result.stderr


def test_wait_ends_when_time_is_up(cli: Cli) -> None:
    result = _waiting(cli, "nothing", *WEIGHTS, "--wait", "--timeout", "0.2")
    assert result.exit_code == 3
    assert "revision 2 after 0.2 s: 0 of 1 connected proxies have confirmed" in result.stderr


def test_wait_where_no_proxy_is(cli: Cli) -> None:
    result = cli.run("config", "push", cli.file(), "--wait")
    assert (result.exit_code, result.stderr) == (0, "revision 1: confirmed by 0 of 0 proxies\n")
