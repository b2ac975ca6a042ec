-- Purpose: the watermark of a refresh: every transaction with an id below high has ended.
-- Grain:   one row.
-- Time:    now.
SELECT
    pg_snapshot_xmin(snapshot)::text::bigint AS high,
    pg_snapshot_xmax(snapshot)::text::bigint AS next_xid,
    clock_timestamp()                        AS taken_at
FROM pg_current_snapshot() AS snapshot
