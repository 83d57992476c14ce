"""Owns a real DNS server on loopback whose answers a test changes."""

import asyncio
import shutil
import signal
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import pytest

TRIES = 5

needs_dnsmasq = pytest.mark.skipif(
    shutil.which("dnsmasq") is None, reason="a DNS server: apt-get install dnsmasq-base"
)


class Dnsmasq:
    """Answers for the domain ``test``: an async context manager.

    Args:
        folder: for its files.
        hosts: addresses by name.
        more: further lines of its configuration, such as SRV records.

    Attributes:
        server: where it is asked, as ``discovery.dns_servers`` has it.
    """

    def __init__(
        self, folder: Path, hosts: Mapping[str, Iterable[str]], more: Iterable[str] = ()
    ) -> None:
        self._hosts = folder / "hosts"
        self._config = folder / "dnsmasq.conf"
        self._more = tuple(more)
        self._first = hosts
        self._process: asyncio.subprocess.Process
        self.server = ""

    async def __aenter__(self) -> Self:
        self._write(self._first)
        for _ in range(TRIES):  # somebody else may take a port that was free a moment ago
            if await self._start():
                return self
        raise AssertionError("dnsmasq did not start")

    async def _start(self) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        self.server = f"127.0.0.1:{port}"
        lines = ("no-resolv", "no-hosts", f"addn-hosts={self._hosts}", "local=/test/",
                 "local-ttl=1", f"port={port}", "listen-address=127.0.0.1", "bind-interfaces",
                 "user=", "group=", "pid-file=", *self._more)  # fmt: skip
        self._config.write_text("\n".join(lines) + "\n")
        command = ("dnsmasq", "--keep-in-foreground", f"--conf-file={self._config}",
                   "--log-facility=-")  # fmt: skip
        self._process = await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        while b"started" not in (line := await self._process.stderr.readline()):
            if not line:
                await self._process.wait()
                return False
        while b"read" not in await self._process.stderr.readline():
            pass
        return True

    async def __aexit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        await self._process.wait()

    async def set(self, hosts: Mapping[str, Iterable[str]]) -> None:
        """Answer so from now on."""
        self._write(hosts)
        self._process.send_signal(signal.SIGHUP)
        assert self._process.stderr is not None
        while b"read" not in await self._process.stderr.readline():
            pass

    def stall(self) -> None:
        """Answer nothing until ``go_on``."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """See ``stall``."""
        self._process.send_signal(signal.SIGCONT)

    def _write(self, hosts: Mapping[str, Iterable[str]]) -> None:
        lines = [f"{address} {name}" for name, found in hosts.items() for address in found]
        self._hosts.write_text("\n".join(lines) + "\n")
