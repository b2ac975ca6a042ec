-- Purpose: usage over time, in the days of any time zone, or by hour; periods without use included.
-- Grain:   one row per period: a day, week (from Monday) or month of :timezone, or an hour of UTC.
-- Time:    created_at, from :first to :last, both days included. Undated events are in no period.
-- What is compared, compared_… (from :first until :compared_end) and previous_… (from :before until
-- :previous_end), and prompt_count (prompts used from :first to :last) are of the whole, and so the same in
-- every row.
-- Reads usage_events: those of one prompt, or where :prompt_id is NULL those of all; events without a prompt
-- are left out. Runs on DuckDB alone: it is no rollup, and answers somebody who waits for less than a job of
-- Spark takes.
WITH periods AS (
    SELECT DISTINCT date_trunc($bucket, step) AS period
    FROM generate_series(
        CAST($first AS TIMESTAMP),
        CAST($last AS TIMESTAMP) + INTERVAL 23 HOUR,
        CASE WHEN $bucket = 'hour' THEN INTERVAL 1 HOUR ELSE INTERVAL 1 DAY END
    ) AS steps (step)
),

used AS (
    SELECT
        prompt_id,
        success,
        timezone($timezone, created_at)               AS used_at,
        used_at >= $first AND used_at < $compared_end AS is_compared,
        used_at < $previous_end                       AS is_previous
    FROM usage_events
    WHERE prompt_id = coalesce(CAST($prompt_id AS VARCHAR), prompt_id)
),

counted AS (
    SELECT
        prompt_id,
        -- NULL: before :first.
        CASE WHEN used_at >= CAST($first AS TIMESTAMP) THEN date_trunc($bucket, used_at) END AS period,
        count(*)                                                                             AS usage_count,
        count(CASE WHEN success THEN 1 END)                                                  AS success_count,
        count(CASE WHEN NOT success THEN 1 END)                                              AS failure_count,
        count(CASE WHEN is_compared THEN 1 END)                                              AS compared_usage_count,
        count(CASE WHEN is_compared AND success THEN 1 END)                                  AS compared_success_count,
        count(CASE WHEN is_compared AND NOT success THEN 1 END)                              AS compared_failure_count,
        count(CASE WHEN is_previous THEN 1 END)                                              AS previous_usage_count,
        count(CASE WHEN is_previous AND success THEN 1 END)                                  AS previous_success_count,
        count(CASE WHEN is_previous AND NOT success THEN 1 END)                              AS previous_failure_count
    FROM used
    WHERE used_at >= CAST($before AS TIMESTAMP) AND used_at < CAST($last AS TIMESTAMP) + INTERVAL 1 DAY
    GROUP BY 1, 2
),

summed AS (
    SELECT
        CAST(coalesce(sum(compared_usage_count), 0) AS BIGINT)          AS compared_usage_count,
        CAST(coalesce(sum(compared_success_count), 0) AS BIGINT)        AS compared_success_count,
        CAST(coalesce(sum(compared_failure_count), 0) AS BIGINT)        AS compared_failure_count,
        CAST(coalesce(sum(previous_usage_count), 0) AS BIGINT)          AS previous_usage_count,
        CAST(coalesce(sum(previous_success_count), 0) AS BIGINT)        AS previous_success_count,
        CAST(coalesce(sum(previous_failure_count), 0) AS BIGINT)        AS previous_failure_count,
        count(DISTINCT CASE WHEN period IS NOT NULL THEN prompt_id END) AS prompt_count
    FROM counted
)

SELECT
    periods.period,
    CAST(coalesce(sum(counted.usage_count), 0) AS BIGINT)       AS usage_count,
    CAST(coalesce(sum(counted.success_count), 0) AS BIGINT)     AS success_count,
    CAST(coalesce(sum(counted.failure_count), 0) AS BIGINT)     AS failure_count,
    sum(counted.success_count) / sum(counted.usage_count) * 100 AS success_rate,
    any_value(summed.compared_usage_count)                      AS compared_usage_count,
    any_value(summed.compared_success_count)                    AS compared_success_count,
    any_value(summed.compared_failure_count)                    AS compared_failure_count,
    any_value(summed.previous_usage_count)                      AS previous_usage_count,
    any_value(summed.previous_success_count)                    AS previous_success_count,
    any_value(summed.previous_failure_count)                    AS previous_failure_count,
    any_value(summed.prompt_count)                              AS prompt_count
FROM periods
CROSS JOIN summed
LEFT JOIN counted ON counted.period = periods.period
GROUP BY periods.period
ORDER BY periods.period
