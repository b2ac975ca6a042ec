-- Purpose: partials of any days or months merged into one, per prompt and value of each dimension.
-- Grain:   prompt x dimension x value.
-- Time:    all of the input.
-- Reads partials, rows of prompt_usage_daily, user_events, or of what was merged from them before.
-- Runs unchanged on DuckDB and Spark.
SELECT
    prompt_id,
    dimension,
    value,
    CAST(sum(usage_count) AS BIGINT)            AS usage_count,
    CAST(sum(success_count) AS BIGINT)          AS success_count,
    CAST(sum(failure_count) AS BIGINT)          AS failure_count,
    CAST(sum(timed_count) AS BIGINT)            AS timed_count,
    CAST(sum(generation_time_ms_sum) AS BIGINT) AS generation_time_ms_sum,
    CAST(sum(generation_time_ps_sum) AS BIGINT) AS generation_time_ps_sum,
    min(generation_time_ms_min)                 AS generation_time_ms_min,
    max(generation_time_ms_max)                 AS generation_time_ms_max,
    min(first_used_at)                          AS first_used_at,
    max(last_used_at)                           AS last_used_at,
    max(ingest_xid)                             AS ingest_xid,
    min(synced_high)                            AS synced_high
FROM partials
GROUP BY prompt_id, dimension, value
