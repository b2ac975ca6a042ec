"""The naive recount: what each stats table must hold, in plain SQL over the raw events.

Written apart from the pipeline and sharing none of its code: no lake, no partials, no polars.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from pipeline.database.connections import Database

COUNTED = """
    SELECT *, greatest(coalesce((created_at AT TIME ZONE 'UTC')::date, %(first_day)s), %(first_day)s) AS day
    FROM prompt_usage
    WHERE created_at IS NULL
       OR (created_at AT TIME ZONE 'UTC')::date <= (clock_timestamp() AT TIME ZONE 'UTC')::date + 1
"""

MEASURES = """
    count(*),
    count(*) FILTER (WHERE success),
    count(*) FILTER (WHERE success = false),
    SUM(CASE WHEN success THEN 1 ELSE 0 END)::float / COUNT(*) * 100,
    sum(generation_time_ms)::float / nullif(count(generation_time_ms), 0),
    max(created_at)
"""

# The shortest and the longest are of whole milliseconds.
DETAILS = """
    min(created_at),
    count(generation_time_ms),
    floor(min(generation_time_ms)),
    floor(max(generation_time_ms))
"""

WINDOWS = ", ".join(
    f"count(*) FILTER (WHERE day BETWEEN %(today)s - {first} AND %(today)s - {last})"
    for first, last in ((1, 1), (7, 1), (30, 1), (2, 2), (14, 8), (60, 31))
)

RECOUNTS = {
    "prompt_stats": f"""
        WITH counted AS ({COUNTED}),
        ids AS (
            SELECT id AS prompt_id FROM prompts
            UNION SELECT prompt_id FROM counted
            UNION SELECT prompt_id FROM prompt_favorites
        ),
        used AS (
            SELECT prompt_id, {MEASURES}, {DETAILS}, count(DISTINCT user_id), {WINDOWS}
            FROM counted GROUP BY 1
        )
        SELECT ids.prompt_id, coalesce(used.count, 0), coalesce(used.count_1, 0), coalesce(used.count_2, 0),
               used.rate, used.mean, used.last, used.first, coalesce(used.timed, 0), used.shortest,
               used.longest, coalesce(used.users, 0), coalesce(used.d1, 0), coalesce(used.d7, 0),
               coalesce(used.d30, 0), coalesce(used.p1, 0), coalesce(used.p7, 0), coalesce(used.p30, 0),
               (SELECT count(DISTINCT user_id) FROM prompt_favorites f WHERE f.prompt_id = ids.prompt_id)
        FROM ids
        LEFT JOIN used AS used (prompt_id, count, count_1, count_2, rate, mean, last, first, timed, shortest,
                                longest, users, d1, d7, d30, p1, p7, p30)
            ON used.prompt_id = ids.prompt_id""",
    **{
        f"prompt_{name}_stats": f"""
        WITH counted AS ({COUNTED})
        SELECT prompt_id, {name}, {MEASURES}, {DETAILS} FROM counted GROUP BY 1, 2"""
        for name in ("scene", "environment", "outfit")
    },
    **{
        f"{name}_stats": f"""
        WITH counted AS ({COUNTED}) SELECT {name}, {MEASURES}, {DETAILS} FROM counted GROUP BY 1"""
        for name in ("scene", "environment", "outfit")
    },
    "prompt_daily_stats": f"""
        WITH counted AS ({COUNTED}) SELECT day, prompt_id, {MEASURES} FROM counted GROUP BY 1, 2""",
    "user_prompt_stats": f"""
        WITH counted AS ({COUNTED})
        SELECT user_id, prompt_id, {MEASURES},
               (user_id, prompt_id) IN (SELECT user_id, prompt_id FROM prompt_favorites)
        FROM counted WHERE user_id IS NOT NULL GROUP BY 1, 2""",
    "prompts": f"""
        WITH counted AS ({COUNTED}),
        used AS (SELECT prompt_id, {MEASURES} FROM counted GROUP BY 1)
        SELECT id, coalesce(used.count, 0), coalesce(used.count_1, 0), coalesce(used.count_2, 0),
               used.rate, used.mean, used.last,
               (SELECT count(DISTINCT user_id) FROM prompt_favorites f WHERE f.prompt_id = prompts.id)
        FROM prompts
        LEFT JOIN used AS used (prompt_id, count, count_1, count_2, rate, mean, last)
            ON used.prompt_id = prompts.id""",
}

MEASURE_COLUMNS = (
    "usage_count, success_count, failure_count, success_rate, avg_generation_time_ms, last_used_at"
)

DETAIL_COLUMNS = "first_used_at, timed_count, min_generation_time_ms, max_generation_time_ms"

PUBLISHED = {
    "prompt_stats": f"SELECT prompt_id, {MEASURE_COLUMNS}, {DETAIL_COLUMNS}, unique_users, usage_count_1d,"
    " usage_count_7d, usage_count_30d, usage_count_previous_1d, usage_count_previous_7d,"
    " usage_count_previous_30d, favorite_count FROM prompt_stats",
    **{
        f"prompt_{name}_stats": f"SELECT prompt_id, {name}, {MEASURE_COLUMNS}, {DETAIL_COLUMNS}"
        f" FROM prompt_{name}_stats"
        for name in ("scene", "environment", "outfit")
    },
    **{
        f"{name}_stats": f"SELECT {name}, {MEASURE_COLUMNS}, {DETAIL_COLUMNS} FROM {name}_stats"
        for name in ("scene", "environment", "outfit")
    },
    "prompt_daily_stats": f"SELECT day, prompt_id, {MEASURE_COLUMNS} FROM prompt_daily_stats",
    "user_prompt_stats": f"SELECT user_id, prompt_id, {MEASURE_COLUMNS}, is_favorite FROM user_prompt_stats",
    # Whatever types an app has chosen.
    "prompts": "SELECT id, usage_count, success_count, failure_count, success_rate::float,"
    " avg_generation_time_ms, last_used_at::timestamptz, favorite_count FROM prompts",
}

PERCENTILES = """
    SELECT p.prompt_id, p.p50_generation_time_ms, p.p90_generation_time_ms, p.p95_generation_time_ms,
           p.p99_generation_time_ms, t.times
    FROM prompt_stats p
    LEFT JOIN (
        SELECT prompt_id, array_agg(generation_time_ms ORDER BY generation_time_ms) AS times
        FROM ({counted}) c WHERE generation_time_ms IS NOT NULL GROUP BY 1
    ) t ON t.prompt_id = p.prompt_id
