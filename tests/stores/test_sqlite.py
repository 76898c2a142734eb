"""How files are named, made and connected to."""

import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from proxy.stores import sqlite
from proxy.stores.schema import StoreError, StoreUnavailable


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///weir.db", "weir.db"), ("sqlite:////var/lib/weir.db", "/var/lib/weir.db")],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert sqlite.path_of(url) == path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("weir.db", "must look like"),
        ("postgresql://user:word@host/db", "'postgresql' are not supported"),
        ("sqlite+aiosqlite:///weir.db", "'sqlite+aiosqlite' are not supported"),
        ("sqlite://", "must name a file"),
        ("sqlite:///", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite://weir.db", "must name a file"),
        ("sqlite:///weir.db?mode=ro", "must name a file"),
    ],
)
def test_other_urls_are_refused(url: str, message: str) -> None:
    with pytest.raises(StoreError) as caught:
        sqlite.path_of(url)
    assert message in str(caught.value)
    assert "word" not in str(caught.value)


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weir.db"
    sqlite.touch(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    sqlite.touch(str(path))  # what the operator set later stays
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_place_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        sqlite.touch(str(tmp_path / "nowhere" / "weir.db"))


def test_connections_are_durable_and_patient(tmp_path: Path) -> None:
    engine = sqlite.connect(str(tmp_path / "weir.db"), busy_timeout_ms=1_234)
    with engine.begin() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 1_234,
    }


def test_ddl_is_part_of_the_transaction(tmp_path: Path) -> None:
    engine = sqlite.connect(str(tmp_path / "weir.db"), busy_timeout_ms=0)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
        connection.rollback()
        assert connection.execute(text("SELECT name FROM sqlite_master")).all() == []
    engine.dispose()


def test_errors_of_the_database_are_told_from_errors_of_a_statement(tmp_path: Path) -> None:
    path = str(tmp_path / "weir.db")
    secret = "0123456789"
    locked = OperationalError("INSERT", secret, sqlite3.OperationalError("database is locked"))
    message = r"weir\.db can not be used: database is locked"
    with pytest.raises(StoreUnavailable, match=message), sqlite.translated(path):
        raise locked
    unfit = IntegrityError("INSERT", secret, sqlite3.IntegrityError("NOT NULL"))
    with pytest.raises(IntegrityError), sqlite.translated(path):
        raise unfit


def test_what_was_bound_is_not_part_of_an_error(tmp_path: Path) -> None:
    engine = sqlite.connect(str(tmp_path / "weir.db"), busy_timeout_ms=0)
    with pytest.raises(OperationalError) as caught, engine.begin() as connection:
        connection.execute(text("SELECT * FROM missing WHERE a = :a"), {"a": "secret"})
    engine.dispose()
    assert "secret" not in str(caught.value)
    assert not sqlite.busy(caught.value)


def _database(folder: Path, **more: int) -> sqlite.Database:
    path = str(folder / "weir.db")
    database = sqlite.Database(path, sqlite.connect(path, **{"busy_timeout_ms": 0} | more))
    with database.posting() as run:
        run("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, CHECK (a > 0))")
    return database


def _post(database: sqlite.Database, *statements: str, fault: Exception | None = None) -> None:
    with database.posting() as run:
        for statement in statements:
            run(statement)
        if fault is not None:
            raise fault


def test_what_is_posted_is_kept_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    database = _database(tmp_path)
    _post(database, "INSERT INTO t VALUES (1)")
    with pytest.raises(KeyError):
        _post(database, "INSERT INTO t VALUES (2)", fault=KeyError())
    with pytest.raises(sqlite3.IntegrityError):
        _post(database, "INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (-1)")
    with database.reading() as connection:
        assert list(connection.execute(text("SELECT a FROM t")).scalars()) == [1]
    database.close()
    database.close()
    assert not (tmp_path / "weir.db-wal").exists(), "a connection is still open"


def test_posting_is_as_durable_as_all_else(tmp_path: Path) -> None:
    database = _database(tmp_path, busy_timeout_ms=321)
    with database.posting() as run:
        asked = [run(f"PRAGMA {name}").fetchone() for name in ("synchronous", "busy_timeout")]
        assert asked == [(2,), (321,)]
        assert run("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_who_posts_has_the_lock_from_the_beginning(tmp_path: Path) -> None:
    database, other = _database(tmp_path), _database(tmp_path)
    with other.posting() as run:
        run("INSERT INTO t VALUES (7)")
        with pytest.raises(StoreUnavailable, match="database is locked"), database.posting():
            pytest.fail("it has no lock")
        with database.reading():
            """Reading goes on."""
    with database.posting() as run:
        assert run("SELECT a FROM t").fetchall() == [(7,)]
    database.close()
    other.close()


def test_a_fault_that_ended_the_transaction_is_told_as_itself(tmp_path: Path) -> None:
    database = _database(tmp_path)
    fault = sqlite3.OperationalError("disk I/O error")
    with pytest.raises(StoreUnavailable, match="disk I/O error"):
        _post(database, "ROLLBACK", fault=fault)  # SQLite does so by itself, for some faults
    database.close()


def test_who_looks_sees_what_others_wrote_since(tmp_path: Path) -> None:
    """On the connection that posts: a look leaves nothing open, be it after a fault."""
    database, other = _database(tmp_path), _database(tmp_path)
    for number in range(1, 4):
        with pytest.raises(KeyError):
            _post(database, f"INSERT INTO t VALUES ({number})", fault=KeyError())
        _post(other, f"INSERT INTO t VALUES ({number})")
        with database.looking() as run:
            assert run("SELECT max(a) FROM t").fetchall() == [(number,)]
        assert not database._driver().in_transaction
    with pytest.raises(StoreUnavailable), database.looking() as run:
        run("SELECT a FROM missing")
    database.close()
    other.close()
