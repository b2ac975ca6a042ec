-- Purpose: the days with events inserted since a watermark, and how many there are.
-- Grain:   one row per day; days after :open_until are held back and left out.
-- Time:    ingest_xid, from :since up to, and without, :high.
-- Rows older than the pipeline have no ingest_xid and count as 0.
SELECT
    greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day,
    count(*)                                                     AS usage_count
FROM prompt_usage
WHERE
    (ingest_xid >= :since AND ingest_xid < :high OR ingest_xid IS NULL AND :since = 0)
    AND (created_at IS NULL OR created_at::date <= :open_until OR created_at >= '10000-01-01')
GROUP BY 1
ORDER BY 1
