-- Purpose: the days with events that the lake does not hold, and how many there are.
-- Grain:   one row per day, of those in :days.
-- Time:    ingest_xid, above the mark of the event's day, below :high. A mark of -1 counts all of the day.
WITH wanted AS (
    SELECT day, mark
    FROM unnest(CAST(:days AS date[]), CAST(:marks AS bigint[])) AS wanted (day, mark)
),

events AS (
    SELECT
        greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day,
        coalesce(ingest_xid, 0)                                      AS ingest_xid
    FROM prompt_usage
    WHERE
        (
            created_at >= CAST(:from_day AS date) AND created_at < CAST(:to_day AS date) + 1
            OR (created_at IS NULL OR created_at < CAST(:first_day AS date) OR created_at >= '10000-01-01')
                AND :from_day <= :first_day
        )
        AND (ingest_xid > :lowest_mark OR ingest_xid IS NULL AND :lowest_mark < 0)
)

SELECT
    events.day,
    count(*) AS usage_count
FROM events
INNER JOIN wanted ON wanted.day = events.day
WHERE events.ingest_xid > wanted.mark AND events.ingest_xid < :high
GROUP BY 1
ORDER BY 1
