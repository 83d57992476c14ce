import asyncio

from sqlalchemy import text

from controlplane.store.board import SqlBoard
from controlplane.store.postgres import PostgresDatabase
from tests.controlplane.store.test_sql import opened

PATIENCE_S = 20


def test_each_has_a_row_and_reads_the_others(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            board = SqlBoard(store._database)
            assert not await board.put("a", 1, "s1", "p1")
            await board.add("a", 1, "s1", "p1")
            await board.add("b", 7, "s7", "p7")
            assert await board.summaries("b") == {"a": (1, "s1")}
            assert await board.put("a", 2, "s2", None)
            assert await board.summaries("c") == {"a": (2, "s2"), "b": (7, "s7")}
            assert await board.proxies(["a"]) == ["p1"]
            assert await board.put("a", 3, "s2", "p3")
            assert sorted(await board.proxies(["a", "b", "gone"])) == ["p3", "p7"]
            await board.remove("a", 2)
            assert "a" in await board.summaries("b"), "it has written since"
            await board.remove("a", 3)
            assert await board.summaries("b") == {}

    asyncio.run(scenario())


def test_what_is_told_waits_for_no_writer_and_wakes_nobody(postgres_url: str) -> None:
    async def scenario() -> None:
        heard: list[None] = []
        begun = asyncio.Event()

        def hear() -> None:
            heard.append(None)
            begun.set()

        database = await PostgresDatabase.open(postgres_url)
        other = await PostgresDatabase.open(postgres_url)
        listening = asyncio.create_task(other.listen(hear))
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
            begun.clear()
            async with other.writing():  # its turn lasts as long as this block
                await SqlBoard(database).add("a", 1, "s", "p")
                found = await SqlBoard(database).summaries("")
            assert found == {"a": (1, "s")}
            await begun.wait()  # of the writer's commit, which came later
        assert len(heard) == 2
        async with database.aside() as connection:
            query = text("SELECT current_setting('synchronous_commit')")
            assert (await connection.execute(query)).scalar_one() == "off"
        listening.cancel()
        await asyncio.wait([listening])
        await other.close()
        await database.close()

    asyncio.run(scenario())
