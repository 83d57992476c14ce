"""Tokens, and a number that grows with each change of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables; there is no token yet."""
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("services", sa.Text, nullable=True),
        sa.Column("kept", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("old_kept", sa.String(255), nullable=True),
        sa.Column("old_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
    )
    changes = op.create_table(
        "token_changes",
        sa.Column("only", sa.Integer, sa.CheckConstraint('"only" = 1', name="one_number")),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("only"),
    )
    op.bulk_insert(changes, [{"only": 1, "number": 0}])


def downgrade() -> None:
    """Takes the tables away, and every token with them."""
    op.drop_table("token_changes")
    op.drop_table("tokens")
