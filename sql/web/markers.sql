-- Purpose: the days on which a prompt's author noted a change.
-- Grain:   one row per day, the latest first.
-- Time:    as they are now.
SELECT
    day,
    note,
    created_at
FROM prompt_marker
WHERE prompt_id = %(prompt_id)s
ORDER BY day DESC
LIMIT %(limit)s
