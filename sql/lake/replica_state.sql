-- Purpose: whose replica a server is, and how far behind a position of its primary's log.
-- Grain:   one row.
-- Time:    now.
-- server as in snapshot.sql.
-- bytes_behind is zero or less once all up to :position is replayed, and NULL where nothing is replayed.
SELECT
    pg_is_in_recovery() AS is_replica,
    pg_catalog.concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database())
    )                   AS server,
    CASE
        WHEN pg_is_in_recovery()
            THEN pg_wal_lsn_diff(CAST(:position AS pg_lsn), pg_last_wal_replay_lsn())::bigint
    END                 AS bytes_behind,
    CASE
        WHEN pg_is_in_recovery()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::double precision
    END                 AS seconds_behind,
    CASE
        WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()
    END                 AS is_paused
