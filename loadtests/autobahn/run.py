"""Owns one Autobahn run: echo server, proxy, fuzzing client; each is ended by its own id.

The echo server (``echo``) is in this process, the proxy is a process as users start it. wstest runs
every case against both, the direct one first. Never judges (``reports``).
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from loadtests.autobahn.echo import serve_echo
from loadtests.autobahn.reports import Index
from loadtests.compare.stage import free_ports
from loadtests.demo.children import Child, Children

DIRECT, PROXIED = "direct", "proxied"
READY_S = 20.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

CONFIG = """\
listeners: [{{name: web, bind: "127.0.0.1:{port}"}}]
admin: {{bind: "127.0.0.1:{admin}"}}
services: {{echo: {{versions: {{stable: {{endpoints: ["http://127.0.0.1:{echo}"]}}}}}}}}
routes: [{{service: echo}}]
"""


class Broken(Exception):
    """The run came to no result; the message says why."""


async def run(
    wstest: Path,
    folder: Path,
    cases: Sequence[str],
    excluded: Sequence[str],
    within_s: float,
) -> Index:
    """Run the cases against both; reports and logs stay in ``folder``.

    Raises:
        Broken: a process died, or the cases took longer than ``within_s``.
    """
    async with await serve_echo() as server, Children(folder) as children:
        echo_port = server.sockets[0].getsockname()[1]
        port, admin = free_ports(2)
        path = folder / "proxy.yaml"
        path.write_text(CONFIG.format(port=port, admin=admin, echo=echo_port))
        command = [sys.executable, "-m", "proxy", f"--config={path}", "--workers=1"]
        await _accepting(await children.start("proxy", command, ENVIRONMENT), port)
        spec = {
            "outdir": str(folder / "reports"),
            "servers": [
                {"agent": DIRECT, "url": f"ws://127.0.0.1:{echo_port}"},
                {"agent": PROXIED, "url": f"ws://127.0.0.1:{port}"},
            ],
            "cases": list(cases),
            "exclude-cases": list(excluded),
            "exclude-agent-cases": {},
        }
        path = folder / "spec.json"
        path.write_text(json.dumps(spec))
        client = await children.start(
            "wstest", [str(wstest), "-m", "fuzzingclient", "-s", str(path)], lasting=False
        )
        await _finished(children, client, within_s)
    index = folder / "reports" / "index.json"
    if not index.exists():
        raise Broken(f"wstest wrote no report:\n{client.tail(3)}")
    return cast("Index", json.loads(index.read_text()))


async def _finished(children: Children, client: Child, within_s: float) -> None:
    death = asyncio.ensure_future(children.first_death())
    ended = asyncio.ensure_future(client.process.wait())
    try:
        await asyncio.wait((death, ended), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if death.done():
            raise Broken(str(death.result()))
        if not ended.done():
            raise Broken(f"the cases took longer than {within_s:g} s:\n{client.tail(3)}")
        if ended.result() != 0:
            raise Broken(str(client.death()))
    finally:
        death.cancel()
        ended.cancel()


async def _accepting(child: Child, port: int) -> None:
    """Waits until a process takes connections."""
    end = asyncio.get_running_loop().time() + READY_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if child.process.returncode is not None:
                raise Broken(str(child.death())) from None
            if asyncio.get_running_loop().time() > end:
                raise Broken(f"{child.name} is not up in {READY_S:g} s:\n{child.tail()}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return
