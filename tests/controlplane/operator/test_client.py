import asyncio
import socket
import struct

import aiohttp.web
import pytest

from controlplane.operator.client import CallError, Client, service_path


async def read_from(answer: aiohttp.web.Response) -> object:
    """What a client makes of a server that answers this to everything."""

    async def handler(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return answer

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(handler))  # type: ignore[arg-type]
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        return await Client(f"http://{host}:{port}/", "token").read("/v1/services")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (aiohttp.web.Response(text="<html>"), "answered 200, and not as a control plane does"),
        (aiohttp.web.Response(status=502, text="oops"), "answered 502"),
        (aiohttp.web.Response(text="[]"), "not as a control plane does"),
        (aiohttp.web.Response(text="{}"), "not as a control plane does"),
        (aiohttp.web.Response(status=302, headers={"Location": "http://evil"}), "answered 302"),
        (aiohttp.web.Response(status=500, text="{}"), "the control plane answered 500"),
        (aiohttp.web.Response(status=422, text='{"problems": 5, "detail": "no"}'), "^no$"),
        (
            aiohttp.web.Response(
                status=422,
                text='{"problems": [{"field":"a","message":"b"}, {"field":"","message":"c"}]}',
            ),
            "^a: b; c$",
        ),
    ],
)
def test_whatever_is_answered_is_a_clear_error(answer: aiohttp.web.Response, message: str) -> None:
    with pytest.raises(CallError, match=message):
        asyncio.run(read_from(answer))


def test_a_good_answer_is_given_back() -> None:
    assert asyncio.run(read_from(aiohttp.web.Response(text='{"revision": 1}'))) == {"revision": 1}


def test_a_service_name_cannot_leave_its_place() -> None:
    assert service_path("a/../b?c#d") == "/v1/services/a%2F..%2Fb%3Fc%23d/weights"


def test_a_connection_that_is_reset_was_hung_up() -> None:
    """As when a server that wants another certificate closes before it has read the request."""

    async def scenario() -> None:
        async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()

        server = await asyncio.start_server(reset, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            await Client(f"http://{host}:{port}", "token").read("/v1/services")

    with pytest.raises(CallError, match=r"it hung up; does it speak TLS \(https://\), or want"):
        asyncio.run(scenario())
