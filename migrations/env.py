"""Alembic's entry point: runs on the connection that ``pipeline.adoption.schema`` hands over."""

from alembic import context

from pipeline.adoption.schema import VERSION_TABLE
from pipeline.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
