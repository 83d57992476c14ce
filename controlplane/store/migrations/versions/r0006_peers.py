"""What control planes tell each other of their proxies, numbers of leaders, tags of replies."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables; a kept reply has a tag in place of its revision, which was its tag."""
    op.create_table(
        "control_planes",
        sa.Column("control_plane", sa.String(36), primary_key=True),
        sa.Column("beat", sa.Integer, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("proxies", sa.Text, nullable=False),
    )
    op.create_table(
        "leaders",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.add_column("replies", sa.Column("tag", sa.String(64), nullable=True))
    op.execute("UPDATE replies SET tag = CAST(revision AS VARCHAR(64))")
    op.drop_column("replies", "revision")


def downgrade() -> None:
    """Takes the tables away, and the replies that may be asked for again."""
    op.execute("DELETE FROM replies")
    op.add_column("replies", sa.Column("revision", sa.Integer, nullable=True))
    op.drop_column("replies", "tag")
    op.drop_table("leaders")
    op.drop_table("control_planes")
