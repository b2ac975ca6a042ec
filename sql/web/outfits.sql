-- Purpose: performance by outfit, over all prompts.
-- Grain:   one row per outfit, NULL being one; most used first.
-- Time:    as of the last refresh.
SELECT *
FROM outfit_stats
ORDER BY usage_count DESC, outfit
LIMIT %(limit)s
