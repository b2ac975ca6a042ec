-- Purpose: performance of one prompt by scene.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as_of.
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
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.success_rate_upper,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompt_scene_stats AS stats
WHERE stats.prompt_id = (SELECT named.id FROM named)
ORDER BY stats.usage_count DESC, stats.scene
