"""What a version is charged for: the first attempt, whatever comes after it, and each once."""

import asyncio

import pytest

from proxy.model.config import Config, Match, Retry, Route, Segment, Service, Timeouts, Version
from tests.net.test_retry_policy import DOWN, OOPS, UP, Script, scripts
from tests.support.raw_backend import RawBackend
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, run


@pytest.mark.parametrize(
    ("acts", "status", "errors"),
    [
        ((UP,), 200, 0),
        ((OOPS,), 500, 1),
        ((DOWN, UP), 200, 1),
        ((DOWN, DOWN, DOWN), 503, 1),
        ((None, UP), 200, 1),
    ],
)
def test_errors_by_what_came_first(
    acts: tuple[bytes | None, ...], status: int, errors: int
) -> None:
    async def test() -> None:
        async with scripts(Script(*acts)) as running, RawClient(running.where) as client:
            assert (await client.ask(get("/a", "X-Id: 7"))).status == status
            counts = await running.counted({f"GET {status}": 1})
            assert counts.errors == errors

    run(test)


def test_no_endpoint_is_an_error_of_the_version() -> None:
    async def test() -> None:
        async with (
            Running(config_for("http://127.0.0.1:1")) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/a"))).status == 503
            counts = await running.counted({"GET 503": 1})
            assert (counts.errors, counts.attempts) == (1, {"connect_failed": 1})

    run(test)


def test_a_first_attempt_that_was_good_stays_good() -> None:
    """The policy repeats a 429, which is no error of the version's; the repetition is one."""

    async def test() -> None:
        busy = UP.replace(b"200 ", b"429 ")
        retry = Retry(conditions=("429",), backoff_s=0.0)
        async with scripts(Script(busy, OOPS), retry=retry) as running:
            async with RawClient(running.where) as client:
                assert (await client.ask(get("/a", "X-Id: 7"))).status == 500
            counts = await running.counted({"GET 500": 1})
            assert (counts.errors, counts.attempts) == (0, {"success": 1, "server_error": 1})

    run(test)


def test_a_client_that_leaves_is_no_error_of_the_version() -> None:
    async def test() -> None:
        asked = asyncio.Event()

        async def silent(_visit: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        async with RawBackend(silent) as backend:
            config = config_for(backend.endpoint, timeouts=Timeouts(response_s=20))
            async with Running(config) as running:
                async with RawClient(running.where) as client:
                    await client.send(get("/a"))
                    await asked.wait()
                    client.reset()
                counts = await running.counted({"GET 499": 1})
                assert counts.errors == 0

    run(test)


def test_segments_are_charged_alike() -> None:
    async def test() -> None:
        script = Script(OOPS, UP, OOPS)
        async with RawBackend(script.serve) as backend:
            service = Service(
                versions={"stable": Version(endpoints=(backend.endpoint,))},
                segments={"country": Segment(header="X-Country", values=("de",))},
            )
            config = Config(services={"shop": service}, routes=(Route("shop", match=Match()),))
            async with Running(config) as running, RawClient(running.where) as client:
                for country in ("de", "de", "xx"):
                    await client.ask(get("/a", f"X-Country: {country}"))
                counts = await running.counted({"GET 500": 2, "GET 200": 1})
                assert counts.errors == 2
                assert counts.segment_errors == {"country=de": 1, "country=other": 1}

    run(test)
