-- Purpose: a sample of prompts, as published and recounted from the raw events, as of the same watermark.
-- Grain:   one row a source and prompt or day; source is one of raw, day, total, expired and changed.
-- Time:    ingest_xid: below the published watermark, or up to the day's published mark.
-- raw and day are by prompt and day, total is by prompt; expired and changed are days without raw rows here.
-- The sample: the :most_used prompts, and :others by a hash of their ids and the refresh's.
-- Times before the year 1, which no client can read, are taken as undated, as in the lake.
WITH latest AS (
    SELECT id, high, open_until FROM stats_refresh ORDER BY id DESC LIMIT 1
),

sample AS MATERIALIZED (
    (SELECT prompt_id FROM prompt_stats ORDER BY usage_count DESC, prompt_id LIMIT :most_used)
    UNION
    (
        SELECT prompt_id FROM prompt_stats
        ORDER BY md5(pg_catalog.concat(prompt_id, (SELECT id FROM latest))), prompt_id
        LIMIT :others
    )
),

expired AS MATERIALIZED (
    SELECT day, stats_day.events_version
    FROM stats_expired_day
    LEFT JOIN stats_day USING (day)
),

-- What changed since the publish is noted in the transaction that changed it.
changed AS MATERIALIZED (
    SELECT least(greatest(coalesce(day, :first_day), :first_day), CAST('9999-12-31' AS date)) AS day
    FROM prompt_usage_invalidation
    WHERE operation <> 'TRUNCATE'
    UNION
    SELECT day
    FROM stats_day
    WHERE EXISTS (SELECT FROM prompt_usage_invalidation WHERE operation = 'TRUNCATE')
    EXCEPT
    SELECT day FROM expired
),

raw AS (
    SELECT
        event.prompt_id,
        event.day,
        count(*)                                                       AS usage_count,
        count(*) FILTER (WHERE event.success)                          AS success_count,
        count(*) FILTER (WHERE NOT event.success)                      AS failure_count,
        count(event.generation_time_ms)                                AS timed_count,
        coalesce(sum(event.generation_time_ms), 0)::bigint             AS generation_time_ms_sum,
        max(event.created_at) FILTER (WHERE created_at >= '0001-01-01') AS last_used_at
    FROM (
        SELECT
            prompt_id,
            success,
            generation_time_ms,
            created_at,
            coalesce(ingest_xid, 0)                                      AS ingest_xid,
            greatest(coalesce(created_at::date, :first_day), :first_day) AS day
        FROM prompt_usage
        WHERE prompt_id IN (SELECT prompt_id FROM sample)
    ) AS event
    CROSS JOIN latest
    LEFT JOIN stats_day ON stats_day.day = event.day
    WHERE
        event.day <= latest.open_until
        AND (event.ingest_xid < latest.high OR event.ingest_xid <= stats_day.ingest_xid)
        AND NOT EXISTS (SELECT FROM expired WHERE expired.day = event.day)
        AND NOT EXISTS (SELECT FROM changed WHERE changed.day = event.day)
    GROUP BY event.prompt_id, event.day
)

SELECT
    'raw'                  AS source,
    prompt_id::text,
    day,
    usage_count,
    success_count,
    failure_count,
    timed_count,
    generation_time_ms_sum,
    last_used_at,
    NULL::double precision AS avg_generation_time_ms,
    NULL::bigint           AS events_version
FROM raw
UNION ALL
SELECT
    'day',
    prompt_id::text,
    day,
    usage_count,
    success_count,
    failure_count,
    NULL,
    NULL,
    last_used_at,
    avg_generation_time_ms,
    NULL
FROM prompt_daily_stats
WHERE prompt_id IN (SELECT prompt_id FROM sample)
UNION ALL
SELECT
    'total',
    prompt_id::text,
    NULL,
    usage_count,
    success_count,
    failure_count,
    timed_count,
    NULL,
    last_used_at,
    avg_generation_time_ms,
    NULL
FROM prompt_stats
WHERE prompt_id IN (SELECT prompt_id FROM sample)
UNION ALL
SELECT 'expired', NULL, day, NULL, NULL, NULL, NULL, NULL, NULL, NULL, events_version
FROM expired
WHERE events_version IS NOT NULL
UNION ALL
SELECT 'changed', NULL, day, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM changed