"""


VALUES = f"""
    WITH valued AS (
        SELECT counted.*, valued.*
        FROM ({COUNTED}) counted
        CROSS JOIN LATERAL (
            VALUES ('scene', scene), ('environment', environment), ('outfit', outfit)
        ) AS valued (dimension, value)
        WHERE prompt_id IS NOT NULL
    ),
    recounted AS (
        SELECT prompt_id, dimension, value, count(*) AS usage_count, count(generation_time_ms) AS timed_count,
               count(DISTINCT user_id) AS unique_users, {WINDOWS},
               array_agg(generation_time_ms ORDER BY generation_time_ms)
                   FILTER (WHERE generation_time_ms IS NOT NULL) AS times
        FROM valued GROUP BY 1, 2, 3
    )
    SELECT recounted.*, p50_generation_time_ms, p90_generation_time_ms, p95_generation_time_ms,
           p99_generation_time_ms
    FROM recounted
    LEFT JOIN prompt_value_stats published
        ON published.prompt_id = recounted.prompt_id AND published.dimension = recounted.dimension
        AND published.value IS NOT DISTINCT FROM recounted.value
"""

PUBLISHED_VALUES = (
    "SELECT prompt_id, dimension, value, usage_count, timed_count, unique_users, usage_count_1d,"
    " usage_count_7d, usage_count_30d, usage_count_previous_1d, usage_count_previous_7d,"
    " usage_count_previous_30d FROM prompt_value_stats"
)

VALUE_ERRORS = f"""
    SELECT prompt_id, dimension, value, count(*), max(created_at)
    FROM ({COUNTED}) c
    CROSS JOIN LATERAL (VALUES ('scene', scene), ('environment', environment), ('outfit', outfit))
        AS v (dimension, value)
    WHERE error_message IS NOT NULL AND prompt_id IS NOT NULL
    GROUP BY 1, 2, 3
