import asyncio
import logging
import re
import resource
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from controlplane.app import Settings, running
from controlplane.cli import brief, main
from proxy import __version__
from tests.controlplane.support import (
    TOKEN,
    Api,
    control_process,
    store_url,
)

pytestmark = pytest.mark.usefixtures("_no_settings")


@pytest.fixture(name="_no_settings")
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPLITWAY_TOKEN", raising=False)


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "10.1.2.3:9800", "example.com:80"])
def test_beyond_loopback_a_token_must_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bind: str
) -> None:
    assert main(["--store", store_url(tmp_path), "--bind", bind]) == 2
    error = capsys.readouterr().err
    assert "--token-file FILE or SPLITWAY_TOKEN" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "nonsense"], "sqlite:///"),
        (["--store", "mysql://u:p@db/x"], "postgresql://"),
        (["backup", "copy.db", "--store", "postgresql://db/x"], "pg_dump"),
        (["--store", "sqlite:////nowhere/a.db", "backup", "copy.db"], "/nowhere/a.db: there is no"),
        (["--token-file", "/nowhere/token"], "/nowhere/token: No such file"),
        (["--store", "sqlite:////nowhere/at/all.db"], "No such file"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("splitway-control: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("bind", ["", "9800", "host:x", "unix:/tmp/a.sock", "::1:80"])
def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str], bind: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--bind", bind])
    assert "--bind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--allowed-host", "control:9800"], "leave the port out"),
        (["--allowed-host", "*.example.com"], "expected one host"),
        (["--allowed-host", ""], "--allowed-host"),
        (["--allowed-origin", "ops.example.com"], "expected an origin such as"),
        (["--allowed-origin", "*"], "expected one origin of http or https"),
        (["--allowed-origin", "https://*.example.com"], "expected one origin of http or https"),
        (["--allowed-origin", "ftp://ops.example.com"], "expected one origin of http or https"),
        (["--allowed-origin", "https://ops.example.com/x"], "--allowed-origin"),
        (["--oidc-role", "groups=sre"], "expected CLAIM=VALUE:ROLE"),
    ],
)
def test_names_and_rules_that_are_none(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    error = capsys.readouterr().err
    assert arguments[0] in error
    assert message in error


ISSUER = ["--oidc-issuer", "https://id.example.com"]
AUDIENCE = ["--oidc-audience", "splitway"]
ROLE = ["--oidc-role", "groups=sre:admin"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ISSUER, "give all of them"),
        ([*AUDIENCE, *ROLE], "give all of them"),
        ([*ISSUER, *AUDIENCE], "give all of them"),
        (["--oidc-issuer", "http://id.example.com", *AUDIENCE, *ROLE], "http:// on loopback only"),
    ],
)
def test_a_provider_that_is_half_told_is_one_clear_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("SPLITWAY_TOKEN", TOKEN)
    assert main(["--store", store_url(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("splitway-control: --oidc-issuer")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.e2e
def test_pages_and_names_that_are_allowed_may_ask(tmp_path: Path) -> None:
    options = ("--allowed-host", "Control.Example.com", "--allowed-origin", "HTTPS://ops.test:443")

    async def scenario(url: str) -> None:
        async with Api.at(url) as api:
            page = {"Host": "control.example.com", "Origin": "https://ops.test"}
            answer = await api.get("/v1/config", **page)
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "https://ops.test"
            assert (await api.get("/v1/config", Host="other.example.com")).status == 403

    with control_process(tmp_path, *options) as (_, url):
        asyncio.run(scenario(url))


def test_an_address_that_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWAY_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["--store", store_url(tmp_path), "--bind", bind]) == 2
    error = capsys.readouterr().err
    assert bind in error
    assert "in use" in error


@pytest.mark.e2e
def test_the_first_start_makes_a_token_and_shows_it_once(tmp_path: Path) -> None:
    async def may_read(url: str, token: str) -> int:
        async with Api.at(url, token) as api:
            return (await api.get("/v1/config")).status

    said: list[str] = []
    tokens: list[str] = []
    for _ in range(2):
        with control_process(tmp_path, token=None, said=said) as (_, url):
            tokens = [line.rpartition(" ")[2] for line in said if "first token" in line]
            assert asyncio.run(may_read(url, tokens[0])) == 200
    assert len(tokens) == 1
    for file in tmp_path.iterdir():
        assert tokens[0].encode() not in file.read_bytes()


def test_a_token_is_made_on_the_store_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["tokens", "create", "--store", store_url(tmp_path), "--role", "admin"]
    assert main([*create, "--name", "ada"]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"sw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n", printed)
    file = tmp_path / "token"
    assert main([*create, "--name", "bob", "--out", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert file.stat().st_mode & 0o777 == 0o600

    async def scenario() -> None:
        # Beyond loopback it is enough that an administrator's token is living.
        settings = Settings(store_url(tmp_path), "127.0.0.1", 0, None, needs_admin=True)
        async with running(settings) as url:
            for token in (printed.strip(), file.read_text().strip()):
                async with Api.at(url, token) as api:
                    assert (await api.get("/v1/tokens")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--role", "admin", "--name", "two words"], "name: Expected"),
        (["--role", "admin", "--name", "admin"], "name: "),
        (["--role", "admin", "--name", "splitway-control"], "name: "),
        (["--role", "proxy", "--name", "p", "--service", "shop"], "services: "),
        (["--role", "viewer", "--name", "v", "--expires", "tomorrow"], "expires_at: Invalid"),
        (["--role", "viewer", "--name", "v", "--service", ""], "services[0]: "),
        (["--role", "viewer", "--name", "v", "--out", "/nowhere/t"], "--out /nowhere/t: No such"),
    ],
)
def test_a_token_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["tokens", "create", "--store", store_url(tmp_path), *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_beyond_loopback_a_store_without_an_administrator_s_token_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["tokens", "create", "--store", store_url(tmp_path), "--role", "proxy", "--name", "p"]
    assert main(create) == 0
    assert main(["--store", store_url(tmp_path), "--bind", "0.0.0.0:0"]) == 2
    assert "tokens create --role admin" in capsys.readouterr().err


def test_a_token_of_a_store_is_not_taken_for_a_given_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWAY_TOKEN", "sw_0123456789ab_secret")
    assert main(["--store", store_url(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "SPLITWAY_TOKEN" in error
    assert "secret" not in error


@pytest.mark.e2e
def test_a_token_file_is_used(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")

    async def scenario(url: str) -> None:
        async with Api.at(url) as api:
            assert (await api.get("/v1/config")).status == 200

    with control_process(tmp_path, "--token-file", str(file), token="another") as (_, url):
        asyncio.run(scenario(url))


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with control_process(tmp_path) as (process, url):

        async def scenario() -> None:
            async with Api.at(url) as api, api.proxy() as proxy:
                await proxy.settle()
                process.send_signal(number)
                assert await proxy.closed_with() == aiohttp.WSCloseCode.GOING_AWAY

        asyncio.run(scenario())
        assert process.wait(20) == 0
    assert not (tmp_path / "control.db-wal").exists()


def test_bytes_that_are_no_request_leave_one_line(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(brief)

    async def run() -> None:
        async with running(Settings(f"sqlite:///{tmp_path / 'a.db'}", "127.0.0.1", 0, "t")) as url:
            port = int(url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.read(12))[9:] == b"400"
            writer.close()
            await writer.wait_closed()

    try:
        asyncio.run(run())
    finally:
        logger.removeFilter(brief)
    said = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert [record.getMessage() for record in said] == ["what is no HTTP request was answered 400"]
    assert said[0].exc_info is None


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"splitway-control {__version__}\n"


def test_it_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with control_process(tmp_path) as (process, _):
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert limits == (hard, hard)
