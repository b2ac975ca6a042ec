-- Purpose: a prompt as the app has it, by id or slug.
-- Grain:   one row, or none.
-- Time:    stats_as_of, of the counters.
SELECT *
FROM prompts
WHERE id::text = %(id)s OR slug = %(slug)s
