import asyncio

import pytest

from controlplane.store.base import NotLeadingError, StoreError
from controlplane.store.sql import SqlStore
from loadtests.postgres import PostgresServer
from tests.controlplane.store.test_sql import added, append, opened, shop

PATIENCE_S = 20


async def as_leader(store: SqlStore, number: int, name: str = "work") -> None:
    async with store.writing() as unit:
        await unit.check_leader(name, number)
        await added(unit, shop(a=number))


def test_only_the_last_leader_may_write(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            with pytest.raises(NotLeadingError):
                await as_leader(store, 1)
            lock = store._database.session_lock("work")
            assert await lock.take()
            assert await lock.number() == 1
            await as_leader(store, 1)
            await lock.release()
            again = store._database.session_lock("work")
            async with asyncio.timeout(PATIENCE_S):
                while not await again.take():  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.01)
            assert await again.number() == 2
            with pytest.raises(NotLeadingError, match="leader 1 of 'work' was followed by 2"):
                await as_leader(store, 1)
            with pytest.raises(NotLeadingError):
                await as_leader(store, 2, "other work")
            await as_leader(store, 2)
            assert await store.newest_number() == 2
            await again.release()

    asyncio.run(scenario())


def test_who_has_lost_the_lock_gets_no_number(postgres: PostgresServer, postgres_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgres_url) as store:
            lock = store._database.session_lock("work")
            with pytest.raises(StoreError, match="not held"):
                await lock.number()
            assert await lock.take()
            await asyncio.to_thread(postgres.restart)
            with pytest.raises(StoreError):
                await lock.number()
            await lock.release()
            await append(store, shop(a=1))

    asyncio.run(scenario())


def test_nobody_becomes_leader_amid_a_step_of_another_one(postgres_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgres_url) as store:
            lock = store._database.session_lock("work")
            assert await lock.take()
            number = await lock.number()
            async with asyncio.timeout(PATIENCE_S):
                async with store.writing() as unit:
                    await unit.check_leader("work", number)
                    following = asyncio.create_task(lock.number())
                    await asyncio.wait([following], timeout=0.2)
                    assert not following.done()
                    await added(unit, shop(a=1))
                assert await following == number + 1
            await lock.release()

    asyncio.run(scenario())
