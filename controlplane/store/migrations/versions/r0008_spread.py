"""How requests are spread over users and endpoints, and what counts as slow."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; what endpoints do has a table of its own."""
    op.add_column("split_tables", sa.Column("edges", sa.Text, nullable=True))
    op.add_column("figures", sa.Column("spread", sa.LargeBinary, nullable=True))
    op.create_table(
        "endpoint_figures",
        sa.Column("level_s", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("version", sa.String(63), nullable=False),
        sa.Column("endpoint", sa.String(300), nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("latency", sa.LargeBinary, nullable=False),
        sa.Column("spread", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("level_s", "start", "service", "version", "endpoint"),
    )


def downgrade() -> None:
    """Takes them away, and what they held with them."""
    op.drop_table("endpoint_figures")
    op.drop_column("figures", "spread")
    op.drop_column("split_tables", "edges")
