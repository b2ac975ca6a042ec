-- Purpose: the latest moment before which every commit is known to be below a watermark.
-- Grain:   one row; NULL when nothing is known.
-- Time:    started_at of earlier refreshes.
-- A refresh saw next_xid not yet given: what had committed by then has a smaller id.
SELECT max(CASE WHEN next_xid <= :high THEN started_at WHEN high <= :high THEN as_of END) AS as_of
FROM stats_refresh
