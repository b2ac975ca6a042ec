-- Purpose: appends the events of a batch; those that are there already change nothing.
-- Grain:   one row per event.
-- Time:    created_at.
-- So a batch whose answer was lost can be sent again. ingest_xid keeps its default, by which the pipeline finds
-- the row.
INSERT INTO prompt_usage ({columns})
SELECT {columns}
FROM {given}
ON CONFLICT {conflict} DO NOTHING
