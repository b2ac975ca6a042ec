-- Purpose: appends a batch of events whose prompts are given by their ids; fails as a whole if an event id is there.
-- Grain:   one row per event.
-- Time:    created_at.
-- ingest_xid keeps its default, by which the pipeline finds the row.
COPY prompt_usage ({columns}) FROM STDIN
