-- Purpose: performance by environment, over all prompts.
-- Grain:   one row per environment, NULL being one; most used first.
-- Time:    as of the last refresh.
SELECT *
FROM environment_stats
ORDER BY usage_count DESC, environment
LIMIT %(limit)s
