-- Purpose: what a day's events add up to per user and prompt, ready to be merged.
-- Grain:   day x prompt x user; dimension is always 'user', and value is the user's id.
-- Time:    day (UTC).
-- Reads usage_events. Runs unchanged on DuckDB and Spark. Apart from prompt_usage_daily.sql, since it has
-- nearly as many rows as the events and is not needed every five minutes.
SELECT
    day,
    prompt_id,
    'user'                                                 AS dimension,
    user_id                                                AS value,
    count(*)                                               AS usage_count,
    count(CASE WHEN success THEN 1 END)                    AS success_count,
    count(CASE WHEN NOT success THEN 1 END)                AS failure_count,
    count(generation_time_ms)                              AS timed_count,
    CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT)   AS generation_time_ms_sum,
    CAST(coalesce(sum(generation_time_ps), 0) AS BIGINT)   AS generation_time_ps_sum,
    min(generation_time_ms)                                AS generation_time_ms_min,
    max(generation_time_ms)                                AS generation_time_ms_max,
    min(created_at)                                        AS first_used_at,
    max(created_at)                                        AS last_used_at,
    max(ingest_xid)                                        AS ingest_xid,
    min(synced_high)                                       AS synced_high
FROM usage_events
GROUP BY day, prompt_id, user_id
