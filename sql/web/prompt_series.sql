-- Purpose: usage of one prompt over time, periods without use included.
-- Grain:   one row per day, week (from Monday) or month, by :bucket.
-- Time:    day (UTC), from :from_day to :to_day, both included.
SELECT
    date_trunc(%(bucket)s, calendar.day)::date                          AS period,
    coalesce(sum(stats.usage_count), 0)::bigint                         AS usage_count,
    coalesce(sum(stats.success_count), 0)::bigint                       AS success_count,
    coalesce(sum(stats.failure_count), 0)::bigint                       AS failure_count,
    sum(stats.success_count) / sum(stats.usage_count)::double precision * 100 AS success_rate
FROM generate_series(CAST(%(from_day)s AS timestamp), CAST(%(to_day)s AS timestamp), '1 day') AS calendar (day)
LEFT JOIN prompt_daily_stats AS stats
    ON stats.day = calendar.day::date AND stats.prompt_id = %(prompt_id)s
GROUP BY 1
ORDER BY 1
