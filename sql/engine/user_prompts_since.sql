-- Purpose: which users used which prompts, in events that came after a mark.
-- Grain:   user x prompt.
-- Time:    day (UTC).
-- Reads usage_events and marks: by day, the ingest_xid after which events are looked at. Runs on DuckDB alone: it
-- is no rollup, and reads what was just written.
SELECT DISTINCT
    usage_events.user_id,
    usage_events.prompt_id
FROM usage_events
INNER JOIN marks ON marks.day = usage_events.day
WHERE
    usage_events.ingest_xid > marks.mark
    AND usage_events.user_id IS NOT NULL
    AND usage_events.prompt_id IS NOT NULL
