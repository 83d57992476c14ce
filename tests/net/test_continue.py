import asyncio

from proxy.model.config import Timeouts
from tests.support.raw_backend import OK, RawBackend, Visit
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, run


def test_after_100_it_is_the_clients_turn() -> None:
    """response_s 0.3; the endpoint says 100 at once, the client begins its body after 0.8 s."""

    async def test() -> None:
        async def script(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await visit.exactly(4)
            await visit.send(OK)
            await visit.end()

        async with (
            RawBackend(script) as b,
            Running(config_for(b.endpoint, timeouts=Timeouts(response_s=0.3))) as r,
            RawClient(r.where) as c,
        ):
            await c.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
            await c.head()
            await asyncio.sleep(0.8)
            await c.send(b"body")
            assert (await c.answer("POST")).status == 200

    run(test)
