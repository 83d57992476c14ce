"""Owns how Alembic runs the steps: on the connection, and in the transaction, of ``migrate``."""

from alembic import context

from controlplane.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
    transactional_ddl=True,
)
context.run_migrations()
