import asyncio

import msgspec
import pytest

from controlplane.model import Revision
from controlplane.stream.hub import Hub, HubClosedError, Mailbox
from proxy.model.config import Service, Traffic, Version
from proxy.model.wire import Snapshot, SplitTable

TABLES = {"shop": SplitTable(("a",), (0, 10_000))}


def revision(number: int) -> Revision:
    shop = Service(versions={"a": Version(("http://a:80",))}, weights={"a": number})
    return Revision(number, Traffic(services={"shop": shop}), TABLES)


def taken(mailbox: Mailbox) -> Snapshot:
    async def take() -> str:
        async with asyncio.timeout(0):  # what is there is there at once
            return await mailbox.take()

    return msgspec.json.decode(asyncio.run(take()), type=Snapshot)


def is_empty(mailbox: Mailbox) -> bool:
    return mailbox._pending is None


def test_a_snapshot_is_whole_and_says_whose_it_is() -> None:
    hub = Hub("store-1", revision(3))
    expected = Snapshot(3, revision(3).traffic, TABLES, "store-1")
    assert taken(hub.join(0)) == expected


def test_nothing_is_sent_before_the_first_configuration() -> None:
    hub = Hub("store-1", Revision(0))
    mailbox = hub.join(0)
    assert is_empty(mailbox)
    hub.publish(revision(1))
    assert taken(mailbox).revision == 1
    assert is_empty(mailbox)


def test_who_has_the_newest_is_sent_nothing() -> None:
    hub = Hub("store-1", revision(3))
    assert is_empty(hub.join(3))
    assert taken(hub.join(2)).revision == 3


def test_only_the_newest_is_pending() -> None:
    hub = Hub("store-1", revision(1))
    slow, gone = hub.join(0), hub.join(0)
    hub.leave(gone)
    for number in range(2, 50):
        hub.publish(revision(number))
    assert taken(slow).revision == 49
    assert is_empty(slow)
    assert taken(gone).revision == 1


def test_an_old_revision_never_replaces_a_newer_one() -> None:
    hub = Hub("store-1", revision(5))
    mailbox = hub.join(5)
    hub.publish(revision(4))
    hub.publish(revision(5))
    assert is_empty(mailbox)
    assert hub.revision == 5


def test_closing_tells_everyone_and_who_comes_after() -> None:
    hub = Hub("store-1", revision(1))
    early = hub.join(1)
    hub.close()
    for mailbox in (early, hub.join(0)):
        with pytest.raises(HubClosedError):
            asyncio.run(mailbox.take())
