"""Keys, the counter of changes, generation records and the providers' own lists of models."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "keys",
        sa.Column("hash", sa.Text, primary_key=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
    )
    active = sa.text("revoked_at IS NULL")
    op.create_index("keys_active_name", "keys", ["name"], unique=True, sqlite_where=active)
    changes = op.create_table("changes", sa.Column("seq", sa.BigInteger, nullable=False))
    op.bulk_insert(changes, [{"seq": 0}])
    op.create_table("generations", *_generation_columns())
    op.create_index("generations_created_at", "generations", ["created_at"])
    op.create_index("generations_key_hash_created_at", "generations", ["key_hash", "created_at"])
    op.create_table(
        "listings",
        sa.Column("provider", sa.Text, primary_key=True, nullable=False),
        sa.Column("fetched_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def _generation_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("key_hash", sa.Text),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("provider_name", sa.Text, nullable=False),
        sa.Column("endpoint_model", sa.Text, nullable=False),
        sa.Column("upstream_id", sa.Text),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("status", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("native_finish_reason", sa.Text),
        sa.Column("latency_ms", sa.BigInteger),
        sa.Column("generation_time_ms", sa.BigInteger),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("image_tokens", sa.BigInteger, nullable=False),
        sa.Column("usage_estimated", sa.Boolean, nullable=False),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("service_tier", sa.Text),
        sa.Column("media_prompt", sa.BigInteger, nullable=False),
        sa.Column("audio_prompt", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("http_referer", sa.Text),
        sa.Column("title", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("attempts", sa.Text, nullable=False),
    ]
