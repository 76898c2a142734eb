"""The store in a SQLite file: keys, generation records, and the providers' lists of models.

All calls are synchronous. The command line calls them as they are; the running gateway only
through the thread of `stores/writer.py`. WAL lets readers and one writer work side by side, and
`synchronous=FULL` means that a call which returned has survived a power cut. Writers take the lock
as they begin (`BEGIN IMMEDIATE`): a transaction that first reads and then finds another writer
ahead of it could only be thrown away.
"""

import os
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, or_, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from proxy.accounts.keys import Key
from proxy.stores import feedback, migrations, schema, sqlite, trials, usage
from proxy.stores.feedback import Feedback
from proxy.stores.hot import Query
from proxy.stores.ledger import SqlLedger
from proxy.stores.presets import SqlPresets
from proxy.stores.schema import (
    StoreError,
    StoreMissing,
    StoreUnavailable,
    accounts,
    changes,
    generations,
    keys,
    listings,
)
from proxy.stores.trials import ArmRow
from proxy.stores.usage import By, KeyUsage, UsageRow
from proxy.wire.listing import Listing
from proxy.wire.record import Generation

# How long a first start waits for another one that is migrating the same file.
OPEN_TIMEOUT_S: Final = 15.0
HASH_DIGITS_MIN: Final = 8  # fewer would revoke the wrong key by a slip of the hand

_SEQ: Final = Query(select(changes.c.seq))  # read four times a second


