-- Purpose: the sessions that hold an advisory lock.
-- Grain:   one row per session.
-- Time:    now, within a transaction that of its first look; since: see below.
-- A session that locks for itself does nothing afterwards; one that locks for its transaction began it then.
-- Roles without pg_read_all_stats see the pid, the role and the name of other roles' sessions.
SELECT
    session.pid,
    session.usename                                          AS role,
    session.application_name,
    host(session.client_addr)                                AS client,
    coalesce(session.xact_start, session.state_change)       AS since
FROM pg_locks AS lock
INNER JOIN pg_stat_activity AS session ON session.pid = lock.pid
WHERE
    lock.locktype = 'advisory'
    AND lock.granted
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND lock.classid::bigint = :lock
    AND CAST(CAST(lock.objid::bigint AS bit(32)) AS integer) = :installation
    AND lock.objsubid = 2
ORDER BY since
