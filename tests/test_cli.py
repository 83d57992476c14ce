"""The command's pure parts; ``tests/e2e/test_proxy_command.py`` runs it whole."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from proxy import __version__, cli
from proxy.model.config import Config, Listener
from tests.support.running import config_for

NOWHERE = "http://127.0.0.1:1"


def test_arguments() -> None:
    options = cli._parse_arguments(["--config", "a.yaml"])
    assert (options.config, options.workers, options.check) == ("a.yaml", None, False)
    options = cli._parse_arguments(["--config=a.yaml", "--workers=256", "--check"])
    assert (options.workers, options.check) == (256, True)


@pytest.mark.parametrize("count", ["0", "257", "-1", "1.5", "", "two"])
def test_a_wrong_number_of_workers(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli._parse_arguments(["--config=a.yaml", f"--workers={count}"])
    assert left.value.code == cli.WRONG
    assert "must be a number from 1 to 256" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0
    plain = f"splitway-proxy {__version__}"
    assert capsys.readouterr().out in (f"{plain}\n", f"{plain} (compiled)\n")


def test_a_file_that_is_not_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SystemExit) as left:
        cli.main(["--config", str(path)])
    assert left.value.code == cli.WRONG
    assert capsys.readouterr().err == f"splitway-proxy: {path}: cannot be read: it is not UTF-8\n"


def test_nothing_is_left_of_sockets_when_one_cannot_be_bound(tmp_path: Path) -> None:
    first = Listener(name="first", bind=f"unix:{tmp_path}/first.sock")
    second = Listener(name="second", bind=f"unix:{tmp_path}/no/second.sock")
    config: Config = config_for(NOWHERE, listeners=(first, second))
    with pytest.raises(OSError, match=r"listener second: unix:.*/no/second\.sock: No such file"):
        cli._bind(config, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_sockets_file_that_a_successor_listens_on_is_left(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    config = config_for(NOWHERE, listeners=(Listener(name="web", bind=f"unix:{path}"),))
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        successor.listen()
        cli._release(config)
        assert path.exists()
    cli._release(config)
    assert not path.exists()


@pytest.mark.parametrize(
    ("signals", "grace", "hurried"),
    [
        ([signal.SIGTERM], True, False),
        ([signal.SIGINT], False, False),
        ([signal.SIGTERM, signal.SIGINT], True, True),
        ([signal.SIGHUP, signal.SIGTERM], True, False),
    ],
)
def test_signals(signals: list[signal.Signals], grace: bool, hurried: bool) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        told = cli._Signals(loop)
        heard = asyncio.Event()
        try:
            for number in signals:
                os.kill(os.getpid(), number)
            await asyncio.wait_for(told.leaving.wait(), 10)
            # Signals come in order: this one is behind all of them.
            told.on_hang_up(heard.set)
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.wait_for(heard.wait(), 10)
            told.drain()
            assert (told.grace, told.hurried.is_set()) == (grace, hurried)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    asyncio.run(run())
