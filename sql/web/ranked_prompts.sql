-- Purpose: prompts ranked by use, favour, success, failure, time, rise or fall.
-- Grain:   one row per prompt that is active and not deleted; the highest score first.
-- Time:    all of it; or that of :measured, if given: a JSON array of what was counted of a period.
-- Best and failing go by the lower end of the 95 %% Wilson interval of the rate, so that 3 of 3 does not beat
-- 950 of 1,000; worse by how far that of the failures is above the rate of all of these
-- prompts together. Who fails less often than these is in no list of those that fail. Rising and falling compare the last 7 days with the 7 before: (a - b) / sqrt(a + b), which is
-- how many standard deviations apart two equal Poisson rates would be.
WITH measured AS (
    SELECT
        prompt_id,
        usage_count,
        success_count,
        failure_count,
        avg_generation_time_ms,
        last_used_at
    FROM prompt_stats
    WHERE NOT %(by_scene)s AND CAST(%(measured)s AS jsonb) IS NULL
    UNION ALL
    SELECT
        prompt_id,
        usage_count,
        success_count,
        failure_count,
        avg_generation_time_ms,
        last_used_at
    FROM prompt_scene_stats
    WHERE
        %(by_scene)s AND CAST(%(measured)s AS jsonb) IS NULL
        AND scene IS NOT DISTINCT FROM CAST(%(scene)s AS text)
    UNION ALL
    SELECT
        prompt.id AS prompt_id,
        counted.usage_count,
        counted.success_count,
        counted.failure_count,
        counted.avg_generation_time_ms,
        counted.last_used_at
    FROM jsonb_to_recordset(CAST(%(measured)s AS jsonb)) AS counted (
        prompt_id text,
        usage_count bigint,
        success_count bigint,
        failure_count bigint,
        avg_generation_time_ms double precision,
        last_used_at timestamptz
    )
    INNER JOIN prompts AS prompt ON prompt.id::text = counted.prompt_id
),

average AS (
    SELECT
        sum(measured.failure_count)                                              AS failure_count,
        sum(measured.usage_count)                                                AS usage_count,
        sum(measured.failure_count) / nullif(sum(measured.usage_count), 0) * 100 AS failure_rate
    FROM measured
    INNER JOIN prompts AS prompt ON prompt.id = measured.prompt_id
    WHERE prompt.is_active IS NOT FALSE AND prompt.deleted_at IS NULL
),

scored AS (
    SELECT
        measured.*,
        average.failure_rate AS average_failure_rate,
        CASE CAST(%(ranking)s AS text)
            WHEN 'usage' THEN measured.usage_count
            WHEN 'favored' THEN stats.favorite_count
            WHEN 'slowest' THEN measured.avg_generation_time_ms
            WHEN 'failures' THEN measured.failure_count
            WHEN 'worse' THEN rate.lower_bound - average.failure_rate
            WHEN 'rising' THEN
                (stats.usage_count_7d - stats.usage_count_previous_7d)
                / sqrt(nullif(stats.usage_count_7d + stats.usage_count_previous_7d, 0))
            WHEN 'falling' THEN
                (stats.usage_count_previous_7d - stats.usage_count_7d)
                / sqrt(nullif(stats.usage_count_7d + stats.usage_count_previous_7d, 0))
            ELSE rate.lower_bound
        END AS score,
        stats.favorite_count,
        stats.usage_count_7d,
        stats.usage_count_previous_7d
    FROM measured
    CROSS JOIN average
    INNER JOIN prompt_stats AS stats ON stats.prompt_id = measured.prompt_id
    CROSS JOIN LATERAL (
        SELECT
            measured.usage_count::double precision AS n,
            CASE CAST(%(ranking)s AS text)
                WHEN 'failing' THEN measured.failure_count
                WHEN 'worse' THEN measured.failure_count
                ELSE measured.success_count
            END / nullif(measured.usage_count, 0)::double precision AS p
    ) AS sample
    CROSS JOIN LATERAL (
        SELECT
            greatest(
                0,
                (
                    sample.p + 3.841458820694124 / (2 * sample.n) - 1.959963984540054
                    * sqrt(sample.p * (1 - sample.p) / sample.n + 3.841458820694124 / (4 * sample.n * sample.n))
                ) / (1 + 3.841458820694124 / sample.n) * 100
            ) AS lower_bound
    ) AS rate
    WHERE
        measured.usage_count >= greatest(1, %(min_usage)s)
        AND (
            CAST(%(ranking)s AS text) NOT IN ('failures', 'failing', 'worse')
            OR measured.failure_count * average.usage_count >= average.failure_count * measured.usage_count
        )
)

SELECT
    prompt.id::text                                                      AS prompt_id,
    prompt.slug,
    prompt.name,
    prompt.category,
    scored.score,
    scored.usage_count,
    scored.success_count,
    scored.failure_count,
    scored.success_count / scored.usage_count::double precision * 100    AS success_rate,
    scored.avg_generation_time_ms,
    scored.last_used_at,
    scored.favorite_count,
    scored.usage_count_7d,
    scored.usage_count_previous_7d,
    scored.average_failure_rate::double precision                        AS average_failure_rate
FROM scored
INNER JOIN prompts AS prompt ON prompt.id = scored.prompt_id
WHERE
    prompt.is_active IS NOT FALSE
    AND prompt.deleted_at IS NULL
    AND (CAST(%(category)s AS text) IS NULL OR prompt.category::text = CAST(%(category)s AS text))
    AND scored.score > 0
ORDER BY scored.score DESC, scored.usage_count DESC, prompt.id
LIMIT %(limit)s
