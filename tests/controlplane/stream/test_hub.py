import asyncio

import msgspec

from controlplane.model import Revision
from controlplane.stream.frames import text_frame
from controlplane.stream.hub import GOODBYES, Hub
from proxy.model.config import Service, Traffic, Version
from proxy.model.wire import Snapshot, SplitTable

TABLES = {"shop": SplitTable(("a",), (0, 10_000))}


class Kept:
    """A receiver that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.goodbyes: list[tuple[int, str]] = []
        self.cuts = 0

    def put(self, frame: bytes) -> None:
        self.frames.append(frame)

    def goodbye(self, code: int, reason: str) -> None:
        self.goodbyes.append((code, reason))

    def cut(self) -> None:
        self.cuts += 1


def revision(number: int) -> Revision:
    shop = Service(versions={"a": Version(("http://a:80",))}, weights={"a": number})
    return Revision(number, Traffic(services={"shop": shop}), TABLES)


def frame(number: int) -> bytes:
    snapshot = Snapshot(number, revision(number).traffic, TABLES, "store-1")
    return text_frame(msgspec.json.encode(snapshot))


def joined(hub: Hub, has: int) -> Kept:
    receiver = Kept()
    hub.open(receiver)
    hub.join(receiver, has)
    return receiver


def test_a_snapshot_is_whole_and_says_whose_it_is() -> None:
    assert joined(Hub("store-1", revision(3)), 0).frames == [frame(3)]


def test_nothing_is_sent_before_the_first_configuration() -> None:
    hub = Hub("store-1", Revision(0))
    receiver = joined(hub, 0)
    assert receiver.frames == []
    hub.publish(revision(1))
    assert receiver.frames == [frame(1)]


def test_who_has_the_newest_is_sent_nothing() -> None:
    hub = Hub("store-1", revision(3))
    assert joined(hub, 3).frames == []
    assert joined(hub, 2).frames == [frame(3)]


def test_a_revision_is_encoded_once_for_all() -> None:
    hub = Hub("store-1", revision(1))
    first, second, gone = joined(hub, 1), joined(hub, 1), joined(hub, 1)
    hub.leave(gone)
    hub.publish(revision(2))
    third = joined(hub, 1)
    assert first.frames == [frame(2)]
    assert first.frames[0] is second.frames[0] is third.frames[0]
    assert gone.frames == []


def test_an_old_revision_never_replaces_a_newer_one() -> None:
    hub = Hub("store-1", revision(5))
    receiver = joined(hub, 5)
    hub.publish(revision(4))
    hub.publish(revision(5))
    assert receiver.frames == []
    assert hub.revision == 5


def test_closing_tells_everyone_and_who_comes_after() -> None:
    hub = Hub("store-1", revision(1))
    early, unknown, late = joined(hub, 1), Kept(), Kept()
    hub.open(unknown)  # has not said hello

    async def scenario() -> None:
        closing = asyncio.create_task(hub.close())
        await asyncio.sleep(0)
        hub.open(late)
        hub.join(late, 0)
        for receiver in (early, unknown, late):
            assert receiver.goodbyes == [(1001, "the control plane is stopping")]
            assert receiver.frames == []
            assert not closing.done()
            hub.leave(receiver)
        await closing

    asyncio.run(scenario())
    assert (early.cuts, unknown.cuts, late.cuts) == (0, 0, 0)


def test_who_does_not_answer_a_goodbye_is_cut() -> None:
    hub = Hub("store-1", revision(1))
    gone, silent = joined(hub, 1), joined(hub, 1)

    async def scenario() -> None:
        closing = asyncio.create_task(hub.close(goodbye_s=0.01))
        await asyncio.sleep(0)
        hub.leave(gone)
        await closing

    asyncio.run(scenario())
    assert (gone.cuts, silent.cuts) == (0, 1)


def test_closing_waits_for_nobody_where_nobody_is() -> None:
    hub = Hub("store-1", revision(1))
    hub.leave(joined(hub, 1))
    asyncio.run(hub.close(goodbye_s=3600.0))


def test_a_goodbye_to_thousands_lets_others_have_their_turn() -> None:
    hub = Hub("store-1", revision(1))
    everyone = [joined(hub, 1) for _ in range(3 * GOODBYES + 1)]
    told: list[int] = []

    async def look() -> None:
        while not told or told[-1] < len(everyone):
            told.append(sum(bool(receiver.goodbyes) for receiver in everyone))
            await asyncio.sleep(0)
        for receiver in everyone:
            hub.leave(receiver)

    async def scenario() -> None:
        looking = asyncio.create_task(look())
        await hub.close()
        await looking

    asyncio.run(scenario())
    assert GOODBYES in told
    assert [receiver.goodbyes for receiver in everyone] == [everyone[0].goodbyes] * len(everyone)
    assert len(everyone[0].goodbyes) == 1
