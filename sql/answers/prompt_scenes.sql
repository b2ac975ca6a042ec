-- Purpose: performance of one prompt by scene.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as of the last refresh.
SELECT
    scene,
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at
FROM prompt_scene_stats
WHERE prompt_id = :prompt_id
ORDER BY usage_count DESC, scene
