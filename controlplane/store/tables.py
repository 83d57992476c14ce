"""Owns the shape of the database as the code reads it. Never changes one (see ``migrations``).

A split table is written only when it differs from the service's table before, so that a change of
one service's weights costs one row: the table of a service at revision N is its newest row that is
not above N.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite has no zones: what it gives back is UTC by this rule."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature is SQLAlchemy's
        """Refuses a naive time rather than guess its zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature is SQLAlchemy's
        """Gives the zone back."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

store = Table(
    "store",
    metadata,
    Column("only", Integer, CheckConstraint('"only" = 1', name="one_row"), primary_key=True),
    Column("id", String(36), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("traffic", Text, nullable=False),
)

split_tables = Table(
    "split_tables",
    metadata,
    Column("service", String(63), primary_key=True),
    Column("revision", Integer, ForeignKey("revisions.revision"), primary_key=True),
    Column("split_table", Text, nullable=False),
    Column("edges", Text, nullable=True),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column("seal", String(64), nullable=False),
)
"""Rows are added at the end, and never changed: ``controlplane.audit``."""

freezes = Table(
    "freezes",
    metadata,
    Column("service", String(63), primary_key=True),
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=True),
)
"""The service is empty for the freeze of everything."""

windows = Table(
    "change_windows",
    metadata,
    Column("only", Integer, CheckConstraint('"only" = 1', name="one_list"), primary_key=True),
    Column("windows", Text, nullable=False),
)

replies = Table(
    "replies",
    metadata,
    Column("author", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("tag", String(64), nullable=True),
    Column("at", UtcDateTime, nullable=False),
)
"""What was answered to a request with an ``Idempotency-Key``, for 24 hours."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("services", Text, nullable=True),
    Column("kept", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("expires_at", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    Column("rotated_at", UtcDateTime, nullable=True),
    Column("old_kept", String(255), nullable=True),
    Column("old_until", UtcDateTime, nullable=True),
    Column("used_at", UtcDateTime, nullable=True),
)
"""``kept`` is salted scrypt of the secret: ``controlplane.access.bearer``."""

token_changes = Table(
    "token_changes",
    metadata,
    Column("only", Integer, CheckConstraint('"only" = 1', name="one_number"), primary_key=True),
    Column("number", Integer, nullable=False),
)
"""By its number every control plane sees whether it must read the tokens anew."""
control_planes = Table(
    "control_planes",
    metadata,
    Column("control_plane", String(36), primary_key=True),
    Column("beat", Integer, nullable=False),
    Column("summary", Text, nullable=False),
    Column("proxies", Text, nullable=False),
)
"""Who serves on this database now, and the proxies that are connected there."""

leaders = Table(
    "leaders",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("number", Integer, nullable=False),
)
"""How many leaders there were for what must be done once."""


def _figures(name: str, part: str, chars: int, *more: Column[Any]) -> Table:
    """Sums of reports (``controlplane.rollup``): ``start`` is Unix time, bytes are MessagePack.

    Args:
        part: what they are by, beside service and version.
        chars: of its name at most.
    """
    return Table(
        name,
        metadata,
        Column("level_s", Integer, primary_key=True, autoincrement=False),
        Column("start", BigInteger, primary_key=True, autoincrement=False),
        Column("service", String(63), primary_key=True),
        Column("version", String(63), primary_key=True),
        Column(part, String(chars), primary_key=True),
        Column("requests", BigInteger, nullable=False),
        Column("errors", BigInteger, nullable=False),
        Column("latency", LargeBinary, nullable=False),
        Column("spread", LargeBinary, nullable=True),
        *more,
    )


figures = _figures(
    "figures",
    "segment",
    127,
    Column("share", Float(53), nullable=True),
    Column("reports", BigInteger, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("users", LargeBinary, nullable=True),
    Column("erring", LargeBinary, nullable=True),
)
endpoint_figures = _figures("endpoint_figures", "endpoint", 300)

seen_reports = Table(
    "seen_reports",
    metadata,
    Column("boot", String(16), primary_key=True),
    Column("newest", BigInteger, nullable=False),
    Column("mask", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("seen_reports_at", "at"),
)
"""Which reports of each life of a proxy were counted: ``controlplane.screening``."""
