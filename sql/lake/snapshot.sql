-- Purpose: the watermark of a refresh: every transaction with an id below high has ended.
-- Grain:   one row.
-- Time:    now.
-- server says whose ids they are: the cluster and the database. A restored dump and a copy by TEMPLATE change one
-- of them. The timeline is left out: after a promotion the control file has the old one until a checkpoint.
SELECT
    pg_snapshot_xmin(snapshot)::text::bigint AS high,
    pg_snapshot_xmax(snapshot)::text::bigint AS next_xid,
    clock_timestamp()                        AS taken_at,
    pg_catalog.concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database())
    )                                        AS server
FROM pg_current_snapshot() AS snapshot
