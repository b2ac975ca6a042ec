"""The comments of our tables and columns: the documentation that a database carries."""

from __future__ import annotations

from sqlalchemy import Connection, text

from pipeline.adoption.catalog import literal, quoted
from pipeline.database.connections import driver_of
from pipeline.database.queries import query
from pipeline.database.tables import metadata, views
from pipeline.names import APP_TABLES

COMMENTS = text(query("adoption/comments"))


def write_comments(connection: Connection) -> None:
    """Brings the comments of our tables, views and their columns up to date.

    So a better wording needs no revision. Comments of the app's tables are left to the app.
    """
    ours = [(table, "TABLE") for table in metadata.sorted_tables if table.name not in APP_TABLES]
    ours += [(view, "VIEW") for view in views.sorted_tables]
    found = connection.execute(COMMENTS, {"names": [table.name for table, _ in ours]})
    written = {(row.relation_name, row.column_name): row.comment for row in found}
    for table, kind in ours:
        columns = [("COLUMN", each.name, each.comment) for each in table.columns]
        for what, column, comment in [(kind, None, table.comment), *columns]:
            if comment != written.get((table.name, column)):
                named = quoted(table.name, column) if column else quoted(table.name)
                statement = f"COMMENT ON {what} {named} IS {literal(comment or '')}"
                # Without parameters a percent sign is one.
                driver_of(connection).execute(statement.encode())
