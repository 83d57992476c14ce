"""Samples of the users that were seen, beside the figures of reports."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; of what was counted before, nobody knows who it was."""
    for name in ("users", "erring"):
        op.add_column("figures", sa.Column(name, sa.LargeBinary, nullable=True))


def downgrade() -> None:
    """Takes the columns away, and the samples with them."""
    for name in ("erring", "users"):
        op.drop_column("figures", name)
