-- Purpose: makes each new raw row carry the id of its transaction.
-- Grain:   the table.
-- Time:    none.
ALTER TABLE prompt_usage ALTER COLUMN ingest_xid SET DEFAULT pg_current_xact_id()::text::bigint
