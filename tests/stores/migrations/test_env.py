"""The migrations: they make what the schema says, once, whole or not at all."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, Engine, inspect

from proxy.accounts.keys import Key
from proxy.money import NANO_MAX
from proxy.stores import migrations, schema
from proxy.stores.schema import StoreError
from proxy.stores.sql import SqlStore
from proxy.stores.sqlite import connect
from proxy.stores.usage import KeyUsage
from proxy.wire.record import Generation
from tests.stores.vault import unbilled


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == schema.HEAD


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Engine]:
    """A database that went through every migration, as those of older versions did."""
    engine = connect(str(tmp_path / "migrated.db"), busy_timeout_ms=0)
    settings = migrations.config()
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        migrations.upgrade(connection)
    yield engine
    engine.dispose()


def contents(connection: Connection) -> dict[str, object]:
    """Tables, columns with their defaults, rules, indexes and rows; when an account was made is not
    compared.
    """
    found: dict[str, object] = {}
    inspector = inspect(connection)
    for name in inspector.get_table_names():
        columns = {
            one["name"]: (str(one["type"]), one["nullable"], one["default"])
            for one in inspector.get_columns(name)
            if name != schema.version.name  # Alembic's own
        }
        rules = {(one["name"], one["sqltext"]) for one in inspector.get_check_constraints(name)}
        key = inspector.get_pk_constraint(name)["constrained_columns"]
        rows = connection.exec_driver_sql(f"SELECT * FROM {name}").mappings()
        told = [{k: v for k, v in row.items() if k != "created_at"} for row in rows]
        found[name] = (columns, rules, key, told)
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    return found | {row.name: row.sql for row in connection.exec_driver_sql(indexes)}


def test_a_new_database_is_what_all_migrations_make(store: SqlStore, migrated: Engine) -> None:
    with store._reading() as new, migrated.begin() as old:
        assert contents(new) == contents(old)
        assert contents(new).keys() >= {*schema.metadata.tables, "transfers_grants"}


def test_a_new_database_needs_no_alembic(url: str) -> None:
    code = (
        "import sys; from proxy.stores.sql import SqlStore; "
        f"SqlStore.open({url!r}).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_migrated_databases_come_to_exactly_the_schema(migrated: Engine) -> None:
    with migrated.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


def test_an_empty_database_comes_to_exactly_the_schema(store: SqlStore) -> None:
    with store._reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == migrations.revision(connection) == schema.HEAD
    with store._writing() as connection:
        migrations.upgrade(connection)  # at head already
    assert store.changes_seq() == 0


def test_conditions_are_those_of_the_schema(store: SqlStore) -> None:
    """Alembic does not compare them."""
    with store._reading() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
        made = {row.name: (row.sql or "").strip() for row in rows}
    for table in schema.metadata.tables.values():
        for rule in table.constraints:
            if isinstance(rule, CheckConstraint):
                assert f"CHECK ({rule.sqltext})" in made[table.name]
    assert made["transfers_grants"].endswith("WHERE kind = 'grant'")
    assert made["transfers"].endswith("WITHOUT ROWID")


OLD_KEYS = """
INSERT INTO keys (hash, name, label, account, created_at)
VALUES ('aa', 'app', 'sk', 'default', 5.0), ('bb', 'web', 'sk', 'us', 7.0)
"""
OLD_ROW = """
INSERT INTO generations VALUES (
    ?, ?, ?, ?, 'a/b', 'a/b', '', '', '', NULL, 0, 0, 200, NULL, NULL, NULL, NULL, NULL,
    3, 0, 0, 0, 0, 0, 0, ?, NULL, 0, 0, NULL, NULL, NULL, NULL, '[]'
)
"""
MOST = 2**63 - 1
OLD_ROWS = [
    ("a", 86_399.9, "aa", "default", 100),
    ("b", 86_399.0, "aa", "default", 23),
    ("c", 86_400.0, "aa", "default", 7),
    ("d", 86_400.0, None, "us", 5),
    ("e", 1.0, None, "gone", 0),
    ("f", 1.0, "bb", "us", None),
    ("g", 1.0, "cc", "us", MOST),
    ("h", 1.0, "cc", "us", MOST),
]


@pytest.fixture
def old(url: str, tmp_path: Path) -> None:
    """A store of revision 0001, with keys and generations."""
    engine = connect(str(tmp_path / "weir.db"), busy_timeout_ms=0)
    settings = migrations.config()
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.exec_driver_sql(OLD_KEYS)
        connection.exec_driver_sql(OLD_ROW, OLD_ROWS)
    engine.dispose()


@pytest.mark.usefixtures("old")
def test_what_an_old_store_had_is_all_there(url: str) -> None:
    store = SqlStore.open(url)
    assert store.keys() == [
        Key(hash="aa", name="app", label="sk", created_at=5.0),
        Key(hash="bb", name="web", label="sk", created_at=7.0, account="us"),
    ]
    for id, at, key, account, cost in OLD_ROWS:
        assert store.generation(id, key_hash=None) == Generation(
            id=id, created_at=at, key_hash=key, account=account, cost_nano=cost,
            model="a/b", requested_model="a/b", prompt_tokens=3,
        )  # fmt: skip
    used = store.key_usage("aa", day_start=86_400.0, week_start=0.0, month_start=0.0)
    assert used == KeyUsage(total_nano=130, daily_nano=7, weekly_nano=130, monthly_nano=130)
    absurd = store.key_usage("cc", day_start=0.0, week_start=0.0, month_start=0.0)
    assert absurd.total_nano == NANO_MAX
    assert {one.account: one.unbilled_nano for one in store.ledger.accounts()} == {
        "default": 130,
        "gone": 0,
        "us": NANO_MAX + 5,
    }
    audit = store.ledger.verify()
    assert (audit.accounts, audit.transfers, audit.generations) == (3, 6, 8)
    assert audit.differences == ()
    store.close()


@pytest.mark.usefixtures("old")
def test_an_old_store_takes_new_settlements(url: str) -> None:
    store = SqlStore.open(url)
    store.ledger.settle([unbilled(Generation(id="a", created_at=1.0, key_hash="aa", cost_nano=9))])
    store.ledger.settle([unbilled(Generation(id="x", created_at=1.0, key_hash="aa", cost_nano=9))])
    used = store.key_usage("aa", day_start=0.0, week_start=0.0, month_start=0.0)
    assert used.total_nano == 139
    assert store.ledger.verify().differences == ()
    store.close()


@pytest.mark.usefixtures("old")
def test_an_old_store_is_only_changed_where_that_is_asked_for(url: str) -> None:
    with pytest.raises(StoreError, match="not of this version"):
        SqlStore.open(url, create=False)


def test_the_index_of_active_names_is_partial(store: SqlStore, tmp_path: Path) -> None:
    """Alembic does not compare the condition of an index."""
    with store._reading() as connection:
        ddl = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'keys_active_name'"
        ).scalar_one()
    assert ddl.endswith("WHERE revoked_at IS NULL")


def test_a_newer_database_is_refused(url: str, store: SqlStore) -> None:
    with store._writing() as connection:
        connection.execute(schema.version.update().values(version_num="9999"))
    with pytest.raises(StoreError, match=r"9999.*newer Weir"):
        SqlStore.open(url)
    with pytest.raises(StoreError, match="not of this version"):
        SqlStore.open(url, create=False)


def test_alembic_is_not_imported_where_nothing_is_to_do(url: str, store: SqlStore) -> None:
    program = (
        "import sys\n"
        "from proxy.stores.sql import SqlStore\n"
        f"SqlStore.open({url!r}).close()\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


KILLED_HALFWAY = """
import os, signal, sys
from sqlalchemy import Engine, event
from proxy.stores.sql import SqlStore

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

SqlStore.open(sys.argv[1])
"""


@pytest.mark.parametrize(
    "where", ["CREATE TABLE generations", "CREATE TABLE spend", "INSERT INTO alembic_version"]
)
def test_a_migration_killed_half_way_did_not_happen(url: str, tmp_path: Path, where: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_HALFWAY, url, where], timeout=30)
    assert killed.returncode == -signal.SIGKILL
    left = sqlite3.connect(tmp_path / "weir.db")
    assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    left.close()
    store = SqlStore.open(url)
    assert store.keys() == []
    store.close()


OPEN_AT_ONCE = """
import sys
from proxy.stores.sql import SqlStore
import alembic.command
sys.stdin.readline()
store = SqlStore.open(sys.argv[1])
print(store.changes_seq(), len(store.keys()))
store.close()
"""


def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AT_ONCE, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )
        for _ in range(4)
    ]
    for process in starts:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=30)[0] for process in starts]
    assert answers == ["0 0\n"] * 4
    assert [process.returncode for process in starts] == [0] * 4


def test_a_percent_sign_in_the_path_is_only_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "__file__", "/opt/100%/migrations/__init__.py")
    assert migrations.config().get_main_option("script_location") == "/opt/100%/migrations"
