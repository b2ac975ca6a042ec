-- Purpose: usage of one prompt by scene over time, where there was any; of its most used scenes.
-- Grain:   scene x period: a day, week (from Monday) or month, by :bucket; in order of time, most used first.
-- Time:    day (UTC), all of the input.
-- Reads partials, rows of prompt_usage_daily of one prompt and dimension 'scene'. Of the scenes, those :limit
-- that were used most. Runs on DuckDB alone: it is no rollup, and answers somebody who waits for less than
-- a job of Spark takes.
WITH used AS (
    SELECT
        value                                             AS scene,
        CAST(date_trunc($bucket, day) AS DATE)            AS period,
        CAST(sum(usage_count) AS BIGINT)                  AS usage_count,
        CAST(sum(success_count) AS BIGINT)                AS success_count,
        CAST(sum(failure_count) AS BIGINT)                AS failure_count,
        sum(success_count) / sum(usage_count) * 100       AS success_rate
    FROM partials
    GROUP BY 1, 2
),

summed AS (
    SELECT
        used.*,
        sum(usage_count) OVER (PARTITION BY scene) AS scene_usage_count
    FROM used
)

SELECT
    scene,
    period,
    usage_count,
    success_count,
    failure_count,
    success_rate
FROM summed
QUALIFY dense_rank() OVER (ORDER BY scene_usage_count DESC, scene NULLS FIRST) <= $limit
ORDER BY period, usage_count DESC, scene NULLS FIRST
