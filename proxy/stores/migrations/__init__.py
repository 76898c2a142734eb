"""How a database comes to the tables this program knows, whatever state it is found in.

Two processes may start on the same empty file at once: the caller holds the write lock before it
calls `upgrade`, so the second one finds the work done.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select

from proxy.stores import schema

if TYPE_CHECKING:
    from alembic.config import Config


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


def config() -> "Config":
    """Alembic's settings, without a file."""
    from alembic.config import Config

    settings = Config()
    # A percent sign in the path would be read as the start of an interpolation.
    location = str(Path(__file__).parent).replace("%", "%%")
    settings.set_main_option("script_location", location)
    return settings
