-- Purpose: the most used prompts, as the app ranks and shows them.
-- Grain:   one row a prompt that is active and not deleted; most used first, then most successes.
-- Time:    stats_as_of, of the counters.
SELECT *
FROM prompts
WHERE is_active AND deleted_at IS NULL
ORDER BY usage_count DESC, success_count DESC, id
LIMIT %(limit)s
