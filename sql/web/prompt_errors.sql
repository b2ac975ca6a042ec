-- Purpose: what went wrong with one prompt, by kind of error.
-- Grain:   one row per kind; most frequent first.
-- Time:    as of the last refresh.
SELECT
    stats.error_kind,
    stats.error_count,
    stats.last_seen_at
FROM prompt_error_stats AS stats
WHERE stats.prompt_id = %(prompt_id)s
ORDER BY stats.error_count DESC, stats.error_kind
LIMIT %(limit)s
