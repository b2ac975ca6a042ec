-- Purpose: what some prompts' raw events add up to, for days that the lake alone has.
-- Grain:   one row per kind, prompt and value; kind says what value is.
-- Time:    day (UTC).
-- Reads usage_events and bounds: by prompt and percentile what the published one is. Kinds as in
-- sql/health/prompt_recount.sql. Runs on DuckDB alone: it is no rollup, and shares nothing with those that it
-- checks, their engine included.
WITH grouped AS (
    SELECT
        CASE
            WHEN grouping(day) = 0 THEN 'day'
            WHEN grouping(scene) = 0 THEN 'scene'
            WHEN grouping(environment) = 0 THEN 'environment'
            WHEN grouping(outfit) = 0 THEN 'outfit'
            ELSE 'user'
        END                                                    AS kind,
        prompt_id,
        CASE
            WHEN grouping(day) = 0 THEN CAST(day AS VARCHAR)
            WHEN grouping(scene) = 0 THEN scene
            WHEN grouping(environment) = 0 THEN environment
            WHEN grouping(outfit) = 0 THEN outfit
            ELSE user_id
        END                                                    AS value,
        count(*)                                               AS usage_count,
        count(*) FILTER (WHERE success)                        AS success_count,
        count(*) FILTER (WHERE NOT success)                    AS failure_count,
        count(generation_time_ms)                              AS timed_count,
        CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT)   AS generation_time_ms_sum,
        CAST(coalesce(sum(generation_time_ps), 0) AS BIGINT)   AS generation_time_ps_sum,
        min(generation_time_ms)                                AS generation_time_ms_min,
        max(generation_time_ms)                                AS generation_time_ms_max,
        min(created_at)                                        AS first_used_at,
        max(created_at)                                        AS last_used_at,
        count(error_message)                                   AS error_count,
        max(created_at) FILTER (WHERE error_message IS NOT NULL) AS last_error_at
    FROM usage_events
    GROUP BY GROUPING SETS (
        (prompt_id, day), (prompt_id, scene), (prompt_id, environment), (prompt_id, outfit), (prompt_id, user_id)
    )
)

SELECT * FROM grouped
UNION ALL
SELECT
    'time',
    event.prompt_id,
    bounds.name,
    count(*) FILTER (WHERE bounds.value > 0 AND event.generation_time_ms < bounds.value / 1.02 * (1 - 1e-9)),
    NULL,
    NULL,
    count(*) FILTER (WHERE event.generation_time_ms <= greatest(bounds.value / 0.98 * (1 + 1e-9), 0)),
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL
FROM usage_events AS event
INNER JOIN bounds ON bounds.prompt_id = event.prompt_id
WHERE event.generation_time_ms IS NOT NULL
GROUP BY event.prompt_id, bounds.name
