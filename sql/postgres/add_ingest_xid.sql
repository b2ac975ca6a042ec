-- Purpose: adds the transaction id to the raw rows; those that exist get none, and nothing is rewritten.
-- Grain:   the table.
-- Time:    none.
ALTER TABLE prompt_usage ADD COLUMN ingest_xid bigint
