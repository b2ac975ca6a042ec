-- Purpose: how a prompt did over some days, to be compared.
-- Grain:   one row, or none where there is no such prompt.
-- Time:    day (UTC), from :from_day to :to_day, both included.
SELECT
    prompt.id::text                               AS prompt_id,
    prompt.slug::text                             AS slug,
    prompt.name::text                             AS name,
    coalesce(sum(stats.usage_count), 0)::bigint   AS usage_count,
    coalesce(sum(stats.success_count), 0)::bigint AS success_count,
    coalesce(sum(stats.failure_count), 0)::bigint AS failure_count
FROM prompts AS prompt
LEFT JOIN prompt_daily_stats AS stats
    ON
        stats.prompt_id = prompt.id
        AND stats.day BETWEEN CAST(%(from_day)s AS date) AND CAST(%(to_day)s AS date)
WHERE prompt.id = %(prompt_id)s
GROUP BY 1, 2, 3
