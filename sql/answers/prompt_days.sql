-- Purpose: usage of one prompt day by day, days without use included.
-- Grain:   one row per day.
-- Time:    day (UTC), from :from_day to :to_day, both included.
SELECT
    calendar.day::date                     AS day,
    coalesce(sum(stats.usage_count), 0)::bigint   AS usage_count,
    coalesce(sum(stats.success_count), 0)::bigint AS success_count,
    coalesce(sum(stats.failure_count), 0)::bigint AS failure_count
FROM generate_series(CAST(:from_day AS timestamp), CAST(:to_day AS timestamp), '1 day') AS calendar (day)
LEFT JOIN prompt_daily_stats AS stats
    ON
        stats.day = calendar.day::date
        AND stats.prompt_id = :prompt_id
GROUP BY 1
ORDER BY 1
