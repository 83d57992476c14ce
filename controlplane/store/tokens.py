"""Owns, in a SQL database, the tokens. Never sees a secret: only what is kept of it comes here."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from controlplane.access.caller import Role
from controlplane.access.record import TokenRecord
from controlplane.store.tables import token_changes, tokens

FORGOTTEN = timedelta(days=90)
"""How long a token that is over can be looked up; the audit log tells of it for ever."""


def changes(connection: Connection) -> int:
    """How often tokens were changed; 0 when there never was one."""
    return int(connection.execute(select(token_changes.c.number)).scalar_one())


def unrevoked(connection: Connection) -> list[TokenRecord]:
    """The tokens that are not revoked; some of them may be expired."""
    query = select(tokens).where(tokens.c.revoked_at.is_(None)).order_by(tokens.c.number)
    return [_record(row) for row in connection.execute(query)]


def page(connection: Connection, limit: int, below: int | None) -> list[TokenRecord]:
    """The last ``limit`` tokens numbered below ``below``, newest first."""
    query = select(tokens).order_by(tokens.c.number.desc()).limit(limit)
    query = query if below is None else query.where(tokens.c.number < below)
    return [_record(row) for row in connection.execute(query)]


def one(connection: Connection, ident: str) -> TokenRecord | None:
    """The token of that id."""
    row = connection.execute(select(tokens).where(tokens.c.id == ident)).one_or_none()
    return _record(row) if row else None


def put(connection: Connection, record: TokenRecord, now: datetime) -> None:
    """Adds a token or replaces it; those that have been over for long go."""
    fields = msgspec.structs.asdict(record)
    services = None if record.services is None else msgspec.json.encode(record.services).decode()
    values = {**fields, "role": record.role.value, "services": services}
    connection.execute(delete(tokens).where(tokens.c.id == record.id))
    connection.execute(insert(tokens).values(values))
    connection.execute(update(token_changes).values(number=token_changes.c.number + 1))
    long_over = func.coalesce(tokens.c.revoked_at, tokens.c.expires_at) < now - FORGOTTEN
    connection.execute(delete(tokens).where(long_over))


def use(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Notes when tokens were used; never a time before the one that is there."""
    if not used:
        return
    at = bindparam("at", type_=tokens.c.used_at.type)
    is_later = or_(tokens.c.used_at.is_(None), tokens.c.used_at < at)
    one_of_them = update(tokens).where((tokens.c.id == bindparam("ident")) & is_later)
    # In one go: there may be as many tokens as proxies, and other writers wait meanwhile.
    rows = [{"ident": ident, "at": when} for ident, when in used.items()]
    connection.execute(one_of_them.values(used_at=at), rows)


def _record(row: Row[tuple[object, ...]]) -> TokenRecord:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's own public name
    services = fields["services"]
    fields["services"] = msgspec.json.decode(services, type=tuple[str, ...]) if services else None
    return TokenRecord(**{**fields, "role": Role(fields["role"])})
