"""Searches Dagster's storage for a person, if it is in a server. A home's files are searched as files."""

from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

from pipeline.errors import readable
from pipeline.maintenance.erasure import Person

METADATA = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)


def search_storage(home: Path, person: Person) -> tuple[dict[str, int], dict[str, str]]:
    """How many rows of each of Dagster's tables mention the person, or why the storage can't be searched."""
    if not (home / "dagster.yaml").is_file():
        return {}, {}
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            storage = instance.event_log_storage
            if not isinstance(storage, SqlEventLogStorage):
                return {}, {}
            with storage.index_connection() as connection:
                return _search(connection, person) if connection.dialect.name == "postgresql" else {}, {}
    except Exception as error:
        # Dagster passes on whatever its storage raises.
        return {}, {"Dagster's storage": readable(error)}


def _search(connection: sa.Connection, person: Person) -> dict[str, int]:
    found = {}
    there = set(sa.inspect(connection).get_table_names())
    for table in (each for metadata in METADATA for each in metadata.sorted_tables):
        if table.name not in there:
            continue
        row = sa.cast(sa.literal_column(connection.dialect.identifier_preparer.quote(table.name)), sa.Text)
        statement = sa.select(sa.func.count()).select_from(table).where(row.regexp_match(person.mention))
        if count := connection.execute(statement).scalar_one():
            found[f"Dagster's {table.name}"] = count
    return found
