-- Purpose: whether any raw row has a transaction id that is still to come, as this statement sees it.
-- Grain:   one row.
-- Time:    ingest_xid, from the next id on.
-- :next_xid was the next id a moment before. By its value the planner knows that there are hardly any such rows,
-- and uses the index; EXISTS would have it believe that a scan finds one at once.
SELECT count(*) > 0 AS has_rows_to_come
FROM prompt_usage
WHERE
    ingest_xid >= :next_xid
    AND ingest_xid >= (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
