-- Purpose: the days with events that the stats about to be published do not contain.
-- Grain:   one row per day.
-- Time:    ingest_xid, from :since up to, and without, :high, above the mark of the day's partials.
-- :marks has an element a day from :first_day on, NULL for a day without partials. An array, since the
-- planner takes new events for few, and would join each of them with each of the days.
WITH counted AS (SELECT CAST(:marks AS bigint[]) AS marks),

events AS (
    SELECT
        greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day,
        coalesce(ingest_xid, 0)                                      AS ingest_xid
    FROM prompt_usage
    WHERE
        (ingest_xid >= :since AND ingest_xid < :high OR ingest_xid IS NULL AND :since = 0)
        AND (created_at IS NULL OR created_at::date <= :open_until OR created_at >= '10000-01-01')
)

SELECT
    day,
    min(ingest_xid) AS first_xid
FROM events
WHERE ingest_xid > coalesce((SELECT marks FROM counted)[day - :first_day + 1], -1)
GROUP BY 1
ORDER BY 1
