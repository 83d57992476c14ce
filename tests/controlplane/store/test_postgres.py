import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from controlplane.store import postgres as module
from controlplane.store.base import StoreError, StoreFullError, StoreUnsureError
from controlplane.store.opening import open_database
from controlplane.store.postgres import PostgresDatabase, shown
from controlplane.store.sql import SqlStore
from loadtests.postgres import PostgresServer
from tests.controlplane.store.test_sql import added, append, opened, shop
from tests.controlplane.support import ROOT

PATIENCE_S = 20


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://u:hunter2@db.example:5432/x", "postgresql://db.example:5432/x"),
        ("postgresql://u:hun/ter2@db/x", "postgresql://db/x"),
        ("postgresql://u:hun?ter2@db/x", "postgresql://db/x"),
        ("postgresql://u:hunt@er2@db/x?sslmode=require", "postgresql://db/x"),
        ("postgresql://db/x?user=u&password=hunter2", "postgresql://…"),
        ("mysql://u:hunter2@db/x", "mysql://db/x"),
    ],
)
def test_no_password_is_shown(url: str, safe: str) -> None:
    assert shown(url) == safe


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hun/ter2@127.0.0.1/x",
        "postgresql://u:hunter2@127.0.0.1:99999/x",
        "postgresql://u:hunter2@127.0.0.1:1/x",
        "postgresql://u:hunter2@nowhere.invalid/x",
        "postgresql://127.0.0.1:1/x?user=u&password=hunter2",
    ],
)
def test_what_cannot_be_opened_is_told_without_the_password(url: str) -> None:
    with pytest.raises(StoreError, match="store postgresql://") as caught:
        asyncio.run(open_database(url))
    assert "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None  # it may hold the URL, and would be in a traceback


def test_a_database_that_is_not_there_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(StoreError, match='database "none" does not exist'):
        asyncio.run(open_database(postgres.url("none")))


@pytest.mark.e2e
def test_several_that_start_at_once_make_one_store(postgres_url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from controlplane.store.opening import open_database\n"
        "from controlplane.store.sql import SqlStore\n"
        "async def run():\n"
        "    sys.stdin.readline()\n"
        "    database = await open_database(sys.argv[1])\n"
        "    print((await SqlStore.on(database)).id)\n"
        "    await database.close()\n"
        "asyncio.run(run())\n"
    )
    command = [sys.executable, "-c", program, postgres_url]
    pipe = subprocess.PIPE
    starts = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=os.environ)
        for _ in range(3)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("\n")
        start.stdin.flush()
    said = {start.communicate(timeout=60)[0] for start in starts}
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert len(said) == 1
    assert len(said.pop().strip()) == 36


def test_a_server_that_restarted_is_found_again(
    postgres: PostgresServer, postgres_url: str
) -> None:
    async def scenario() -> None:
        async with opened(postgres_url) as store:
            await asyncio.gather(*(store.newest() for _ in range(4)))  # several in the pool
            await append(store, shop(a=1))
            await asyncio.to_thread(postgres.restart)
            assert (await append(store, shop(a=2))).number == 2
            found = await asyncio.gather(*(store.newest_number() for _ in range(4)))
            assert found == [2] * 4
            await asyncio.to_thread(postgres.stop)
            try:
                for ask in (store.newest, store.ping):
                    with pytest.raises(StoreError, match="cannot be reached"):
                        await ask()
            finally:
                await asyncio.to_thread(postgres.start)
            await store.ping()

    asyncio.run(scenario())


def test_a_connection_that_is_lost_in_a_write_leaves_nothing(
    postgres: PostgresServer, postgres_url: str
) -> None:
    async def cut_off(store: SqlStore) -> None:
        async with store._database.writing() as connection:
            await connection.execute(text("DELETE FROM store"))
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await asyncio.to_thread(postgres.sql, f"SELECT pg_terminate_backend({pid})")
            await connection.execute(text("SELECT 1"))

    async def scenario() -> None:
        async with opened(postgres_url) as store:
            with pytest.raises(StoreError):
                await cut_off(store)
            await append(store, shop(a=1))
            async with store._database.reading() as connection:
                rows = (await connection.execute(text("SELECT id FROM store"))).all()
            assert rows == [(store.id,)]

    asyncio.run(scenario())


