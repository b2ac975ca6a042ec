-- Purpose: whether there is any raw event.
-- Grain:   one row.
-- Time:    none.
SELECT exists(SELECT FROM prompt_usage) AS is_used
