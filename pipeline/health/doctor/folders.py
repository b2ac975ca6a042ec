"""Home, lake, journal: they can be written, have room, are private; and the lake is what was published."""

from __future__ import annotations

import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs

from pipeline import formats
from pipeline.engines import rollups
from pipeline.engines.scan import Scan
from pipeline.errors import EngineError, readable
from pipeline.files import is_wide, require_own_home
from pipeline.health.checks.report import plural
from pipeline.health.doctor.findings import Finding, ok, warning, wrong
from pipeline.health.doctor.setup import Setup
from pipeline.lake import source, storage
from pipeline.lake.ownership import identify
from pipeline.lake.upkeep import damage_of
from pipeline.lake.usage_events import SCHEMA, TABLE, open_usage_events
from pipeline.settings import EngineName

GIB = 2**30
LOW_FREE_BYTES = 5 * GIB
MIN_FREE_BYTES = GIB // 2
"""Free space of a disk. What writes needs the more, the larger a day is: it writes before it deletes."""


def home(setup: Setup) -> Iterator[Finding]:
    """``PROMPT_STATS_HOME``."""
    require_own_home(setup.settings.home)
    yield folder("home", setup.settings.home)


def folder(name: str, path: Path) -> Finding:
    """A folder, or where it will be made: whether this user may write there, and how much room there is."""
    try:
        there = next(each for each in (path, *path.parents) if each.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(2**16))
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        return wrong(
            name,
            f"{path} can't be written: {(error.strerror or readable(error)).lower()}",
            "Give the user of the services the right to write there, or set another folder",
        )
    room = f"{free / GIB:,.1f} GiB are free"
    if free < LOW_FREE_BYTES:
        judged = wrong if free < MIN_FREE_BYTES else warning
        return judged(name, f"{path}: only {room}", "Make room, then prompt-stats keep-up")
    if there == path and is_wide(path):
        mode = stat.S_IMODE(path.stat().st_mode)
        return warning(
            name,
            f"{path}: other users can list or read it (mode {mode:o}): {room}",
            f"Unless that is on purpose: chmod -R go= {shlex.quote(str(path))}",
        )
    return ok(name, f"{path}: {room}" if there == path else f"{path} is created when it is needed: {room}")


def journal(setup: Setup) -> Iterator[Finding]:
    """``PROMPT_STATS_JOURNAL_DIR``, where a tracker of this machine keeps waiting events."""
    journal_dir = setup.settings.journal_dir
    if journal_dir:
        yield folder("journal", journal_dir)
    else:
        yield ok("journal", "there is none: trackers keep waiting events in memory")


def lake(setup: Setup) -> Iterator[Finding]:
    """Commits to a separate table, which is then removed. This needs the same rights as a refresh."""
    require_own_home(setup.settings.home)
    uri = setup.settings.lake
    if "://" not in uri and not Path(uri).exists():
        yield folder("lake", Path(uri))
        return
    said = _tried(uri)
    if said:
        remedy = "Check PROMPT_STATS_LAKE_URI, the credentials, and the right to read, write, list and delete"
        yield wrong("lake", f"{uri}: {said}", remedy)
    elif "://" in uri:
        yield ok("lake", f"{uri} can be read and written")
    else:
        yield folder("lake", Path(uri))


def _tried(uri: str) -> str | None:
    """Makes a table, writes and reads it, removes it; what of that can't be done, and why."""
    try:
        probe = storage.make_probe(uri)
    except (DeltaError, OSError) as error:
        return f"no table can be made: {readable(error)}"
    said = None
    try:
        # Both libraries have to find the store.
        storage.tree(probe).get_file_info(fs.FileSelector("", recursive=True))
        if "://" in uri and not storage.is_safe_for_writers(probe):
            said = f"{storage.UNSAFE}. {storage.BETTER}"
    except (DeltaError, OSError) as error:
        said = f"a table can't be written and read: {readable(error)}"
    try:
        storage.remove_table(probe)
    except (DeltaError, OSError) as error:
        said = f"nothing can be deleted, {probe} neither: {readable(error)}"
    return said


def events(setup: Setup) -> Iterator[Finding]:
    """Whether the lake has raw events if anything was published, and those of this database."""
    uri = f"{setup.settings.lake.rstrip('/')}/{TABLE}"
    table = open_usage_events(setup.settings.lake) if DeltaTable.is_deltatable(uri) else None
    with setup.database.engine.connect() as connection:
        published = (source.latest_refresh(connection) or {}).get("usage_count")
        if table:
            identify(connection, table)
    if table:
        days = table.days()
        held = formats.count(int(days["usage_count"].sum()))
        yield ok("events", f"the lake has {held} events of {plural(days.height, 'day')}")
    elif published:
        yield wrong(
            "events",
            f"{formats.count(published)} events are published, but {setup.settings.lake} has none",
            "Set PROMPT_STATS_LAKE_URI to the lake that they come from",
        )
    else:
        yield ok("events", "the lake has none yet")


def engine(setup: Setup) -> Iterator[Finding]:
    """Whether Spark, if it computes the rollups, answers and sees the lake. DuckDB needs no check."""
    if setup.settings.engine is EngineName.DUCKDB:
        return
    rows = Scan(SCHEMA)
    if DeltaTable.is_deltatable(f"{setup.settings.lake.rstrip('/')}/{TABLE}"):
        table = open_usage_events(setup.settings.lake)
        rows = table.scan(table.days()["day"].tail(1).to_list())
    try:
        rollups.run("error_messages", usage_events=rows)
    except EngineError as error:
        yield wrong("engine", error.wrong, error.remedy)
    else:
        yield ok("engine", f"Spark answers{' and sees the lake' if rows.parts else ''}")


def files(setup: Setup) -> Iterator[Finding]:
    """A line for each day with a file that is missing, was cut off or is not Parquet."""
    yield from engine(setup)
    if not DeltaTable.is_deltatable(f"{setup.settings.lake.rstrip('/')}/{TABLE}"):
        # To look would make the tables.
        yield ok("lake's files", "there are none yet")
        return
    with setup.database.engine.connect() as connection:
        expired = source.expired_days(connection)
    found = damage_of(setup.settings.lake, expired)
    for each in found:
        yield wrong("lake's files", f"{each.table} of {each.day}: {each.why}", each.remedy)
    if not found:
        yield ok("lake's files", "all exist, and their ends are as they should be")
