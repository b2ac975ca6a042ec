"""(c) The same stats made by Postgres alone; (d) the events read out of it by its own COPY."""

from __future__ import annotations

import datetime as dt
import re

import psycopg

from pipeline.database import tables
from pipeline.lake import source
from pipeline.lake.partials import USAGE, roll_up_days
from pipeline.lake.periods import settle
from pipeline.lake.usage_events import SCHEMA, open_usage_events
from pipeline.publish.publish import publish
from tests.app import at
from tests.benchmarks.clock import median_seconds, medians, repeated_seconds, say, seconds_of
from tests.benchmarks.history import EVENTS_PER_DAY, History
from tests.benchmarks.recompute import files_of, forget_partials
from tests.benchmarks.scheduled import WHOLE, Scheduled
from tests.benchmarks.server import Place, new_lake
from tests.benchmarks.tables import Table, at_least, size_name

AIM_OF_RECOMPUTE = 1.0
AIM_OF_EQUAL_WORK = 4.0
AIM_OF_SCHEDULED = 25.0
AIM_OF_EXTRACTION = 0.4
EXTRACTED_EVENTS = 2_000_000

MEASURES = """
    count(*)                                                 AS usage_count,
    count(*) FILTER (WHERE success)                          AS success_count,
    count(*) FILTER (WHERE NOT success)                      AS failure_count,
    count(*) FILTER (WHERE success) * 100.0 / count(*)       AS success_rate,
    avg(generation_time_ms)                                  AS avg_generation_time_ms,
    max(created_at)                                          AS last_used_at
"""
BY_PROMPT = f"SELECT prompt_id, {MEASURES} FROM prompt_usage GROUP BY prompt_id"
BY_SCENE = f"SELECT prompt_id, scene, {MEASURES} FROM prompt_usage GROUP BY prompt_id, scene"

UPDATE = """
UPDATE prompts_by_postgres AS prompt
SET
    usage_count = counted.usage_count,
    success_count = counted.success_count,
    failure_count = counted.failure_count,
    success_rate = counted.success_rate,
    avg_generation_time_ms = counted.avg_generation_time_ms,
    last_used_at = counted.last_used_at
FROM {counted} AS counted
WHERE counted.prompt_id = prompt.id
"""

COPY_OUT = """
COPY (SELECT * FROM prompt_usage WHERE created_at >= '{first}' AND created_at < '{last}'::date + 1)
TO {target} (FORMAT binary)
"""


def measure_against_postgres(history: History, lake: str, scheduled: Scheduled) -> Table:
    """Totals by prompt, and by prompt and scene, from the raw table, against what the pipeline does.

    ``lake`` is one that may lose its partials; ``scheduled``: the refresh at this size.
    """
    by_postgres, workers = _by_postgres(history)
    ours = _from_the_lake(history, lake)
    by_duckdb = _by_duckdb(lake)
    direct, by_table, view = by_postgres.values()
    both = min(direct, by_table) + view
    again = scheduled.steps[WHOLE]
    equal = sum(by_duckdb.values())
    against_all, against_equal, against_new = both / ours["all"], both / equal, both / again
    table = Table(
        f"(c) Postgres alone and the pipeline, {size_name(history.event_count)} events",
        f"all anew from the lake in Postgres' time, the same two statements over the lake in"
        f" 1/{AIM_OF_EQUAL_WORK:g} of it, the scheduled refresh in 1/{AIM_OF_SCHEDULED:g}",
        ["", "seconds", "Postgres takes", "aim"],
        notes=[
            f"Postgres: warm, {workers} parallel workers planned for reading; a statement that updates runs",
            "without, so the same was also tried by way of a temporary table, and the faster way counts.",
            "All anew: roll up and settle all days for the stats of prompts, with every stats table emptied",
            "before, and publish. That also makes the stats by environment, outfit, error, day and all",
            "prompts of a scene, percentiles and windows, keeps the partials of every day for the refreshes",
            "to come, and compares before it writes. Scheduled: the refresh without users of (a), extraction",
            "of the new events included. DuckDB alone: the same two queries over the lake's files.",
        ],
    )
    table.rows += [[f"Postgres: {name}", seconds, None, None] for name, seconds in by_postgres.items()]
    table.rows += [
        ["Postgres: both, each the faster way", both, None, None],
        ["pipeline: all anew (c1)", ours["all"], against_all, at_least(AIM_OF_RECOMPUTE, against_all)],
        *([f"- {step}", seconds, None, None] for step, seconds in ours.items() if step != "all"),
        ["pipeline: scheduled refresh (c2)", again, against_new, at_least(AIM_OF_SCHEDULED, against_new)],
        *([f"DuckDB alone: {name}", seconds, None, None] for name, seconds in by_duckdb.items()),
        ["DuckDB alone: both", equal, against_equal, at_least(AIM_OF_EQUAL_WORK, against_equal)],
    ]
    return table


