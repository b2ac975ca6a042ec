-- Purpose: what went wrong with one prompt, by kind of error and by scene, environment or outfit.
-- Grain:   one row a value and kind, NULL being a value; most frequent first.
-- Time:    as of value_stats_as_of.
SELECT
    stats.value,
    stats.error_kind,
    stats.error_count,
    stats.last_seen_at
FROM prompt_value_error_stats AS stats
INNER JOIN prompts AS prompt ON prompt.id = stats.prompt_id
WHERE (prompt.id::text = %(id)s OR prompt.slug = %(slug)s) AND stats.dimension = %(dimension)s
ORDER BY stats.error_count DESC, stats.value, stats.error_kind
LIMIT %(limit)s
