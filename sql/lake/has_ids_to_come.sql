-- Purpose: whether any raw row has a transaction id that this server has not given out yet.
-- Grain:   one row.
-- Time:    ingest_xid, from :next_xid on.
SELECT EXISTS (SELECT FROM prompt_usage WHERE ingest_xid >= :next_xid) AS has_ids_to_come
