from tests.support.raw_backend import OK, RawBackend, replying
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, run


def test_an_ambiguous_head_request_gets_no_body() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as b,
            Running(config_for(b.endpoint)) as r,
            RawClient(r.where) as c,
        ):
            await c.send(get("/%00", method="HEAD"))
            head = await c.head()
            assert b" 400 " in head
            assert await c.rest() == b""

    run(test)
