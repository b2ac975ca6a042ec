-- Purpose: usage of one prompt by scene over time, where there was any; of its most used scenes.
-- Grain:   scene x period: a day, week (from Monday) or month, by :bucket; in order of time, most used first.
-- Time:    day (UTC), all of the input.
-- Reads partials, rows of prompt_usage_daily of one prompt and dimension 'scene'. Of the scenes, those :limit
-- that were used most. Runs on DuckDB alone: it is no rollup, and answers somebody who waits.
WITH scenes AS (
    SELECT
        value,
        row_number() OVER (ORDER BY sum(usage_count) DESC, value NULLS FIRST) AS place
    FROM partials
    GROUP BY value
)

SELECT
    partials.value                                                     AS scene,
    CAST(date_trunc($bucket, partials.day) AS DATE)                    AS period,
    CAST(sum(partials.usage_count) AS BIGINT)                          AS usage_count,
    CAST(sum(partials.success_count) AS BIGINT)                        AS success_count,
    CAST(sum(partials.failure_count) AS BIGINT)                        AS failure_count,
    sum(partials.success_count) / sum(partials.usage_count) * 100      AS success_rate
FROM partials
INNER JOIN scenes ON scenes.value IS NOT DISTINCT FROM partials.value
WHERE scenes.place <= $limit
GROUP BY partials.value, 2
ORDER BY period, usage_count DESC, scene NULLS FIRST
