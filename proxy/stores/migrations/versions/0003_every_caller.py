"""What a request asked for, and what of its answer is not counted in tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNTS = ("images", "search_units", "characters", "audio_ms")


def upgrade() -> None:
    """Add columns; all that is there was a chat."""
    for name in ("task", "words"):
        # The default is for the rows that are there: the program always writes every column.
        told = sa.Column(name, sa.Text, nullable=False, server_default=sa.text("'chat'"))
        op.add_column("generations", told)
    for name in COUNTS:
        count = sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))
        op.add_column("generations", count)
