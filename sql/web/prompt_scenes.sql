-- Purpose: performance of one prompt by scene.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as of the last refresh; from unique_users on as of value_stats_as_of, NULL before that.
SELECT
    stats.*,
    counted.unique_users,
    counted.p50_generation_time_ms,
    counted.p90_generation_time_ms,
    counted.p95_generation_time_ms,
    counted.p99_generation_time_ms,
    counted.usage_count_1d,
    counted.usage_count_7d,
    counted.usage_count_30d,
    counted.usage_count_previous_1d,
    counted.usage_count_previous_7d,
    counted.usage_count_previous_30d
FROM prompt_scene_stats AS stats
LEFT JOIN prompt_value_stats AS counted
    ON
        counted.prompt_id = stats.prompt_id
        AND counted.dimension = 'scene'
        AND counted.value IS NOT DISTINCT FROM stats.scene
WHERE stats.prompt_id = %(prompt_id)s
ORDER BY stats.usage_count DESC, stats.scene
