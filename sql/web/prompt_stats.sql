-- Purpose: the stats of one prompt.
-- Grain:   one row, or none where there is no such prompt.
-- Time:    stats_as_of.
-- success_rate is 0 for a prompt that was never used, as the app has it.
SELECT
    prompt.id::text                             AS prompt_id,
    coalesce(stats.usage_count, 0)              AS total_usage,
    coalesce(stats.success_count, 0)            AS success_count,
    coalesce(stats.failure_count, 0)            AS failure_count,
    coalesce(stats.success_rate, 0)             AS success_rate,
    stats.success_rate_lower,
    stats.success_rate_upper,
    stats.avg_generation_time_ms,
    coalesce(stats.timed_count, 0)              AS timed_count,
    stats.min_generation_time_ms,
    stats.p50_generation_time_ms,
    stats.p90_generation_time_ms,
    stats.p95_generation_time_ms,
    stats.p99_generation_time_ms,
    stats.max_generation_time_ms,
    stats.first_used_at,
    stats.last_used_at,
    coalesce(stats.unique_users, 0)             AS unique_users,
    coalesce(stats.favorite_count, 0)           AS favorite_count,
    coalesce(stats.usage_count_1d, 0)           AS usage_count_1d,
    coalesce(stats.usage_count_7d, 0)           AS usage_count_7d,
    coalesce(stats.usage_count_30d, 0)          AS usage_count_30d,
    coalesce(stats.usage_count_previous_1d, 0)  AS usage_count_previous_1d,
    coalesce(stats.usage_count_previous_7d, 0)  AS usage_count_previous_7d,
    coalesce(stats.usage_count_previous_30d, 0) AS usage_count_previous_30d
FROM prompts AS prompt
LEFT JOIN prompt_stats AS stats ON stats.prompt_id = prompt.id
WHERE prompt.id = %(prompt_id)s
