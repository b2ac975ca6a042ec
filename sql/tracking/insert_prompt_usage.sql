-- Purpose: appends an event; one that is there already changes nothing.
-- Grain:   one row per event.
-- Time:    created_at.
-- The columns are those that the table has and takes (pipeline.tracking.usage_table). ingest_xid keeps its
-- default, by which the pipeline finds the row.
INSERT INTO prompt_usage ({columns})
VALUES ({values})
ON CONFLICT {conflict} DO NOTHING
