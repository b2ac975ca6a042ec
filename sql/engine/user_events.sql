-- Purpose: each event as a partial of its user by itself, to be merged with partials of longer periods.
-- Grain:   one row per event; dimension is always 'user', and value is the user's id.
-- Time:    day (UTC).
-- Reads usage_events. Partials of users by day would be nearly as many as the events, so there are none.
-- Runs unchanged on DuckDB and Spark.
SELECT
    prompt_id,
    'user'                                                              AS dimension,
    user_id                                                             AS value,
    CAST(1 AS BIGINT)                                                   AS usage_count,
    CAST(CASE WHEN success THEN 1 ELSE 0 END AS BIGINT)                 AS success_count,
    CAST(CASE WHEN NOT success THEN 1 ELSE 0 END AS BIGINT)             AS failure_count,
    CAST(CASE WHEN generation_time_ms IS NULL THEN 0 ELSE 1 END AS BIGINT) AS timed_count,
    coalesce(generation_time_ms, 0)                                     AS generation_time_ms_sum,
    coalesce(generation_time_ps, 0)                                     AS generation_time_ps_sum,
    generation_time_ms                                                  AS generation_time_ms_min,
    generation_time_ms                                                  AS generation_time_ms_max,
    created_at                                                          AS first_used_at,
    created_at                                                          AS last_used_at,
    ingest_xid,
    synced_high,
    CAST(NULL AS BIGINT)                                                AS events_version,
    day
FROM usage_events
