"""Accounts, pots, leases, transfers and daily sums; limits of keys; the reasons of a choice.

What was used before there was a ledger becomes what it was: charges that nobody was billed for.
So sums, limits and `verify` need no exception for old rows.
"""

import time
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NANO_MAX = 2**62
HALF_BITS = 31
KNOWN = "SELECT account, created_at FROM keys UNION ALL SELECT account, created_at FROM generations"


def upgrade() -> None:
    """Add columns and tables, and fill them from the rows that are there."""
    _widen()
    # What a key spent is read from `spend`: nothing looks for a key's generations any more.
    op.drop_index("generations_key_hash_created_at", "generations")
    _make_pots()
    _make_books()
    op.execute(
        f"INSERT INTO accounts SELECT account, min(created_at) FROM ({KNOWN}) GROUP BY account"
    )
    default = sa.text("INSERT INTO accounts VALUES ('default', :now) ON CONFLICT DO NOTHING")
    op.execute(default.bindparams(now=time.time()))
    op.execute("INSERT INTO pots SELECT 'account:' || name, 0, 0, 0 FROM accounts")
    op.execute(
        "INSERT INTO transfers (id, at, kind, debit, credit, amount_nano, account, key_hash) "
        "SELECT id, created_at, 'unbilled', 'house:unbilled', 'house:charges', "
        f"min(cost_nano, {NANO_MAX}), account, key_hash FROM generations WHERE cost_nano > 0"
    )
    _fill_spend()


def _widen() -> None:
    # The defaults are for the rows that are there: the program always writes every column.
    for name in ("limit_nano", "requests_per_minute", "tokens_per_minute", "concurrent_requests"):
        op.add_column("keys", sa.Column(name, sa.BigInteger))
    op.add_column("keys", sa.Column("limit_reset", sa.Text))
    for name in ("disabled", "management"):
        op.add_column("keys", _later(name, sa.Boolean(), sa.false()))
    op.add_column("generations", _later("candidates", sa.Text(), sa.text("'[]'")))
    op.add_column("generations", sa.Column("upstream_nano", sa.BigInteger, server_default="0"))
    for name in ("house_nano", "held_nano", "waited_ms"):
        op.add_column("generations", _later(name, sa.BigInteger(), sa.text("0")))
    op.add_column("generations", _later("recovered", sa.Boolean(), sa.false()))


def _later(name: str, kind: sa.types.TypeEngine[Any], default: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def _make_pots() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_table(
        "pots",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("available_nano", sa.BigInteger, nullable=False),
        sa.Column("granted_nano", sa.BigInteger, nullable=False),
        sa.Column("charged_nano", sa.BigInteger, nullable=False),
        sa.CheckConstraint("available_nano >= 0", name="pots_never_negative"),
    )
    op.create_table(
        "owners",
        sa.Column("owner", sa.Text, primary_key=True, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("owner", sa.Text, primary_key=True, nullable=False),
        sa.Column("pot", sa.Text, primary_key=True, nullable=False),
        sa.Column("amount_nano", sa.BigInteger, nullable=False),
        sa.Column("settled_nano", sa.BigInteger, nullable=False),
        sa.Column("recalled", sa.Boolean, nullable=False),
        sa.CheckConstraint("settled_nano BETWEEN 0 AND amount_nano", name="leases_never_overdrawn"),
    )
    op.create_index("leases_pot", "leases", ["pot"])


def _make_books() -> None:
    op.create_table(
        "transfers",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("debit", sa.Text, nullable=False),
        sa.Column("credit", sa.Text, nullable=False),
        sa.Column("amount_nano", sa.BigInteger, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("key_hash", sa.Text),
        sa.Column("note", sa.Text),
        sa.CheckConstraint("amount_nano > 0", name="transfers_move_something"),
        sqlite_with_rowid=False,
    )
    grants = sa.text("kind = 'grant'")
    op.create_index("transfers_grants", "transfers", ["account"], sqlite_where=grants)
    op.create_table(
        "spend",
        sa.Column("key_hash", sa.Text, primary_key=True, nullable=False),
        sa.Column("account", sa.Text, primary_key=True, nullable=False),
        sa.Column("day", sa.BigInteger, primary_key=True, nullable=False),
        sa.Column("amount_nano", sa.BigInteger, nullable=False),
        sa.Column("free", sa.BigInteger, nullable=False),
    )
    op.create_index("spend_account", "spend", ["account"])
    op.create_index("spend_day", "spend", ["day"])
    op.create_table(
        "checkpoints",
        sa.Column("generation", sa.Text, primary_key=True, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("checkpoints_owner", "checkpoints", ["owner"])


def _fill_spend() -> None:
    """The sums are made of two halves, so that no row, however absurd, leaves 64 bits."""
    half = 2**HALF_BITS
    high, low = f"sum(amount_nano / {half})", f"sum(amount_nano % {half})"
    total = f"CASE WHEN {high} < {half} THEN {high} * {half} + {low} ELSE {NANO_MAX} END"
    total = f"min({total}, {NANO_MAX})"
    op.execute(
        "INSERT INTO spend (key_hash, account, day, amount_nano, free) "
        f"SELECT coalesce(key_hash, ''), account, CAST(at AS BIGINT) / 86400, {total}, 0 "
        "FROM transfers GROUP BY 1, 2, 3"
    )
