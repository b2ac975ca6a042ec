-- Purpose: prompts that events name and that do not exist, those used today first.
-- Grain:   one row per prompt.
-- Time:    the last publish; today is the day of its as_of.
SELECT
    stats.prompt_id::text,
    stats.usage_count,
    stats.usage_count_1d,
    stats.first_used_at,
    stats.last_used_at
FROM prompt_stats AS stats
WHERE
    stats.usage_count > 0
    AND NOT EXISTS (SELECT FROM prompts WHERE prompts.id = stats.prompt_id)
ORDER BY stats.usage_count_1d DESC, stats.usage_count DESC, stats.prompt_id