def _by_postgres(history: History) -> tuple[dict[str, float], int]:
    with psycopg.connect(history.database.conninfo, autocommit=True) as connection:
        plan = str(connection.execute(f"EXPLAIN (FORMAT json) {BY_PROMPT}").fetchall())
        workers = max(map(int, re.findall(r"'Workers Planned': (\d+)", plan)), default=0)
        connection.execute("CREATE TABLE prompts_by_postgres (LIKE prompts INCLUDING ALL)")
        connection.execute("INSERT INTO prompts_by_postgres SELECT * FROM prompts")
        connection.execute(f"CREATE MATERIALIZED VIEW scenes_by_postgres AS {BY_SCENE}")

        def by_table() -> None:
            with connection.transaction():
                connection.execute(f"CREATE TEMPORARY TABLE counted ON COMMIT DROP AS {BY_PROMPT}")
                connection.execute(UPDATE.format(counted="counted"))

        seconds = {
            name: median_seconds(f"Postgres: {name}", work)
            for name, work in {
                "UPDATE prompts FROM (… GROUP BY prompt_id)": lambda: connection.execute(
                    UPDATE.format(counted=f"({BY_PROMPT})")
                ),
                "the same by way of a temporary table": by_table,
                "REFRESH MATERIALIZED VIEW, prompt and scene": lambda: connection.execute(
                    "REFRESH MATERIALIZED VIEW scenes_by_postgres"
                ),
            }.items()
        }
        connection.execute("DROP TABLE prompts_by_postgres")
        connection.execute("DROP MATERIALIZED VIEW scenes_by_postgres")
    return seconds, workers


def _from_the_lake(history: History, lake: str) -> dict[str, float]:
    database, first_day = history.database, history.first_day
    runs: list[dict[str, float]] = []

    def prepare() -> None:
        forget_partials(lake)
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            for table in (*tables.STATS_TABLES, tables.stats_day):
                connection.execute(f"TRUNCATE {table.name}")
            connection.execute(
                "UPDATE prompts SET usage_count = 0, success_count = 0, failure_count = 0,"
                " success_rate = NULL, avg_generation_time_ms = NULL, last_used_at = NULL"
            )
            connection.execute("VACUUM ANALYZE prompts")

    def work() -> None:
        run = {
            "roll up": seconds_of(lambda: roll_up_days(at(database, lake))),
            "settle": seconds_of(lambda: settle(at(database, lake), USAGE)),
            "publish of everything": seconds_of(lambda: publish(at(database, lake, first_day), users=False)),
        }
        runs.append({"all": sum(run.values()), **run})

    repeated_seconds("all anew from the lake", work, prepare)
    unchanged = seconds_of(lambda: publish(at(database, lake, first_day), users=False))
    say(f"publish without changes: {unchanged:.2f} s")
    return {**medians(runs), "(for comparison: publish without changes)": unchanged}


def _by_duckdb(lake: str) -> dict[str, float]:
    def run(statement: str) -> None:
        with files_of(lake) as connection:
            connection.sql(statement.replace("prompt_usage", "usage_events")).fetchall()

    return {
        "by prompt": median_seconds("DuckDB: by prompt", lambda: run(BY_PROMPT)),
        "by prompt and scene": median_seconds("DuckDB: by prompt and scene", lambda: run(BY_SCENE)),
    }


def measure_extraction(history: History, place: Place) -> Table:
    """Events of some days read as the pipeline does, and by COPY: dropped as they come, or into a lake."""
    full_days = history.days[:-1] or history.days
    days = full_days[-max(EXTRACTED_EVENTS // EVENTS_PER_DAY, 1) :]
    marks = dict.fromkeys(days, source.WHOLE_DAY)
    with history.database.engine.connect() as connection:
        snapshot = source.take_snapshot(connection)
    read: list[int] = []

    def by_pipeline() -> None:
        with source.usage_events(history.database, snapshot, marks, history.first_day) as reader:
            read.append(sum(batch.num_rows for batch in reader))

    def by_copy() -> None:
        with psycopg.connect(history.database.conninfo) as connection, connection.cursor() as cursor:
            with cursor.copy(_copy_out(days, "STDOUT")) as copy:
                for _ in copy:
                    pass
            read.append(cursor.rowcount)

    def by_server() -> None:
        with psycopg.connect(history.database.conninfo) as connection:
            read.append(connection.execute(_copy_out(days, "'/dev/null'")).rowcount)

    def into_the_lake() -> None:
        with new_lake(place, "lake_of_extraction") as lake:
            table = open_usage_events(lake)
            with source.usage_events(history.database, snapshot, marks, history.first_day) as reader:
                table.append(reader.cast(SCHEMA))
            read.append(int(table.days()["usage_count"].sum()))

    ways = {
        "COPY … TO STDOUT (FORMAT binary), psycopg": by_copy,
        "COPY … TO '/dev/null' within the server": by_server,
        "source.usage_events": by_pipeline,
        "source.usage_events into an empty lake": into_the_lake,
    }
    # In turn, so that what slows the machine down meanwhile slows them all.
    runs: list[dict[str, float]] = []
    for turn in range(4):
        seconds = {name: seconds_of(work) for name, work in ways.items()}
        say("extraction: " + ", ".join(f"{each:.2f} s" for each in seconds.values()))
        runs += [seconds] if turn else []
    if len(set(read)) > 1:
        raise RuntimeError(f"the ways do not read the same number of rows: {sorted(set(read))}")
    rates = {name: read[0] / seconds for name, seconds in medians(runs).items()}
    copied, *_, extracted = rates.values()
    table = Table(
        f"(d) Extraction of {read[0]:,} events of {len(days)} days out of {size_name(history.event_count)}",
        f"into the lake at least {AIM_OF_EXTRACTION:g} of COPY's rows per second",
        ["", "rows per second", "of COPY by psycopg", "aim"],
        notes=[
            "Dropped as they come, but for the last. Medians of 3, in turn. Columns as they are, by COPY;",
            "ids as text, by us.",
        ],
    )
    table.rows += [[name, rate, rate / copied, None] for name, rate in rates.items()]
    table.rows[-1][-1] = at_least(AIM_OF_EXTRACTION, extracted / copied)
    return table


def _copy_out(days: list[dt.date], target: str) -> str:
    return COPY_OUT.format(first=days[0], last=days[-1], target=target)
