-- Purpose: the most used prompts, as the app ranks and shows them.
-- Grain:   one row per prompt that is active and not deleted; most used first, then most successes.
-- Time:    stats_as_of, of the counters. A prompt that is younger comes with the next refresh.
-- Some columns come twice, and a row by name has the last: after the counters of prompts, which may be left alone,
-- those of prompt_stats; and ids as texts, since JSON has no numbers as large as an app's may be.
SELECT
    prompt.*,
    prompt.id::text AS id,
    prompt.created_by::text AS created_by,
    stats.usage_count,
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    stats.favorite_count,
    stats.stats_as_of
FROM prompt_stats AS stats
INNER JOIN prompts AS prompt ON prompt.id = stats.prompt_id
WHERE prompt.is_active IS NOT FALSE AND prompt.deleted_at IS NULL
ORDER BY stats.usage_count DESC, stats.success_count DESC, stats.prompt_id
LIMIT %(limit)s
