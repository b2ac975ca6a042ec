-- Purpose: performance by scene, over all prompts.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as of the last refresh.
SELECT *
FROM scene_stats
ORDER BY usage_count DESC, scene
LIMIT %(limit)s
