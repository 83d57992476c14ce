"""``splitway-proxy`` as an operator meets it: wrong files and flags, signals, live files."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from loadtests.demo.children import Children
from tests.support.configs import PORTS_FREE
from tests.support.road import ROOT, Road, road, said, until

pytestmark = pytest.mark.e2e


def run_proxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )


def test_check_accepts_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(PORTS_FREE)
    done = run_proxy("--config", str(file), "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: ok\n", "")


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_bad_file_is_refused_with_every_problem(tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        PORTS_FREE.replace("canary: 5", "canari: 5").replace("service: shop", "service: sho")
    )
    done = run_proxy("--config", str(file), *arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{file}:8: services.shop.weights.canari: unknown version")
    assert lines[1].startswith(f"{file}:10: routes[0].service: unknown service")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--config", "/nowhere/at/all.yaml"],
            "/nowhere/at/all.yaml: cannot be read: No such file",
        ),
        (["--config", "/"], "/: cannot be read: Is a directory"),
        (["--config", "/dev/null", "--workers", "0"], "must be a number from 1 to"),
        (["--config", "/dev/null", "--workers", "many"], "must be a number from 1 to"),
        (["--config", "/dev/null", "--wrokers", "1"], "unrecognized arguments: --wrokers"),
        ([], "--config"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(arguments: list[str], words: str) -> None:
    done = run_proxy(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "taken.yaml"
        file.write_text(
            PORTS_FREE.replace('web, bind: "127.0.0.1:0"', f'web, bind: "127.0.0.1:{port}"')
        )
        done = run_proxy("--config", str(file), "--workers", "1")
        assert done.returncode == 2
        assert f"listener web: 127.0.0.1:{port}: Address already in use" in done.stderr
        file.write_text(
            PORTS_FREE.replace('admin: {bind: "127.0.0.1:0"', f'admin: {{bind: "127.0.0.1:{port}"')
        )
        done = run_proxy("--config", str(file), "--workers", "1")
        assert done.returncode == 2
        assert f"admin: 127.0.0.1:{port}: Address already in use" in done.stderr
        assert "Traceback" not in done.stderr


async def revision(built: Road) -> int:
    return int(await built.metric("splitway_config_revision"))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_file_is_watched_and_a_wrong_one_changes_nothing(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable", "canary") as built:
            good = built.config(built.traffic(stable=100, canary=0))
            proxy = await built.start_proxy(good, workers=workers)
            await built.ready()
            users = [f"u{number}" for number in range(50)]
            assert set((await built.versions_of(users)).values()) == {"stable"}
            file = tmp_path / "proxy.yaml"

            file.write_text(good.replace("stable: 100", "stable: -1"))
            proxy.process.send_signal(signal.SIGHUP)
            await said(proxy, r"configuration refused, the running one stays: .*:\d+: services")
            assert await built.metric("splitway_config_rejected_total") >= 1
            assert set((await built.versions_of(users)).values()) == {"stable"}

            file.write_text(good.replace("name: web", "name: other"))
            proxy.process.send_signal(signal.SIGHUP)
            await said(proxy, "listeners: cannot change while the proxy runs; restart it")

            before = await revision(built)
            # No signal: the watch sees it by itself.
            file.write_text(good.replace("stable: 100, canary: 0", "stable: 0, canary: 1"))

            async def changed() -> bool:
                return await revision(built) > before

            await until("the file is taken over", changed)
            assert set((await built.versions_of(users)).values()) == {"canary"}

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_finishes_what_is_in_hand(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            proxy = await built.start_proxy(built.config(built.traffic(stable=1)), workers=workers)
            await built.ready()
            size = 30_000_000
            async with built.client.get(built.url + f"/blob?bytes={size}") as response:
                await response.content.readexactly(1000)
                proxy.process.terminate()

                async def unready() -> bool:
                    async with built.client.get(built.admin + "/readyz") as answer:
                        return answer.status == 503

                await until("not ready", unready)
                # Within the grace it still accepts.
                assert await built.version_of("late") == "stable"
                await said(proxy, "leaving")
                assert len(await response.content.read()) == size - 1000
            assert await asyncio.wait_for(proxy.process.wait(), 15) == 0
            assert "nothing was cut" in proxy.log.read_text()

    asyncio.run(run())


def test_ctrl_c_leaves_at_once_and_twice_cuts(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            slow = built.config(built.traffic(stable=1)).replace("grace_s: 0.2", "grace_s: 60")
            slow = slow.replace("deadline_s: 10", "deadline_s: 90")
            proxy = await built.start_proxy(slow)
            await built.ready()
            proxy.process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(proxy.process.wait(), 10) == 0
            assert "Traceback" not in proxy.log.read_text()

            proxy = await built.start_proxy(slow)
            await built.ready()
            response = await built.client.get(built.url + "/blob?bytes=300000000")
            proxy.process.terminate()
            await said(proxy, "leaving")
            proxy.process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(proxy.process.wait(), 10) == 0
            assert "some requests were cut" in proxy.log.read_text()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            response.close()

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_the_access_log_tells_every_request(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            log = tmp_path / "access.log"
            config = built.config(built.traffic(stable=1), f'access_log: {{path: "{log}"}}\n')
            proxy = await built.start_proxy(config, workers=workers)
            await built.ready()
            await built.versions_of([f"u{number}" for number in range(20)])
            log.rename(tmp_path / "access.log.1")
            proxy.process.send_signal(signal.SIGHUP)

            async def reopened() -> bool:
                return log.exists()

            await until("the log is opened anew", reopened)
            await built.version_of("after")
            proxy.process.terminate()
            assert await asyncio.wait_for(proxy.process.wait(), 15) == 0
            lines = (tmp_path / "access.log.1").read_text() + log.read_text()
            entries = [json.loads(line) for line in lines.splitlines()]
            assert len(entries) == 21
            assert {entry["status"] for entry in entries} == {200}
            assert {entry["version"] for entry in entries} == {"stable"}
            assert len({entry["id"] for entry in entries}) == 21

    asyncio.run(run())


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path) as built:
            path = tmp_path / "back.sock"

            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: v\r\n\r\nok")
                await writer.drain()
                writer.close()
                await writer.wait_closed()

            async with await asyncio.start_unix_server(answer, path):
                front = tmp_path / "front.sock"
                built.samples["stable"] = f"unix:{path}"
                config = built.config(built.traffic(stable=1)).replace(
                    f"127.0.0.1:{built.port}", f"unix:{front}"
                )
                for _ in range(2):  # a socket's file that was left behind is no obstacle
                    proxy = await built.start_proxy(config, workers=2)
                    connector = aiohttp.UnixConnector(str(front))
                    async with aiohttp.ClientSession(connector=connector) as client:
                        for _ in range(3):
                            async with client.get("http://shop/") as response:
                                assert response.status == 200
                                assert await response.text() == "ok"
                    proxy.process.kill()
                    await proxy.process.wait()

    asyncio.run(run())


def test_a_folder_named_proxy_where_the_operator_stands_is_not_ours(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "proxy").mkdir()
        (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit('not ours')\n")
        (tmp_path / "proxy.yaml").write_text(PORTS_FREE)
        async with Children(tmp_path, cwd=tmp_path) as children:
            code = f"import sys; sys.path[0] = {str(ROOT)!r}; from proxy.cli import main; main()"
            child = await children.start(
                "proxy",
                [sys.executable, "-c", code, "--config=proxy.yaml", "--workers=2"],
                lasting=False,
            )
            await said(child, "serving on .* workers: 2")

    asyncio.run(run())