class SqlStore:
    """One open database. Every method raises StoreUnavailable where SQLite can not do its part."""

    def __init__(self, path: str, engine: Engine) -> None:
        self._database = database = sqlite.Database(path, engine)
        self._path = path
        self._engine = engine
        self._reading = database.reading
        self._writing = database.writing
        self.ledger = SqlLedger(database)
        self.presets = SqlPresets(database)
        self._place: tuple[int, int] | None = None

    @classmethod
    def open(cls, url: str, *, create: bool = True, busy_timeout_ms: int = 5_000) -> "SqlStore":
        """The store at `url` (`sqlite:///path`), made or migrated first where it is necessary.

        With `create=False` the file is neither made nor migrated. A call waits up to
        `busy_timeout_ms` for other writers. Raises StoreMissing where there is then none,
        StoreError: not a SQLite URL, not a database, or the database of a newer Weir.
        """
        path = sqlite.path_of(url)
        if create:
            sqlite.touch(path)
        elif not os.path.exists(path):
            raise StoreMissing(f"There is no store at {path} yet.")
        store = cls(path, sqlite.connect(path, busy_timeout_ms=busy_timeout_ms))
        try:
            store._prepare(migrate=create)
            store._place = sqlite.place_of(path)
        except BaseException:
            store.close()
            raise
        return store

    def _prepare(self, *, migrate: bool) -> None:
        """Connect and migrate. SQLite's own waiting does not cover the change to WAL, where the
        first starts of two processes can meet: hence this one.
        """
        give_up_at = time.monotonic() + OPEN_TIMEOUT_S
        with sqlite.translated(self._path):
            while True:
                try:
                    return self._migrate() if migrate else self._refuse_other_version()
                except OperationalError as error:
                    if not sqlite.busy(error) or time.monotonic() > give_up_at:
                        raise
                time.sleep(0.02)

    def _migrate(self) -> None:
        if self._revision() != schema.HEAD:
            with self._writing() as connection:
                migrations.upgrade(connection)

    def _refuse_other_version(self) -> None:
        if self._revision() != schema.HEAD:
            raise StoreError(
                f"The store {self._path} is not of this version of Weir; `weir serve` updates it."
            )

    def _revision(self) -> str | None:
        with self._engine.begin() as connection:
            return migrations.revision(connection)

    def close(self) -> None:
        """Close every connection; the store can not be used after it."""
        self._database.close()

    # Keys, and how other processes hear of them.

    def add_key(self, key: Key) -> None:
        """Keep `key`. Raises StoreError where an active key has its name, or its account is not
        there.
        """
        with self._writing() as connection:
            account = select(accounts.c.name).where(accounts.c.name == key.account)
            if connection.execute(account).first() is None:
                raise StoreError(f"There is no account named {key.account!r}.")
            added = insert(keys).values(schema.encode(key)).on_conflict_do_nothing()
            if connection.execute(added).rowcount == 0:
                raise StoreError(
                    f"A key named {key.name!r} is active already: revoke it first, or choose "
                    "another name."
                )
            _tell(connection)

    def keys(self) -> list[Key]:
        """All keys, oldest first, with the revoked ones."""
        with self._reading() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.created_at, keys.c.hash))
            return [schema.decode(row, Key) for row in rows]

    def revoke_key(self, hash_or_name: str, *, now: float) -> Key | None:
        """Revoke the one active key of this name or hash, or whose hash begins so (8 digits or
        more). None where there is none; StoreError where there are several.
        """
        with self._writing() as connection:
            key = _active(connection, hash_or_name)
            if key is None:
                return None
            connection.execute(keys.update().where(keys.c.hash == key.hash).values(revoked_at=now))
            _tell(connection)
            return msgspec.structs.replace(key, revoked_at=now)

    def set_disabled(self, hash_or_name: str, disabled: bool) -> Key | None:
        """Disable an active key or enable it again; which one, and errors, as for `revoke_key`."""
        with self._writing() as connection:
            key = _active(connection, hash_or_name)
            if key is None:
                return None
            mine = keys.update().where(keys.c.hash == key.hash)
            connection.execute(mine.values(disabled=disabled))
            _tell(connection)
            return msgspec.structs.replace(key, disabled=disabled)

    def changes_seq(self) -> int:
        """The number of writes that running gateways must hear of."""
        with self._database.looking() as run:
            seq: int = _SEQ.rows(run)[0][0]
            return seq

    def check_place(self) -> None:
        """Raises StoreUnavailable where the file that is open no longer stands at its path.

        SQLite goes on with a file that was deleted or replaced, and hears of nobody's writes.
        """
        if sqlite.place_of(self._path) != self._place:
            raise StoreUnavailable(
                f"The store {self._path} was deleted or replaced; only a restart opens the new one."
            )

    def data_version(self) -> int:
        """A number that differs from the last one if anybody committed anything in between."""
        return self._database.data_version()

    # Generation records; the ledger keeps them.

    def generation(self, id: str, *, key_hash: str | None) -> Generation | None:
        """The record `id`. With `key_hash` only where that key or its account made the request."""
        query = select(generations).where(generations.c.id == id)
        if key_hash is not None:
            account = select(keys.c.account).where(keys.c.hash == key_hash).scalar_subquery()
            query = query.where(
                or_(generations.c.key_hash == key_hash, generations.c.account == account)
            )
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else schema.decode(row, Generation)

    def usage(
        self, *, since: float | None = None, until: float | None = None, by: By
    ) -> list[UsageRow]:
        """What was used from `since` up to, not including, `until` (seconds since 1970)."""
        query = usage.by_name(by, since=since, until=until)
        with self._reading() as connection:
            return [schema.decode(row, UsageRow) for row in connection.execute(query)]

    def key_usage(
        self, key_hash: str, *, day_start: float, week_start: float, month_start: float
    ) -> KeyUsage:
        """What the key spent, ever and since each of the three days (their beginnings in UTC, in
        seconds since 1970).
        """
        with self._reading() as connection:
            days = connection.execute(usage.of_key(key_hash)).all()
        return KeyUsage(
            total_nano=usage.since(days, 0.0),
            daily_nano=usage.since(days, day_start),
            weekly_nano=usage.since(days, week_start),
            monthly_nano=usage.since(days, month_start),
        )

    def put_feedback(self, said: Feedback) -> None:
        """Keep what was said of an answer, in place of what was said of it in that category."""
        with self._writing() as connection:
            feedback.put(connection, said)

    def trial(self, alias: str, *, since: float, account: str | None = None) -> list[ArmRow]:
        """How the arms of `alias` did; see `stores.trials`."""
        with self._reading() as connection:
            return trials.of_alias(connection, alias, since=since, account=account)

    # The providers' own lists of models.

    def put_listing(self, provider: str, rows: Sequence[Listing], *, fetched_at: float) -> None:
        """Keep what `provider` (its slug) listed, in place of what it listed before."""
        new = {"fetched_at": fetched_at, "body": schema.encode_listings(rows)}
        statement = insert(listings).values(provider=provider, **new)
        with self._writing() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["provider"], set_=new)
            )

    def listings(self) -> dict[str, tuple[float, tuple[Listing, ...]]]:
        """By provider slug: when it was asked (seconds since 1970), and what it listed."""
        with self._reading() as connection:
            rows = connection.execute(select(listings)).all()
        decoded = ((row.provider, row.fetched_at, schema.decode_listings(row.body)) for row in rows)
        return {slug: (at, models) for slug, at, models in decoded if models is not None}


def _tell(connection: Connection) -> None:
    """Have running gateways reload, once this transaction is committed."""
    connection.execute(changes.update().values(seq=changes.c.seq + 1))


def _active(connection: Connection, hash_or_name: str) -> Key | None:
    meant = or_(keys.c.hash == hash_or_name, keys.c.name == hash_or_name)
    if len(hash_or_name) >= HASH_DIGITS_MIN:
        meant = or_(meant, keys.c.hash.startswith(hash_or_name, autoescape=True))
    rows = connection.execute(select(keys).where(keys.c.revoked_at.is_(None), meant))
    found = [schema.decode(row, Key) for row in rows]
    exact = [key for key in found if key.hash == hash_or_name]
    if len(found) > 1 and not exact:
        several = ", ".join(f"{key.name} ({key.hash[:16]})" for key in found)
        raise StoreError(f"{hash_or_name!r} may be any of {several}: give more of the hash.")
    return next(iter(exact or found), None)
