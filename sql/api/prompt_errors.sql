-- Purpose: what went wrong with one prompt, by kind of error.
-- Grain:   one row a kind; most frequent first.
-- Time:    as of the last refresh.
SELECT
    stats.error_kind,
    stats.error_count,
    stats.last_seen_at
FROM prompt_error_stats AS stats
INNER JOIN prompts AS prompt ON prompt.id = stats.prompt_id
WHERE prompt.id::text = %(id)s OR prompt.slug = %(slug)s
ORDER BY stats.error_count DESC, stats.error_kind
LIMIT %(limit)s
