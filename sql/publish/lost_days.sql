-- Purpose: published days that still have the events they were published with.
-- Grain:   one row per day, of those in :days.
-- Time:    ingest_xid, up to the published one of the day.
-- Days whose rows were changed since are left out: what they hold is not known.
SELECT published.day
FROM stats_day AS published
WHERE
    published.day = ANY(CAST(:days AS date[]))
    AND NOT EXISTS (SELECT FROM prompt_usage_invalidation WHERE operation = 'TRUNCATE')
    AND published.day NOT IN (
        SELECT greatest(CASE WHEN day < '10000-01-01' THEN day END, :first_day) FROM prompt_usage_invalidation
    )
    AND EXISTS (
        SELECT
        FROM prompt_usage AS event
        WHERE
            coalesce(event.ingest_xid, 0) <= published.ingest_xid
            AND greatest(CASE WHEN event.created_at < '10000-01-01' THEN event.created_at::date END, :first_day) = published.day
    )
ORDER BY 1
