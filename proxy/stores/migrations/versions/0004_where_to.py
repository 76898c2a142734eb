"""What routing did for a request: its arm, its preset, a router's choice, a warm cache."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns; none of it was done for what is there."""
    for name in ("arm", "preset", "choice"):
        op.add_column("generations", sa.Column(name, sa.Text))
    # The defaults are for the rows that are there: the program always writes every column.
    stayed = sa.Column("stayed", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("generations", stayed)
    saved = sa.Column("saved_nano", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    op.add_column("generations", saved)
    op.create_table(
        "feedback",
        sa.Column("generation", sa.Text, primary_key=True, nullable=False),
        sa.Column("category", sa.Text, primary_key=True, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("key_hash", sa.Text),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "presets",
        sa.Column("account", sa.Text, primary_key=True, nullable=False),
        sa.Column("slug", sa.Text, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger, primary_key=True, nullable=False),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("system_prompt", sa.Text),
        sa.Column("config", sa.Text, nullable=False),
    )
