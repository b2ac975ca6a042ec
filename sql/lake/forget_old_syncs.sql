-- Purpose: removes watermarks of syncs that nobody will ask for, but the last.
-- Grain:   one row per sync.
-- Time:    started_at, older than two days.
DELETE FROM stats_sync
WHERE
    started_at < clock_timestamp() - interval '2 days'
    AND id < (SELECT max(id) FROM stats_sync)
