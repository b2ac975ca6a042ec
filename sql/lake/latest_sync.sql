-- Purpose: the watermark of the last sync.
-- Grain:   one row, or none before the first sync.
-- Time:    started_at.
SELECT
    high,
    next_xid,
    as_of,
    started_at
FROM stats_sync
ORDER BY id DESC
LIMIT 1
