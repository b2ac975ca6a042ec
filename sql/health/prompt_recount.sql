-- Purpose: some prompts recounted from the raw events, as of the watermark of what is published.
-- Grain:   one row per kind, prompt and value; kind says what value is.
-- Time:    ingest_xid: below the published watermark, or up to the day's published mark.
-- day, scene, environment, outfit: counted by it, those of the dimensions for events without a prompt too. user: as
-- far as the stats of users are published, one of :one_of users. users: all users together. time: value is a
-- percentile's column; usage_count are the times below what it may stand for, timed_count those up to its end.
-- expired, changed: days that are not here. synced: by day, up to where the stats of users are published.
-- Times before the year 1, which no client can read, are taken as undated, as in the lake.
WITH latest AS (
    SELECT high, open_until FROM stats_refresh ORDER BY id DESC LIMIT 1
),

expired AS MATERIALIZED (
    SELECT day, stats_day.events_version
    FROM stats_expired_day
    LEFT JOIN stats_day USING (day)
),

-- What changed since the publish is noted in the transaction that changed it.
changed AS MATERIALIZED (
    SELECT greatest(CASE WHEN day < '10000-01-01' THEN day END, :first_day) AS day
    FROM prompt_usage_invalidation
    WHERE operation <> 'TRUNCATE'
    UNION
    SELECT day
    FROM stats_day
    WHERE EXISTS (SELECT FROM prompt_usage_invalidation WHERE operation = 'TRUNCATE')
    EXCEPT
    SELECT day FROM expired
),

event AS MATERIALIZED (
    SELECT
        raw.*,
        coalesce(raw.ingest_xid <= user_stats_day.ingest_xid, false) AS is_of_users
    FROM (
        SELECT
            prompt_id::text                                              AS prompt_id,
            user_id::text                                                AS user_id,
            scene::text                                                  AS scene,
            environment::text                                            AS environment,
            outfit::text                                                 AS outfit,
            success,
            CASE
                WHEN generation_time_ms BETWEEN -2147483648 AND 2147483647 THEN floor(generation_time_ms)::bigint
            END                                                          AS generation_time_ms,
            CASE
                WHEN generation_time_ms BETWEEN -2147483648 AND 2147483647
                    THEN round((generation_time_ms - floor(generation_time_ms))::double precision * 1000000000)::bigint
            END                                                          AS generation_time_ps,
            error_message IS NOT NULL                                    AS has_error,
            CASE WHEN created_at >= '0001-01-01' AND created_at < '10000-01-01' THEN created_at END AS created_at,
            coalesce(ingest_xid, 0)                                      AS ingest_xid,
            greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day
        FROM prompt_usage
        WHERE prompt_id::text = ANY(CAST(:prompts AS text [])) OR prompt_id IS NULL
    ) AS raw
    CROSS JOIN latest
    LEFT JOIN stats_day USING (day)
    LEFT JOIN user_stats_day USING (day)
    WHERE
        raw.day <= latest.open_until
        AND (raw.ingest_xid < latest.high OR raw.ingest_xid <= stats_day.ingest_xid)
        AND NOT EXISTS (SELECT FROM expired WHERE expired.day = raw.day)
        AND NOT EXISTS (SELECT FROM changed WHERE changed.day = raw.day)
),

