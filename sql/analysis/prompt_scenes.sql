-- Purpose: performance of one prompt by scene.
-- Grain:   one row a scene, NULL being one; most used first.
-- Time:    as_of.
WITH settings AS (
    -- Yours to change: the prompt's slug, or its id.
    SELECT 'portrait-selfie-casual' AS prompt
)

SELECT
    stats.scene,
    stats.usage_count,
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.success_rate_upper,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM settings
INNER JOIN prompts ON settings.prompt IN (prompts.slug, prompts.id::text)
INNER JOIN prompt_scene_stats AS stats ON stats.prompt_id = prompts.id
ORDER BY stats.usage_count DESC, stats.scene
