-- Purpose: usage of all prompts over time, periods without use included.
-- Grain:   one row per day, week (from Monday) or month, by :bucket.
-- Time:    day (UTC), from :from_day to :to_day, both included.
-- Events without a prompt are in no row of prompt_daily_stats, and so not in this.
WITH daily AS (
    SELECT
        day,
        sum(usage_count)   AS usage_count,
        sum(success_count) AS success_count,
        sum(failure_count) AS failure_count
    FROM prompt_daily_stats
    WHERE day BETWEEN CAST(%(from_day)s AS date) AND CAST(%(to_day)s AS date)
    GROUP BY day
)

SELECT
    date_trunc(%(bucket)s, calendar.day)::date                                AS period,
    coalesce(sum(daily.usage_count), 0)::bigint                               AS usage_count,
    coalesce(sum(daily.success_count), 0)::bigint                             AS success_count,
    coalesce(sum(daily.failure_count), 0)::bigint                             AS failure_count,
    sum(daily.success_count) / sum(daily.usage_count)::double precision * 100 AS success_rate
FROM generate_series(CAST(%(from_day)s AS timestamp), CAST(%(to_day)s AS timestamp), '1 day') AS calendar (day)
LEFT JOIN daily ON daily.day = calendar.day::date
GROUP BY 1
ORDER BY 1
