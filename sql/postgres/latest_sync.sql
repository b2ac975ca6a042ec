-- Purpose: the watermark of the last sync, and whose transaction ids it is made of.
-- Grain:   one row, or none before the first sync.
-- Time:    started_at.
SELECT
    high,
    next_xid,
    as_of,
    started_at,
    server
FROM stats_sync
ORDER BY id DESC
LIMIT 1
