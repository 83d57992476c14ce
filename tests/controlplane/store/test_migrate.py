import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from controlplane.store.base import StoreError
from controlplane.store.migrate import migrate
from controlplane.store.opening import open_database
from controlplane.store.postgres import PostgresDatabase
from controlplane.store.sql import SqlStore
from controlplane.store.tables import metadata
from tests.controlplane.support import store_url


def test_the_steps_make_just_what_the_code_reads(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.begin() as connection:
        migrate(connection)
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() is not None
    engine.dispose()


def test_the_steps_make_the_same_in_postgresql(postgres_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async def scenario() -> None:
        database = await PostgresDatabase.open(postgres_url)
        async with database.writing() as connection:
            assert await connection.run_sync(differences) == []
        await database.close()

    asyncio.run(scenario())


def test_an_up_to_date_database_is_left_alone(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.begin() as connection:
        migrate(connection)
        before = connection.exec_driver_sql("SELECT * FROM store").all()
        migrate(connection)
        assert connection.exec_driver_sql("SELECT * FROM store").all() == before
    engine.dispose()


def test_a_database_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def opened() -> None:
        await (await open_database(store_url(tmp_path))).close()

    asyncio.run(opened())
    database = sqlite3.connect(tmp_path / "control.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    with pytest.raises(StoreError, match="made by a newer one"):
        asyncio.run(opened())
    found = database.execute("SELECT version_num FROM alembic_version").fetchall()
    database.close()
    assert found == [("9999",)]


def test_a_first_start_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    """The steps run in one transaction: an empty file is all that a crash can leave."""
    (tmp_path / "control.db").touch()

    async def opened() -> str:
        database = await open_database(store_url(tmp_path))
        store = await SqlStore.on(database)
        await database.close()
        return store.id

    assert asyncio.run(opened()) == asyncio.run(opened())
