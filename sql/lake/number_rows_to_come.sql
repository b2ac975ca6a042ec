-- Purpose: gives rows with a transaction id that is still to come the id of this transaction.
-- Grain:   one row per event: its day, as in touched_days.sql.
-- Time:    ingest_xid, from the next id on; :next_xid was that a moment before.
-- Every row that this statement sees was committed by a transaction with a smaller id. So such an id was made
-- up, by an UPDATE or while no trigger replaced it, and the row would be left out until then.
UPDATE prompt_usage SET ingest_xid = pg_current_xact_id()::text::bigint
WHERE
    ingest_xid >= :next_xid
    AND ingest_xid >= (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
RETURNING greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day
