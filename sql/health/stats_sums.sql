-- Purpose: what each stats table counts, in sum and for prompts on which the tables differ.
-- Grain:   one row per table, with prompt_id NULL; and one per stats table and prompt, for at most :limit of them.
-- Time:    the last publish, whose tables are of one transaction.
-- Counts that a table does not have are NULL. differing_prompts is their number before the limit. The row of
-- prompts has the number of prompts whose counters are not those of prompt_stats, 0 if the last publish left them
-- alone; is_written is false if that publish could not write all of them, and NULL in other rows.
WITH counted AS (
    SELECT 'prompt_stats' AS table_name, prompt_id, usage_count, success_count, failure_count
    FROM prompt_stats
    UNION ALL
    SELECT 'prompt_daily_stats', prompt_id, sum(usage_count), sum(success_count), sum(failure_count)
    FROM prompt_daily_stats
    GROUP BY prompt_id
    UNION ALL
    SELECT 'prompt_scene_stats', prompt_id, sum(usage_count), sum(success_count), sum(failure_count)
    FROM prompt_scene_stats
    GROUP BY prompt_id
    UNION ALL
    SELECT 'prompt_environment_stats', prompt_id, sum(usage_count), sum(success_count), sum(failure_count)
    FROM prompt_environment_stats
    GROUP BY prompt_id
    UNION ALL
    SELECT 'prompt_outfit_stats', prompt_id, sum(usage_count), sum(success_count), sum(failure_count)
    FROM prompt_outfit_stats
    GROUP BY prompt_id
),

differing AS (
    -- A table that lacks the prompt counts 0.
    SELECT
        prompt_id,
        max(usage_count) AS usage_count,
        count(*) OVER () AS prompts
    FROM counted
    GROUP BY prompt_id
    HAVING
        sum(usage_count) <> max(usage_count) * 5
        OR sum(success_count) <> max(success_count) * 5
        OR sum(failure_count) <> max(failure_count) * 5
    ORDER BY 2 DESC, 1
    LIMIT :limit
),

whole (table_name, usage_count, success_count, failure_count) AS (
    SELECT 'prompt_stats', sum(usage_count), sum(success_count), sum(failure_count)
    FROM prompt_stats
    UNION ALL
    SELECT 'scene_stats', sum(usage_count), sum(success_count), sum(failure_count)
    FROM scene_stats
    UNION ALL
    SELECT 'environment_stats', sum(usage_count), sum(success_count), sum(failure_count)
    FROM environment_stats
    UNION ALL
    SELECT 'outfit_stats', sum(usage_count), sum(success_count), sum(failure_count)
    FROM outfit_stats
    UNION ALL
    SELECT 'stats_day', sum(usage_count), NULL, NULL
    FROM stats_day
    UNION ALL
    SELECT 'stats_refresh', max(usage_count), NULL, NULL
    FROM (SELECT usage_count FROM stats_refresh ORDER BY id DESC LIMIT 1) AS latest
)

SELECT
    table_name,
    NULL                               AS prompt_id,
    coalesce(usage_count, 0)::bigint   AS usage_count,
    success_count::bigint,
    failure_count::bigint,
    NULL                               AS differing_prompts,
    NULL                               AS is_written
FROM whole
UNION ALL
SELECT
    'prompts',
    NULL,
    NULL,
    NULL,
    NULL,
    count(*),
    (
        SELECT NOT rows_written ? 'prompts' OR write_back_as_of IS NOT DISTINCT FROM as_of
        FROM stats_refresh
        ORDER BY id DESC
        LIMIT 1
    )
FROM prompts
LEFT JOIN prompt_stats ON prompt_stats.prompt_id = prompts.id
WHERE
    (SELECT rows_written ? 'prompts' FROM stats_refresh ORDER BY id DESC LIMIT 1)
    AND (
        coalesce(prompts.usage_count, 0) <> coalesce(prompt_stats.usage_count, 0)
        OR coalesce(prompts.success_count, 0) <> coalesce(prompt_stats.success_count, 0)
        OR coalesce(prompts.failure_count, 0) <> coalesce(prompt_stats.failure_count, 0)
    )
UNION ALL
SELECT
    counted.table_name,
    counted.prompt_id::text,
    counted.usage_count::bigint,
    counted.success_count::bigint,
    counted.failure_count::bigint,
    differing.prompts,
    NULL
FROM counted
INNER JOIN differing ON differing.prompt_id = counted.prompt_id
ORDER BY prompt_id NULLS FIRST, table_name
