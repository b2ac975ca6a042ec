-- Purpose: the days that have raw rows, and how many of these have been read.
-- Grain:   one row per day.
-- Time:    day, before :cutoff; usage_count is that of rows with an ingest_xid below :high.
SELECT
    greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day,
    count(*) FILTER (WHERE ingest_xid < :high OR ingest_xid IS NULL)                     AS usage_count
FROM prompt_usage
WHERE created_at < CAST(:cutoff AS date) OR created_at IS NULL OR created_at >= '10000-01-01'
GROUP BY 1
ORDER BY 1
