-- Purpose: performance of one prompt by scene: what the app asks of prompt_usage, from the stats.
-- Grain:   one row a scene, NULL being one; most used first.
-- Time:    as of the last refresh.
WITH settings AS (
    -- Yours to change: the prompt's slug, or its id.
    SELECT 'portrait-selfie-casual' AS prompt
)

SELECT
    stats.scene,
    stats.usage_count,
    stats.avg_generation_time_ms AS avg_time_ms,
    stats.success_rate
FROM settings
INNER JOIN prompts ON settings.prompt IN (prompts.slug, prompts.id::text)
INNER JOIN prompt_scene_stats AS stats ON stats.prompt_id = prompts.id
ORDER BY stats.usage_count DESC
