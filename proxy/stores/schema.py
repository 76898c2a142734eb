"""The tables, the mapping between their rows and the structs of the house, and the room's errors.

A table is made from the struct it keeps, column by column, so that the two can not drift apart.
The migrations spell every column out; a test holds the two against each other, so a new field of a
struct fails there until a migration brings it. `HEAD` is the newest migration: comparing it with
the database's own note spares a start the import of Alembic.
"""

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Final, TypeVar, get_args

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    Index,
    MetaData,
    Row,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.types import TypeEngine

from proxy.accounts.keys import Key
from proxy.wire.listing import Listing
from proxy.wire.record import Candidate, Generation, Try

HEAD: Final = "0004"

S = TypeVar("S", bound=msgspec.Struct)


class StoreError(Exception):
    """The store can not do what was asked; the message is for the person who asked."""


class StoreMissing(StoreError):
    """There is no database yet, and none was to be made."""


class StoreUnavailable(StoreError):
    """The database is locked, full, broken or closed: the same request may work later."""


class Encoded(TypeDecorator[Any]):
    """JSON text that is read as a value of `kind`; `stores.posting` writes it."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return msgspec.json.decode(value, type=self.kind)


_TYPES: Final[dict[Any, TypeEngine[Any]]] = {
    str: Text(),
    int: BigInteger(),
    float: Double(),
    bool: Boolean(),
    tuple[Try, ...]: Encoded(tuple[Try, ...]),
    tuple[Candidate, ...]: Encoded(tuple[Candidate, ...]),
}


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of credit, as `proxy.accounts.ledger` lists them. `account` and `key_hash` tell
    whom it is about; `at` is in seconds since 1970.
    """

    id: str
    at: float
    kind: str
    debit: str
    credit: str
    amount_nano: int
    account: str
    key_hash: str | None = None
    note: str | None = None


# Of columns that came after the first version, as their migrations give them to the rows that were
# there; the program always writes every column.
_LATER: Final[dict[str, Any]] = {
    **dict.fromkeys(("disabled", "management", "recovered", "stayed"), false()),
    "candidates": text("'[]'"),
    "upstream_nano": "0",
    **dict.fromkeys(("house_nano", "held_nano", "waited_ms"), text("0")),
    **dict.fromkeys(("task", "words"), text("'chat'")),
    "saved_nano": text("0"),
    **dict.fromkeys(("images", "search_units", "characters", "audio_ms"), text("0")),
}


def _columns(struct: type[msgspec.Struct], *, key: str) -> Iterator[Column[Any]]:
    for field in msgspec.structs.fields(struct):
        nullable = isinstance(field.type, UnionType)
        kind = get_args(field.type)[0] if nullable else field.type
        default = _LATER.get(field.name)
        role: dict[str, Any] = {"primary_key": field.name == key, "nullable": nullable}
        yield Column(field.name, _TYPES[kind], **role, server_default=default)


metadata = MetaData()

keys = Table("keys", metadata, *_columns(Key, key="hash"))
Index("keys_active_name", keys.c.name, unique=True, sqlite_where=keys.c.revoked_at.is_(None))

# One row. Every write that running gateways must hear of raises `seq` in its own transaction.
changes = Table("changes", metadata, Column("seq", BigInteger, nullable=False))

generations = Table("generations", metadata, *_columns(Generation, key="id"))
Index("generations_created_at", generations.c.created_at)

# The body stays text here: a row that this version can not read must not hide the others.
listings = Table(
    "listings",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("fetched_at", Double, nullable=False),
    Column("body", Text, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
)

# What the transfers say of each pot, added up; a statement that would overdraw one fails.
pots = Table(
    "pots",
    metadata,
    Column("name", Text, primary_key=True),
    Column("available_nano", BigInteger, nullable=False),
    Column("granted_nano", BigInteger, nullable=False),
    Column("charged_nano", BigInteger, nullable=False),
    CheckConstraint("available_nano >= 0", name="pots_never_negative"),
)

owners = Table(
    "owners",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("opened_at", Double, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("pot", Text, primary_key=True),
    Column("amount_nano", BigInteger, nullable=False),
    Column("settled_nano", BigInteger, nullable=False),
    Column("recalled", Boolean, nullable=False),
    CheckConstraint("settled_nano BETWEEN 0 AND amount_nano", name="leases_never_overdrawn"),
)
Index("leases_pot", leases.c.pot)

transfers = Table(
    "transfers",
    metadata,
    *_columns(Transfer, key="id"),
    CheckConstraint("amount_nano > 0", name="transfers_move_something"),
    sqlite_with_rowid=False,
)
# Bound to a parameter it would not be seen to be the condition of the index.
is_grant = transfers.c.kind == text("'grant'")
Index("transfers_grants", transfers.c.account, sqlite_where=is_grant)

# What the transfers say of each key ("" for none) and day, added up, and the requests that count
# for the free-model rules. A day is a number of days since 1970, in UTC.
spend = Table(
    "spend",
    metadata,
    Column("key_hash", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("amount_nano", BigInteger, nullable=False),
    Column("free", BigInteger, nullable=False),
)
Index("spend_account", spend.c.account)
Index("spend_day", spend.c.day)

# The body is a Settlement as JSON text.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("generation", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("body", Text, nullable=False),
)
Index("checkpoints_owner", checkpoints.c.owner)

# What people said of answers: of each generation once in each category, the last word counts.
feedback = Table(
    "feedback",
    metadata,
    Column("generation", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("comment", Text),
    Column("key_hash", Text),
    Column("at", Double, nullable=False),
)

# One row for each version of a preset; the config is an object of JSON.
presets = Table(
    "presets",
    metadata,
    Column("account", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("creator", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("system_prompt", Text),
    Column("config", Text, nullable=False),
)

# Alembic's own note of where the database stands; not part of the metadata it compares.
version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))


def encode(struct: msgspec.Struct) -> dict[str, Any]:
    """The row of `struct`, by column name."""
    return msgspec.structs.asdict(struct)


def decode(row: Row[Any], kind: type[S]) -> S:
    """The struct that `encode` made `row` of."""
    return msgspec.convert(row._mapping, kind)


def encode_listings(rows: Iterable[Listing]) -> str:
    """A provider's list as the text of `listings.body`."""
    return msgspec.json.encode(tuple(rows)).decode()


def decode_listings(body: str) -> tuple[Listing, ...] | None:
    """The list in `body`; None where another version of Weir wrote what this one can not read."""
    try:
        return msgspec.json.decode(body, type=tuple[Listing, ...])
    except msgspec.ValidationError:
        return None
