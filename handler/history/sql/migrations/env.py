"""Run by alembic for each command, on the connection that `schema.move` hands in; there is no other way to run it."""

from alembic import context

from handler.history.sql.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
