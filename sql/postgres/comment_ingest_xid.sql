-- Purpose: says what the transaction id of the raw rows is; the comment goes with the column that is made anew.
-- Grain:   the table.
-- Time:    none.
COMMENT ON COLUMN prompt_usage.ingest_xid
IS 'Transaction that inserted the row. NULL on rows older than the pipeline. Do not write.'
