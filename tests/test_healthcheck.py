"""The healthcheck against real servers: the proxy's own admin port, and servers that misbehave."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from proxy.healthcheck import ENVIRONMENT, fault_of, main

ROOT = Path(__file__).parents[1]


async def answer(request: web.Request) -> web.Response:
    """200 on /readyz and /also?fine=1; 503 on /busy; a redirect to what is well elsewhere."""
    if request.path == "/away":
        raise web.HTTPFound("/readyz")
    if request.path == "/busy":
        return web.Response(status=503)
    well = request.path == "/readyz" or request.path_qs == "/also?fine=1"
    return web.Response(status=200 if well else 404)


@contextmanager
def serving(path: Path | None = None) -> Iterator[str]:
    """A real HTTP server in a thread, on TCP or on a Unix socket; gives what the check is told."""
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    told: list[str] = []

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.UnixSite(runner, str(path)) if path else web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        told.append(f"unix:{path}" if path else "http://127.0.0.1:{1}".format(*runner.addresses[0]))
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield told[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_a_200_is_well() -> None:
    with serving() as url:
        assert fault_of(f"{url}/readyz") == ""
        assert fault_of(f"{url}/also?fine=1") == ""


def test_without_a_path_readyz_is_asked() -> None:
    with serving() as url:
        assert fault_of(url) == ""


def test_a_unix_socket_is_written_as_in_the_configuration(tmp_path: Path) -> None:
    with serving(tmp_path / "admin.sock") as bind:
        assert fault_of(bind) == ""


@pytest.mark.parametrize(
    ("path", "said"), [("/busy", "503"), ("/nothing-here", "404"), ("/away", "302")]
)
def test_any_other_status_is_a_fault(path: str, said: str) -> None:
    with serving() as url:
        assert said in fault_of(url + path)


def test_nobody_there_is_a_fault(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        assert "refused" in fault_of(f"http://127.0.0.1:{bound.getsockname()[1]}/readyz")
    assert "No such file" in fault_of(f"unix:{tmp_path}/none.sock")


def test_a_server_that_hangs_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/readyz"
        assert "timed out" in fault_of(url, timeout_s=0.05)


def test_what_is_not_http_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"SSH-2.0-nonsense\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert "SSH-2.0" in fault_of(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/readyz", "127.0.0.1:9900", "http:///x", ""])
def test_what_is_no_url_of_ours_says_what_to_write(url: str) -> None:
    assert "expected http://" in fault_of(url)


def test_a_port_that_is_no_number_is_a_fault() -> None:
    assert "Port" in fault_of("http://127.0.0.1:port/")


@pytest.mark.parametrize("arguments", [["--help"], ["http://a/", "http://b/"]])
def test_wrong_usage_is_not_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert "usage" in capsys.readouterr().err


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as url:
        monkeypatch.setenv(ENVIRONMENT, f"{url}/busy")
        assert main([]) == 1
        assert main([url]) == 0
        monkeypatch.setenv(ENVIRONMENT, url)
        assert main([]) == 0


def run(url: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "proxy.healthcheck", url],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_as_a_command_the_exit_code_tells() -> None:
    with serving() as url:
        well = run(url)
        assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
        busy = run(f"{url}/busy")
        assert busy.returncode == 1
        assert busy.stderr == f"healthcheck: {url}/busy: answered 503 Service Unavailable\n"


def test_a_proxy_for_the_internet_is_not_asked() -> None:
    with serving() as url:
        assert run(url, http_proxy="http://127.0.0.1:1").returncode == 0


def test_it_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import proxy.healthcheck; "
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before}"
        " - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['proxy']\n"
