"""How a SQLite file is found, made, connected to, and how its errors are told."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    PoolProxiedConnection,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DatabaseError, InternalError, OperationalError

from proxy.stores.schema import StoreError, StoreUnavailable

# The store holds the hashes of keys and who used what: it is its owner's alone.
FILE_MODE: Final = 0o600

Run: TypeAlias = Callable[..., sqlite3.Cursor]
"""Runs a statement in SQL with its values in their order."""

_FAULTS: Final = (sqlite3.OperationalError, sqlite3.InternalError, sqlite3.DatabaseError)
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


def path_of(url: str) -> str:
    """The file that `url` names. Raises StoreError where it names none."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("The store's URL must look like sqlite:///weir.db.") from None
    if parsed.drivername != "sqlite":
        raise StoreError(f"Stores of the kind {parsed.drivername!r} are not supported.")
    if parsed.database in (None, "", ":memory:") or parsed.host or parsed.query:
        raise StoreError("The store's URL must name a file, such as sqlite:///weir.db.")
    return str(parsed.database)


def touch(path: str) -> None:
    """Make the file with the right mode where it is missing; SQLite gives its side files the same.

    Raises StoreError.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise StoreError(f"The store {path} can not be opened: {error.strerror}.") from error


def place_of(path: str) -> tuple[int, int] | None:
    """Which file stands at `path` (its device and its number there); None where none does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: str, *, busy_timeout_ms: int) -> Engine:
    """An engine whose transactions are SQLAlchemy's own, so that they also span DDL.

    They begin with the execution option `begin`; a plain BEGIN takes no lock before it needs one.
    """
    engine = create_engine(
        URL.create("sqlite", database=path),
        connect_args={"timeout": busy_timeout_ms / 1000},  # the driver's name for busy_timeout
        hide_parameters=True,  # else an error's text shows hashes and whatever else was bound
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing behind our back
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


class Database:
    """The file at `path` and the ways into it; all raise StoreUnavailable where SQLite can
    not do its part, and nothing of a block that raised is kept.
    """

    def __init__(self, path: str, engine: Engine) -> None:
        self.path = path
        self.engine = engine
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._kept: PoolProxiedConnection | None = None
        self._watch: PoolProxiedConnection | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot of everything."""
        with translated(self.path), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, durable when the block was left; it has the lock from the beginning."""
        with translated(self.path), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def posting(self) -> Iterator[Run]:
        """The same for statements in SQL that are run a thousand times a second, past SQLAlchemy:
        on a connection of the driver that is kept for them.
        """
        with translated(self.path):
            run = self._driver().execute
            run("BEGIN IMMEDIATE")
            try:
                yield run
                run("COMMIT")
            except BaseException:
                with suppress(sqlite3.OperationalError):  # SQLite may have ended it by itself
                    run("ROLLBACK")
                raise

    @contextmanager
    def looking(self) -> Iterator[Run]:
        """The same for what only reads: each statement sees a snapshot of its own."""
        with translated(self.path):
            yield self._driver().execute

    def data_version(self) -> int:
        """A number that differs from the last one if anybody committed anything in between.

        SQLite counts per connection, and leaves out what the connection wrote itself. So one that
        never writes is kept for it, and this store's own writes are seen too.
        """
        with translated(self.path):
            if self._watch is None:
                self._watch = self.engine.raw_connection()
            version: int = _driver_of(self._watch).execute("PRAGMA data_version").fetchall()[0][0]
            return version

    def _driver(self) -> sqlite3.Connection:
        if self._kept is None:
            self._kept = self.engine.raw_connection()
        return _driver_of(self._kept)

    def close(self) -> None:
        """Close every connection."""
        for kept in (self._kept, self._watch):
            if kept is not None:
                kept.close()
        self._kept = self._watch = None
        self.engine.dispose()


def _driver_of(kept: PoolProxiedConnection) -> sqlite3.Connection:
    driver: sqlite3.Connection = kept.driver_connection  # type: ignore[assignment]
    return driver


def busy(error: OperationalError) -> bool:
    """Whether another connection's lock is the reason."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BUSY


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turns what SQLite says of the database into StoreUnavailable.

    What it says of a statement or of a value passes: that is a bug of ours, and no later attempt
    will go better.
    """
    try:
        yield
    except DatabaseError as error:
        if type(error) not in (OperationalError, InternalError, DatabaseError):
            raise
        raise StoreUnavailable(f"The store {path} can not be used: {error.orig}.") from error
    except sqlite3.DatabaseError as error:
        if type(error) not in _FAULTS:
            raise
        raise StoreUnavailable(f"The store {path} can not be used: {error}.") from error
