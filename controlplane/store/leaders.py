"""Owns the numbers of leaders in a SQL database: each leader has one above all before it, so that
what an earlier one writes late is told from what the last one writes. Never says who may lead.

Source: the fencing token of Kleppmann, "How to do distributed locking" (2016).
"""

from sqlalchemy import Connection, insert, select, update

from controlplane.store.base import NotLeadingError
from controlplane.store.tables import leaders


def next_leader(connection: Connection, name: str) -> int:
    """The number of a new leader, in the caller's transaction, which must be a writing one."""
    row = select(leaders.c.number).where(leaders.c.name == name)
    last: int | None = connection.execute(row).scalar_one_or_none()
    if last is None:
        connection.execute(insert(leaders).values(name=name, number=1))
        return 1
    connection.execute(update(leaders).where(leaders.c.name == name).values(number=last + 1))
    return last + 1


def check_leader(connection: Connection, name: str, number: int) -> None:
    """Whether the last leader has this number; it stays so until the transaction has ended.

    Raises: NotLeadingError.
    """
    # The row is locked against its next change; SQLite has one writer anyway.
    row = select(leaders.c.number).where(leaders.c.name == name).with_for_update(read=True)
    last: int | None = connection.execute(row).scalar_one_or_none()
    if last != number:
        raise NotLeadingError(f"leader {number} of {name!r} was followed by {last}")
