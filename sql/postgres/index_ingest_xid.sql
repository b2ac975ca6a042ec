-- Purpose: the index by which new raw rows are found, made anew with its column.
-- Grain:   the table.
-- Time:    none.
CREATE INDEX prompt_usage_ingest_brin ON prompt_usage
USING brin (ingest_xid, created_at) WITH (autosummarize = on, pages_per_range = 32)
