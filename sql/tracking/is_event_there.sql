-- Purpose: whether an event is in the table already.
-- Grain:   one row.
-- Time:    now.
SELECT EXISTS (SELECT FROM prompt_usage WHERE {key} = %({key})s) AS is_there
