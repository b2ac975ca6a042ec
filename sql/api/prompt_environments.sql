-- Purpose: performance of one prompt by environment.
-- Grain:   one row a environment, NULL being one; most used first.
-- Time:    as of the last refresh.
SELECT stats.*
FROM prompt_environment_stats AS stats
INNER JOIN prompts AS prompt ON prompt.id = stats.prompt_id
WHERE prompt.id = %(id)s OR prompt.slug = %(slug)s
ORDER BY stats.usage_count DESC, stats.environment
