-- Purpose: the days with events that the stats about to be published do not contain.
-- Grain:   one row a day.
-- Time:    ingest_xid, from :since up to, and without, :high, above the mark of the day's partials.
WITH counted AS (
    SELECT day, mark
    FROM unnest(CAST(:days AS date[]), CAST(:marks AS bigint[])) AS marks (day, mark)
),

events AS (
    SELECT
        greatest(coalesce(created_at::date, :first_day), :first_day) AS day,
        coalesce(ingest_xid, 0)                                      AS ingest_xid
    FROM prompt_usage
    WHERE
        (ingest_xid >= :since AND ingest_xid < :high OR ingest_xid IS NULL AND :since = 0)
        AND (created_at IS NULL OR created_at::date <= :open_until)
)

SELECT
    events.day,
    min(events.ingest_xid) AS first_xid
FROM events
LEFT JOIN counted ON counted.day = events.day
WHERE events.ingest_xid > coalesce(counted.mark, -1)
GROUP BY 1
ORDER BY 1