"""

PUBLISHED_VALUE_ERRORS = (
    "SELECT prompt_id, dimension, value, sum(error_count)::bigint, max(last_seen_at)"
    " FROM prompt_value_error_stats GROUP BY 1, 2, 3"
)
"""The kinds of a value's errors add up to its events with a message."""


def assert_equals_recount(database: Database, first_day: dt.date, raw: str = "prompt_usage") -> None:
    """Compares every stats table with its recount: counts, sums, rates, means and times exactly.

    ``raw``: the table or view that holds the raw rows. Without write-back the counters in ``prompts`` are
    left out.
    """
    with database.connect(row_factory=tuple_row) as connection:
        as_of = connection.execute("SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1").fetchone()
        assert as_of, "nothing was published"
        values = {"first_day": first_day, "today": as_of[0].astimezone(dt.UTC).date()}
        for table, recount in RECOUNTS.items():
            if table == "prompts" and not database.write_back:
                continue
            expected = _rows(connection.execute(_of(raw, recount), values))
            published = _rows(connection.execute(PUBLISHED[table]))
            assert published == expected, f"{table} differs from the recount"
        _assert_percentiles(connection, values, raw)
        _assert_values(connection, values, raw)
        assert_errors_counted(connection, values, raw)


def _of(raw: str, recount: str) -> bytes:
    return recount.replace("FROM prompt_usage", f"FROM {raw}").encode()


def assert_errors_counted(
    connection: psycopg.Connection[Any], values: dict[str, Any], raw: str = "prompt_usage"
) -> None:
    """The kinds of a prompt's errors add up to its events with a message."""
    recount = f"""
        SELECT prompt_id, count(*), max(created_at)
        FROM ({COUNTED}) c WHERE error_message IS NOT NULL GROUP BY 1"""
    published = (
        "SELECT prompt_id, sum(error_count)::bigint, max(last_seen_at) FROM prompt_error_stats GROUP BY 1"
    )
    assert _rows(connection.execute(published)) == _rows(connection.execute(_of(raw, recount), values))


def _assert_percentiles(connection: psycopg.Connection[Any], values: dict[str, Any], raw: str) -> None:
    recount = _of(raw, PERCENTILES.format(counted=COUNTED))
    for prompt_id, *published, times in connection.execute(recount, values):
        _assert_close(str(prompt_id), published, times)


def _assert_values(connection: psycopg.Connection[Any], values: dict[str, Any], raw: str) -> None:
    """What is counted by value is that of the raw events, if it claims to be as new as the rest."""
    latest = "SELECT value_stats_as_of = as_of FROM stats_refresh ORDER BY id DESC LIMIT 1"
    if connection.execute(latest).fetchone() != (True,):
        return
    expected = []
    for *row, times, p50, p90, p95, p99 in connection.execute(_of(raw, VALUES), values):
        expected.append(tuple(row))
        _assert_close(str(row[:3]), [p50, p90, p95, p99], times)
    published = _rows(connection.execute(PUBLISHED_VALUES))
    assert published == _sorted(expected), "prompt_value_stats differs from the recount"
    published = _rows(connection.execute(PUBLISHED_VALUE_ERRORS))
    expected = _rows(connection.execute(_of(raw, VALUE_ERRORS), values))
    assert published == expected, "prompt_value_error_stats differs from the recount"


def _assert_close(name: str, published: list[float | None], times: list[int] | None) -> None:
    if times is None:
        assert published == [None] * 4, f"{name} was never timed"
        return
    for estimate, percent in zip(published, (50, 90, 95, 99), strict=True):
        # As percentile_disc: the smallest that so many per cent do not exceed.
        exact = times[-(-percent * len(times) // 100) - 1]
        assert estimate is not None, f"{name} was timed"
        # A broken clock's times are all one bucket; they are not told apart.
        is_close = abs(estimate - exact) <= 0.02 * exact + 1e-9 if exact > 0 else estimate <= 0
        assert is_close, f"{name} p{percent}: {estimate} instead of {exact}"


def _rows(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    return _sorted(cursor.fetchall())


def _sorted(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: tuple((value is not None, str(value)) for value in row))
