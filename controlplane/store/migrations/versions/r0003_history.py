"""The audit log, freezes, change windows, and replies that may be asked for again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables; the audit log begins here."""
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("seal", sa.String(64), nullable=False),
    )
    op.create_table(
        "freezes",
        sa.Column("service", sa.String(63), primary_key=True),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "change_windows",
        sa.Column("only", sa.Integer, sa.CheckConstraint('"only" = 1', name="one_list")),
        sa.Column("windows", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("only"),
    )
    op.create_table(
        "replies",
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("author", "key"),
    )


def downgrade() -> None:
    """Takes the tables away, and the audit log with them."""
    for table in ("replies", "change_windows", "freezes", "audit"):
        op.drop_table(table)
