-- Purpose: the latest moment before which every commit is known to be below a watermark.
-- Grain:   one row; NULL when nothing is known.
-- Time:    started_at of earlier syncs and refreshes.
-- Whatever had committed when one began has an id below its next_xid.
SELECT max(CASE WHEN next_xid <= :high THEN started_at WHEN high <= :high THEN as_of END) AS as_of
FROM (
    SELECT high, next_xid, as_of, started_at FROM stats_refresh
    UNION ALL
    SELECT high, next_xid, as_of, started_at FROM stats_sync
) AS watermarks
