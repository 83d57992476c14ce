"""aiohttp without the system's certificates: smaller, and never less strict."""

import ssl
import subprocess
import sys

import pytest

from proxy.model.errors import Problem
from proxy.model.wire import Hello, Snapshot
from proxy.sync.stream import ControlStream

LOOK = """
import os, ssl
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = "/mine"
import proxy.{module}
from aiohttp import connector
context = connector._SSL_CONTEXT_VERIFIED
print(context.cert_store_stats()["x509"], context.verify_mode == ssl.CERT_REQUIRED)
print(os.environ.get("SSL_CERT_FILE"), os.environ["SSL_CERT_DIR"])
"""


@pytest.mark.parametrize("module", ["lean", "cli"])
def test_aiohttps_own_context_trusts_nobody_and_the_environment_stays(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["0 True", "None /mine"]


def test_the_control_stream_trusts_what_the_system_trusts() -> None:
    async def apply(_: Snapshot) -> tuple[Problem, ...]:
        raise AssertionError

    def stream(url: str) -> ControlStream:
        return ControlStream(url, None, lambda: Hello("a", "1"), apply)

    context = stream("https://control.test:9800")._trust.context()
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()
    assert stream("http://control.test:9800")._trust.context() is True
