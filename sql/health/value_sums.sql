-- Purpose: what the prompts' stats by scene, environment and outfit add up to, over all prompts.
-- Grain:   one row per dimension and value.
-- Time:    as of the last publish.
WITH valued AS (
    SELECT
        'scene' AS kind,
        scene   AS value,
        usage_count,
        success_count,
        failure_count,
        timed_count,
        avg_generation_time_ms,
        min_generation_time_ms,
        max_generation_time_ms,
        first_used_at,
        last_used_at
    FROM prompt_scene_stats
    UNION ALL
    SELECT
        'environment',
        environment,
        usage_count,
        success_count,
        failure_count,
        timed_count,
        avg_generation_time_ms,
        min_generation_time_ms,
        max_generation_time_ms,
        first_used_at,
        last_used_at
    FROM prompt_environment_stats
    UNION ALL
    SELECT
        'outfit',
        outfit,
        usage_count,
        success_count,
        failure_count,
        timed_count,
        avg_generation_time_ms,
        min_generation_time_ms,
        max_generation_time_ms,
        first_used_at,
        last_used_at
    FROM prompt_outfit_stats
)

SELECT
    kind,
    value,
    sum(usage_count)::bigint                                                        AS usage_count,
    sum(success_count)::bigint                                                      AS success_count,
    sum(failure_count)::bigint                                                      AS failure_count,
    sum(timed_count)::bigint                                                        AS timed_count,
    floor(coalesce(sum((avg_generation_time_ms * timed_count)::numeric), 0))::bigint AS generation_time_ms_sum,
    -- As below zero, too, what is beyond the whole: % would take that from zero.
    (
        coalesce(
            sum((avg_generation_time_ms * timed_count)::numeric)
            - floor(sum((avg_generation_time_ms * timed_count)::numeric)),
            0
        ) * 1000000000
    )::bigint                                                                       AS generation_time_ps_sum,
    min(min_generation_time_ms)::bigint                                             AS generation_time_ms_min,
    max(max_generation_time_ms)::bigint                                             AS generation_time_ms_max,
    min(first_used_at)                                                              AS first_used_at,
    max(last_used_at)                                                               AS last_used_at
FROM valued
GROUP BY kind, value
