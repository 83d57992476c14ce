"""The first form: the store's own id, revisions, and the split tables that go with them."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, and gives the store the id that proxies know it by."""
    store = op.create_table(
        "store",
        sa.Column("only", sa.Integer, sa.CheckConstraint('"only" = 1', name="one_row")),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("only"),
    )
    op.create_table(
        "revisions",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("traffic", sa.Text, nullable=False),
    )
    op.create_table(
        "split_tables",
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("revision", sa.Integer, sa.ForeignKey("revisions.revision"), nullable=False),
        sa.Column("split_table", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("service", "revision"),
    )
    op.bulk_insert(store, [{"only": 1, "id": str(uuid.uuid4()), "created_at": datetime.now(UTC)}])


def downgrade() -> None:
    """There is nothing before the first form."""
    raise NotImplementedError("the first form of the database cannot be undone")
