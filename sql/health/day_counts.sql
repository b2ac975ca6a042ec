-- Purpose: what Postgres says of each day that the lake should have: published, expired, counted in raw rows.
-- Grain:   one row per day that is published, expired, or has raw rows from :from_day on.
-- Time:    ingest_xid: up to the lake's mark of the day, or below the published watermark.
-- :marks are those of the lake from :from_day on, -1 for a day that it does not have. A day is comparable with
-- its raw rows if it is recent, did not expire, and no change of it is noted.
WITH latest AS (SELECT high, open_until FROM stats_refresh ORDER BY id DESC LIMIT 1),

lake AS (SELECT CAST(:marks AS bigint[]) AS marks),

changed AS (
    SELECT
        operation = 'TRUNCATE'                                       AS is_every_day,
        greatest(CASE WHEN day < '10000-01-01' THEN day END, :first_day)              AS day
    FROM prompt_usage_invalidation
),

raw AS (
    SELECT
        event.day,
        count(*)              AS usage_count,
        max(event.ingest_xid) AS mark
    FROM (
        SELECT
            coalesce(ingest_xid, 0)                                      AS ingest_xid,
            greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day
        FROM prompt_usage
        WHERE
            created_at >= CAST(:from_day AS date) AND created_at < '10000-01-01'
            OR (created_at IS NULL OR created_at < CAST(:first_day AS date) OR created_at >= '10000-01-01')
                AND :from_day <= :first_day
    ) AS event
    CROSS JOIN latest
    WHERE
        event.day <= latest.open_until
        AND (
            event.ingest_xid < latest.high
            OR event.ingest_xid <= coalesce((SELECT marks FROM lake)[event.day - :from_day + 1], -1)
        )
    GROUP BY event.day
),

days AS (
    SELECT
        day,
        published.usage_count   AS published_count,
        published.ingest_xid    AS published_mark,
        expired.usage_count     AS expired_count,
        raw.usage_count         AS raw_count,
        raw.mark                AS raw_mark,
        expired.day IS NOT NULL AS is_expired
    FROM (SELECT day, usage_count, ingest_xid FROM stats_day) AS published
    FULL JOIN (SELECT day, usage_count FROM stats_expired_day) AS expired USING (day)
    FULL JOIN raw USING (day)
)

SELECT
    day,
    published_count,
    published_mark,
    expired_count,
    CASE WHEN day >= :from_day THEN coalesce(raw_count, 0) END AS raw_count,
    raw_mark,
    day >= :from_day
    AND NOT is_expired
    AND NOT EXISTS (SELECT FROM changed WHERE is_every_day)
    AND day NOT IN (SELECT changed.day FROM changed) AS is_raw_comparable
FROM days
ORDER BY day
