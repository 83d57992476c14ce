"""The client against the real control plane."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.control import Control, ControlError
from loadtests.demo.children import Children

TOKEN = "a-token-for-this-test-only-0123456789"
CONFIG = """\
services:
  shop:
    versions:
      stable: {endpoints: ["http://127.0.0.1:9001"]}
      canary: {endpoints: ["http://127.0.0.1:9002"]}
    weights: {stable: 99, canary: 1}
    salt: pepper
routes:
  - {service: shop}
"""

pytestmark = pytest.mark.e2e


def on_control_plane(folder: Path, work: Callable[[str], None]) -> None:
    """Runs ``work`` with the URL of a real control plane."""

    async def run() -> None:
        (folder / "token").write_text(TOKEN)
        command = [sys.executable, "-m", "controlplane", f"--store=sqlite:///{folder}/store.db"]
        command += ["--bind=127.0.0.1:0", f"--token-file={folder}/token"]
        async with Children(folder) as children:
            child = await children.start("control", command)
            while "http://" not in child.tail():
                assert child.process.returncode is None, child.tail()
                await asyncio.sleep(0.02)
            url = next(word for word in child.tail().split() if word.startswith("http://"))
            await asyncio.to_thread(work, url)

    asyncio.run(run())


def test_weights_are_set_and_read(tmp_path: Path) -> None:
    def work(url: str) -> None:
        control = Control(url, TOKEN)
        first = control.put_config(CONFIG)
        second = control.put_weights("shop", {"stable": 1, "canary": 1}, "a test")
        assert second > first
        assert control.salt("shop") == "pepper"
        assert control.revisions() == []
        with pytest.raises(ControlError, match=f"revision {second} not in force everywhere"):
            control.await_settled(second, within_s=0.05)

    on_control_plane(tmp_path, work)


def test_refusals_say_which_call_and_why(tmp_path: Path) -> None:
    def work(url: str) -> None:
        control = Control(url, TOKEN)
        with pytest.raises(ControlError, match=r"PUT /v1/services/shop/weights: 404: .*shop"):
            control.put_weights("shop", {"stable": 1}, "a test")
        with pytest.raises(ControlError, match="no service 'shop'"):
            control.salt("shop")
        control.put_config(CONFIG)
        with pytest.raises(ControlError, match=r"PUT /v1/services/shop/weights: 422: .*green"):
            control.put_weights("shop", {"green": 1}, "a test")
        with pytest.raises(ControlError, match="GET /v1/proxies: 401"):
            Control(url, "another-token").revisions()

    on_control_plane(tmp_path, work)


def test_no_control_plane_is_said(unused_port: int) -> None:
    with pytest.raises(ControlError, match=r"GET /v1/proxies: .*refused"):
        Control(f"http://127.0.0.1:{unused_port}", TOKEN).revisions()


@pytest.fixture(name="unused_port")
def _unused_port() -> int:
    # Port 1 needs a privilege to listen on, and nothing on loopback does.
    return 1
