"""What Alembic runs to migrate: on the connection, and inside the transaction, handed to it.

The caller's transaction spans everything. SQLite's DDL is transactional, so a process that dies
half-way leaves the database as it was, and the next start begins again.
"""

from alembic import context

from proxy.stores.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
)
context.run_migrations()