grouped AS (
    SELECT
        CASE
            WHEN grouping(day) = 0 THEN 'day'
            WHEN grouping(scene) = 0 THEN 'scene'
            WHEN grouping(environment) = 0 THEN 'environment'
            ELSE 'outfit'
        END                                                    AS kind,
        prompt_id,
        CASE
            WHEN grouping(day) = 0 THEN day::text
            WHEN grouping(scene) = 0 THEN scene
            WHEN grouping(environment) = 0 THEN environment
            ELSE outfit
        END                                                    AS value,
        count(*)                                               AS usage_count,
        count(*) FILTER (WHERE success)                        AS success_count,
        count(*) FILTER (WHERE NOT success)                    AS failure_count,
        count(generation_time_ms)                              AS timed_count,
        coalesce(sum(generation_time_ms), 0)::bigint           AS generation_time_ms_sum,
        coalesce(sum(generation_time_ps), 0)::bigint           AS generation_time_ps_sum,
        min(generation_time_ms)::bigint                        AS generation_time_ms_min,
        max(generation_time_ms)::bigint                        AS generation_time_ms_max,
        min(created_at)                                        AS first_used_at,
        max(created_at)                                        AS last_used_at,
        count(*) FILTER (WHERE has_error)                      AS error_count,
        max(created_at) FILTER (WHERE has_error)               AS last_error_at
    FROM event
    GROUP BY GROUPING SETS ((prompt_id, day), (prompt_id, scene), (prompt_id, environment), (prompt_id, outfit))
),

by_user AS (
    SELECT
        prompt_id,
        user_id,
        count(*)                                     AS usage_count,
        count(*) FILTER (WHERE success)              AS success_count,
        count(*) FILTER (WHERE NOT success)          AS failure_count,
        count(generation_time_ms)                    AS timed_count,
        coalesce(sum(generation_time_ms), 0)::bigint AS generation_time_ms_sum,
        coalesce(sum(generation_time_ps), 0)::bigint AS generation_time_ps_sum,
        max(created_at)                              AS last_used_at
    FROM event
    WHERE is_of_users AND user_id IS NOT NULL AND prompt_id IS NOT NULL
    GROUP BY prompt_id, user_id
),

timed AS (
    SELECT
        event.prompt_id,
        percentile.name,
        count(*) FILTER (
            WHERE percentile.value > 0 AND event.generation_time_ms < percentile.value / 1.02 * (1 - 1e-9)
        )                                                                                AS below_count,
        count(*) FILTER (
            WHERE event.generation_time_ms <= greatest(percentile.value / 0.98 * (1 + 1e-9), 0)
        )                                                                                AS within_count
    FROM event
    INNER JOIN prompt_stats ON prompt_stats.prompt_id::text = event.prompt_id
    CROSS JOIN LATERAL (
        VALUES
        ('p50_generation_time_ms', prompt_stats.p50_generation_time_ms),
        ('p90_generation_time_ms', prompt_stats.p90_generation_time_ms),
        ('p95_generation_time_ms', prompt_stats.p95_generation_time_ms),
        ('p99_generation_time_ms', prompt_stats.p99_generation_time_ms)
    ) AS percentile (name, value)
    WHERE event.generation_time_ms IS NOT NULL
    GROUP BY event.prompt_id, percentile.name
)

SELECT * FROM grouped
UNION ALL
SELECT
    'user',
    prompt_id,
    user_id,
    usage_count,
    success_count,
    failure_count,
    timed_count,
    generation_time_ms_sum,
    generation_time_ps_sum,
    NULL,
    NULL,
    NULL,
    last_used_at,
    NULL,
    NULL
FROM by_user
WHERE ('x' || substr(md5(user_id), 1, 8))::bit(32)::bigint % :one_of = 0
UNION ALL
SELECT
    'users',
    prompt_id,
    NULL,
    sum(usage_count)::bigint,
    sum(success_count)::bigint,
    sum(failure_count)::bigint,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    max(last_used_at),
    NULL,
    NULL
FROM by_user
GROUP BY prompt_id
UNION ALL
SELECT 'time', prompt_id, name, below_count, NULL, NULL, within_count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM timed
UNION ALL
SELECT 'expired', NULL, day::text, events_version, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM expired
WHERE events_version IS NOT NULL
UNION ALL
SELECT 'changed', NULL, day::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM changed
UNION ALL
SELECT
    'synced', NULL, day::text, events_version, NULL, NULL, synced_high, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM user_stats_day
