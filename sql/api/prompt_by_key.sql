-- Purpose: a prompt as the app has it, by id or slug.
-- Grain:   one row, or none.
-- Time:    stats_as_of, of the counters.
-- The counters come twice: after those of prompts, which may be left alone, those of prompt_stats. A row by name
-- has the last.
SELECT
    prompt.*,
    coalesce(stats.usage_count, 0)    AS usage_count,
    coalesce(stats.success_count, 0)  AS success_count,
    coalesce(stats.failure_count, 0)  AS failure_count,
    stats.success_rate,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    coalesce(stats.favorite_count, 0) AS favorite_count,
    stats.stats_as_of
FROM prompts AS prompt
LEFT JOIN prompt_stats AS stats ON stats.prompt_id = prompt.id
WHERE prompt.id::text = %(id)s OR prompt.slug = %(slug)s
