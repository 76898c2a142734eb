"""How a database comes to the tables this program knows, whatever state it is found in.

A new one is made as the schema says, which needs no Alembic; an old one is migrated. That both end
alike is tested.

Two processes may start on the same empty file at once: the caller holds the write lock before it
calls `upgrade`, so the second one finds the work done.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select

from proxy.stores import schema
from proxy.stores.moves import ACCOUNT

if TYPE_CHECKING:
    from alembic.config import Config

DEFAULT = "default"  # the account of keys that were made for none


def revision(connection: Connection) -> str | None:
    """Where the database stands; None where no migration ever ran."""
    if not inspect(connection).has_table(schema.version.name):
        return None
    return connection.scalar(select(schema.version.c.version_num))


def upgrade(connection: Connection) -> None:
    """Bring the database to `schema.HEAD`; `connection` is in a transaction that may write.

    Raises StoreError where a newer program wrote the database.
    """
    found = revision(connection)
    if found == schema.HEAD:
        return
    if found is None and not inspect(connection).get_table_names():
        _make(connection)
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    settings = config()
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    if found is not None and found not in known:
        raise schema.StoreError(
            f"The database is at revision {found}, which this version of Weir does not know: a "
            "newer Weir has written it. Start that one, or restore a backup."
        )
    settings.attributes["connection"] = connection
    command.upgrade(settings, schema.HEAD)


def _make(connection: Connection) -> None:
    """All tables, and the rows that every store begins with."""
    now = datetime.now(UTC).timestamp()
    schema.metadata.create_all(connection)
    schema.version.create(connection)
    connection.execute(schema.version.insert().values(version_num=schema.HEAD))
    connection.execute(schema.changes.insert().values(seq=0))
    connection.execute(schema.accounts.insert().values(name=DEFAULT, created_at=now))
    pot = schema.pots.insert().values(name=f"{ACCOUNT}{DEFAULT}")
    connection.execute(pot.values(available_nano=0, granted_nano=0, charged_nano=0))


def config() -> "Config":
    """Alembic's settings, without a file."""
    from alembic.config import Config

    settings = Config()
    # A percent sign in the path would be read as the start of an interpolation.
    location = str(Path(__file__).parent).replace("%", "%%")
    settings.set_main_option("script_location", location)
    return settings
