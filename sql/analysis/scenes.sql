-- Purpose: performance by scene, over all prompts.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as_of.
SELECT
    scene,
    usage_count,
    -- Percent of all events.
    usage_count * 100.0 / sum(usage_count) OVER ()             AS usage_share,
    success_count,
    failure_count,
    success_rate,
    success_rate_lower,
    success_rate_upper,
    avg_generation_time_ms,
    last_used_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM scene_stats
ORDER BY usage_count DESC, scene
