-- Purpose: usage over some days and over those before them, of all prompts.
-- Grain:   one row.
-- Time:    day (UTC), from :from_day to :to_day, both included.
-- What is compared is from :from_day until :compared_end, and from :before until :previous_end: as many days,
-- and whole ones.
-- Events without a prompt are in no row of prompt_daily_stats, and so not in this.
WITH days AS (
    SELECT
        stats.*,
        day >= CAST(%(from_day)s AS date)                                          AS is_asked,
        day >= CAST(%(from_day)s AS date) AND day < CAST(%(compared_end)s AS date) AS is_compared,
        day < CAST(%(previous_end)s AS date)                                       AS is_previous
    FROM prompt_daily_stats AS stats
    WHERE day BETWEEN CAST(%(before)s AS date) AND CAST(%(to_day)s AS date)
)

SELECT
    coalesce(sum(usage_count) FILTER (WHERE is_asked), 0)::bigint      AS usage_count,
    coalesce(sum(success_count) FILTER (WHERE is_asked), 0)::bigint    AS success_count,
    coalesce(sum(failure_count) FILTER (WHERE is_asked), 0)::bigint    AS failure_count,
    sum(success_count) FILTER (WHERE is_asked)
    / sum(usage_count) FILTER (WHERE is_asked)::double precision * 100 AS success_rate,
    coalesce(sum(usage_count) FILTER (WHERE is_compared), 0)::bigint   AS compared_usage_count,
    coalesce(sum(success_count) FILTER (WHERE is_compared), 0)::bigint AS compared_success_count,
    coalesce(sum(failure_count) FILTER (WHERE is_compared), 0)::bigint AS compared_failure_count,
    coalesce(sum(usage_count) FILTER (WHERE is_previous), 0)::bigint   AS previous_usage_count,
    coalesce(sum(success_count) FILTER (WHERE is_previous), 0)::bigint AS previous_success_count,
    coalesce(sum(failure_count) FILTER (WHERE is_previous), 0)::bigint AS previous_failure_count,
    count(DISTINCT prompt_id) FILTER (WHERE is_asked)                  AS prompt_count
FROM days
