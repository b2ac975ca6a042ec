-- Purpose: appends an event to a table with partitions; one that is there already changes nothing.
-- Grain:   one row per event.
-- Time:    created_at.
-- Nothing across partitions is unique by itself, so it is looked for, after lock_event_keys.sql. The columns are those
-- that the table has and takes (pipeline.tracking.usage_table). ingest_xid keeps its default.
INSERT INTO prompt_usage ({columns})
SELECT {values}
WHERE NOT EXISTS (SELECT FROM prompt_usage WHERE {key} = %({key})s)
