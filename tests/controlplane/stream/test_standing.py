import asyncio
from datetime import UTC, datetime

import pytest

from controlplane.access.book import Admitted
from controlplane.access.caller import Caller, Role
from controlplane.stream import standing as module
from controlplane.stream.standing import ENDED, Standing

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Stream:
    def __init__(self) -> None:
        self.said: list[int] = []
        self.was_cut = asyncio.Event()

    def goodbye(self, code: int, reason: str) -> None:
        assert len(reason.encode()) < 124
        self.said.append(code)

    def cut(self) -> None:
        self.was_cut.set()


def admitted(holds: set[str], name: str) -> Admitted:
    return Admitted(Caller(name, Role.PROXY), lambda _: name in holds)


def test_the_streams_of_who_no_longer_stands_are_closed_then_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CUT_S", 0.0)

    async def scenario() -> None:
        holds = {"a", "b"}
        standing, (a, b) = Standing(lambda: NOW), (admitted(holds, "a"), admitted(holds, "b"))
        one, other, left, stays = (Stream() for _ in range(4))
        for who, stream in ((a, one), (a, other), (a, left), (b, stays)):
            standing.join(who, stream)
        standing.leave(a, left)
        standing.sweep()
        assert one.said == []
        holds.remove("a")
        standing.sweep()
        standing.sweep()
        assert (one.said, other.said, left.said, stays.said) == ([ENDED], [ENDED], [], [])
        await one.was_cut.wait()
        await other.was_cut.wait()
        assert not stays.was_cut.is_set()
        for who, stream in ((a, one), (a, other), (b, stays)):
            standing.leave(who, stream)
        assert standing._open == {}

    asyncio.run(scenario())