def test_a_connection_that_is_lost_at_the_commit_is_told_apart(postgres_url: str) -> None:
    body = "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END"
    statements = (
        f"CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        """CREATE CONSTRAINT TRIGGER die AFTER INSERT ON revisions
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()""",
    )

    async def scenario() -> None:
        async with opened(postgres_url) as store:
            # The server ends the session at the commit itself, after all statements went well.
            async with store._database.writing() as connection:
                for statement in statements:
                    await connection.execute(text(statement))
            with pytest.raises(StoreUnsureError):
                await append(store, shop(a=1))
            assert await store.newest_number() == 0

    asyncio.run(scenario())


def test_a_full_disk_is_told_apart(postgres_url: str) -> None:
    full = "DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$"

    async def scenario() -> None:
        async with opened(postgres_url) as store:
            with pytest.raises(StoreFullError):
                async with store._database.writing() as connection:
                    await connection.execute(text(full))
            with pytest.raises(StoreError) as caught:
                async with store._database.writing() as connection:
                    await connection.execute(text("SELECT 'carefully: disk is full' + 1"))
            assert not isinstance(caught.value, StoreFullError)

    asyncio.run(scenario())


def test_a_reader_may_not_write_and_a_writer_waits_for_the_disk(
    postgres: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    query = text("SELECT current_setting('synchronous_commit')")

    async def scenario() -> None:
        async with opened(postgres_url) as store:
            async with store._database.reading() as connection:
                assert (await connection.execute(query)).scalar_one() == "off"
            async with store._database.writing() as connection:
                assert (await connection.execute(query)).scalar_one() == "on"
            with pytest.raises(StoreError, match="read-only"):
                async with store._database.reading() as connection:
                    await connection.execute(text("DELETE FROM store"))

    asyncio.run(scenario())


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await event.wait()
    event.clear()


def test_whoever_listens_hears_of_every_commit_and_of_no_failure(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ALIVE_S", 0.05)

    async def scenario() -> None:
        heard = asyncio.Event()
        times: list[None] = []

        def hear() -> None:
            times.append(None)
            heard.set()

        async with opened(postgres_url) as store, opened(postgres_url) as other:
            listening = asyncio.create_task(other._database.listen(hear))
            await until(heard)
            with pytest.raises(LookupError):
                await fail(store)
            await append(store, shop(a=1))
            await until(heard)
            assert len(times) == 2
            await asyncio.to_thread(postgres.restart)
            with pytest.raises(StoreError):
                await asyncio.wait_for(listening, PATIENCE_S)

    asyncio.run(scenario())


async def fail(store: SqlStore) -> None:
    async with store.writing() as unit:
        await added(unit, shop(a=1))
        raise LookupError


def test_a_session_lock_has_one_holder(postgres: PostgresServer, postgres_url: str) -> None:
    async def scenario() -> None:
        database = await PostgresDatabase.open(postgres_url)
        one, other, third = (database.session_lock(name) for name in ("a", "a", "b"))
        assert await one.take()
        assert await one.take()
        assert not await other.take()
        assert await third.take()
        await one.confirm()
        with pytest.raises(StoreError, match="not held"):
            await other.confirm()
        await one.release()
        await taken(other.take)
        await asyncio.to_thread(postgres.restart)
        with pytest.raises(StoreError):
            await other.confirm()
        await taken(one.take)
        for lock in (one, other, third):
            await lock.release()
        await database.close()

    async def taken(take: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            # The server tells nobody that a lock is free.
            while not await take():  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
