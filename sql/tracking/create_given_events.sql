-- Purpose: a temporary table for a batch of events on its way, empty at the end of each transaction.
-- Grain:   one row per event.
-- Time:    created_at.
-- Its types are those of the app's table, whose ids may be texts or numbers.
CREATE TEMPORARY TABLE IF NOT EXISTS {given} ON COMMIT DELETE ROWS AS
SELECT {columns}
FROM prompt_usage
WITH NO DATA
