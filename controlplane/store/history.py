"""Owns, in a SQL database, what goes with revisions: the audit log, freezes, change windows, and
replies that may be asked for again. Never decides what is in them; never changes the audit log but
at its end.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, insert, select

from controlplane.audit import BEGINNING, Entry, Sealed, canonical, seal
from controlplane.gate import Freeze, Freezes, Window
from controlplane.model import Kept
from controlplane.store.tables import audit, freezes, replies, windows

KEPT = timedelta(hours=24)
"""How long a reply may be asked for again."""


def append_entry(connection: Connection, entry: Entry) -> Sealed:
    """Adds an entry to the audit log, in the caller's transaction, which must be a writing one."""
    last = connection.execute(
        select(audit.c.number, audit.c.seal).order_by(audit.c.number.desc()).limit(1)
    ).one_or_none()
    number, before = (last.number + 1, last.seal) if last else (1, BEGINNING)
    sealed = seal(entry, number, before)
    text = canonical(msgspec.to_builtins(sealed)).decode()
    connection.execute(insert(audit).values(number=number, entry=text, seal=sealed.seal))
    return sealed


def entries(
    connection: Connection, limit: int, after: int | None, before: int | None
) -> list[tuple[int, str]]:
    """Entries as JSON: the first ones above ``after``, else the last ones below ``before``."""
    query = select(audit.c.number, audit.c.entry).limit(limit)
    if after is not None:
        query = query.where(audit.c.number > after).order_by(audit.c.number)
    else:
        query = query.order_by(audit.c.number.desc())
        query = query if before is None else query.where(audit.c.number < before)
    return [(row.number, row.entry) for row in connection.execute(query)]


def read_freezes(connection: Connection, now: datetime) -> Freezes:
    """The freezes that are not over."""
    found = {
        row.service: Freeze(row.author, row.reason, row.at, row.until)
        for row in connection.execute(select(freezes).order_by(freezes.c.service))
    }
    living = {service: freeze for service, freeze in found.items() if not freeze.is_over(now)}
    return Freezes(living.pop("", None), living)


def put_freeze(connection: Connection, service: str | None, freeze: Freeze | None) -> None:
    """Replaces the freeze of a service, or of everything; ``None`` lifts it."""
    name = service or ""
    connection.execute(delete(freezes).where(freezes.c.service == name))
    if freeze is not None:
        fields = msgspec.structs.asdict(freeze)
        connection.execute(insert(freezes).values(service=name, **fields))


def read_windows(connection: Connection) -> tuple[Window, ...]:
    """The change windows."""
    text = connection.execute(select(windows.c.windows)).scalar_one_or_none()
    return msgspec.json.decode(text, type=tuple[Window, ...]) if text else ()


def put_windows(connection: Connection, wanted: Sequence[Window]) -> None:
    """Replaces the change windows."""
    connection.execute(delete(windows))
    text = msgspec.json.encode(wanted).decode()
    connection.execute(insert(windows).values(only=1, windows=text))


def read_reply(connection: Connection, author: str, key: str, now: datetime) -> Kept | None:
    """The reply that was kept under an author's key, unless it is too old."""
    row = connection.execute(
        select(replies).where(
            (replies.c.author == author) & (replies.c.key == key) & (replies.c.at > now - KEPT)
        )
    ).one_or_none()
    return Kept(row.digest, row.body.encode(), row.tag) if row else None


def keep_reply(connection: Connection, author: str, key: str, reply: Kept, now: datetime) -> None:
    """Keeps a reply; those that are too old go."""
    connection.execute(delete(replies).where(replies.c.at <= now - KEPT))
    connection.execute(
        insert(replies).values(
            author=author,
            key=key,
            digest=reply.digest,
            body=reply.body.decode(),
            tag=reply.tag,
            at=now,
        )
    )
