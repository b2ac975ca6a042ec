-- Purpose: what the prompts of each category add up to.
-- Grain:   one row per category, NULL being one; most used first.
-- Time:    as of the last refresh; or that of :measured, if given: a JSON array of what was counted of a period.
-- Counted are prompts that are not deleted, and those that were used: so all categories are the sum of all prompts.
-- A prompt that was removed from the table has no category.
-- prompt_stats keeps a prompt's mean time, and not the sum it was made from; the mean times its number is that
-- sum but for two roundings, together at most 1 part in 2^52. So where a whole number is as near as that, it is
-- the sum itself.
WITH measured AS (
    SELECT
        prompt_id::text AS prompt_id,
        usage_count,
        success_count,
        failure_count,
        timed_count,
        avg_generation_time_ms
    FROM prompt_stats
    WHERE CAST(%(measured)s AS jsonb) IS NULL
    UNION ALL
    SELECT *
    FROM jsonb_to_recordset(CAST(%(measured)s AS jsonb)) AS counted (
        prompt_id text,
        usage_count bigint,
        success_count bigint,
        failure_count bigint,
        timed_count bigint,
        avg_generation_time_ms double precision
    )
)

SELECT
    prompt.category,
    count(*)                                          AS prompt_count,
    coalesce(sum(stats.usage_count), 0)::bigint       AS usage_count,
    coalesce(sum(stats.success_count), 0)::bigint     AS success_count,
    coalesce(sum(stats.failure_count), 0)::bigint     AS failure_count,
    coalesce(sum(stats.timed_count), 0)::bigint       AS timed_count,
    coalesce(
        sum(
            CASE
                WHEN
                    abs(
                        stats.avg_generation_time_ms * stats.timed_count
                        - round(stats.avg_generation_time_ms * stats.timed_count)
                    ) <= 1e-14 * stats.avg_generation_time_ms * stats.timed_count
                    THEN round(stats.avg_generation_time_ms * stats.timed_count)
                ELSE stats.avg_generation_time_ms * stats.timed_count
            END
        ),
        0
    )                                                 AS generation_time_ms_sum
FROM prompts AS prompt
FULL JOIN measured AS stats ON stats.prompt_id = prompt.id::text
WHERE (prompt.id IS NOT NULL AND prompt.deleted_at IS NULL) OR stats.usage_count > 0
GROUP BY prompt.category
ORDER BY usage_count DESC, prompt.category
LIMIT %(limit)s
