-- Purpose: uses and successes of the last hours and days: of all, of each scene, of each prompt.
-- Grain:   scope ('overall', 'scene', 'prompt') x prompt or scene x hour before :until; hours with use only.
-- Time:    created_at, from :hours hours before :until to just before it. Undated events are left out.
-- Reads usage_events. hours_ago 0 is the hour that ends at :until. Runs on DuckDB alone: it is no rollup
-- but reads some days, and Spark has neither // nor to_hours.
WITH recent AS (
    SELECT
        prompt_id,
        scene,
        success,
        CAST(date_diff('microsecond', created_at, CAST($until AS TIMESTAMPTZ)) - 1 AS BIGINT)
        // 3600000000 AS hours_ago
    FROM usage_events
    WHERE
        created_at < CAST($until AS TIMESTAMPTZ)
        AND created_at >= CAST($until AS TIMESTAMPTZ) - to_hours($hours)
)

SELECT
    CASE
        WHEN grouping(prompt_id) = 0 THEN 'prompt'
        WHEN grouping(scene) = 0 THEN 'scene'
        ELSE 'overall'
    END                                  AS scope,
    prompt_id,
    scene,
    CAST(hours_ago AS INTEGER)           AS hours_ago,
    count(*)                             AS usage_count,
    count(CASE WHEN success THEN 1 END)  AS success_count
FROM recent
GROUP BY GROUPING SETS ((hours_ago), (hours_ago, scene), (hours_ago, prompt_id))
HAVING NOT (grouping(prompt_id) = 0 AND prompt_id IS NULL)
