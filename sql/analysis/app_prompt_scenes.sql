-- Purpose: performance of one prompt by scene: what the app asks of prompt_usage, from the stats.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as of the last refresh.
WITH settings AS (
    -- Yours to change: the prompt's slug, or its id.
    SELECT 'portrait-selfie-casual' AS prompt
),

named AS (
    -- An id before a slug, a living prompt before a deleted one. A slug of several is an error.
    SELECT prompts.id
    FROM settings
    INNER JOIN prompts ON settings.prompt IN (prompts.slug, prompts.id::text)
    ORDER BY prompts.id::text = settings.prompt DESC, prompts.deleted_at IS NULL DESC
    FETCH FIRST 1 ROW WITH TIES
)

SELECT
    stats.scene,
    stats.usage_count,
    stats.avg_generation_time_ms AS avg_time_ms,
    stats.success_rate
FROM prompt_scene_stats AS stats
WHERE stats.prompt_id = (SELECT named.id FROM named)
ORDER BY stats.usage_count DESC
