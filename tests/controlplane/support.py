"""Real control planes on real files and sockets, and the real clients that talk to them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

from controlplane.app import Settings, running
from proxy.model.errors import Problem
from proxy.model.wire import Ack, Hello, Nack, Snapshot

TOKEN = "a-token-for-tests-only"
ROOT = Path(__file__).parents[2]
SHOP = {
    "versions": {
        "stable": {"endpoints": ["http://127.0.0.1:9001"]},
        "canary": {"endpoints": ["http://127.0.0.1:9002"]},
    },
    "weights": {"stable": 95, "canary": 5},
}
DOCUMENT: dict[str, Any] = {
    "services": {"shop": SHOP},
    "routes": [{"match": {"path": {"prefix": "/"}}, "service": "shop"}],
}
SHOP_WEIGHTS = "/v1/services/shop/weights"
PATIENCE_S = 20


def store_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'control.db'}"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def fields(self) -> list[str]:
        return [problem["field"] for problem in self.body["problems"]]


class Proxy:
    """A proxy's end of the stream: says what it is told to say."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, message: Hello | Ack | Nack) -> None:
        await self.socket.send_str(msgspec.json.encode(message).decode())

    async def snapshot(self) -> Snapshot:
        text = await self.socket.receive_str(timeout=PATIENCE_S)
        return msgspec.json.decode(text, type=Snapshot)

    async def ack(self, revision: int) -> None:
        await self.say(Ack(revision))
        await self.settle()

    async def nack(self, revision: int, *problems: Problem) -> None:
        await self.say(Nack(revision, problems))
        await self.settle()

    async def settle(self) -> None:
        """The control plane has handled what was said: frames are handled in order."""
        await self.socket.ping()
        message = await self.socket.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.PONG, message

    async def closed_with(self) -> int | None:
        message = await self.socket.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return self.socket.close_code


class Api:
    """A caller of the API with a token."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, token: str = TOKEN) -> AsyncIterator[Self]:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            yield cls(url, session)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, f"{self.url}{path}", **options) as response:
            body = await response.json(content_type=None) if await response.read() else None
            return Answer(response.status, response.headers, body)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, headers=_fields(headers))

    async def put(self, path: str, body: object, **headers: str) -> Answer:
        # A stream, because aiohttp warns of big bodies that are plain bytes.
        data = BytesIO(msgspec.json.encode(body))
        fields = {"Content-Type": "application/json", **_fields(headers)}
        return await self.call("PUT", path, data=data, headers=fields)

    async def post(self, path: str, body: object, **headers: str) -> Answer:
        fields = {"Content-Type": "application/json", **_fields(headers)}
        return await self.call("POST", path, data=msgspec.json.encode(body), headers=fields)

    async def token(self, name: str, role: str, *services: str) -> dict[str, Any]:
        """A new token, with its text in ``token``."""
        scope = {"services": services} if services else {}
        answer = await self.post("/v1/tokens", {"name": name, "role": role, **scope})
        assert answer.status == 200, answer.body
        return dict(answer.body)

    async def change(self, method: str, path: str, **headers: str) -> Answer:
        return await self.call(method, path, headers=_fields(headers))

    async def push(self, document: object = DOCUMENT) -> int:
        answer = await self.put("/v1/config", document)
        assert answer.status == 200, answer.body
        return int(answer.body["revision"])

    async def set_weights(self, **weights: int) -> int:
        answer = await self.put(SHOP_WEIGHTS, {"weights": weights})
        assert answer.status == 200, answer.body
        return int(answer.body["revision"])

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Proxy]:
        # Pings are left to the test: `settle` needs to see the answers.
        async with self.session.ws_connect(
            f"{self.url}/v1/stream", autoping=False, max_msg_size=0
        ) as socket:
            yield Proxy(socket)

    @asynccontextmanager
    async def proxy(
        self, instance: str = "p1", store: str = "", revision: int = 0
    ) -> AsyncIterator[Proxy]:
        async with self.stream() as proxy:
            await proxy.say(Hello(instance, "1.0", store, revision))
            yield proxy

    async def proxies(self) -> list[dict[str, Any]]:
        return list((await self.get("/v1/proxies")).body["proxies"])

    async def until_proxies(self, *connected: bool) -> list[dict[str, Any]]:
        """Waits for the list to have just these states; joining and leaving are told to nobody."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                proxies = await self.proxies()
                if [proxy["connected"] for proxy in proxies] == list(connected):
                    return proxies
                await asyncio.sleep(0.01)


@asynccontextmanager
async def control(
    folder: Path, hello_s: float = 10.0, *, require_reason: bool = False
) -> AsyncIterator[Api]:
    """A control plane in this process, and someone who may call it."""
    settings = Settings(store_url(folder), "127.0.0.1", 0, TOKEN, hello_s, require_reason)
    async with running(settings) as url, Api.at(url) as api:
        yield api


@contextmanager
def control_thread(folder: Path) -> Iterator[str]:
    """A control plane in another thread, for what blocks; gives its URL."""

    async def serve(started: Future[tuple[str, asyncio.Event]]) -> None:
        try:
            async with running(Settings(store_url(folder), "127.0.0.1", 0, TOKEN)) as url:
                stop = asyncio.Event()
                started.set_result((url, stop))
                await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    with ThreadPoolExecutor(1) as threads, asyncio.Runner() as runner:
        started: Future[tuple[str, asyncio.Event]] = Future()
        ended = threads.submit(runner.run, serve(started))
        url, stop = started.result(PATIENCE_S)
        try:
            yield url
        finally:
            runner.get_loop().call_soon_threadsafe(stop.set)
            ended.result(PATIENCE_S)


@contextmanager
def control_process(
    folder: Path, *arguments: str, token: str | None = TOKEN, said: list[str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`splitway-control` as a process of its own, and its URL; stopped at the end.

    ``said`` collects its standard output.
    """
    command = [sys.executable, "-m", "controlplane", "--store", store_url(folder)]
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPLITWAY_")}
    with subprocess.Popen(
        [*command, "--bind", "127.0.0.1:0", *arguments],
        env=env | ({"SPLITWAY_TOKEN": token} if token else {}),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, _url(process, [] if said is None else said)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def _url(process: subprocess.Popen[str], said: list[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.rstrip())
        if line.startswith("control plane on "):
            return line.split()[-1]
    raise AssertionError("the control plane did not start")


def _fields(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
