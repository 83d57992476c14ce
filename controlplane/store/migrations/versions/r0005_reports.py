"""The figures of proxies' reports, and which reports were counted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "figures",
        sa.Column("level_s", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("version", sa.String(63), nullable=False),
        sa.Column("segment", sa.String(127), nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("latency", sa.LargeBinary, nullable=False),
        sa.Column("share", sa.Float(53), nullable=True),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("level_s", "start", "service", "version", "segment"),
    )
    op.create_table(
        "seen_reports",
        sa.Column("boot", sa.String(16), nullable=False),
        sa.Column("newest", sa.BigInteger, nullable=False),
        sa.Column("mask", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("boot"),
    )
    op.create_index("seen_reports_at", "seen_reports", ["at"])


def downgrade() -> None:
    """Takes the tables away, and the figures with them."""
    for table in ("seen_reports", "figures"):
        op.drop_table(table)
