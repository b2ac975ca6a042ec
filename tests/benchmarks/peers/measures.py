"""The measures that every contestant computes, in the SQL that Postgres, DuckDB and ClickHouse share."""

SCENE_DAY = """
    count(*)                                                    AS usage_count,
    count(CASE WHEN success THEN 1 END)                         AS success_count,
    count(CASE WHEN NOT success THEN 1 END)                     AS failure_count,
    count(generation_time_ms)                                   AS timed_count,
    CAST(sum(generation_time_ms) AS BIGINT)                     AS time_ms_sum,
    max(created_at)                                             AS last_used_at
"""
"""Of the events of a prompt in a scene on a day."""

TOTALS = """
    CAST(sum(usage_count) AS BIGINT)                            AS usage_count,
    CAST(sum(success_count) AS BIGINT)                          AS success_count,
    CAST(sum(failure_count) AS BIGINT)                          AS failure_count,
    CAST(sum(time_ms_sum) AS DOUBLE PRECISION) / NULLIF(sum(timed_count), 0)  AS avg_time_ms,
    max(last_used_at)                                           AS last_used_at
"""
"""Of a prompt, merged from those by scene and day."""
