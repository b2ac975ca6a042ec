-- Purpose: usage of one prompt by value of a dimension over time, where there was any; of its most used values.
-- Grain:   value x period: a day, week (from Monday) or month, by :bucket; in order of time, most used first.
-- Time:    day, all of the input.
-- Reads partials, rows of prompt_usage_daily of one prompt and dimension. Of the values, those :limit
-- that were used most. Runs on DuckDB alone: it is no rollup, and answers somebody who waits for less than
-- a job of Spark takes.
WITH used AS (
    SELECT
        value,
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
        sum(usage_count) OVER (PARTITION BY value) AS value_usage_count
    FROM used
)

SELECT
    value,
    period,
    usage_count,
    success_count,
    failure_count,
    success_rate
FROM summed
QUALIFY dense_rank() OVER (ORDER BY value_usage_count DESC, value NULLS FIRST) <= $limit
ORDER BY period, usage_count DESC, value NULLS FIRST
