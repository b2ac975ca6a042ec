-- Purpose: forgets another server's transaction ids of the raw rows.
-- Grain:   the table.
-- Time:    none.
ALTER TABLE prompt_usage DROP COLUMN ingest_xid
