"""Which sources are followed, and what stays while they do not answer."""

import asyncio
import contextlib
import logging

import pytest

from proxy.discovery.finder import Failed, Found
from proxy.discovery.following import MOST, Discovery
from proxy.discovery.make import make_finder
from proxy.model.config import Discovery as Settings
from proxy.model.config import Endpoint
from proxy.sync.file import FileWatch
from tests.support.running import eventually, run

ONE = Endpoint("http://10.0.0.1:80")
TWO = Endpoint("http://10.0.0.2:80")


class Scripted:
    """A finder that a test drives: a fault such as ``run``'s end cannot be had otherwise."""

    def __init__(self) -> None:
        self.found: Found
        self.failed: Failed
        self.stopped = False
        self.crash = asyncio.Event()
        self.runs = 0

    async def run(self, found: Found, failed: Failed) -> None:
        self.found, self.failed = found, failed
        self.runs += 1
        try:
            await self.crash.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        self.crash.clear()
        raise RuntimeError("a bug")


class Finders:
    """By URL."""

    def __init__(self) -> None:
        self.made: dict[str, Scripted] = {}

    def __call__(self, url: str) -> Scripted:
        finder = self.made[url] = Scripted()
        return finder


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_what_is_found_stays_while_the_source_fails(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def test() -> None:
        finders = Finders()
        discovery = Discovery(finders)
        discovery.follow(["a"])
        await turn()
        finders.made["a"].found((TWO, ONE, ONE))
        assert discovery.found == {"a": (ONE, TWO)}
        assert discovery.changed.is_set()
        discovery.changed.clear()
        finders.made["a"].found((ONE, TWO))  # in another order: no change
        for _ in range(3):
            finders.made["a"].failed("no answer in time")
        assert not discovery.changed.is_set()
        assert discovery.found == {"a": (ONE, TWO)}
        (state,) = discovery.states()
        assert (state.endpoints, state.trouble, state.failures) == (2, "no answer in time", 3)
        said = [record.message for record in caplog.records if "no answer" in record.message]
        assert said == ["a: no answer in time; 2 endpoints found before stay"]
        finders.made["a"].found((ONE,))
        assert discovery.states()[0].trouble == ""
        assert discovery.changed.is_set()
        await discovery.stop()

    run(test)


def test_sources_begin_and_end_with_the_configuration() -> None:
    async def test() -> None:
        finders = Finders()
        discovery = Discovery(finders)
        discovery.follow(["a", "b", "a"])
        await turn()
        first = finders.made["a"]
        first.found((ONE,))
        discovery.follow(["a", "c"])
        await turn()
        assert finders.made["a"] is first
        assert finders.made["b"].stopped
        assert set(discovery.found) == {"a", "c"}
        await discovery.stop()
        assert first.stopped
        assert discovery.found == {}

    run(test)


def test_a_start_waits_for_each_source_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        finders = Finders()
        discovery = Discovery(finders)
        discovery.follow(["a", "b"])
        waiting = asyncio.create_task(discovery.tried(10.0))
        await turn()
        finders.made["a"].found((ONE,))
        await turn()
        assert not waiting.done()
        finders.made["b"].failed("no")
        await waiting
        discovery.follow(["a", "b", "late"])
        await discovery.tried(0.01)
        assert "no answer within 0.01 s from late" in caplog.text
        await discovery.stop()

    run(test)


def test_a_finder_that_breaks_is_started_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.discovery.following.AGAIN_S", 0.01)

    async def test() -> None:
        finders = Finders()
        discovery = Discovery(finders)
        discovery.follow(["a"])
        await turn()
        finder = finders.made["a"]
        finder.found((ONE,))
        finder.crash.set()
        await eventually(lambda: finder.runs == 2)
        assert discovery.found == {"a": (ONE,)}
        assert "a bug" in caplog.text
        await discovery.stop()

    run(test)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1:0", "http://10.0.0.1:99999", "http://[fe80::1%eth0]:80", "http://[fe80::1]:80",
     "http://0.0.0.0:80", "http://[::]:80", "http://224.0.0.1:80", "http://255.255.255.255:80",
     "http://169.254.169.254:80", "ftp://x"],
)  # fmt: skip
def test_what_cannot_be_an_endpoint_is_left_out(url: str) -> None:
    """A resolver's answer may be anything; a worker is never given what it would fail on."""

    async def test() -> None:
        finders = Finders()
        discovery = Discovery(finders)
        discovery.follow(["a"])
        await turn()
        finders.made["a"].found((ONE, TWO))
        finders.made["a"].found((Endpoint(url),))
        assert discovery.found == {"a": (ONE, TWO)}
        assert discovery.states()[0].trouble == f"{url} cannot be an endpoint"
        finders.made["a"].found((Endpoint(url), TWO))
        assert discovery.found == {"a": (TWO,)}
        finders.made["a"].found((Endpoint("http://shop.internal:80"), Endpoint("unix:/run/s")))
        assert discovery.states()[0].trouble == ""
        await discovery.stop()

    run(test)


def test_an_answer_without_end_is_refused() -> None:
    async def test() -> None:
        finders = Finders()
        discovery = Discovery(finders)
        discovery.follow(["a"])
        await turn()
        finders.made["a"].found((ONE,))
        many = tuple(Endpoint(f"http://10.1.{n // 250}.{n % 250 + 1}:80") for n in range(MOST + 1))
        finders.made["a"].found(many)
        assert discovery.found == {"a": (ONE,)}
        assert "are more than" in discovery.states()[0].trouble
        finders.made["a"].found(many[:MOST])
        assert len(discovery.found["a"]) == MOST
        await discovery.stop()

    run(test)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("dns://shop.test:80", "DnsFinder"),
        ("dns+srv://_http._tcp.shop.test", "DnsFinder"),
        ("file:///etc/shop/endpoints.yaml", "FileFinder"),
        ("kubernetes://prod/shop:http", "KubernetesFinder"),
        ("cloudmap://prod/shop", "CloudMapFinder"),
    ],
)
def test_every_kind_of_source_has_a_finder(url: str, name: str) -> None:
    async def test() -> None:
        finder = make_finder(url, Settings(), lambda path, take: FileWatch(path, "", take))
        assert type(finder).__name__ == name

    run(test)


def test_a_finder_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    class Deaf(Scripted):
        async def run(self, found: Found, failed: Failed) -> None:
            found(())
            for _ in range(2):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            await super().run(found, failed)

    async def test() -> None:
        deaf = Deaf()
        discovery = Discovery(lambda _: deaf)
        discovery.follow(["a"])
        await discovery.tried(5.0)
        discovery.follow([])
        await eventually(lambda: deaf.stopped)
        await discovery.stop()

    run(test)
