-- Purpose: what went wrong with one prompt, by kind of error and by scene, environment or outfit.
-- Grain:   one row per value and kind, NULL being a value; most frequent first.
-- Time:    as of value_stats_as_of.
SELECT
    stats.value,
    stats.error_kind,
    stats.error_count,
    stats.last_seen_at
FROM prompt_value_error_stats AS stats
WHERE stats.prompt_id = %(prompt_id)s AND stats.dimension = %(dimension)s
ORDER BY stats.error_count DESC, stats.value, stats.error_kind
LIMIT %(limit)s
