-- Purpose: how much the stats tables hold, to see whether anybody but a publish changed them.
-- Grain:   one row per table. Not prompt_daily_stats: it is as large as the history.
-- Time:    as of the last publish.
SELECT 'prompt_stats' AS name, count(*) AS row_count, sum(usage_count)::bigint AS usage_count FROM prompt_stats
UNION ALL
SELECT 'prompt_scene_stats', count(*), sum(usage_count)::bigint FROM prompt_scene_stats
UNION ALL
SELECT 'prompt_environment_stats', count(*), sum(usage_count)::bigint FROM prompt_environment_stats
UNION ALL
SELECT 'prompt_outfit_stats', count(*), sum(usage_count)::bigint FROM prompt_outfit_stats
UNION ALL
SELECT 'scene_stats', count(*), sum(usage_count)::bigint FROM scene_stats
UNION ALL
SELECT 'environment_stats', count(*), sum(usage_count)::bigint FROM environment_stats
UNION ALL
SELECT 'outfit_stats', count(*), sum(usage_count)::bigint FROM outfit_stats
UNION ALL
SELECT 'prompt_error_stats', count(*), sum(error_count)::bigint FROM prompt_error_stats
ORDER BY name
