-- Purpose: the latest moment before which every commit is known to be below a watermark.
-- Grain:   one row; NULL when nothing is known.
-- Time:    started_at of earlier refreshes.
-- Whatever had committed when a refresh began has an id below its next_xid.
SELECT max(CASE WHEN next_xid <= :high THEN started_at WHEN high <= :high THEN as_of END) AS as_of
FROM stats_refresh
