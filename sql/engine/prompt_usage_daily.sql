-- Purpose: what a day's events add up to, per prompt and per value of each dimension, ready to be merged.
-- Grain:   day x prompt x dimension x value; dimension 'prompt' has no value and is the prompt's own row.
-- Time:    day (UTC).
-- Reads usage_events; error_kinds, of each error_message its error_kind; and ledger, what the lake's log says of
-- each day. Runs unchanged on DuckDB and Spark. Users are in user_events.sql.
-- The rows of dimension 'time' are a histogram and only count: value is the logarithmic bucket of DDSketch
-- (Masson, Rim, Lee, VLDB 2019) with a relative error of 2 %: gamma = 1.02 / 0.98,
-- bucket = ceil(log_gamma(time)). Times below 1 ms go to bucket -1. The digits of gamma are doubles: for Spark 1.02 is
-- a decimal, and their quotient another number. The sync lets no time of 2^31 ms or more through, and up to 10^12 ms
-- the logarithm in doubles errs at no edge of a bucket (tests/integration/test_engines.py).
WITH grouped AS (
    SELECT
        day,
        prompt_id,
        CASE
            WHEN grouping(scene) = 0 THEN 'scene'
            WHEN grouping(environment) = 0 THEN 'environment'
            WHEN grouping(outfit) = 0 THEN 'outfit'
            ELSE 'prompt'
        END                                                    AS dimension,
        CASE
            WHEN grouping(scene) = 0 THEN scene
            WHEN grouping(environment) = 0 THEN environment
            WHEN grouping(outfit) = 0 THEN outfit
        END                                                    AS value,
        count(*)                                               AS usage_count,
        count(CASE WHEN success THEN 1 END)                    AS success_count,
        count(CASE WHEN NOT success THEN 1 END)                AS failure_count,
        count(generation_time_ms)                              AS timed_count,
        CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT)   AS generation_time_ms_sum,
        CAST(coalesce(sum(generation_time_ps), 0) AS BIGINT)   AS generation_time_ps_sum,
        min(generation_time_ms)                                AS generation_time_ms_min,
        max(generation_time_ms)                                AS generation_time_ms_max,
        min(created_at)                                        AS first_used_at,
        max(created_at)                                        AS last_used_at
    FROM usage_events
    GROUP BY
        GROUPING SETS (
            (day, prompt_id),
            (day, prompt_id, scene),
            (day, prompt_id, environment),
            (day, prompt_id, outfit)
        )
    UNION ALL
    SELECT
        usage_events.day,
        usage_events.prompt_id,
        'error'                                                AS dimension,
        error_kinds.error_kind                                 AS value,
        count(*)                                               AS usage_count,
        count(CASE WHEN success THEN 1 END)                    AS success_count,
        count(CASE WHEN NOT success THEN 1 END)                AS failure_count,
        count(generation_time_ms)                              AS timed_count,
        CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT)   AS generation_time_ms_sum,
        CAST(coalesce(sum(generation_time_ps), 0) AS BIGINT)   AS generation_time_ps_sum,
        min(generation_time_ms)                                AS generation_time_ms_min,
        max(generation_time_ms)                                AS generation_time_ms_max,
        min(created_at)                                        AS first_used_at,
        max(created_at)                                        AS last_used_at
    FROM usage_events
    INNER JOIN error_kinds ON error_kinds.error_message = usage_events.error_message
    GROUP BY usage_events.day, usage_events.prompt_id, error_kinds.error_kind
    UNION ALL
    SELECT
        day,
        prompt_id,
        'time'                                                 AS dimension,
        CAST(time_bucket AS STRING)                            AS value,
        count(*)                                               AS usage_count,
        CAST(NULL AS BIGINT)                                   AS success_count,
        CAST(NULL AS BIGINT)                                   AS failure_count,
        CAST(NULL AS BIGINT)                                   AS timed_count,
        CAST(NULL AS BIGINT)                                   AS generation_time_ms_sum,
        CAST(NULL AS BIGINT)                                   AS generation_time_ps_sum,
        CAST(NULL AS BIGINT)                                   AS generation_time_ms_min,
        CAST(NULL AS BIGINT)                                   AS generation_time_ms_max,
        NULL                                                   AS first_used_at,
        NULL                                                   AS last_used_at
    FROM (
        SELECT
            day,
            prompt_id,
            CASE
                WHEN generation_time_ms > 0
                    THEN CAST(ceil(ln(generation_time_ms) / ln(1.02e0 / 0.98e0)) AS INTEGER)
                ELSE -1
            END AS time_bucket
        FROM usage_events
        WHERE generation_time_ms IS NOT NULL
    ) AS timed
    GROUP BY day, prompt_id, time_bucket
)

SELECT
    grouped.*,
    ledger.ingest_xid,
    ledger.synced_high,
    ledger.events_version
FROM grouped
INNER JOIN ledger ON ledger.day = grouped.day
ORDER BY grouped.dimension NULLS LAST, grouped.prompt_id NULLS LAST
