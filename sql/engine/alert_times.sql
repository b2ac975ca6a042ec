-- Purpose: how many generations of the last hours, and of the days before, took how long.
-- Grain:   scope x prompt or scene, as in alert_uses, x hour before :until, or day before that, x bucket.
-- Time:    created_at, from :hours hours before :until to just before it. Undated events are left out.
-- hours_ago 24, 48 … are of whole days, those below :recent_hours of one hour.
-- Reads usage_events. time_bucket is that of prompt_usage_daily.sql. Runs on DuckDB alone: it is no rollup
-- but reads some days, and Spark has neither // nor to_hours.
WITH recent AS (
    SELECT
        prompt_id,
        scene,
        generation_time_ms,
        CAST(date_diff('microsecond', created_at, CAST($until AS TIMESTAMPTZ)) - 1 AS BIGINT)
        // 3600000000 AS hours_ago
    FROM usage_events
    WHERE
        generation_time_ms IS NOT NULL
        AND created_at < CAST($until AS TIMESTAMPTZ)
        AND created_at >= CAST($until AS TIMESTAMPTZ) - to_hours($hours)
),

timed AS (
    SELECT
        prompt_id,
        scene,
        CAST(CASE WHEN hours_ago < $recent_hours THEN hours_ago ELSE hours_ago // 24 * 24 END AS INTEGER) AS hours_ago,
        CASE
            WHEN generation_time_ms > 0
                THEN CAST(ceil(ln(generation_time_ms) / ln(1.02e0 / 0.98e0)) AS INTEGER)
            ELSE -1
        END AS time_bucket
    FROM recent
)

SELECT
    CASE
        WHEN grouping(prompt_id) = 0 THEN 'prompt'
        WHEN grouping(scene) = 0 THEN 'scene'
        ELSE 'overall'
    END          AS scope,
    prompt_id,
    scene,
    hours_ago,
    time_bucket,
    count(*)     AS usage_count
FROM timed
GROUP BY
    GROUPING SETS ((hours_ago, time_bucket), (hours_ago, time_bucket, scene), (hours_ago, time_bucket, prompt_id))
HAVING NOT (grouping(prompt_id) = 0 AND prompt_id IS NULL)
