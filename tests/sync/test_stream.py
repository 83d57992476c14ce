"""The control stream with a control plane that keeps the rules, and with its tokens."""

import asyncio
import logging
from pathlib import Path

import pytest

from proxy.model.errors import Problem
from proxy.model.wire import Ack, Hello, Nack
from proxy.sync.frames import StreamError
from proxy.sync.stream import ControlStream, read_token
from tests.support.control_peer import (
    STORE,
    Peer,
    Proxy,
    control_plane,
    follow,
    good,
    play,
    refusing,
    serve_on,
)

TOKEN = "s3cret-t0ken"


def test_hello_comes_first_and_a_snapshot_is_applied_and_acknowledged() -> None:
    proxy = Proxy(store="store-0", revision=3)

    async def script(peer: Peer) -> None:
        assert "Authorization" not in peer.request.headers
        assert await peer.hear() == Hello(
            instance="proxy-1", release="1.2.3", store="store-0", revision=3
        )
        await peer.say(1)
        assert await peer.hear() == Ack(1)
        await peer.say(2)
        assert await peer.hear() == Ack(2)

    play(script, proxy=proxy)
    assert proxy.applied == [1, 2]


def test_a_refused_snapshot_is_answered_with_its_problems() -> None:
    proxy = Proxy()
    proxy.problems = (Problem(field="services.shop", message="no"),)

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(1)
        assert await peer.hear() == Nack(revision=1, problems=proxy.problems)
        proxy.problems = ()
        await peer.say(2)
        assert await peer.hear() == Ack(2)

    play(script, proxy=proxy)


def test_a_failure_while_applying_is_a_refusal_and_the_stream_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy = Proxy()
    proxy.failure = RuntimeError("boom")

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(1)
        answer = await peer.hear()
        assert isinstance(answer, Nack)
        assert answer.problems[0].message == "internal error of the proxy, see its log"
        proxy.failure = None
        await peer.say(2)
        assert await peer.hear() == Ack(2)

    play(script, proxy=proxy)
    assert "revision 1: applying it failed" in caplog.text


def test_an_older_revision_of_the_same_store_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    proxy = Proxy(store=STORE, revision=5)

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(4)
        await peer.say(6)
        assert await peer.hear() == Ack(6)

    play(script, proxy=proxy)
    assert proxy.applied == [6]
    assert "revision 4 ignored, 5 is in force and newer" in caplog.text


def test_the_revision_in_force_is_acknowledged_without_work() -> None:
    proxy = Proxy(store=STORE, revision=5)

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(5)
        assert await peer.hear() == Ack(5)

    play(script, proxy=proxy)
    assert proxy.applied == []


def test_another_store_counts_anew_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    proxy = Proxy(store="store-0", revision=500)

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(1)
        assert await peer.hear() == Ack(1)

    play(script, proxy=proxy)
    assert proxy.applied == [1]
    assert "its store is 'store-1' now, not 'store-0'" in caplog.text


def test_a_snapshot_of_a_newer_release_is_refused_and_the_stream_goes_on() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.socket.send_str('{"type":"snapshot","revision":7,"traffic":{"mirrors":[]}}')
        answer = await peer.hear()
        assert isinstance(answer, Nack)
        assert answer.revision == 7
        assert "mirrors" in answer.problems[0].message
        await peer.say(8)
        assert await peer.hear() == Ack(8)

    play(script, proxy=Proxy())


def test_the_token_is_sent_and_read_anew_for_each_connection(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")

    async def first(peer: Peer) -> None:
        assert peer.request.headers["Authorization"] == f"Bearer {TOKEN}"
        token_file.write_text("another")
        peer.abort()

    async def second(peer: Peer) -> None:
        assert peer.request.headers["Authorization"] == "Bearer another"
        await good(peer)

    play(first, second, proxy=Proxy(), token_file=token_file)


@pytest.mark.parametrize(
    ("status", "with_token", "words", "level"),
    [
        (401, True, "refuses the token in {file} with 401;", logging.ERROR),
        (403, True, "refuses the token in {file} with 403;", logging.ERROR),
        (401, False, "refuses us without a token with 401 (set control.token_file)", logging.ERROR),
        (503, True, "answered 503 instead of opening the stream", logging.WARNING),
        (200, True, "answered 200 instead of opening the stream", logging.WARNING),
    ],
)
def test_a_refusal_is_told_once_and_never_names_the_token(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    status: int,
    with_token: bool,
    words: str,
    level: int,
) -> None:
    caplog.set_level(logging.DEBUG, logger="splitway")
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)

    async def run() -> None:
        app, enough = refusing(status, tries=4)
        runner, port = await serve_on(0, app)
        stream = follow(f"http://127.0.0.1:{port}", Proxy(), token_file if with_token else None)
        stream.start()
        async with asyncio.timeout(20):
            await enough.wait()
        assert not stream.connected
        await stream.stop()
        await runner.cleanup()

    asyncio.run(run())
    (record,) = [r for r in caplog.records if r.name.startswith("splitway")]
    assert record.levelno == level
    assert words.format(file=token_file) in record.message
    assert TOKEN not in caplog.text


def test_stopping_says_goodbye() -> None:
    async def run() -> None:
        codes: list[int | None] = []
        ready, gone = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await good(peer)
            ready.set()
            codes.append(await peer.closed_with())
            gone.set()

        async with control_plane(script) as url, asyncio.timeout(20):
            stream = follow(url, Proxy())
            stream.start()
            stream.start()  # once is enough
            await ready.wait()
            assert stream.connected
            await stream.stop()
            await gone.wait()
            await stream.stop()
        assert codes == [1001]

    asyncio.run(run())


def test_stopping_does_not_wait_for_a_peer_that_hangs() -> None:
    async def run() -> None:
        ready, released = asyncio.Event(), asyncio.Event()

        async def hang(peer: Peer) -> None:
            await good(peer)
            ready.set()
            await released.wait()

        async with control_plane(hang) as url, asyncio.timeout(20):
            stream = follow(url, Proxy())
            stream.start()
            await ready.wait()
            await stream.stop()
            released.set()

    asyncio.run(run())


def test_a_stream_that_was_never_started_can_be_stopped() -> None:
    asyncio.run(follow("http://127.0.0.1:1", Proxy()).stop())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"s3cret t0ken", "does not hold one bearer token"),
        (b"s3cret\r\nX-Evil: 1", "does not hold one bearer token"),
        (b"s3cr\xc3\xa9t", "does not hold one bearer token"),
        (b"s3cret" * 5000, "does not hold one bearer token"),
    ],
)
def test_a_token_that_cannot_be_sent_is_told_without_showing_it(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StreamError) as caught:
        read_token(path)
    assert words in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_a_token_file_that_appears_later_is_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token_file = tmp_path / "token"

    async def run() -> None:
        over = asyncio.Event()

        async def script(peer: Peer) -> None:
            await good(peer)
            over.set()

        draws: list[int] = []

        def draw() -> float:
            draws.append(1)
            if len(draws) == 3:
                token_file.write_text(TOKEN)
            return 0.001

        async with control_plane(script) as url, asyncio.timeout(20):
            proxy = Proxy()
            stream = ControlStream(url, str(token_file), proxy.hello, proxy.apply, draw=draw)
            stream.start()
            await over.wait()
            await stream.stop()

    asyncio.run(run())
    assert caplog.text.count("cannot be read: No such file") == 1
