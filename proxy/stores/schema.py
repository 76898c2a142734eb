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
    Column,
    Dialect,
    Double,
    Index,
    MetaData,
    Row,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from proxy.accounts.keys import Key
from proxy.wire.listing import Listing
from proxy.wire.record import Generation, Try

HEAD: Final = "0001"

S = TypeVar("S", bound=msgspec.Struct)


class StoreError(Exception):
    """The store can not do what was asked; the message is for the person who asked."""


class StoreMissing(StoreError):
    """There is no database yet, and none was to be made."""


class StoreUnavailable(StoreError):
    """The database is locked, full, broken or closed: the same request may work later."""


class Encoded(TypeDecorator[Any]):
    """A value of `kind` as JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return msgspec.json.decode(value, type=self.kind)


_TYPES: Final[dict[Any, TypeEngine[Any]]] = {
    str: Text(),
    int: BigInteger(),
    float: Double(),
    bool: Boolean(),
    tuple[Try, ...]: Encoded(tuple[Try, ...]),
}


def _columns(struct: type[msgspec.Struct], *, key: str) -> Iterator[Column[Any]]:
    for field in msgspec.structs.fields(struct):
        nullable = isinstance(field.type, UnionType)
        kind = get_args(field.type)[0] if nullable else field.type
        yield Column(field.name, _TYPES[kind], primary_key=field.name == key, nullable=nullable)


metadata = MetaData()

keys = Table("keys", metadata, *_columns(Key, key="hash"))
Index("keys_active_name", keys.c.name, unique=True, sqlite_where=keys.c.revoked_at.is_(None))

# One row. Every write that running gateways must hear of raises `seq` in its own transaction.
changes = Table("changes", metadata, Column("seq", BigInteger, nullable=False))

generations = Table("generations", metadata, *_columns(Generation, key="id"))
Index("generations_created_at", generations.c.created_at)
Index("generations_key_hash_created_at", generations.c.key_hash, generations.c.created_at)

# The body stays text here: a row that this version can not read must not hide the others.
listings = Table(
    "listings",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("fetched_at", Double, nullable=False),
    Column("body", Text, nullable=False),
)

# Alembic's own note of where the database stands; not part of the metadata it compares.
version = Table("alembic_version", MetaData(), Column("version_num", Text, nullable=False))


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
