-- Purpose: what a day's events add up to, per user and prompt, ready to be merged.
-- Grain:   day x user x prompt.
-- Time:    day (UTC).
-- Reads usage_events. Runs unchanged on DuckDB and Spark.
SELECT
    day,
    user_id,
    prompt_id,
    count(*)                                             AS usage_count,
    count(CASE WHEN success THEN 1 END)                  AS success_count,
    count(CASE WHEN NOT success THEN 1 END)              AS failure_count,
    count(generation_time_ms)                            AS timed_count,
    CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT) AS generation_time_ms_sum,
    max(created_at)                                      AS last_used_at,
    max(ingest_xid)                                      AS ingest_xid,
    min(synced_high)                                     AS synced_high
FROM usage_events
GROUP BY day, user_id, prompt_id
