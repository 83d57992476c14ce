"""Owns the rows of revisions and split tables. Never opens or ends a transaction."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from controlplane.model import Draft, Revision
from controlplane.store.tables import revisions, split_tables
from proxy.model.config import Traffic
from proxy.model.wire import Edges, SplitTable


def read_newest(connection: Connection) -> Revision:
    """The newest revision; number 0 when there is none."""
    last = select(revisions).order_by(revisions.c.revision.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return _whole(connection, row) if row else Revision(0)


def read_revision(connection: Connection, number: int) -> Revision | None:
    """The revision of that number; ``None`` when there is none."""
    if number == 0:
        return Revision(0)
    that = select(revisions).where(revisions.c.revision == number)
    row = connection.execute(that).one_or_none()
    return _whole(connection, row) if row else None


def _whole(connection: Connection, row: Row[Any]) -> Revision:
    traffic = msgspec.json.decode(row.traffic, type=Traffic)
    return Revision(row.revision, traffic, *_tables(connection, row.revision, traffic))


def _tables(
    connection: Connection, number: int, traffic: Traffic
) -> tuple[dict[str, SplitTable], dict[str, Edges]]:
    newest = (
        select(split_tables.c.service, func.max(split_tables.c.revision).label("revision"))
        .where(split_tables.c.revision <= number)
        .group_by(split_tables.c.service)
        .subquery()
    )
    of_newest = (split_tables.c.service == newest.c.service) & (
        split_tables.c.revision == newest.c.revision
    )
    columns = (split_tables.c.service, split_tables.c.split_table, split_tables.c.edges)
    query = select(*columns).join(newest, of_newest)
    found = [row for row in connection.execute(query) if row.service in traffic.services]
    tables = {row.service: msgspec.json.decode(row.split_table, type=SplitTable) for row in found}
    edges = {row.service: msgspec.json.decode(row.edges, type=Edges) for row in found if row.edges}
    return tables, edges


def insert_revision(
    connection: Connection, newest: Revision, revision: Revision, draft: Draft
) -> None:
    """Adds a revision, and the split tables and edges in which it differs from the newest one."""
    connection.execute(
        insert(revisions).values(
            revision=revision.number,
            at=draft.at,
            author=draft.author,
            reason=draft.reason,
            traffic=msgspec.json.encode(draft.traffic).decode(),
        )
    )
    moved = [
        {
            "service": service,
            "revision": revision.number,
            "split_table": msgspec.json.encode(table).decode(),
            "edges": msgspec.json.encode(edges).decode() if edges else None,
        }
        for service, table in draft.tables.items()
        if (newest.tables.get(service), newest.edges.get(service, ()))
        != (table, edges := draft.edges.get(service, ()))
    ]
    if moved:
        connection.execute(insert(split_tables), moved)
