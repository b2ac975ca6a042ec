-- Purpose: the watermark of a refresh: every transaction with an id below high has ended.
-- Grain:   one row.
-- Time:    now.
-- server says whose ids they are: the cluster, its timeline, the database. A restored dump, a copy on
-- another server and a recovery to an earlier moment each change one of them.
SELECT
    pg_snapshot_xmin(snapshot)::text::bigint AS high,
    pg_snapshot_xmax(snapshot)::text::bigint AS next_xid,
    clock_timestamp()                        AS taken_at,
    pg_catalog.concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT oid FROM pg_database WHERE datname = current_database())
    )                                        AS server
FROM pg_current_snapshot() AS snapshot
