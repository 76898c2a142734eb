"""The migrations: they make what the schema says, once, whole or not at all."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from proxy.stores import migrations, schema
from proxy.stores.schema import StoreError
from proxy.stores.sql import SqlStore


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == schema.HEAD


def test_an_empty_database_comes_to_exactly_the_schema(store: SqlStore) -> None:
    with store._reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == migrations.revision(connection) == schema.HEAD
    with store._writing() as connection:
        migrations.upgrade(connection)  # at head already
    assert store.changes_seq() == 0


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


@pytest.mark.parametrize("where", ["CREATE TABLE generations", "INSERT INTO alembic_version"])
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
