-- Purpose: a prompt as the app has it.
-- Grain:   one row, or none.
-- Time:    stats_as_of, of the counters.
-- Some columns come twice, and a row by name has the last: after the counters of prompts, which may be left alone,
-- those of prompt_stats; and ids as texts, since JSON has no numbers as large as an app's may be.
SELECT
    prompt.*,
    prompt.id::text AS id,
    prompt.created_by::text AS created_by,
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
WHERE prompt.id = %(prompt_id)s
