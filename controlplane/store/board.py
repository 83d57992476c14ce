"""Owns what control planes on one SQL database tell each other. Never reads what it says.

Its transactions wait for no writer and notify nobody, and need not survive a crash of the server:
what is lost is written again within seconds.
"""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from controlplane.store.database import Database
from controlplane.store.tables import control_planes


class SqlBoard:
    """See ``Board``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, name: str, beat: int, summary: str, proxies: str | None) -> bool:
        """See ``Board``."""
        values: dict[str, object] = {"beat": beat, "summary": summary}
        if proxies is not None:
            values["proxies"] = proxies
        query = update(control_planes).where(control_planes.c.control_plane == name)
        async with self._database.aside() as connection:
            return (await connection.execute(query.values(**values))).rowcount > 0

    async def add(self, name: str, beat: int, summary: str, proxies: str) -> None:
        """See ``Board``."""
        row = {"control_plane": name, "beat": beat, "summary": summary, "proxies": proxies}
        async with self._database.aside() as connection:
            await connection.execute(insert(control_planes).values(**row))

    async def summaries(self, but: str) -> dict[str, tuple[int, str]]:
        """See ``Board``."""
        table = control_planes.c
        query = select(table.control_plane, table.beat, table.summary)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.where(table.control_plane != but))
            return {row.control_plane: (row.beat, row.summary) for row in rows}

    async def proxies(self, names: Sequence[str]) -> list[str]:
        """See ``Board``."""
        table = control_planes.c
        query = select(table.proxies).where(table.control_plane.in_(names))
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).scalars())

    async def remove(self, name: str, beat: int) -> None:
        """See ``Board``."""
        table = control_planes.c
        query = delete(control_planes).where(table.control_plane == name, table.beat == beat)
        async with self._database.aside() as connection:
            await connection.execute(query)
