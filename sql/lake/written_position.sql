-- Purpose: how far the log of changes goes: all that has ended before this question is in it up to there.
-- Grain:   one row.
-- Time:    now.
-- What is inserted, and not only what is flushed: a transaction may end before its record is on the disk.
SELECT pg_current_wal_insert_lsn()::text AS position
